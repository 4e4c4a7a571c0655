package browser

import (
	"time"

	"tlsurge/faults"
	"tlsurge/harness/loop"
	"tlsurge/profiles"
	"tlsurge/results"
)

// browser is one virtual browser process with one host open in it.
type browser struct {
	agent    *Agent
	who      who
	host     *visitorState
	memory   *profiles.Memory
	sessions sessionStore
	conns    []conn
	waiting  []*exchange // for a connection
	timer    loop.Timer  // a reload, or the next page
	nextConn uint32      // Key.Connection of the next connection wanted
	moved    uint8       // how far it has moved on along its addresses

	page    pageState
	loading int // requests of the closed model's page that are not answered yet
	pages   uint32
	failed  bool // an attempt of this page load failed, whatever came of it
	leaving bool // its time is up: connections close as they become idle
	gone    bool // its user was shown an error and left
	visit   *visit
	// taint is the attempt that began what the memory holds against the server.
	taint *faults.Key
}

type pageState uint8

const (
	pagePending pageState = iota
	pageServed
	pageFailed
)

// seat is a place with the browser that is in it now.
type seat struct {
	agent   *Agent
	who     who
	browser *browser
}

func (a *Agent) newBrowser(w who) *browser {
	h := a.hosts[w.visitor]
	b := &browser{agent: a, who: w, host: h, memory: h.profile.NewMemory(), conns: make([]conn, w.slots)}
	b.timer.Owner = b
	for i := range b.conns {
		b.conns[i].b = b
		b.conns[i].timer.Owner = &b.conns[i]
	}
	return b
}

// arrive gives a browser its life: as new, or with what it remembers from an earlier visit or phase.
func (a *Agent) arrive(w who) *browser {
	b := a.known(w)
	if b == nil {
		b = a.newBrowser(w)
	}
	b.load(w.born)
	return b
}

// load begins a page load: on the browser's first connection, or, when it loads again after an error
// page that came over a sound connection, on one that it still has.
func (b *browser) load(intended time.Duration) {
	b.page, b.failed, b.gone = pagePending, false, false
	x := b.agent.newExchange(b.agent.url(uint64(b.who.index)<<16 | uint64(b.pages)))
	x.page = true
	b.pages++
	b.place(x, b.agent.start+intended)
	if b.agent.cfg.Load.AllAtOnce {
		b.openOthers()
	}
}

// place gives a page to a connection that is idle, else to an empty slot, else to whichever is free first.
func (b *browser) place(x *exchange, intended time.Duration) {
	for _, wanted := range []slotState{idle, empty} {
		for i := range b.conns {
			c := &b.conns[i]
			switch {
			case c.stage != wanted:
				continue
			case wanted == idle:
				c.send(x)
			default:
				c.want(intended, x)
			}
			return
		}
	}
	b.waiting = append(b.waiting, x)
}

// openOthers opens the connections beyond the first.
func (b *browser) openOthers() {
	if b.visit != nil || !b.agent.cfg.Load.holds() || b.leaving || b.agent.ended {
		return
	}
	for i := 1; i < len(b.conns); i++ {
		c := &b.conns[i]
		if c.stage != empty {
			continue
		}
		var x *exchange
		if b.opensForRequests() {
			x = b.agent.newExchange(b.agent.url(uint64(b.who.index)<<16 | uint64(1)<<15 | uint64(i)))
		}
		c.want(b.agent.loop.Now(), x)
	}
}

// opensForRequests says whether each connection carries a request as soon as it is up. One that has
// never carried any would fall under the edge's header deadline instead of its keepalive time-out.
func (b *browser) opensForRequests() bool {
	l := &b.agent.cfg.Load
	return l.Model == Open && !l.SpareConnections
}

// served gives the verdict on a page load that was served, at the version of this connection.
func (b *browser) served(c *conn) {
	if b.page != pagePending {
		return
	}
	b.page = pageServed
	version := c.try.tls.Facts().Version
	verdict := results.Fine
	switch reference := b.host.reference[c.try.edge]; {
	case reference != 0 && version < reference:
		verdict = results.Downgraded
	case b.failed:
		verdict = results.SavedByRetry
	}
	if b.visit != nil {
		return
	}
	c.try.page = verdict
	b.agent.rec.PageLoad(b.host.profile.Name, verdict)
	b.openOthers()
}

// sawError ends the page load with an error page.
func (b *browser) sawError(reload time.Duration) {
	if b.page != pagePending {
		return
	}
	b.page = pageFailed
	if b.visit != nil {
		return
	}
	b.agent.rec.PageLoad(b.host.profile.Name, results.SawError)
	if b.agent.cfg.Load.Reload > 0 {
		reload = b.agent.cfg.Load.Reload
	} else if !b.agent.cfg.Load.AutoReload {
		reload = 0
	}
	if reload > 0 && !b.leaving {
		b.agent.loop.Schedule(&b.timer, b.agent.loop.Now()+reload)
		return
	}
	b.gone = true
	b.loseWaiting()
}

// loseWaiting gives up the requests that no connection will come for.
func (b *browser) loseWaiting() {
	waiting := b.waiting
	b.waiting = nil
	for _, x := range waiting {
		b.lose(x)
	}
}

// Expire is the browser's own timer: the user, or the error page, loads again; or the next page is due.
func (b *browser) Expire(*loop.Timer) {
	if b.agent.ended || b.leaving {
		return
	}
	if b.page == pageFailed {
		b.load(b.agent.now())
		return
	}
	b.nextPage()
}

// leave ends the browser at its intended end: what is idle closes now, the rest when it becomes idle. A
// page load that is under way is seen to its end, so that every one has its verdict.
func (b *browser) leave() {
	b.leaving = true
	b.agent.loop.Cancel(&b.timer)
	b.loseWaiting()
	for i := range b.conns {
		if c := &b.conns[i]; c.stage == idle {
			c.shut(results.ByClient)
		}
	}
}

// abandon closes everything without a record.
func (b *browser) abandon() {
	b.agent.loop.Cancel(&b.timer)
	for i := range b.conns {
		c := &b.conns[i]
		b.agent.loop.Cancel(&c.timer)
		c.disarm()
		c.Conn.Close()
		c.stage = empty
	}
}

// edge is the address that the browser uses now, for its connection of this number.
func (b *browser) edge(connection uint32) uint8 {
	first := b.who.edge
	if b.visit == nil {
		first = b.agent.people.resolve(b.who, connection)
	}
	return uint8((int(first) + int(b.moved)) % len(b.agent.cfg.Edges))
}

// lowered says whether a plan for a new connection holds something against the server.
func (b *browser) lowered(p *profiles.Plan) bool {
	return p.Kind == profiles.KindFallback || p.SCSV || p.MaxVersion < b.host.profile.MaxVersion()
}
