package browser

import (
	"time"

	"tlsurge/harness/loop"
)

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
	if l.ReadRate <= 0 || !c.b.who.slow || n == 0 {
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
