package browser

import (
	"container/heap"
	"runtime/debug"
	"time"

	"tlsurge/harness/loop"
	"tlsurge/harness/pace"
	"tlsurge/results"
)

// perTurn bounds how much a pacer starts before the loop looks at its sockets again.
const perTurn = 128

// arrivals is who comes next, over all seats of the agent: a pacer, so that a browser comes to the
// microsecond and not to the timer wheel's millisecond.
type arrivals struct {
	agent *Agent
	seats []*seat // a heap by the time of each seat's next event
}

func (q *arrivals) Len() int           { return len(q.seats) }
func (q *arrivals) Less(i, j int) bool { return q.seats[i].due() < q.seats[j].due() }
func (q *arrivals) Swap(i, j int)      { q.seats[i], q.seats[j] = q.seats[j], q.seats[i] }
func (q *arrivals) Push(x any)         { q.seats = append(q.seats, x.(*seat)) }
func (q *arrivals) Pop() any {
	last := q.seats[len(q.seats)-1]
	q.seats = q.seats[:len(q.seats)-1]
	return last
}

// due is when the seat's next browser comes: its first, or the one after the present one's end.
func (s *seat) due() time.Duration {
	if s.browser == nil {
		return s.who.born
	}
	return s.who.dies
}

// Due seats every browser whose time has come.
func (q *arrivals) Due(time.Duration) time.Duration {
	a := q.agent
	for n := 0; len(q.seats) > 0 && !a.ended; n++ {
		s := q.seats[0]
		due := s.due()
		if due >= a.cfg.Load.Duration {
			heap.Pop(q) // nothing more in this phase
			continue
		}
		if due > a.now() {
			return a.start + due
		}
		if n == perTurn {
			return a.loop.Now()
		}
		closing := due >= a.people.closes(s.who.place)
		if s.browser != nil {
			s.browser.leave()
			if !closing {
				s.who = a.people.next(s.who)
			}
		}
		if closing {
			heap.Pop(q)
			continue
		}
		s.browser = a.arrive(s.who)
		heap.Fix(q, 0)
	}
	return loop.Never
}

// requestPlan is the schedule of requests, or of connections in the models that only connect.
type requestPlan struct {
	agent    *Agent
	schedule pace.Schedule
	next     time.Duration
	more     bool
	number   uint64 // of the next, over all agents
	cursor   int    // position in the round over all connections of this agent
	round    int
}

func (a *Agent) newSchedule() pace.Schedule {
	if s := a.wholeSchedule(); s != nil {
		return pace.Share(s, a.cfg.AgentIndex, a.cfg.Agents)
	}
	return nil
}

// wholeSchedule is that of all agents together; nil is none.
func (a *Agent) wholeSchedule() pace.Schedule {
	l := &a.cfg.Load
	switch {
	case l.RequestTimes != nil:
		return pace.Times(l.RequestTimes)
	case l.Requests == nil:
		return nil
	case l.Poisson:
		return pace.Poisson(l.Requests, a.draws.bits(saltArrivals, 0), l.Duration)
	}
	return pace.Evenly(l.Requests, l.Duration)
}

// Due carries out what is due. A request goes to the connection whose turn it is, whether or not the
// server has answered anything: the schedule does not wait.
func (p *requestPlan) Due(time.Duration) time.Duration {
	a := p.agent
	for n := 0; p.more && !a.ended; n++ {
		if p.next > a.now() {
			return a.start + p.next
		}
		if n == perTurn {
			return a.loop.Now()
		}
		if a.cfg.Load.holds() {
			p.request()
		} else {
			p.connect()
		}
		p.number += uint64(a.cfg.Agents)
		p.next, p.more = p.schedule.Next()
	}
	return loop.Never
}

// request places one request. The rounds go over all connections of the agent, one slot of each place
// after another, so that each connection is used at the same interval; a place that is still empty, or
// whose user has left, lets its turn pass.
func (p *requestPlan) request() {
	a := p.agent
	for range p.round {
		i := p.cursor
		p.cursor = (p.cursor + 1) % p.round
		s, slot := a.places[i%len(a.places)], i/len(a.places)
		if slot >= int(s.who.slots) {
			continue // a place with fewer connections than others
		}
		if b := s.browser; b != nil && !b.gone && !b.leaving {
			// The lag is ours alone: what a request then waits for a free connection is its browser's, and
			// is in the response time.
			a.rec.Lag(a.now() - p.next)
			x := a.newExchange(a.url(p.number))
			x.intended, x.scheduled = a.start+p.next, true
			b.request(x, slot)
		}
		return
	}
}

// request uses the connection whose turn it is, and opens it again where it was closed: connections are
// to be held. Where it is under way with something else, any other that is idle will do; else it waits.
func (b *browser) request(x *exchange, slot int) {
	c := &b.conns[slot]
	switch {
	case c.stage == idle:
		c.send(x)
		return
	case c.stage == empty && b.page == pageServed && !b.leaving:
		c.want(x.intended, x)
		return
	}
	for i := range b.conns {
		if c := &b.conns[i]; c.stage == idle {
			c.send(x)
			return
		}
	}
	b.waiting = append(b.waiting, x)
}

// connect starts one connection of a model that only connects.
func (p *requestPlan) connect() {
	a := p.agent
	if a.cfg.Load.Model == HandshakeOnly {
		w := a.people.transient(uint32(p.number))
		w.born = p.next
		b := a.newBrowser(w)
		b.load(w.born)
		return
	}
	b := a.places[p.cursor].browser
	p.cursor = (p.cursor + 1) % len(a.places)
	x := a.newExchange(0)
	x.intended = a.start + p.next
	for i := range b.conns {
		if c := &b.conns[i]; c.stage == empty {
			c.want(x.intended, x)
			return
		}
	}
	b.waiting = append(b.waiting, x) // until one of its connections is through
}

// startLoad sets everything going.
func (a *Agent) startLoad() {
	l := &a.cfg.Load
	switch l.Model {
	case ResumeOnly:
		for _, s := range a.places {
			if s.browser = a.known(s.who); s.browser == nil {
				s.browser = a.newBrowser(s.who)
			}
			s.browser.page = pageServed
		}
	case HandshakeOnly:
	default:
		q := &arrivals{agent: a, seats: append([]*seat(nil), a.places...)}
		heap.Init(q)
		a.loop.Pace(q)
		for _, at := range l.StormAt {
			a.loop.Pace(&storm{agent: a, at: at})
		}
	}
	s := a.newSchedule()
	if s == nil && !l.holds() {
		a.follow = &follow{agent: a, number: uint32(a.cfg.AgentIndex)}
		a.follow.timer.Owner = a.follow
		a.follow.begin()
	}
	if s != nil && l.Model != Idle && l.Model != Closed && (len(a.places) > 0 || l.Model == HandshakeOnly) {
		p := &requestPlan{agent: a, schedule: s, number: uint64(a.cfg.AgentIndex)}
		most := 0
		for _, s := range a.places {
			most = max(most, int(s.who.slots))
		}
		p.round = most * len(a.places)
		p.next, p.more = s.Next()
		a.loop.Pace(p)
	}
}

// stopLoad ends the phase: what is armed makes its last report, and what is open is counted as such.
func (a *Agent) stopLoad() {
	a.ended = true
	a.loop.Owners(func(o loop.Owner) {
		c := o.(*conn)
		if c.try == nil || c.b.visit != nil {
			return
		}
		c.disarm()
		a.rec.StillOpen(c.try.final())
	})
	a.closeRelays()
	a.loop.Drain()
	if a.gcPercent != 0 {
		debug.SetGCPercent(a.gcPercent)
		a.gcPercent = 0
	}
}

// storm closes and opens every connection at one moment.
type storm struct {
	agent *Agent
	at    time.Duration
	done  bool
}

func (s *storm) Due(time.Duration) time.Duration {
	a := s.agent
	if s.done || a.ended {
		return loop.Never
	}
	if a.now() < s.at {
		return a.start + s.at
	}
	s.done = true
	for _, seat := range a.places {
		if b := seat.browser; b != nil && !b.gone {
			for i := range b.conns {
				if c := &b.conns[i]; c.stage == idle {
					c.shut(results.ByClient)
					if c.stage != empty {
						continue // taken by a request that waited
					}
					c.want(a.start+s.at, a.newExchange(a.url(uint64(b.who.index)<<16|uint64(3)<<14|uint64(i))))
				}
			}
		}
	}
	return loop.Never
}
