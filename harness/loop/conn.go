package loop

import (
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/harness/engine"
)

// TLS is the client side of a TLS engine as a connection drives it; *engine.Conn is one.
type TLS interface {
	Receive(now time.Time, p []byte) error
	ReceiveEOF(now time.Time) error
	Next() engine.Event
	HasOutput() bool
	AppendOutput(dst []byte) []byte
	AppendData(dst, p []byte) ([]byte, error)
	CloseNotify()
	State() string
	HandshakeDone() bool
}

// Owner is told what becomes of a connection. Every callback may use the connection, also close it.
type Owner interface {
	// Connected: TCP is up and nothing has been sent. The owner calls Start here or later.
	Connected(c *Conn)
	// Flight comes before each write of a connection whose Watch is set: the engine's state says which
	// flight is about to go.
	Flight(c *Conn)
	// Event passes on what the engine found. ev.Data is valid until the callback returns.
	Event(c *Conn, ev engine.Event)
	// Ended: the connection is over and its socket about to be closed, once, and not by Close. err is
	// io.EOF when the peer ended it in order (close_notify before its FIN, or plain TCP's FIN).
	Ended(c *Conn, err error)
}

type state uint8

const (
	closed state = iota
	connecting
	up // TCP is up
)

// Conn is one TCP connection with the TLS engine on it. The zero value with an Owner is ready to Dial.
//
// It holds no buffer while nothing is unsent: reading and writing go through the loop's own.
type Conn struct {
	loop  *Loop
	owner Owner
	tls   TLS
	out   []byte // what the kernel would not take yet; nil otherwise
	fd    int32
	gen   int32
	state state
	more  bool // in loop.again
	busy  bool // inside receive: writes wait for its end, so that they share a system call
	held  bool // reading is paused
	rest  bool // something may be unread although reading is paused
	rated bool // quota bounds what may be written
	quota int  // bytes that may still be written, where rated
	Watch bool // see Owner.Flight
	// SawCloseNotify: the peer has said close_notify.
	SawCloseNotify bool

	Sent, Received int64 // bytes on the wire, as handed to and taken from the kernel
}

// Dial starts a connection from source (an address and port; either may be unset) to target. On error
// nothing is left open, and the owner hears nothing: the error is an *IOError.
func (l *Loop) Dial(c *Conn, owner Owner, source, target netip.AddrPort) error {
	fd, err := l.socket(target.Addr())
	if err != nil {
		return err
	}
	if err := l.bind(fd, source); err != nil {
		unix.Close(fd)
		return err
	}
	return l.connect(c, owner, fd, target)
}

// Bind makes a socket for Connect and binds it, so that its port is known before the first packet: a
// relay has to be told whom to expect.
func (l *Loop) Bind(source netip.AddrPort, target netip.Addr) (fd int, local netip.AddrPort, err error) {
	if fd, err = l.socket(target); err != nil {
		return -1, local, err
	}
	if err = l.bindPort(fd, source); err != nil {
		unix.Close(fd)
		return -1, local, err
	}
	if local, err = localAddr(fd); err != nil {
		unix.Close(fd)
		return -1, local, err
	}
	return fd, local, nil
}

// Connect is the second half of Dial, on a socket from Bind, which it closes on error.
func (l *Loop) Connect(c *Conn, owner Owner, fd int, target netip.AddrPort) error {
	return l.connect(c, owner, fd, target)
}

func (l *Loop) connect(c *Conn, owner Owner, fd int, target netip.AddrPort) error {
	c.release() // an owner may dial again from within Ended
	switch e := rawConnect(fd, target); e {
	case 0, unix.EINPROGRESS: // EPOLLOUT says the rest, in both cases
	default:
		unix.Close(fd)
		return &IOError{Op: "connect", Errno: e, State: "connecting"}
	}
	l.gen++
	*c = Conn{loop: l, owner: owner, fd: int32(fd), gen: l.gen, state: connecting, Watch: c.Watch}
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	l.poll.sockets++
	const events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	if err := l.poll.add(fd, c.gen, events&0xffffffff); err != nil {
		c.release()
		return &IOError{Op: "epoll_ctl", Errno: err.(unix.Errno), State: "connecting"}
	}
	return nil
}

// Start puts an engine on the connection and sends its first flight.
func (c *Conn) Start(t TLS) {
	c.tls = t
	c.flush()
}

// TLS gives the engine, nil before Start.
func (c *Conn) TLS() TLS { return c.tls }

// FD is the socket, for filters and options; -1 when there is none.
func (c *Conn) FD() int {
	if c.state == closed {
		return -1
	}
	return int(c.fd)
}

// Open says whether there is a socket.
func (c *Conn) Open() bool { return c.state != closed }

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

// Close says close_notify and closes. The owner hears no more.
func (c *Conn) Close() {
	if c.state == up && c.tls != nil && c.tls.HandshakeDone() {
		c.tls.CloseNotify()
		if len(c.out) == 0 {
			// Best effort, and held back so that the FIN that follows at once travels in the same segment.
			c.loop.wbuf = c.tls.AppendOutput(c.loop.wbuf[:0])
			if n, e := rawWriteMore(int(c.fd), c.loop.wbuf); e == 0 {
				c.Sent += int64(n)
			}
		}
	}
	c.release()
}

// Abort closes with a RST. The owner hears no more.
func (c *Conn) Abort() {
	if c.state != closed {
		unix.SetsockoptLinger(int(c.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.release()
}

// release closes the socket; the epoll instance forgets it by itself.
func (c *Conn) release() {
	if c.state == closed {
		return
	}
	c.state = closed
	c.loop.conns[c.fd] = nil
	c.loop.poll.sockets--
	rawClose(int(c.fd))
	c.fd, c.out, c.tls = -1, nil, nil
}

// fail ends the connection: the owner looks at it while the socket is still there, then it is closed.
func (c *Conn) fail(err error) {
	if c.state == closed {
		return
	}
	gen := c.gen
	c.owner.Ended(c, err)
	if c.gen == gen { // else the owner has dialled again
		c.release()
	}
}

// StateName is the word for IOError.State and for outcomes: the engine's state once there is one.
func (c *Conn) StateName() string {
	switch {
	case c.state == closed:
		return "closed"
	case c.state == connecting:
		return "connecting"
	case c.tls != nil:
		return c.tls.State()
	}
	return "connected"
}

// ready handles one epoll event.
func (c *Conn) ready(events uint32) {
	if c.state == connecting && !c.connected(events) {
		return
	}
	if events&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		c.flush()
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 && c.state == up {
		c.receive(events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// connected handles the first event of a connection and says whether there is more to do with it.
func (c *Conn) connected(events uint32) bool {
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if e := socketError(int(c.fd)); e != 0 {
			c.fail(&IOError{Op: "connect", Errno: e, State: "connecting"})
			return false
		}
	}
	if events&unix.EPOLLOUT == 0 {
		return false
	}
	c.state = up
	c.owner.Connected(c)
	return c.state == up
}

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
