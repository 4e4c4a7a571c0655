package browser

import "tlsurge/harness/loop"

// resumer ends a slow client's pause, unless the connection it belongs to is over by then.
type resumer struct {
	c     *conn
	gen   *try
	timer loop.Timer
}

func (r *resumer) Expire(*loop.Timer) {
	if r.c.try == r.gen {
		r.c.Resume()
	}
}
