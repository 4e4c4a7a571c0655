package loop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tlsurge/harness/engine"
)

// TestMain looks for leaks of goroutines and of file descriptors.
func TestMain(m *testing.M) {
	before := descriptors()
	code := m.Run()
	if err := goleak.Find(); err != nil {
		println(err.Error())
		code = 1
	}
	if after := descriptors(); code == 0 && after > before+2 { // the runtime's own poller opens two
		println("file descriptors:", before, "before the tests,", after, "after")
		code = 1
	}
	os.Exit(code)
}

func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// clear is an engine that changes nothing: what is sent is what travels.
type clear struct {
	in, out []byte
	eof     bool
	told    bool
}

func (c *clear) Receive(_ time.Time, p []byte) error {
	c.in = append(c.in, p...)
	return nil
}
func (c *clear) ReceiveEOF(time.Time) error { c.eof = true; return nil }
func (c *clear) HasOutput() bool            { return len(c.out) > 0 }
func (c *clear) AppendData(dst, p []byte) ([]byte, error) {
	return append(c.AppendOutput(dst), p...), nil
}
func (c *clear) CloseNotify()        {}
func (c *clear) State() string       { return "CONNECTED" }
func (c *clear) HandshakeDone() bool { return true }
func (c *clear) AppendOutput(dst []byte) []byte {
	dst = append(dst, c.out...)
	c.out = nil
	return dst
}
func (c *clear) Next() engine.Event {
	switch {
	case len(c.in) > 0:
		p := c.in
		c.in = nil
		return engine.Event{Kind: engine.EventData, Data: p}
	case c.eof && !c.told:
		c.told = true
		return engine.Event{Kind: engine.EventCloseNotify}
	}
	return engine.Event{}
}

// client sends something when it is connected and notes all that comes back.
type client struct {
	Conn
	l       *Loop
	say     []byte
	heard   bytes.Buffer
	err     error
	ended   int
	local   netip.AddrPort
	onData  func(n int)
	onEnded func()
}

func (c *client) Connected(conn *Conn) {
	conn.Start(&clear{})
	if len(c.say) > 0 {
		conn.Send(c.say)
	}
}
func (c *client) Flight(*Conn) {}
func (c *client) Event(_ *Conn, ev engine.Event) {
	if ev.Kind == engine.EventData {
		c.heard.Write(ev.Data)
		if c.onData != nil {
			c.onData(len(ev.Data))
		}
	}
}
func (c *client) Ended(_ *Conn, err error) {
	c.err = err
	c.ended++
	if c.onEnded != nil {
		c.onEnded()
		return
	}
	c.l.Stop()
}

func newLoop(t *testing.T) *Loop {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// listen runs f for each connection and gives the address.
func listen(t *testing.T, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func run(t *testing.T, l *Loop) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestConversation(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		b := make([]byte, 5)
		io.ReadFull(c, b)
		c.Write(append([]byte("you said "), b...))
		c.Close()
	})
	l := newLoop(t)
	c := &client{l: l, say: []byte("hello")}
	source := netip.AddrPortFrom(netip.MustParseAddr("127.9.8.7"), 0)
	if err := l.Dial(&c.Conn, c, source, addr); err != nil {
		t.Fatal(err)
	}
	local := c.Local()
	if local.Addr() != source.Addr() || local.Port() == 0 {
		t.Errorf("local address %v right after Dial", local)
	}
	run(t, l)
	if c.heard.String() != "you said hello" || c.ended != 1 || c.err != io.EOF {
		t.Errorf("heard %q, ended %d times with %v", c.heard.String(), c.ended, c.err)
	}
	if l.Open() != 0 || c.FD() != -1 || c.Sent != 5 || c.Received != 14 {
		t.Errorf("%d open, descriptor %d, %d sent, %d received", l.Open(), c.FD(), c.Sent, c.Received)
	}
}

func TestEndings(t *testing.T) {
	refused := listen(t, func(net.Conn) {})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused = free.Addr().(*net.TCPAddr).AddrPort()
	free.Close()
	reset := listen(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 1))
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	})
	for _, tt := range []struct {
		why   string
		addr  netip.AddrPort
		op    string
		errno unix.Errno
	}{
		{"nobody listens", refused, "connect", unix.ECONNREFUSED},
		{"the server resets", reset, "read", unix.ECONNRESET},
	} {
		l := newLoop(t)
		c := &client{l: l, say: []byte("x")}
		if err := l.Dial(&c.Conn, c, netip.AddrPort{}, tt.addr); err != nil {
			t.Fatal(err)
		}
		run(t, l)
		var io *IOError
		if !errors.As(c.err, &io) || io.Op != tt.op || io.Errno != tt.errno {
			t.Errorf("%s: %v", tt.why, c.err)
		}
	}
}

// A large transfer each way arrives whole, though neither end takes it at once, and other connections
// have their turn meanwhile.
func TestLargeTransfers(t *testing.T) {
	const size = 8 << 20
	addr := listen(t, func(c net.Conn) {
		defer c.Close()
		in := make([]byte, size)
		if _, err := io.ReadFull(c, in); err != nil {
			return
		}
		c.Write(in)
	})
	l := newLoop(t)
	say := make([]byte, size)
	for i := range say {
		say[i] = byte(i * 31 >> 8)
	}
	c := &client{l: l, say: say}
	if err := l.Dial(&c.Conn, c, netip.AddrPort{}, addr); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	if !bytes.Equal(c.heard.Bytes(), say) {
		t.Errorf("%d bytes came back of %d, or others", c.heard.Len(), size)
	}
}

// A held connection leaves what arrives to the kernel; Resume goes on where it stopped.
func TestHold(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		c.Write(make([]byte, 300<<10))
		c.Close()
	})
	l := newLoop(t)
	c := &client{l: l}
	holds := 0
	c.onData = func(int) {
		holds++
		c.Hold()
		before := c.heard.Len()
		time.AfterFunc(5*time.Millisecond, func() {
			l.Post(func() {
				if c.heard.Len() != before {
					t.Error("a held connection went on reading")
				}
				c.Resume()
			})
		})
	}
	if err := l.Dial(&c.Conn, c, netip.AddrPort{}, addr); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	if c.heard.Len() != 300<<10 || holds < 2 {
		t.Errorf("%d bytes in %d pieces", c.heard.Len(), holds)
	}
}

// An owner may dial again from within Ended, on the same Conn.
func TestDialAgainFromEnded(t *testing.T) {
	turn := 0
	addr := listen(t, func(c net.Conn) {
		turn++
		if turn < 3 {
			c.(*net.TCPConn).SetLinger(0)
		} else {
			c.Write([]byte("third time lucky"))
		}
		c.Close()
	})
	l := newLoop(t)
	c := &client{l: l}
	c.onEnded = func() {
		if c.heard.Len() > 0 {
			l.Stop()
		} else if err := l.Dial(&c.Conn, c, netip.AddrPort{}, addr); err != nil {
			t.Error(err)
			l.Stop()
		}
	}
	if err := l.Dial(&c.Conn, c, netip.AddrPort{}, addr); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	if c.ended != 3 || c.heard.String() != "third time lucky" || l.Open() != 0 {
		t.Errorf("ended %d times, heard %q, %d open", c.ended, c.heard.String(), l.Open())
	}
}

// A socket bound first is known by its port before its first packet.
func TestBindThenConnect(t *testing.T) {
	from := make(chan net.Addr, 1)
	addr := listen(t, func(c net.Conn) { from <- c.RemoteAddr(); c.Close() })
	l := newLoop(t)
	fd, local, err := l.Bind(netip.MustParseAddrPort("127.7.7.7:0"), addr.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{l: l}
	if err := l.Connect(&c.Conn, c, fd, addr); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	if got := (<-from).String(); got != local.String() {
		t.Errorf("bound to %v, the server saw %v", local, got)
	}
}

type once struct{ at, ran time.Duration }

func (o *once) Due(now time.Duration) time.Duration {
	if now < o.at {
		return o.at
	}
	if o.ran == 0 {
		o.ran = now
	}
	return Never
}

// A pacer is never called to work early.
func TestPacerIsNotEarly(t *testing.T) {
	l := newLoop(t)
	o := &once{at: l.At(time.Now()) + 3*time.Millisecond}
	l.Pace(o)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := l.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if o.ran < o.at {
		t.Errorf("due at %v, ran at %v", o.at, o.ran)
	}
}

// Work that is posted while nobody runs the loop is done when somebody does, and posting after Close is
// no error.
func TestPost(t *testing.T) {
	l := newLoop(t)
	ran := false
	l.Post(func() { ran = true; l.Stop() })
	run(t, l)
	if !ran {
		t.Error("posted work was lost")
	}
	l.Close()
	l.Post(func() {})
}

// The exchange of a request and an answer, the loop's part of it: bytes, system calls, allocations.
func BenchmarkExchange(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
	}()
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c := &client{l: l, say: make([]byte, 128)}
	n := 0
	c.onData = func(k int) {
		c.heard.Reset()
		if n++; n >= b.N {
			l.Stop()
			return
		}
		c.Send(c.say)
	}
	b.ReportAllocs()
	if err := l.Dial(&c.Conn, c, netip.AddrPort{}, ln.Addr().(*net.TCPAddr).AddrPort()); err != nil {
		b.Fatal(err)
	}
	if err := l.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
}
