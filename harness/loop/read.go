package loop

import (
	"io"

	"golang.org/x/sys/unix"

	"tlsurge/harness/engine"
)

// readTurns bounds what one connection may read before others have their turn: 1 MiB.
const readTurns = 16

// receive reads until the kernel has no more. ended says that a FIN or an error is waiting behind the
// bytes, so that a short read does not mean the end of what there is to know.
func (c *Conn) receive(ended bool) {
	if c.held {
		c.rest = true
		return
	}
	l := c.loop
	for range readTurns {
		n, e := rawRead(int(c.fd), l.rbuf)
		switch {
		case e == unix.EAGAIN:
			return
		case e == unix.EINTR:
			continue
		case e != 0:
			c.fail(&IOError{Op: "read", Errno: e, State: c.StateName()})
			return
		case n == 0:
			c.receiveEOF()
			return
		}
		c.Received += int64(n)
		c.feed(l.rbuf[:n])
		if c.state != up {
			return
		}
		if c.held {
			c.rest = true
			return
		}
		if n < len(l.rbuf) && !ended {
			return
		}
	}
	c.requeue()
}

func (c *Conn) requeue() {
	if !c.more {
		c.more = true
		c.loop.again = append(c.loop.again, c)
	}
}

// feed gives bytes to the engine, passes on what it found, and sends what it answers: one write for the
// whole exchange, so a Finished and the first request travel together.
func (c *Conn) feed(p []byte) {
	if c.tls == nil {
		return // the server spoke before our ClientHello: nothing in TLS allows it to matter
	}
	c.busy = true
	err := c.tls.Receive(c.loop.Wall(c.loop.now), p)
	c.events()
	c.busy = false
	if c.state != up {
		return
	}
	c.flush() // after an error too: that is how the alert goes out
	if err != nil {
		c.fail(err)
	}
}

// events drains the engine.
func (c *Conn) events() {
	for c.state == up {
		ev := c.tls.Next()
		if ev.Kind == engine.EventNone {
			return
		}
		if ev.Kind == engine.EventCloseNotify {
			c.SawCloseNotify = true
		}
		c.owner.Event(c, ev)
	}
}

// receiveEOF handles the peer's FIN.
func (c *Conn) receiveEOF() {
	if c.tls == nil {
		c.fail(io.ErrUnexpectedEOF)
		return
	}
	err := c.tls.ReceiveEOF(c.loop.Wall(c.loop.now))
	c.events()
	if c.state != up {
		return
	}
	switch {
	case c.SawCloseNotify:
		c.fail(io.EOF)
	case err != nil:
		c.fail(err)
	default:
		c.fail(io.ErrUnexpectedEOF)
	}
}

// Hold pauses reading: what arrives stays in the kernel, whose window closes, as with a slow client.
func (c *Conn) Hold() { c.held = true }

// Resume ends a Hold.
func (c *Conn) Resume() {
	if c.held {
		c.held = false
		if c.rest && c.state == up {
			c.rest = false
			c.requeue()
		}
	}
}
