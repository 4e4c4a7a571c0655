package browser

import (
	"time"

	"tlsurge/harness/loop"
)

// isSlow says whether this connection's browser is a slow one that does something at the given rate; 0 is at once.
// Visits before the load are not slow.
func (c *conn) isSlow(rate int) bool { return rate > 0 && c.b.who.slow && c.b.visit == nil }

// resumer is a slow client's pause: reading stops until the bytes read so far have taken their time.
type resumer struct {
	c     *conn
	until time.Duration
	timer loop.Timer
}

// lag makes a slow client take its time over n bytes.
func (c *conn) lag(n int) {
	a := c.b.agent
	l := &a.cfg.Load
	if !c.isSlow(l.ReadRate) || n == 0 {
		return
	}
	if c.slow == nil {
		c.slow = &resumer{c: c}
		c.slow.timer.Owner = c.slow
	}
	r := c.slow
	r.until = max(r.until, a.loop.Now()) + time.Duration(float64(n)/float64(l.ReadRate)*float64(time.Second))
	c.Hold()
	a.loop.Schedule(&r.timer, r.until)
}

// Expire reads on.
func (r *resumer) Expire(*loop.Timer) { r.c.Resume() }

// trickle is a slow client's writing: of a request, a record for each piece, or of a handshake's flights.
type trickle struct {
	c     *conn
	timer loop.Timer
	rest  []byte // of a request; nil in a handshake
}

// trickleEvery is how often a slow client writes; at less than a byte in that time it writes one byte more rarely.
const trickleEvery = 100 * time.Millisecond

// piece is how many bytes are written at a time, and how long it is to the next.
func piece(rate int) (n int, every time.Duration) {
	if n = rate * int(trickleEvery) / int(time.Second); n > 0 {
		return n, trickleEvery
	}
	return 1, time.Second / time.Duration(rate)
}

// begins starts the writing of a request and gives its first piece.
func (c *conn) begins(request []byte) []byte {
	n, every := piece(c.b.agent.cfg.Load.SendRate)
	n = min(n, len(request))
	if n < len(request) {
		c.trickleOn(every, request[n:])
	}
	return request[:n]
}

// dribble makes a slow client's handshake slow.
func (c *conn) dribble() {
	if rate := c.b.agent.cfg.Load.HandshakeRate; c.isSlow(rate) {
		n, every := piece(rate)
		c.Ration(n)
		c.trickleOn(every, nil)
	}
}

func (c *conn) trickleOn(every time.Duration, rest []byte) {
	if c.trickle == nil {
		c.trickle = &trickle{c: c}
		c.trickle.timer.Owner = c.trickle
	}
	c.trickle.rest = rest
	l := c.b.agent.loop
	l.Schedule(&c.trickle.timer, l.Now()+every)
}

// hurry ends a slow client's writing, at the end of the handshake, of the exchange or of the attempt, and says
// whether something of a request was still to be written.
func (c *conn) hurry() (unsaid bool) {
	t := c.trickle
	if t == nil {
		return false
	}
	c.b.agent.loop.Cancel(&t.timer)
	unsaid = len(t.rest) > 0
	t.rest = nil
	c.Ration(-1)
	return unsaid
}

// Expire writes the next piece.
func (t *trickle) Expire(*loop.Timer) {
	c := t.c
	l := c.b.agent.loop
	if t.rest == nil {
		n, every := piece(c.b.agent.cfg.Load.HandshakeRate)
		l.Schedule(&t.timer, l.Now()+every)
		c.Ration(n)
		return
	}
	n, every := piece(c.b.agent.cfg.Load.SendRate)
	n = min(n, len(t.rest))
	p := t.rest[:n]
	if t.rest = t.rest[n:]; len(t.rest) > 0 {
		l.Schedule(&t.timer, l.Now()+every)
	}
	if err := c.Send(p); err != nil {
		c.over(err)
	}
}
