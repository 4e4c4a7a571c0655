package loop

import "golang.org/x/sys/unix"

// Send encrypts p and sends it, together with what the engine has to say already: a Finished and the first
// request travel in one segment. p may be reused at once. A failure of the socket is told by Ended, not
// from within.
func (c *Conn) Send(p []byte) error {
	if c.Watch {
		c.owner.Flight(c)
		if c.state != up {
			return nil
		}
	}
	out, err := c.tls.AppendData(c.loop.wbuf[:0], p)
	c.loop.wbuf = out[:0]
	if len(c.out) > 0 {
		c.out = append(c.out, out...)
		return err
	}
	if e := c.write(out); e != 0 {
		c.requeue() // see flush
	}
	return err
}

// flush writes what the engine has to say, unless a receive is under way, which will do it at its end.
func (c *Conn) flush() {
	if c.busy || c.state != up {
		return
	}
	if c.Watch && c.tls.HasOutput() {
		c.owner.Flight(c)
		if c.state != up {
			return
		}
	}
	if e := c.writeOutput(); e != 0 {
		// A write fails with EPIPE or ECONNRESET when the peer is gone. What it said before it went is
		// still to be read and tells more: an alert, a whole answer. The error comes again by reading.
		c.requeue()
	}
}

// writeOutput hands the kernel what it did not take before, then what the engine has to say.
func (c *Conn) writeOutput() unix.Errno {
	if len(c.out) > 0 {
		out := c.out
		c.out = nil
		if e := c.write(out); e != 0 || len(c.out) > 0 {
			return e
		}
	}
	c.loop.wbuf = c.tls.AppendOutput(c.loop.wbuf[:0])
	return c.write(c.loop.wbuf)
}

// write hands p to the kernel, and keeps a copy of what the kernel does not take or the quota does not allow.
func (c *Conn) write(p []byte) unix.Errno {
	if c.rated {
		return c.writeRated(p)
	}
	for len(p) > 0 {
		n, e := rawWrite(int(c.fd), p)
		switch e {
		case 0:
			c.Sent += int64(n)
			p = p[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			c.out = append([]byte(nil), p...)
			return 0
		default:
			return e
		}
	}
	return 0
}

// writeRated writes as much as the quota has room for.
func (c *Conn) writeRated(p []byte) unix.Errno {
	n := min(len(p), c.quota)
	c.rated = false
	e := c.write(p[:n:n])
	c.rated = true
	c.quota -= n - len(c.out)
	if e == 0 && n < len(p) {
		c.out = append(c.out, p[n:]...)
	}
	return e
}

// Ration lets no more than quota further bytes out, until it is called again: that is how a slow sender trickles
// its flights. What is left over waits in order. A negative quota lifts the limit.
func (c *Conn) Ration(quota int) {
	if c.state == closed {
		return
	}
	c.rated, c.quota = quota >= 0, quota
	if len(c.out) > 0 && !c.busy && c.state == up {
		if e := c.writeOutput(); e != 0 {
			c.requeue() // see flush
		}
	}
}

// Unsent is how many bytes of output wait for room in the kernel.
func (c *Conn) Unsent() int { return len(c.out) }
