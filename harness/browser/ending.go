package browser

import (
	"errors"
	"io"

	"tlsurge/harness/classify"
	"tlsurge/harness/engine"
	"tlsurge/harness/loop"
	"tlsurge/profiles"
	"tlsurge/results"
)

// Ended: the server, or the network, ended the connection.
func (c *conn) Ended(_ *loop.Conn, err error) {
	switch c.stage {
	case idle:
		// A FIN or a RST between requests is how servers end keepalive.
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, engine.ErrTruncated) || isReset(err) {
			c.closed(results.ByServer)
			return
		}
	case empty, pausing:
		return
	case busy:
		if c.x.parser.AtEOF() && c.x.parser.Started() {
			if c.SawCloseNotify {
				c.spent = true
				c.complete()
				return
			}
			if !isReset(err) {
				err = classify.ErrNoCloseNotify
			}
		}
	}
	c.over(err)
}

// shut closes an idle connection in order.
func (c *conn) shut(by results.Side) {
	c.finish(by)
	c.Conn.Close()
	c.refill()
}

// closed records the end of a connection that the server has closed in order.
func (c *conn) closed(by results.Side) {
	c.finish(by)
	c.refill()
}

// finish records the end of an established connection that did not fail, whose socket is still there.
func (c *conn) finish(by results.Side) {
	a := c.b.agent
	a.loop.Cancel(&c.timer)
	c.hurry()
	c.disarm()
	c.countClosed(by)
	c.stage = empty
	c.try = nil
}

// refill opens an empty slot again for a request that waits.
func (c *conn) refill() {
	b := c.b
	if c.stage != empty || len(b.waiting) == 0 || b.page != pageServed || b.leaving || b.agent.ended {
		return
	}
	x := b.waiting[0]
	b.waiting = b.waiting[1:]
	c.want(b.agent.loop.Now(), x)
}

// over ends the present attempt with an error, and does what the browser does about it.
func (c *conn) over(err error) {
	b, a, t := c.b, c.b.agent, c.try
	at := classify.Open
	switch c.stage {
	case dialling:
		at = classify.Connecting
	case handshaking:
		at = classify.Handshaking
	}
	v := classify.Of(err, at)
	if v.Class == "" {
		a.defect(err)
		return
	}
	a.loop.Cancel(&c.timer)
	c.hurry()
	if v2 := b.visit; v2 != nil {
		c.Conn.Close()
		c.stage, c.try, c.x = empty, nil, nil
		v2.fail(v)
		return
	}
	c.disarm()
	d := c.decide(v, err)
	c.blame(t)
	c.remember()
	if c.x != nil && c.x.page {
		b.failed = true
	}
	if d.DropSession && t.session() != nil {
		b.sessions.drop(t.session())
	}
	shown := ""
	if !d.Retry && c.x != nil && !classify.OwnFault(v.Class) {
		switch {
		case c.x.page && b.page == pagePending:
			shown, t.page = d.UserSees, results.SawError
		case c.x.document:
			shown = d.UserSees // an error page too, though no page load of the count
		}
	}
	c.countFailed(t, v, shown)
	if c.answered > 0 {
		k := t.key()
		c.origin = &k // whatever led to this connection ended well; what follows begins here
	}
	c.Conn.Close() // what the alert, the FIN or the timer has left open
	if d.NextAddress {
		b.moved++
	}
	c.stage, c.try = empty, nil
	switch {
	case d.Retry && !a.ended:
		c.again(d)
	case classify.OwnFault(v.Class):
		b.gone = true // nobody to blame, so nothing to judge
		c.giveUp(nil)
	default:
		c.giveUp(&d)
	}
}

// again makes the next attempt of the chain, now or after the browser's pause.
func (c *conn) again(d profiles.Decision) {
	a := c.b.agent
	if c.x != nil && c.x.out {
		c.resend()
	}
	intended := a.loop.Now() + d.Delay
	if d.Delay <= 0 {
		c.begin(d.Next, intended)
		return
	}
	c.stage = pausing
	c.next = &try{plan: &d.Next, intended: intended}
	a.loop.Schedule(&c.timer, intended)
}

// giveUp ends the chain: what waited for this connection is lost. With a decision, a page that waited is
// judged by it.
func (c *conn) giveUp(d *profiles.Decision) {
	x := c.x
	c.x = nil
	if x != nil {
		page := x.page
		c.b.lose(x)
		if page && d != nil {
			c.b.sawError(d.Reload)
		}
	}
	c.refill()
	c.b.agent.follow.failed(c)
}

// remember keeps whose failure the browser now holds against the server.
func (c *conn) remember() {
	b := c.b
	if plan := b.memory.First(); b.lowered(&plan) && b.taint == nil {
		b.taint = c.origin
	}
}

// blame makes an attempt the beginning of its chain, if nothing before it went wrong.
func (c *conn) blame(t *try) {
	if c.origin == nil {
		k := t.key()
		c.origin = &k
	}
}

func isReset(err error) bool {
	v := classify.Of(err, classify.Open)
	return v.Class == results.ClassRequestReset
}

type alpnError struct{ protocol string }

func (e *alpnError) Error() string { return classify.ErrALPN.Error() + ": " + e.protocol }
func (e *alpnError) Unwrap() error { return classify.ErrALPN }

// refusal is an error page after a handshake that completed.
type refusal struct{ words profiles.Wording }

func (e *refusal) Error() string { return classify.ErrRefused.Error() + ": " + e.words.Error }
func (e *refusal) Unwrap() error { return classify.ErrRefused }
