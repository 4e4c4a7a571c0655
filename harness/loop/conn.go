package loop

import (
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
