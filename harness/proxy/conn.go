package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/site"
	"tlsurge/harness/proxy/stack"
	"tlsurge/results"
)

// conn is one client's connection. Parked it belongs to the lot; awake, to the goroutine of serve.
type conn struct {
	// The lot's own: list of the parked, timer wheel, epoll.
	older, newer, sooner, later *conn
	due                         int64
	generation                  int32
	fd                          int
	polled                      bool

	s        *Server
	ln       *listener
	id       uint64
	raw      *net.TCPConn
	secure   *tlsConn // our engine
	goTLS    *tls.Conn
	stream   net.Conn // what HTTP reads and writes
	br       *bufio.Reader
	info     *site.ConnInfo
	client   netip.AddrPort // the peer, or whom the PROXY header names
	server   netip.AddrPort
	peer     netip.AddrPort // the peer of the socket, always
	phase    connPhase
	accepted time.Time
	deadline time.Time // of the handshake
	requests int
	streams  atomic.Int64 // requests of HTTP/2
	vs       *VirtualServer
	armed    *sockfilter.Armed
	rule     *faults.Rule // engine "edge": the rule that this connection's source names
	fired    atomic.Bool  // its firing has been reported
	plain    bool         // HTTP in the clear on a port of TLS
	// placeGone: its place in the table was taken from it.
	placeGone bool
	// idle: its goroutine waits for a request to begin (crypto/tls only; others are parked), or for the client to close.
	idle    atomic.Bool
	ballast []byte // memory that a plant makes this connection hold
}

type connPhase uint8

const (
	phaseSilent    connPhase = iota // accepted, no byte yet
	phaseHandshake                  // in the middle of it
	phaseWaiting                    // handshake done (or plain), no request yet
	phaseIdle                       // between two requests
	phaseBusy
)

var readerBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(eofReader{}, 4<<10) }}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// tuple names the TCP connection as the client sees it.
func (c *conn) tuple() faults.Tuple { return faults.Tuple{Client: c.peer, Server: c.server} }

// log writes one line about the connection, and reports it.
func (c *conn) log(level, code, reason, text string) {
	vs := c.vs
	if vs == nil {
		vs = c.ln.conf.Load().Servers[0]
	}
	c.s.errorLine(vs.ErrorLog, level, c.id, text)
	c.s.count.line(level, code, reason)
	if r := c.s.cfg.Load().Reporter; r != nil {
		r.ServerEvent(results.ServerEvent{Phase: c.s.cfg.Load().Phase, Edge: c.s.name, Tuple: c.tuple(),
			Time: time.Now(), Level: level, Code: code, Reason: reason})
	}
}

// while is the tail of a line: what was being done, for whom, at which listener.
func (c *conn) while(doing string) string {
	return fmt.Sprintf(" while %s, client: %s, server: %s", doing, c.client.Addr(), c.ln.text)
}

// run is a goroutine's stay with a connection: from its waking until it is parked or closed.
func (c *conn) run() {
	defer c.s.running.Done()
	c.s.count.reading.Add(1)
	again := c.serve()
	if again {
		c.s.count.reading.Add(-1)
		c.park()
		return
	}
	c.s.count.reading.Add(-1)
	c.close()
}

// park hands the connection to the lot, with the deadline of its phase.
func (c *conn) park() {
	deadline := c.deadline
	switch c.phase {
	case phaseWaiting:
		deadline = time.Now().Add(c.server0().HeaderTimeout)
	case phaseIdle:
		deadline = time.Now().Add(c.server0().KeepaliveTimeout)
	}
	c.releaseReader()
	if c.secure != nil && c.phase != phaseHandshake {
		c.secure.eng.Park()
	}
	if !c.s.lot.park(c, deadline, c.phase != phaseHandshake) {
		if c.secure != nil {
			c.secure.closeNotify()
		}
		c.close()
	}
}

func (c *conn) server0() *VirtualServer {
	if c.vs != nil {
		return c.vs
	}
	return c.ln.conf.Load().Servers[0]
}

func (c *conn) releaseReader() {
	if c.br != nil {
		c.br.Reset(eofReader{})
		readerBuffers.Put(c.br)
		c.br = nil
	}
}

// close ends the connection for good and gives its place back.
func (c *conn) close() {
	c.releaseReader()
	c.s.disarm(c)
	if c.goTLS != nil {
		c.goTLS.Close()
	}
	c.raw.Close()
	if !c.placeGone {
		c.s.lot.release()
	}
	c.s.count.established.Add(-1)
	c.s.forget(c)
}

// closeParked is the lot's way to end a connection that it holds: by timeout, for its place, or because
// the edge stops. The place is already given back for closeReuse.
func (c *conn) closeParked(why closeKind) {
	switch {
	case why == closeTimeout && (c.phase == phaseSilent || c.phase == phaseHandshake):
		c.log("info", "", "client timed out", fmt.Sprintf("client timed out (110: Connection timed out)%s", c.while(c.firstAction())))
		c.fireIf(faults.HandshakeDeadline)
	case why == closeTimeout && c.phase == phaseWaiting:
		c.log("info", "", "client timed out", fmt.Sprintf("client timed out (110: Connection timed out)%s", c.while("waiting for request")))
	case c.secure != nil:
		c.secure.closeNotify()
	}
	c.placeGone = why == closeReuse
	c.close()
}

func (c *conn) firstAction() string {
	if c.ln.tls {
		return "SSL handshaking"
	}
	return "waiting for request"
}

// serve does what has become possible: handshake, requests. true: nothing more to do now, park it.
func (c *conn) serve() bool {
	if c.phase == phaseSilent || c.phase == phaseHandshake {
		first := c.phase == phaseSilent
		c.phase = phaseBusy
		if first && !c.begin() {
			return false
		}
		if c.ln.tls {
			switch c.handshake() {
			case stepFailed:
				return false
			case stepWaiting:
				c.phase = phaseHandshake
				return true
			case stepPlain:
				c.phase, c.plain, c.info.Scheme = phaseWaiting, true, "http"
				return c.serveRequests()
			}
		}
		c.phase = phaseWaiting
		c.raw.SetWriteDeadline(time.Time{})
		if c.info.ALPN == "h2" {
			c.serveHTTP2()
			return false
		}
		if !c.hasInput() {
			return c.parkable()
		}
	}
	return c.serveRequests()
}

// parkable says whether the connection may leave its goroutine: one on crypto/tls may hold decrypted bytes
// that only its Read would show, so it waits where it is.
func (c *conn) parkable() bool {
	if c.goTLS == nil {
		return true
	}
	return c.serveRequests()
}

// hasInput says whether bytes of the next request are already here.
func (c *conn) hasInput() bool {
	return c.br != nil && c.br.Buffered() > 0 || c.secure != nil && c.secure.buffered()
}

// begin brings the connection to its first request: PROXY header, handshake.
func (c *conn) begin() bool {
	conf := c.ln.conf.Load()
	// The lot ends a handshake at its deadline. This one is for what does not wait there; were it the same, a byte
	// that comes in the moment between would stay unread, and the close become a RST.
	c.raw.SetDeadline(c.deadline.Add(2 * tickLength))
	c.stream = c.raw
	if conf.ProxyProtocol && !c.readProxyHeader() {
		return false
	}
	c.info = &site.ConnInfo{ID: c.id, Local: c.server, Remote: c.client, Peer: c.peer, ServerText: c.ln.text, Scheme: "http"}
	return true
}

// step is how far a handshake has come.
type step int

const (
	stepDone step = iota
	stepWaiting
	stepFailed
	stepPlain // no TLS: HTTP in the clear, to be refused
)

// handshake goes on with TLS as far as the bytes that are here allow, or says in the log why it cannot.
func (c *conn) handshake() step {
	c.info.Scheme = "https"
	if c.s.stack.Library {
		return c.engineHandshake()
	}
	return c.goHandshake()
}

func (c *conn) engineHandshake() step {
	if c.secure == nil {
		t := newTLSConn(c.stream, c.ln.engineFor(c))
		c.secure, c.stream = t, t
		if c.rule != nil && c.rule.Action == faults.ClockWrong {
			c.fireIf(faults.ClockWrong)
			t.skew = c.rule.Duration
		}
		if c.rule != nil && c.rule.At == stage.ClientHello {
			t.gate = &faults.HelloGate{Match: c.rule.Hello}
		}
	}
	c.work()
	t := c.secure
	done, err := t.handshakeStep()
	var clear *clearText
	switch {
	case errors.Is(err, errHelloHit):
		return c.strikeHello()
	case errors.As(err, &clear):
		c.secure, c.stream = nil, &prefixedConn{Conn: t.Conn, ahead: clear.bytes}
		return stepPlain
	}
	if err == nil && !done {
		return stepWaiting
	}
	if err == nil {
		f := t.eng.Facts()
		c.s.count.handshakes.Add(1)
		if f.Resumed != 0 {
			c.s.count.resumed.Add(1)
		}
		c.planted()
		c.info.Protocol, c.info.Cipher = stack.ProtocolName(f.Version), stack.Name(f.Suite)
		c.info.Resumed, c.info.ALPN = f.Resumed != 0, f.ALPN
		if f.ServerName != "" { // a single server has not asked
			c.info.ServerName = f.ServerName
		}
		return stepDone
	}
	c.handshakeFailed(err)
	return stepFailed
}

// handshakeFailed writes the line that nginx writes for this end of a handshake.
func (c *conn) handshakeFailed(err error) {
	var sock *handshakeIO
	const doing = "SSL handshaking"
	switch {
	case errors.As(err, &sock):
		switch no, text := errnoText(sock.err); {
		case sock.eof && !c.heard():
			c.log("info", "", "client closed connection", "client closed connection"+c.while(doing))
		case sock.eof:
			c.log("info", "", "peer closed connection in SSL handshake", "peer closed connection in SSL handshake"+c.while(doing))
		case isTimeout(sock.err):
			c.log("info", "", "client timed out", "client timed out (110: Connection timed out)"+c.while(doing))
			c.fireIf(faults.HandshakeDeadline)
		case !c.heard():
			c.log("info", "", "recv() failed", fmt.Sprintf("recv() failed (%d: %s)%s", no, text, c.while(doing)))
		default:
			c.log("info", "", "peer closed connection in SSL handshake",
				fmt.Sprintf("peer closed connection in SSL handshake (%d: %s)%s", no, text, c.while(doing)))
		}
	default:
		line := c.s.stack.Queue(err)
		c.log(line.Level, line.Code, line.Reason, fmt.Sprintf("SSL_do_handshake() failed (SSL: %s)%s", line.Text, c.while(doing)))
		var refused *engine.LocalAlert
		if c.s.stack.ResetOnSSLv2 && errors.As(err, &refused) && refused.Silent && (errors.Is(err, engine.ErrNoCommonVersion) || errors.Is(err, engine.ErrVersionTooLow)) {
			c.raw.SetLinger(0)
		}
	}
}

// heard says whether a byte of a handshake has come. The stack "go" does not tell.
func (c *conn) heard() bool { return c.secure == nil || c.secure.heard }

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// errnoText gives the number and the words that the C library has for an error of a socket.
func errnoText(err error) (int, string) {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return 0, err.Error()
	}
	switch no {
	case syscall.ECONNRESET:
		return int(no), "Connection reset by peer"
	case syscall.EPIPE:
		return int(no), "Broken pipe"
	case syscall.ECONNREFUSED:
		return int(no), "Connection refused"
	case syscall.ETIMEDOUT:
		return int(no), "Connection timed out"
	}
	return int(no), no.Error()
}
