package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"tlsurge/harness/cluster"
)

// startLead is how far in the future at least a phase begins when its agents are told of it.
const startLead = 500 * time.Millisecond

// AgentsConfig says how many agents to start.
type AgentsConfig struct {
	Hub *cluster.Hub
	N   int
	// SpareCPUs is how many processors belong to the edges alone; 0: none.
	SpareCPUs int
	// Notice is told when an agent of this machine ends.
	Notice func(Exit)
	// Begin starts a child in place of exec.Cmd.Start, in another network namespace; nil: here.
	Begin func(*exec.Cmd) error
}

// Crew is all agents of a run: those of this machine, and those that joined from elsewhere.
type Crew struct {
	hub       *cluster.Hub
	processes []*process

	mu  sync.Mutex
	ids []string // those that take part; the lost ones are taken out
}

// StartAgents starts agent-1 to agent-N and waits until all are there.
func StartAgents(ctx context.Context, cfg AgentsConfig) (*Crew, error) {
	c := &Crew{hub: cfg.Hub}
	for i := range cfg.N {
		name := fmt.Sprintf("agent-%d", i+1)
		p, err := start(spec{name: name, role: RoleAgent, verb: "agent", env: environment(cfg.Hub), order: agentOrder{cfg.SpareCPUs}, begin: cfg.Begin, onExit: func(e Exit) {
			e.tell(cfg.Hub)
			if cfg.Notice != nil {
				cfg.Notice(e)
			}
		}})
		if err != nil {
			c.Stop(ctx)
			return nil, err
		}
		c.processes = append(c.processes, p)
		c.ids = append(c.ids, name)
	}
	for _, p := range c.processes {
		if _, err := p.ready(ctx); err != nil {
			c.Stop(ctx)
			return nil, err
		}
	}
	return c, nil
}

// Join waits until n agents from elsewhere are there. More may come later: each takes part from the next
// phase on, and so does one that was lost and came back.
func (c *Crew) Join(ctx context.Context, n int) error {
	if _, err := c.hub.WaitRole(ctx, RoleAgent, len(c.processes)+n); err != nil {
		return err
	}
	c.adopt()
	return nil
}

// adopt takes in all agents that are there.
func (c *Crew) adopt() {
	members := c.hub.Members()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range members {
		if in.Role == RoleAgent && !slices.Contains(c.ids, in.ID) {
			c.ids = append(c.ids, in.ID)
		}
	}
}

// IDs are the agents that take part.
func (c *Crew) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ids)
}

// Prepare gives every agent its share of a phase. Where agents are lost meanwhile, the rest shares anew.
func (c *Crew) Prepare(ctx context.Context, p AgentPhase) error {
	c.adopt()
	ids := c.IDs()
	if len(ids) == 0 {
		return errors.New("no agents are left")
	}
	p.Agents = len(ids)
	p.Load.Requests = nil
	var wg sync.WaitGroup
	failed := make([]error, len(ids))
	for i, id := range ids {
		p.Index = i
		share := p
		wg.Go(func() { failed[i] = c.hub.Call(ctx, id, "prepare", share, nil) })
	}
	wg.Wait()
	err := c.withoutTheLost(errors.Join(failed...))
	if err == nil && len(c.IDs()) < len(ids) {
		return c.Prepare(ctx, p)
	}
	return err
}

// Warm makes the visits before the phase: returning visitors get their sessions, and each profile its
// reference on each edge.
func (c *Crew) Warm(ctx context.Context) error { return c.all(ctx, "warm") }

// Start begins the phase on all agents at one instant, which it returns, with those that heard of it too late.
func (c *Crew) Start(ctx context.Context) (time.Time, []cluster.Late, error) {
	at, late, err := c.hub.Barrier(ctx, c.IDs(), "start", startLead)
	return at, late, c.withoutTheLost(err)
}

// Wait returns when all agents have ended the phase and all they saw is here. A lost agent is no error:
// the hub's notices tell of it, and the rest goes on.
func (c *Crew) Wait(ctx context.Context) error { return c.all(ctx, "wait") }

// EndEarly ends the phase now; Wait then returns soon.
func (c *Crew) EndEarly(ctx context.Context) error { return c.all(ctx, "end") }

// all calls a verb of every agent.
func (c *Crew) all(ctx context.Context, verb string) error {
	return c.withoutTheLost(c.hub.Together(ctx, c.IDs(), verb, none{}, func(string, json.RawMessage) {}))
}

// withoutTheLost drops lost agents from the crew and their errors from err, as long as one is left.
func (c *Crew) withoutTheLost(err error) error {
	if err == nil {
		return nil
	}
	there := map[string]bool{}
	for _, in := range c.hub.Members() {
		there[in.ID] = true
	}
	c.mu.Lock()
	c.ids = slices.DeleteFunc(c.ids, func(id string) bool { return !there[id] })
	left := len(c.ids)
	c.mu.Unlock()
	if left == 0 {
		return errors.Join(errors.New("all agents are lost"), err)
	}
	var rest []error
	for _, e := range flatten(err) {
		if !errors.Is(e, cluster.ErrLost) {
			rest = append(rest, e)
		}
	}
	return errors.Join(rest...)
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// Stop ends the agents of this machine and lets those from elsewhere go.
func (c *Crew) Stop(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, p := range c.processes {
		wg.Go(func() { p.stop(ctx) })
	}
	var failed error
	for _, id := range c.IDs() {
		if !slices.ContainsFunc(c.processes, func(p *process) bool { return p.name == id }) {
			if err := c.hub.Call(ctx, id, "leave", none{}, nil); err != nil && !errors.Is(err, cluster.ErrLost) {
				failed = errors.Join(failed, err)
			}
		}
	}
	wg.Wait()
	return failed
}
