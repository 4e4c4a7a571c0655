// Package dialogue is a real TLS conversation over real sockets for the tests of faults: the client says
// when it is about to write what, the server keeps what it saw, and both tell their kernel's counters.
// Both ends are crypto/tls, which knows nothing of this program.
package dialogue

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

// Spec is one conversation: handshake, then requests with answers.
type Spec struct {
	Address string     // dialled
	Source  netip.Addr // zero: the kernel's choice
	Version uint16     // tls.VersionTLS10 to TLS13; 0: TLS 1.2
	// Retry makes a TLS 1.3 server ask for another key share; it must allow P-384 alone.
	Retry bool
	// ALPN is offered; a server that does not know it refuses with an alert.
	ALPN string
	// HTTP asks GET / of a web server whose answer's body is Answer times "x"; else the server is a Server.
	HTTP     bool
	Resume   tls.ClientSessionCache
	Requests int           // default 1
	Answer   int           // bytes asked for in each, default 100
	Pause    time.Duration // between requests
	Timeout  time.Duration // for all of it, default 10 s

	BeforeConnect func(fd int)
	// Before is called with the client's connection just before it writes the flight that begins with
	// this stage: ClientHello, ClientKeyExchange (Finished where there is none), Request.
	Before func(c *net.TCPConn, s stage.Stage)
	// Idle is called before each pause between requests.
	Idle func(c *net.TCPConn)
	// Closing is called when all is said or lost and the socket is still open.
	Closing func(c *net.TCPConn)
}

// Result is what the client saw.
type Result struct {
	Client, Server netip.AddrPort
	Reached        stage.Stage // the last of: None, ClientHello (connected), Finished (handshake done), Request, Response
	Answers        int         // whole answers
	Err            error
	Connect        time.Duration // how long each took; 0: not reached
	Handshake      time.Duration
	Exchange       time.Duration // all requests
	Version        uint16
	Resumed        bool
	Retransmits    int   // of the client's own segments
	SegmentsIn     int   // segments with payload that arrived
	OutOfOrder     int   // of them, before their turn
	Dropped        int   // segments that the kernel dropped at the client
	BytesReceived  int64 // the server's FIN counts as one
}

// End names how the conversation ended, in the words of a fault: "ok", "reset", "fin", "timeout", "refused",
// "alert" with its text, "garbled".
func (r Result) End() string { return End(r.Err) }

// End is Result.End for any error of a conversation.
func End(err error) string {
	var alert tls.AlertError
	var op *net.OpError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "fin"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "timeout"
	case errors.As(err, &alert):
		return "alert " + alert.Error()
	case errors.As(err, &op) && op.Op == "remote error":
		return "alert " + op.Err.Error()
	case errors.As(err, &op) && op.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "tls: "):
		return "garbled"
	}
	return "error " + err.Error()
}

// Run holds the conversation.
func (s Spec) Run() (r Result) {
	if s.Requests == 0 {
		s.Requests = 1
	}
	if s.Answer == 0 {
		s.Answer = 100
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	start := time.Now()
	deadline := start.Add(s.Timeout)
	d := net.Dialer{Deadline: deadline}
	d.SetMultipathTCP(false)
	if s.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Source, 0))
	}
	d.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if s.BeforeConnect != nil {
				s.BeforeConnect(int(fd))
			}
		})
	}
	conn, err := d.Dial("tcp", s.Address)
	if err != nil {
		r.Err = err
		return r
	}
	tcp := conn.(*net.TCPConn)
	defer tcp.Close()
	tcp.SetDeadline(deadline)
	r.Client = tcp.LocalAddr().(*net.TCPAddr).AddrPort()
	r.Server = tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	r.Connect = time.Since(start)
	r.Reached = stage.ClientHello
	r.Err = s.talk(tcp, &r)
	if s.Closing != nil {
		s.Closing(tcp)
	}
	info := Info(tcp)
	r.Dropped = dropped(tcp)
	r.OutOfOrder = int(info.Rcv_ooopack)
	r.Retransmits, r.SegmentsIn, r.BytesReceived = int(info.Total_retrans), int(info.Data_segs_in), int64(info.Bytes_received)
	return r
}

func (s Spec) talk(tcp *net.TCPConn, r *Result) error {
	w := &watched{TCPConn: tcp, before: s.Before, next: stage.ClientHello}
	cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.test", ClientSessionCache: s.Resume,
		MinVersion: tls.VersionTLS10, MaxVersion: s.Version, CipherSuites: suites()}
	if s.Version == 0 {
		cfg.MaxVersion = tls.VersionTLS12
	}
	cfg.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	if s.ALPN != "" {
		cfg.NextProtos = []string{s.ALPN}
	}
	c := tls.Client(w, cfg)
	start := time.Now()
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	r.Handshake = time.Since(start)
	r.Reached = stage.Finished
	r.Version, r.Resumed = c.ConnectionState().Version, c.ConnectionState().DidResume
	w.next = stage.Request
	start = time.Now()
	answers := bufio.NewReader(c)
	for i := range s.Requests {
		if i > 0 {
			if s.Idle != nil {
				s.Idle(tcp)
			}
			time.Sleep(s.Pause)
		}
		w.next = stage.Request
		ask := fmt.Sprintf("%08d\n", s.Answer)
		if s.HTTP {
			ask = "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n"
		}
		if _, err := io.WriteString(c, ask); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		r.Reached = stage.Request
		if err := s.answer(answers); err != nil {
			return fmt.Errorf("response: %w", err)
		}
		r.Reached = stage.Response
		r.Answers++
	}
	r.Exchange = time.Since(start)
	return nil
}

// answer reads one answer and looks whether it is the one that was asked for.
func (s Spec) answer(r *bufio.Reader) error {
	var body io.Reader = io.LimitReader(r, int64(s.Answer))
	if s.HTTP {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body = resp.Body
	}
	got, err := io.ReadAll(body)
	switch {
	case err != nil:
		return err
	case len(got) < s.Answer:
		return io.ErrUnexpectedEOF
	case strings.Trim(string(got), "x") != "":
		return errors.New("tls: answer is not what was sent")
	}
	return nil
}

// watched calls before at the first write of each flight.
type watched struct {
	*net.TCPConn
	before func(*net.TCPConn, stage.Stage)
	next   stage.Stage // of the flight that the next write begins; None: none is awaited
}

func (w *watched) Write(p []byte) (int, error) {
	if w.next != stage.None && w.before != nil {
		w.before(w.TCPConn, w.next)
	}
	switch w.next {
	case stage.ClientHello:
		w.next = stage.ClientKeyExchange
	default:
		w.next = stage.None
	}
	return w.TCPConn.Write(p)
}

// Info reads TCP_INFO; zero if the socket is gone.
func Info(c *net.TCPConn) (info unix.TCPInfo) {
	raw, err := c.SyscallConn()
	if err != nil {
		return info
	}
	raw.Control(func(fd uintptr) {
		if i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			info = *i
		}
	})
	return info
}

// dropped is what the kernel dropped on a socket, by a filter or for want of buffer; -1 if it is gone.
func dropped(c *net.TCPConn) (n int) {
	n = -1
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			if d, err := sockfilter.Drops(int(fd)); err == nil {
				n = d
			}
		})
	}
	return n
}

// suites are all that crypto/tls has, so that TLS 1.0 finds one.
func suites() (ids []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}
