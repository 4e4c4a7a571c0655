package browser

import (
	"context"
	"fmt"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/classify"
	"tlsurge/harness/loop"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// visit is one page load before the load: nobody hits it, and nothing of it is counted.
type visit struct {
	b         *browser
	timer     loop.Timer
	tries     int
	deadline  time.Duration // of all tries together, on the loop's clock
	reference bool
}

// warmup is the list of visits and what came of them.
type warmup struct {
	queue    []*visit
	active   int
	known    map[uint32]*browser // returning browsers by index
	warnings []string
	silent   map[pair]bool // pairs that a visit waited for in vain: others are spared the wait
}

const (
	visitsAtOnce = 64 // per agent: warm-up is not a load test
	visitTries   = 4
	visitPause   = 250 * time.Millisecond
	// visitLimit ends a visit to a server that accepts and never answers, which some browsers wait for
	// for ever.
	visitLimit = 10 * time.Second
)

// pair is an entry of the mix and an edge.
type pair struct {
	visitor uint16
	edge    uint8
}

func (v *visit) pair() pair { return pair{v.b.who.visitor, v.b.who.edge} }

// Warm makes the visits before the load, unfaulted and unrecorded: one per profile and edge, against
// which a downgrade is judged, and one per returning browser, from which it holds a session.
//
// It fails when an edge cannot be reached at all. That a browser cannot agree with an edge is no
// failure of the warm-up: such a pair has no reference, and Warnings names it.
func (a *Agent) Warm(ctx context.Context) error {
	a.start = a.loop.Now()
	a.ended = false
	a.warm.known, a.warm.silent = make(map[uint32]*browser), make(map[pair]bool)
	a.planVisits()
	for range min(visitsAtOnce, len(a.warm.queue)) {
		a.nextVisit()
	}
	if a.warm.active == 0 {
		return nil
	}
	err := a.loop.Run(ctx)
	if a.fatal != nil {
		return a.fatal
	}
	return err
}

// Warnings are the pairs of browser and edge that warm-up found unable to agree.
func (a *Agent) Warnings() []string { return a.warm.warnings }

// planVisits lists the visits: references first, then each browser of this agent that returns within
// the phase.
func (a *Agent) planVisits() {
	if a.cfg.Load.Model != HandshakeOnly || len(a.places) > 0 {
		for v := range a.hosts {
			for e := range a.cfg.Edges {
				w := who{index: ^uint32(0) - uint32(v*len(a.cfg.Edges)+e), visitor: uint16(v), slots: 1, edge: uint8(e)}
				a.warm.queue = append(a.warm.queue, &visit{b: a.newBrowser(w), reference: true})
			}
		}
	}
	for _, s := range a.places {
		for w := s.who; ; w = a.people.next(w) {
			if w.returning || a.cfg.Load.Model == ResumeOnly {
				a.warm.queue = append(a.warm.queue, &visit{b: a.newBrowser(w)})
			}
			if w.dies >= a.cfg.Load.Duration || a.people.last(w) {
				break
			}
		}
	}
}

// nextVisit starts one, if any is left.
func (a *Agent) nextVisit() {
	for len(a.warm.queue) > 0 && a.warm.silent[a.warm.queue[0].pair()] {
		a.warm.queue = a.warm.queue[1:]
	}
	if len(a.warm.queue) == 0 {
		if a.warm.active == 0 {
			a.loop.Stop()
		}
		return
	}
	v := a.warm.queue[0]
	a.warm.queue = a.warm.queue[1:]
	a.warm.active++
	v.b.visit = v
	v.timer.Owner = v
	v.deadline = a.loop.Now() + visitLimit
	v.start()
}

func (v *visit) start() {
	v.tries++
	b := v.b
	b.page = pagePending
	x := b.agent.newExchange(0)
	x.page = true
	b.agent.loop.Schedule(&v.timer, v.deadline)
	b.conns[0].want(b.agent.loop.Now(), x)
}

// Expire tries again after a pause, or ends a visit that nobody answers.
func (v *visit) Expire(*loop.Timer) {
	if c := &v.b.conns[0]; c.stage != empty {
		c.over(classify.ErrTimeout)
		return
	}
	v.start()
}

// done ends a visit that was answered: the browser keeps its session and what it learnt, not its
// connection.
func (v *visit) done(version wire.Version) {
	b, a := v.b, v.b.agent
	if v.reference {
		a.hosts[b.who.visitor].reference[b.who.edge] = version
	} else {
		a.warm.known[b.who.index] = b
	}
	v.finish()
}

// fail ends one try of a visit.
func (v *visit) fail(c classify.Verdict) {
	b, a := v.b, v.b.agent
	if again := a.loop.Now() + visitPause; v.tries < visitTries && again < v.deadline {
		a.loop.Schedule(&v.timer, again)
		return
	}
	if c.Class == results.ClassHandshakeTimeout || c.Class == results.ClassRequestTimeout {
		c.Detail = fmt.Sprintf("did not answer within %v", visitLimit)
		if a.warm.silent[v.pair()] {
			v.finish() // said before
			return
		}
		a.warm.silent[v.pair()] = true
		v.reference = true // worth a warning, whoever it was
	}
	what := fmt.Sprintf("warm-up: %s at %s: %s: %s", b.host.profile.Name, a.cfg.Edges[b.who.edge].Name, c.Describe(), c.Detail)
	switch c.Class {
	case results.ClassConnectRefused, results.ClassConnectReset, results.ClassConnectTimeout, results.ClassNoResource:
		if a.fatal == nil {
			a.fatal = fmt.Errorf("browser: %s", what)
		}
		a.loop.Stop()
		return
	}
	if v.reference {
		a.warm.warnings = append(a.warm.warnings, what)
	}
	v.finish()
}

func (v *visit) finish() {
	a := v.b.agent
	a.loop.Cancel(&v.timer)
	v.b.visit = nil
	a.warm.active--
	a.nextVisit()
}

// Carry is what browsers take with them from one phase to the next: memory and sessions.
type Carry struct {
	phase string // whose draws say who is who
	by    map[uint32]carried
}

type carried struct {
	memory   *profiles.Memory
	sessions sessionStore
	moved    uint8
	taint    *faults.Key
}

// Carry takes the memories and sessions of the browsers that are in their places now, for the agent of
// the next phase. Only an agent with the same index, number of agents, mix and connections can use them.
func (a *Agent) Carry() *Carry {
	c := &Carry{phase: a.cfg.Phase, by: make(map[uint32]carried)}
	if a.cfg.Carry != nil {
		c.phase = a.cfg.Carry.phase
	}
	for _, s := range a.places {
		if b := s.browser; b != nil {
			c.by[s.who.place] = carried{b.memory, b.sessions, b.moved, b.taint}
		}
	}
	return c
}

// known finds a browser that is no stranger: from the warm-up, or from the phase before.
func (a *Agent) known(w who) *browser {
	if b := a.warm.known[w.index]; b != nil {
		delete(a.warm.known, w.index)
		b.nextConn = 0 // connections are counted from the phase's start
		return b
	}
	if a.cfg.Carry == nil || w.index != w.place {
		return nil
	}
	k, ok := a.cfg.Carry.by[w.place]
	if !ok {
		return nil
	}
	b := a.newBrowser(w)
	b.memory, b.sessions, b.moved, b.taint = k.memory, k.sessions, k.moved, k.taint
	return b
}
