package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/browser"
	"tlsurge/harness/cluster"
	"tlsurge/results"
)

// Roles of members.
const (
	RoleAgent       = "agent"
	RoleEdge        = "edge"
	RoleApplication = "application"
	RoleBalancer    = "balancer"
)

// Kinds of evidence.
const (
	kindEvidence = "evidence" // results.Evidence
	kindSnapshot = "snapshot" // results.Snapshot, the last of an agent in a phase
	kindEdge     = "edge"     // results.EdgeStats, the last of an edge in a phase
)

// runAgent is the body of an agent that the coordinator started.
func runAgent(c *child) error {
	order, err := decodeOrder[agentOrder](c)
	if err != nil {
		return err
	}
	if err := spareCPUs(order.SpareCPUs); err != nil {
		return fmt.Errorf("leaving processors to the edges: %w", err)
	}
	e, err := cluster.EndpointFromEnv()
	if err != nil {
		return err
	}
	return serveAgent(c.ctx, e, c.name, func() { fmt.Println("ready", c.name) })
}

// RunAgent is a load agent that joins a coordinator elsewhere. It returns when the run or ctx ends, and with
// an error when the coordinator is gone.
func RunAgent(ctx context.Context, e cluster.Endpoint, name string) error {
	return serveAgent(ctx, e, name, func() {})
}

// agent is a load agent between phases and in them.
type agent struct {
	member *cluster.Member
	life   context.Context
	turn   chan func() // phases are worked on one call at a time, by serveAgent's goroutine
	phase  *agentRun   // nil before the first
	carry  *browser.Carry

	mu        sync.Mutex
	interrupt context.CancelCauseFunc // of the warm-up or phase under way; nil: none
}

func serveAgent(ctx context.Context, e cluster.Endpoint, name string, ready func()) error {
	m, err := cluster.Join(ctx, e, name, RoleAgent)
	if err != nil {
		return err
	}
	a := &agent{member: m, life: ctx, turn: make(chan func())}
	cluster.On(m, "prepare", inTurn(a, a.prepare))
	cluster.On(m, "warm", inTurn(a, a.warm))
	cluster.On(m, "start", inTurn(a, a.start))
	cluster.On(m, "wait", a.wait)
	cluster.On(m, "end", a.end)
	leave := make(chan struct{})
	dismissed := sync.OnceFunc(func() { close(leave) })
	cluster.On(m, "leave", func(context.Context, none) (none, error) { dismissed(); return none{}, nil })
	if err := m.Announce(ctx); err != nil {
		m.Close(ctx)
		return err
	}
	ready()
	serving := true
	for serving {
		select {
		case f := <-a.turn:
			f()
		case <-ctx.Done():
			serving = false
		case <-leave:
			serving = false
		case <-m.Gone():
			err = errors.New("the coordinator has not answered for a minute")
			serving = false
		}
	}
	if a.phase != nil {
		a.phase.stop(errors.New("the agent was told to end"))
		<-a.phase.done
	}
	bye, cancel := context.WithTimeout(context.Background(), stopTimeout/2)
	defer cancel()
	return errors.Join(err, m.Close(bye))
}

// inTurn makes a handler run on serveAgent's goroutine: phases have one owner.
func inTurn[In, Out any](a *agent, f func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (out Out, err error) {
		done := make(chan struct{})
		work := func() { out, err = f(ctx, in); close(done) }
		select {
		case a.turn <- work:
			<-done
			return out, err
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

type none struct{}

// agentRun is one phase in an agent.
type agentRun struct {
	member  *cluster.Member
	agent   *browser.Agent
	rec     *results.Recorder
	cfg     AgentPhase
	keyLog  *keyLog // nil: none
	process processMeter

	ledger      []faults.Firing // not sent yet
	evidenceSeq uint64
	teller      *teller

	cancel context.CancelCauseFunc // nil before start
	done   chan struct{}           // closed when the phase is over and its evidence is given
	err    error                   // read after done
}

func (a *agent) prepare(_ context.Context, p AgentPhase) (none, error) {
	if a.phase != nil && a.phase.cancel == nil {
		a.phase.discard() // prepared and never started
	}
	id := a.member.ID()
	cfg, err := p.config(id)
	if err != nil {
		return none{}, err
	}
	r := &agentRun{member: a.member, cfg: p, done: make(chan struct{})}
	r.rec = results.NewRecorder(results.RecorderConfig{Seed: p.Seed, Phase: p.Phase, Agent: id, SampleEvery: p.SampleEvery})
	cfg.Release = r.release
	if p.KeepBrowsers {
		cfg.Carry = a.carry
	}
	if p.KeyLog != "" {
		if r.keyLog, err = openKeyLog(p.KeyLog + id); err != nil {
			return none{}, err
		}
		cfg.KeyLog = r.keyLog.log
	}
	if r.agent, err = browser.NewAgent(cfg, r.rec, func(f faults.Firing) { r.ledger = append(r.ledger, f) }); err != nil {
		r.closeKeyLog()
		return none{}, err
	}
	r.teller = newTeller(a.member.Stats)
	r.agent.Each(time.Second, func() { r.report(false) })
	a.phase, a.carry = r, nil
	return none{}, nil
}

// release asks an edge to let a source through from now on; the agent's loop does not wait for it.
func (r *agentRun) release(edge string, source netip.Addr) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.member.Call(ctx, edge, "release", source, nil); err != nil {
			fmt.Fprintf(os.Stderr, "%s: release of %s on %s: %v\n", r.member.ID(), source, edge, err)
		}
	}()
}

func (a *agent) warm(ctx context.Context, _ none) (none, error) {
	if a.phase == nil || a.phase.cancel != nil {
		return none{}, errors.New("warm: no phase is prepared")
	}
	ctx, cancel := a.interruptible(ctx)
	defer cancel(nil)
	err := a.phase.agent.Warm(ctx)
	a.phase.process.baseline()
	return none{}, err
}

// interruptible is a context that end, and the end of the agent, ends.
func (a *agent) interruptible(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(a.life, func() { cancel(errors.New("the agent was told to end")) })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interrupt = cancel
	return ctx, func(why error) { stop(); cancel(why) }
}

// start answers at once; the phase begins at the given instant of the coordinator's clock.
func (a *agent) start(_ context.Context, in cluster.StartAt) (none, error) {
	r := a.phase
	if r == nil || r.cancel != nil {
		return none{}, errors.New("start: no phase is prepared")
	}
	ctx, cancel := a.interruptible(context.Background())
	r.cancel = cancel
	go r.run(ctx, a.member.Clock.Local(in.At))
	return none{}, nil
}

// run plays the phase to its end and hands everything over. From start to done it alone uses the agent
// and the recorder.
func (r *agentRun) run(ctx context.Context, at time.Time) {
	defer close(r.done)
	err := r.agent.Run(ctx, at)
	if ctx.Err() != nil {
		err = nil // ended early because we were told to: the coordinator knows
	}
	r.process.held(r.rec.Snapshot().Totals.Established)
	r.report(true)
	err = errors.Join(err, r.agent.Close())
	r.report(false) // what closing the relays still brought to the ledger
	r.closeKeyLog()
	if n := r.member.Dropped(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d pieces of evidence found no room", n))
	}
	r.err = err
}

// report sends what there is: counters to the statistics, or as evidence where they are the last ones;
// attempts and firings as evidence.
func (r *agentRun) report(final bool) {
	s := r.rec.Snapshot()
	s.Final, s.Elapsed = final, r.agent.Elapsed()
	s.Process = r.process.stats()
	if final {
		r.teller.stop()
		r.member.Evidence(kindSnapshot, s)
	} else {
		r.teller.tell(s)
	}
	ev, _ := r.rec.TakeEvidence()
	ev.Firings = append(ev.Firings, r.ledger...)
	r.ledger = nil
	for chunk := range chunks(ev) {
		r.evidenceSeq++
		chunk.Source, chunk.Seq = r.member.ID()+"/"+r.member.Incarnation()+"/"+r.cfg.Phase, r.evidenceSeq
		r.member.Evidence(kindEvidence, chunk) // a loss is counted by the member
	}
}

// chunkItems bounds a message: a thousand lines of evidence are about a megabyte.
const chunkItems = 1000

// chunks cuts evidence into pieces that fit a message.
func chunks(ev results.Evidence) iter.Seq[results.Evidence] {
	return func(yield func(results.Evidence) bool) {
		for len(ev.Attempts)+len(ev.Firings)+len(ev.ServerEvents) > 0 {
			var piece results.Evidence
			piece.Attempts, ev.Attempts = cut(ev.Attempts)
			piece.Firings, ev.Firings = cut(ev.Firings)
			piece.ServerEvents, ev.ServerEvents = cut(ev.ServerEvents)
			if !yield(piece) {
				return
			}
		}
	}
}

func cut[T any](s []T) (head, rest []T) {
	n := min(len(s), chunkItems)
	return s[:n:n], s[n:]
}

func (r *agentRun) stop(why error) {
	if r.cancel == nil {
		r.discard()
		return
	}
	r.cancel(why)
}

// discard ends a phase that was prepared and never started.
func (r *agentRun) discard() {
	select {
	case <-r.done:
		return
	default:
	}
	r.agent.Close()
	r.teller.stop()
	r.closeKeyLog()
	close(r.done)
}

func (r *agentRun) closeKeyLog() {
	if r.keyLog != nil {
		r.keyLog.Close()
	}
}

// wait answers when the phase is over and everything about it is at the coordinator.
func (a *agent) wait(ctx context.Context, _ none) (none, error) {
	r, err := inTurn(a, func(context.Context, none) (*agentRun, error) { return a.phase, nil })(ctx, none{})
	if err != nil {
		return none{}, err
	}
	if r == nil {
		return none{}, errors.New("wait: no phase is prepared")
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return none{}, ctx.Err()
	}
	if _, err := inTurn(a, func(context.Context, none) (none, error) { a.carry = r.agent.Carry(); return none{}, nil })(ctx, none{}); err != nil {
		return none{}, err
	}
	return none{}, errors.Join(r.err, a.member.Flush(ctx))
}

// end ends the phase early; what was measured stays.
func (a *agent) end(context.Context, none) (none, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.interrupt != nil {
		a.interrupt(errors.New("ended early"))
	}
	return none{}, nil
}
