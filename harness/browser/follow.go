package browser

import (
	"time"

	"tlsurge/harness/loop"
)

// follow is the models that only connect, without a rate: so many connections are under way, and each
// begins as soon as the one before it is over. With Load.Count it is fixed work, and the phase ends with the
// last of them. Nil does nothing.
type follow struct {
	agent  *Agent
	number uint32 // of the next transient browser, over all agents
	timer  loop.Timer
	owed   []*conn // whose successors wait
	begun  int     // of all connections
	over   int
}

// pauseAfterFailure keeps a target that refuses at once from being asked again without end.
const pauseAfterFailure = 10 * time.Millisecond

// begin opens the first connections: one in each slot of the agent's places.
func (f *follow) begin() {
	for _, s := range f.agent.places {
		if s.browser == nil {
			for range s.who.slots {
				f.transient()
			}
			continue
		}
		for i := range s.browser.conns {
			f.again(&s.browser.conns[i])
		}
	}
}

// more says whether there is another connection to begin, and counts it.
func (f *follow) more() bool {
	if limit := f.agent.cfg.Load.Count; limit > 0 && f.begun == limit {
		return false
	}
	f.begun++
	return true
}

// transient sends the next browser, for one connection.
func (f *follow) transient() {
	a := f.agent
	if !f.more() {
		return
	}
	w := a.people.transient(f.number)
	f.number += uint32(a.cfg.Agents)
	w.born = a.now()
	a.newBrowser(w).load(w.born)
}

// again opens the next connection of a browser that stays.
func (f *follow) again(c *conn) {
	if f.more() {
		c.want(f.agent.loop.Now(), f.agent.newExchange(0))
	}
}

// ended starts the successor of a connection that was served.
func (f *follow) ended(c *conn) {
	if f == nil || c.b.visit != nil || f.agent.ended {
		return
	}
	if f.over++; f.over == f.agent.cfg.Load.Count {
		f.agent.loop.Stop()
	}
	switch {
	case f.agent.cfg.Load.Model == HandshakeOnly:
		f.transient()
	case c.stage == empty:
		f.again(c)
	}
}

// failed starts the successor of one whose chain ended in failure, a moment later. A browser that will load
// the page again by itself is not over.
func (f *follow) failed(c *conn) {
	if f == nil || c.b.visit != nil || f.agent.ended || c.b.timer.Scheduled() {
		return
	}
	if f.owed = append(f.owed, c); !f.timer.Scheduled() {
		f.agent.loop.Schedule(&f.timer, f.agent.loop.Now()+pauseAfterFailure)
	}
}

// Expire starts what is owed.
func (f *follow) Expire(*loop.Timer) {
	owed := f.owed
	f.owed = nil
	for _, c := range owed {
		f.ended(c)
	}
}
