package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

// dialN opens n TCP connections to the edge and waits until it has accepted them all.
func dialN(t *testing.T, e *edge, n int) []net.Conn {
	t.Helper()
	start := e.count.accepted.Load()
	var out []net.Conn
	for range n {
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		out = append(out, c)
	}
	waitFor(t, "all connections accepted", func() bool { return e.count.accepted.Load() == start+int64(n) })
	return out
}

// ending says how a connection stands: "open", "eof" or "reset".
func ending(c net.Conn) string {
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	switch {
	case err == nil, errors.As(err, &ne) && ne.Timeout():
		return "open"
	case errors.Is(err, io.EOF):
		return "eof"
	}
	return "reset"
}

func count(conns []net.Conn, how string) (n int) {
	ends := make(chan string)
	for _, c := range conns {
		go func() { ends <- ending(c) }()
	}
	for range conns {
		if <-ends == how {
			n++
		}
	}
	return n
}

func smallEdge(t *testing.T, places int, change ...func(*Config)) *edge {
	p := newPKI(t, "rsa")
	// places and what nginx keeps for itself: the listening socket and the channel to the master
	return startEdge(t, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key, Connections: places + 2}, change...)
}

func TestFullTableClosesSilentConnectionsFirst(t *testing.T) {
	e := smallEdge(t, 40)
	old := dialN(t, e, 40)
	if n := count(old, "open"); n != 40 {
		t.Fatalf("%d of 40 open in a table of 40", n)
	}
	fresh := dialN(t, e, 1)
	waitFor(t, "the 32 oldest closed", func() bool { return count(old[:32], "eof") == 32 })
	if n := count(old[32:], "open"); n != 8 {
		t.Errorf("%d of the 8 youngest are open, want all: nginx closes 32 at once, the longest silent first", n)
	}
	if ending(fresh[0]) != "open" {
		t.Error("the new connection has the place")
	}
	if lines := e.evidence.lines(); len(lines) != 0 {
		t.Errorf("nginx 1.6.2 logs nothing, we logged %v", lines)
	}
}

func TestFullTableWithoutReusableClosesTheNewConnection(t *testing.T) {
	e := smallEdge(t, 4)
	busy := dialN(t, e, 4)
	for _, c := range busy { // the first byte of a record: no longer silent, no longer reusable
		c.Write([]byte{0x16})
	}
	waitFor(t, "nothing parked", func() bool { _, parked, _ := e.lot.occupancy(); return parked == 0 })
	fresh := dialN(t, e, 1)
	if how := ending(fresh[0]); how == "open" {
		t.Error("the new connection must be closed at once")
	}
	if n := count(busy, "open"); n != 4 {
		t.Errorf("%d of 4 mid-handshake connections live, want 4", n)
	}
	lines := e.evidence.lines()
	if len(lines) != 1 || lines[0].Level != "alert" || lines[0].Reason != "worker_connections are not enough" {
		t.Errorf("logged %v, want one alert", lines)
	}
}

func TestIdleKeepaliveIsReusableAndUpstreamsCount(t *testing.T) {
	e := smallEdge(t, 3)
	cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	var idle []net.Conn
	for range 3 {
		c, err := visit(e.addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
		waitFor(t, "it is parked", func() bool { _, parked, _ := e.lot.occupancy(); return parked == len(idle) })
	}
	fresh := dialN(t, e, 1)
	for i, c := range idle {
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("idle connection %d: %v, want close_notify and EOF", i, err)
		}
	}
	if ending(fresh[0]) != "open" {
		t.Error("the new connection has a place")
	}
}

func TestTableFullRuleFiresForEachConnectionItCloses(t *testing.T) {
	rule := faults.Rule{Name: "pressure", Engine: faults.EngineEdge, Action: faults.TableFull, Max: 10, Probability: 1}
	e := smallEdge(t, 1000, func(c *Config) { c.Faults = []faults.Rule{rule} })
	old := dialN(t, e, 10)
	dialN(t, e, 1)
	waitFor(t, "ten firings", func() bool { return len(e.evidence.fired()) == 10 })
	want := map[string]bool{}
	for _, c := range old {
		want[c.LocalAddr().String()] = true
	}
	for _, f := range e.evidence.fired() {
		if f.Rule != "pressure" || f.Engine != "edge" || f.Action != "table_full" || !want[f.Tuple.Client.String()] || f.Tuple.Server.String() != e.addr {
			t.Errorf("firing %+v", f)
		}
		delete(want, f.Tuple.Client.String())
	}
	if err := e.SetFaults("next", nil); err != nil {
		t.Fatal(err)
	}
	more := dialN(t, e, 20)
	if n := count(more, "open"); n != 20 {
		t.Errorf("without the rule %d of 20 are open", n)
	}
	if st := e.Stats(); st.Phase != "next" || st.Accepted != 20 {
		t.Errorf("the next phase counts for itself: %+v", st)
	}
}

// One deadline from accept to the end of the handshake, which progress does not move.
func TestHandshakeDeadline(t *testing.T) {
	p := newPKI(t, "rsa")
	e := startEdge(t, Options{Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key, Set: map[string]string{"client_header_timeout": "600ms"}})
	start := time.Now()
	silent, drip := dialN(t, e, 1)[0], dialN(t, e, 1)[0]
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		hello := []byte{0x16, 3, 1, 1, 0, 1, 0, 0, 252, 3, 1}
		for i := range hello {
			if _, err := drip.Write(hello[i : i+1]); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	for name, c := range map[string]net.Conn{"silent": silent, "dripping": drip} {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		var ne net.Error
		if err == nil || errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("%s: %v, want the edge's close", name, err)
		}
		if took := time.Since(start); took < 550*time.Millisecond {
			t.Errorf("%s: closed after %v, before the deadline", name, took)
		}
	}
	<-stop
	waitFor(t, "two lines", func() bool { return len(e.evidence.lines()) == 2 })
	for _, l := range e.evidence.lines() {
		if l.Reason != "client timed out" || l.Level != "info" {
			t.Errorf("logged %+v", l)
		}
	}
}

func TestEndingsInTheHandshakeAreLoggedAsNginxDoes(t *testing.T) {
	p := newPKI(t, "rsa")
	e := startEdge(t, Options{Stack: "openssl-3.0", Certificate: p.cert, Key: p.key})
	hello, err := datasetHello("chrome-101-win10", "first")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		why          string
		do           func(c *net.TCPConn)
		level, where string
	}{
		{"connect and FIN", func(c *net.TCPConn) { c.Close() }, "info", "client closed connection"},
		{"connect and RST", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, "info", "recv() failed"},
		{"hello and FIN", func(c *net.TCPConn) { c.Write(hello); c.CloseWrite(); io.Copy(io.Discard, c) }, "info", "peer closed connection in SSL handshake"},
		{"part of a hello and RST", func(c *net.TCPConn) {
			c.Write(hello[:100])
			time.Sleep(50 * time.Millisecond)
			c.SetLinger(0)
			c.Close()
		}, "info", "peer closed connection in SSL handshake"},
		{"plain HTTP", func(c *net.TCPConn) { io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); io.Copy(io.Discard, c) }, "info", "client sent plain HTTP request to HTTPS port"},
		{"garbage behind 0x16", func(c *net.TCPConn) {
			c.Write([]byte{0x16, 3, 1, 0, 5, 99, 0, 0, 1, 0})
			io.Copy(io.Discard, c)
		}, "info", "unexpected message"},
		{"a fatal alert", func(c *net.TCPConn) { c.Write(hello); c.Write([]byte{0x15, 3, 3, 0, 2, 2, 48}); io.Copy(io.Discard, c) }, "info", "tlsv1 alert unknown ca"},
	} {
		before := len(e.evidence.lines())
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		tc.do(c.(*net.TCPConn))
		c.Close()
		var got results.ServerEvent
		waitFor(t, tc.why+": a line", func() bool {
			lines := e.evidence.lines()
			if len(lines) > before {
				got = lines[before]
			}
			return len(lines) > before
		})
		if got.Level != tc.level || !strings.Contains(got.Reason, tc.where) {
			t.Errorf("%s: logged [%s] %q, want [%s] %q", tc.why, got.Level, got.Reason, tc.level, tc.where)
		}
	}
}

// Slow clients, half-open handshakes, garbage and floods leave nothing behind, and good clients are served
// meanwhile.
func TestNothingLeaks(t *testing.T) {
	p := newPKI(t, "ecdsa")
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2", "TLSv1.3"}, Certificate: p.cert, Key: p.key,
		Set: map[string]string{"client_header_timeout": "700ms", "keepalive_timeout": "700ms"}})
	hello, err := datasetHello("firefox-100-win10", "first")
	if err != nil {
		t.Fatal(err)
	}
	var bad []net.Conn
	for i := range 300 {
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		bad = append(bad, c)
		switch i % 6 {
		case 0: // silent
		case 1:
			c.Write(hello[:50])
		case 2:
			c.Write(hello)
		case 3:
			c.Write([]byte("\x80\x2e\x01garbage that is no TLS at all"))
		case 4:
			c.Write(append([]byte{0x16, 3, 1, 2, 0}, make([]byte, 512)...))
		case 5: // a header that never ends
			if t := tls.Client(c, p.client()); t.Handshake() == nil {
				io.WriteString(t, "GET / HTTP/1.1\r\nX: ")
			}
		}
	}
	for range 20 {
		c, err := visit(e.addr, p.client())
		if err != nil {
			t.Fatalf("a good client among bad ones: %v", err)
		}
		c.Close()
	}
	waitFor(t, "every connection ended", func() bool { return e.count.established.Load() == 0 })
	if used, parked, _ := e.lot.occupancy(); used != 0 || parked != 0 {
		t.Errorf("%d places used, %d parked after all have gone", used, parked)
	}
	e.mu.Lock()
	left := len(e.conns)
	e.mu.Unlock()
	if left != 0 {
		t.Errorf("%d connections are still known", left)
	}
	for _, c := range bad {
		c.Close()
	}
}
