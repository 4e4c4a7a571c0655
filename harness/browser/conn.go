package browser

import (
	"io"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/classify"
	"tlsurge/harness/engine"
	"tlsurge/harness/loop"
	"tlsurge/profiles"
	"tlsurge/results"
)

// slotState is what a connection slot is at.
type slotState uint8

const (
	empty       slotState = iota
	pausing               // between a failed attempt and the next
	dialling              // no SYN-ACK yet
	handshaking           // TCP is up
	idle
	busy // a request is out
)

// conn is one of a browser's connections: a slot in which one connection follows another, each with its
// attempts.
type conn struct {
	loop.Conn
	b     *browser
	timer loop.Timer // the deadline of the present stage
	stage slotState
	spent bool // the connection is not to be used again after this answer

	number   uint32 // Key.Connection
	attempts uint16 // Key.Attempt of the latest
	hops     uint8  // addresses of this chain that did not accept
	answered uint32 // requests answered on the present TCP connection
	x        *exchange
	try      *try     // the present attempt, until its connection ends
	next     *try     // pausing: what comes then
	slow     *resumer // a slow client's pause in reading; nil for others
	trickle  *trickle // a slow client's writing; nil for others
	backs    *conn    // this one was opened because that one's SYN went unanswered

	// origin is the attempt whose failure began this chain; nil for none.
	origin *faults.Key
}

// want opens a connection in an empty slot, for the sake of x or (nil) ahead of need.
func (c *conn) want(intended time.Duration, x *exchange) {
	b := c.b
	c.number = b.nextConn
	b.nextConn++
	c.attempts, c.hops, c.origin, c.x, c.backs = 0, 0, nil, x, nil
	plan := b.memory.First()
	if b.lowered(&plan) {
		c.origin = b.taint
	} else {
		b.taint = nil
	}
	c.begin(plan, intended)
}

// begin starts one attempt.
func (c *conn) begin(plan profiles.Plan, intended time.Duration) {
	b, a := c.b, c.b.agent
	c.attempts++
	c.answered, c.spent = 0, false
	t := &try{conn: c, plan: &plan, setup: a.newSetup(), edge: b.edge(c.number), attempt: c.attempts,
		intended: intended, start: a.loop.Now(), connected: -1, handshake: -1}
	c.try = t
	if h := b.sessions.get(&plan, b.host.profile, a.loop.Wall(t.start), a.cfg.Load.Model == ResumeOnly); h != nil {
		t.setup.session, t.issuer, t.asked = h.session, h.edge, asked(h.session)
	}
	c.count(t)
	t.target = &a.cfg.Edges[t.edge].Addr
	if err := c.dial(t); err != nil {
		c.over(err)
	}
}

// dial decides who is hit, takes the source address that the rule needs, and connects.
func (c *conn) dial(t *try) error {
	a := c.b.agent
	c.stage = dialling
	c.Watch = false
	source := a.source()
	if c.b.visit == nil && a.cfg.Plan != nil {
		var err error
		if source, err = t.arm(source); err != nil {
			return err
		}
	}
	if err := t.connect(source); err != nil {
		return err
	}
	local := c.Local()
	t.source, t.port = local.Addr().As16(), local.Port()
	t.watchSyn()
	c.awaitConnect(t)
	return nil
}

// awaitConnect sets the timer of a connection whose SYN is out: first for the browser's second
// connection, where it opens one, then for the end of its patience.
func (c *conn) awaitConnect(t *try) {
	m, l := c.b.host.manners, c.b.agent.loop
	at := loop.Never
	if m.ConnectTimeout > 0 {
		at = t.start + m.ConnectTimeout
	}
	if m.BackupConnection > 0 && !t.backed && c.backs == nil && c.x != nil && c.b.visit == nil {
		at = min(at, t.start+m.BackupConnection)
	}
	if at != loop.Never {
		l.Schedule(&c.timer, at)
	}
}

// backup opens a second connection beside one whose SYN goes unanswered, for the same request
// (Firefox: network.http.connection-retry-timeout; Chromium: the backup connect job). Whichever is up
// first carries the request, and the other stays as a spare.
func (c *conn) backup() {
	b := c.b
	for i := range b.conns {
		if other := &b.conns[i]; other.stage == empty {
			other.want(b.agent.loop.Now(), nil)
			other.backs = c
			return
		}
	}
}

// inherit takes over the request of the connection that this one backs, if that is still not up.
func (c *conn) inherit() *exchange {
	if c.backs == nil || c.backs.stage != dialling {
		return nil
	}
	x := c.backs.x
	c.backs.x = nil
	return x
}

// Connected sends the ClientHello.
func (c *conn) Connected(*loop.Conn) {
	t, a := c.try, c.b.agent
	t.connected = a.loop.Now()
	c.stage = handshaking
	a.loop.Cancel(&c.timer)
	if w := t.weapon; w != nil && w.syn {
		w.countSyns(0)
	}
	if d := c.b.host.manners.HandshakeTimeout; d > 0 {
		a.loop.Schedule(&c.timer, a.loop.Now()+d)
	}
	if c.b.visit == nil {
		a.rec.Latency(results.TCPConnect, t.connected-t.intended, t.connected-t.start)
	}
	if err := t.startTLS(); err != nil {
		a.defect(err)
		return
	}
	if t.tls.Facts().EarlySent > 0 {
		c.sending(c.x)
	}
	c.dribble()
	c.Start(t.tls)
}

// Flight arms what strikes at the flight that is about to be sent.
func (c *conn) Flight(*loop.Conn) { c.try.beforeFlight() }

// Event handles what the engine found.
func (c *conn) Event(_ *loop.Conn, ev engine.Event) {
	switch ev.Kind {
	case engine.EventServerHello:
		if t := c.try; c.b.visit == nil {
			now := c.b.agent.loop.Now()
			c.b.agent.rec.Latency(results.ServerHello, now-t.intended, now-t.connected)
		}
	case engine.EventHandshakeDone:
		c.established()
	case engine.EventFalseStart:
		c.early()
	case engine.EventSession:
		t := c.try
		c.b.sessions.put(held{session: ev.Session, key: t.plan.SessionKey, edge: t.edge}, &c.b.host.manners.Sessions)
	case engine.EventData:
		c.receive(ev.Data)
	case engine.EventCloseNotify:
		// A browser does not wait for the FIN that follows.
		if c.stage == idle || c.stage == busy {
			c.Ended(nil, io.EOF)
			if c.stage == empty {
				c.Conn.Close()
			}
		}
	}
}

// established: the handshake is complete.
func (c *conn) established() {
	b, a, t := c.b, c.b.agent, c.try
	a.loop.Cancel(&c.timer)
	c.hurry()
	t.handshake = a.loop.Now()
	facts := t.tls.Facts()
	b.memory.Succeeded(*t.plan, facts.Version)
	words, refused := b.memory.Refuses(*t.plan)
	t.settle()
	c.countEstablished(t)
	c.stage = idle
	if facts.ALPN != "" && facts.ALPN != "http/1.1" && facts.ALPN != "http/1.0" {
		c.over(&alpnError{facts.ALPN})
		return
	}
	if refused && b.visit == nil {
		c.over(&refusal{words})
		return
	}
	x := c.x
	c.x = nil
	if x == nil {
		x = c.inherit()
	} else if x.out && facts.EarlySent > 0 && !facts.EarlyOK {
		c.x = x
		c.resend() // its 0-RTT copy was not read
		c.x = nil
	}
	if x == nil && b.visit == nil && b.opensForRequests() {
		x = a.newExchange(a.url(uint64(b.who.index)<<16 | uint64(1)<<15 | uint64(c.number)))
	}
	switch {
	case x != nil && x.out: // by false start, or as 0-RTT
		c.x, c.stage = x, busy
		c.awaitAnswer()
	case !a.cfg.Load.holds() && !a.cfg.Load.OneRequest && b.visit == nil:
		a.drop(x)
		b.served(c)
		c.shut(results.ByClient)
		a.follow.ended(c)
	case x != nil:
		if !x.scheduled {
			x.intended = a.loop.Now()
		}
		c.send(x)
	default:
		c.rest()
	}
}

// rest makes the connection idle, and gives it what waits.
func (c *conn) rest() {
	b, a := c.b, c.b.agent
	c.stage = idle
	switch {
	case c.spent:
		c.shut(results.ByServer)
		return
	case b.leaving, !a.cfg.Load.holds():
		c.shut(results.ByClient)
		return
	case c.SawCloseNotify:
		c.shut(results.ByServer)
		return
	case len(b.waiting) > 0:
		x := b.waiting[0]
		b.waiting = b.waiting[1:]
		c.send(x)
		return
	}
	b.waiting = nil
	c.try.armIdle()
	wait := parkAfter
	if d := b.host.manners.IdleTimeout; d > 0 && d < wait {
		wait = d
	}
	c.try.idleSince = a.loop.Now()
	a.loop.Schedule(&c.timer, c.try.idleSince+wait)
}

// parkAfter is how long a connection is idle before its engine gives up what it can rebuild.
const parkAfter = time.Second

// Expire is the deadline of the present stage.
func (c *conn) Expire(*loop.Timer) {
	a := c.b.agent
	switch c.stage {
	case pausing:
		t := c.next
		c.next = nil
		if a.ended || c.b.leaving && (c.x == nil || !c.x.page) {
			c.stage = empty
			c.giveUp(nil)
			return
		}
		c.begin(*t.plan, t.intended)
	case dialling:
		if m := c.b.host.manners; m.ConnectTimeout > 0 && a.loop.Now() >= c.try.start+m.ConnectTimeout {
			c.over(classify.ErrTimeout)
			return
		}
		c.try.backed = true
		c.awaitConnect(c.try)
		c.backup()
	case handshaking, busy:
		c.over(classify.ErrTimeout)
	case idle:
		now := a.loop.Now()
		limit := c.b.host.manners.IdleTimeout
		if limit > 0 && now-c.try.idleSince >= limit {
			c.shut(results.ByClient)
			return
		}
		c.try.tls.Park()
		if limit > 0 {
			a.loop.Schedule(&c.timer, c.try.idleSince+limit)
		}
	}
}
