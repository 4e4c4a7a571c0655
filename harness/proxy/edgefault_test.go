package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/profiles/wire"
)

// armed dials from the rule's own source subnet, as an agent does for an attempt that the draw has hit.
func armed(t *testing.T, e *edge, r *faults.Rule, cfg *tls.Config) (*tls.Conn, error) {
	t.Helper()
	d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(addrPort(faults.SourceAddr(r, 7))), Timeout: 10 * time.Second}
	return tls.DialWithDialer(d, "tcp", e.addr, cfg)
}

func get(c net.Conn) (int, error) {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: www.example.test\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(newReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.ReadAll(resp.Body)
	return resp.StatusCode, err
}

// Each rule that hits one connection does so to the one whose source names it, reports it with its tuple,
// and leaves others alone.
func TestRulesOfTheEdgeHitTheConnectionThatIsArmed(t *testing.T) {
	p := newPKI(t, "rsa")
	expired := expiredCopy(t, p)
	for _, tc := range []struct {
		why    string
		rule   faults.Rule
		expect func(t *testing.T, e *edge, r *faults.Rule)
	}{
		{"the application answers later", faults.Rule{Action: faults.Slow, Duration: 300 * time.Millisecond}, func(t *testing.T, e *edge, r *faults.Rule) {
			c, err := armed(t, e, r, p.client())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			start := time.Now()
			if code, err := get(c); code != 200 || err != nil || time.Since(start) < 300*time.Millisecond {
				t.Errorf("%d, %v after %v; want 200 after 300 ms", code, err, time.Since(start))
			}
		}},
		{"the application answers 500", faults.Rule{Action: faults.Error}, func(t *testing.T, e *edge, r *faults.Rule) {
			c, err := armed(t, e, r, p.client())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 2 { // the application's 500 does not end the connection
				if code, err := get(c); code != 500 {
					t.Errorf("%d, %v; want 500", code, err)
				}
			}
		}},
		{"the kept connection is closed as it is used again", faults.Rule{Action: faults.CloseOnReuse}, func(t *testing.T, e *edge, r *faults.Rule) {
			c, err := armed(t, e, r, p.client())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if code, err := get(c); code != 200 {
				t.Errorf("first request: %d, %v", code, err)
			}
			if code, err := get(c); err == nil {
				t.Errorf("second request was answered %d", code)
			}
		}},
		{"the certificate has expired", faults.Rule{Action: faults.CertExpired}, func(t *testing.T, e *edge, r *faults.Rule) {
			var invalid x509.CertificateInvalidError
			if _, err := armed(t, e, r, p.client()); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
				t.Errorf("%v, want an expired certificate", err)
			}
		}},
		{"the handshake's deadline is shorter", faults.Rule{Action: faults.HandshakeDeadline, Duration: 200 * time.Millisecond}, func(t *testing.T, e *edge, r *faults.Rule) {
			d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(addrPort(faults.SourceAddr(r, 7)))}
			c, err := d.Dial("tcp", e.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("silence: %v, want EOF", err)
			}
		}},
	} {
		t.Run(string(tc.rule.Action), func(t *testing.T) {
			r := tc.rule
			r.Name, r.Index, r.Engine, r.Probability = "rule", 3, faults.EngineEdge, 1
			e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key, Expired: expired},
				func(c *Config) { c.Faults = []faults.Rule{r} })
			tc.expect(t, e, &r)
			waitFor(t, "one firing", func() bool { return len(e.evidence.fired()) == 1 })
			f := e.evidence.fired()[0]
			if f.Rule != "rule" || f.Action != string(r.Action) || f.Tuple.Client.Addr() != faults.SourceAddr(&r, 7) || f.Tuple.Server.String() != e.addr {
				t.Errorf("firing %+v", f)
			}
			other, err := visit(e.addr, p.client())
			if err != nil {
				t.Fatalf("a connection from elsewhere: %v", err)
			}
			if code, err := get(other); code != 200 {
				t.Errorf("a connection from elsewhere: %d, %v", code, err)
			}
			other.Close()
			if n := len(e.evidence.fired()); n != 1 {
				t.Errorf("%d firings, want 1", n)
			}
			if st := e.Stats(); st.Eligible["rule"] != 1 {
				t.Errorf("eligible %v, want 1", st.Eligible)
			}
		})
	}
}

// TestRulesAtTheClientHello: the edge does what the rule says to the hellos that fit its condition, and serves the
// others on the same kind of connection, however the hello is cut.
func TestRulesAtTheClientHello(t *testing.T) {
	p := newPKI(t, "rsa")
	for _, tc := range []struct {
		action faults.Action
		alert  int
		want   func(error) bool
		words  string
	}{
		{faults.Reset, 0, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }, "a reset"},
		{faults.FIN, 0, func(err error) bool { return errors.Is(err, io.EOF) }, "EOF"},
		{faults.Stall, 0, isTimeout, "silence"},
		{faults.Alert, 70, func(err error) bool {
			var op *net.OpError
			return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == "tls: protocol version not supported"
		}, "alert 70"},
	} {
		t.Run(string(tc.action), func(t *testing.T) {
			r, err := faults.Resolve(faults.Rule{Name: "choke", Index: 3, Engine: faults.EngineEdge, Action: tc.action, At: stage.ClientHello, Alert: tc.alert,
				Probability: 1, Hello: faults.HelloMatch{Offers: wire.TLS12}})
			if err != nil {
				t.Fatal(err)
			}
			e := startEdge(t, Options{Stack: "openssl-1.0.1j", Protocols: []string{"TLSv1", "TLSv1.1", "TLSv1.2"}, Certificate: p.cert, Key: p.key},
				func(c *Config) { c.Faults = []faults.Rule{r} })
			shake := func(most uint16) error {
				d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(addrPort(faults.SourceAddr(&r, 7)))}
				raw, err := d.Dial("tcp", e.addr)
				if err != nil {
					return err
				}
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(500 * time.Millisecond))
				cfg := p.client()
				cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, most
				return tls.Client(inPieces{raw}, cfg).Handshake()
			}
			if err := shake(tls.VersionTLS12); err == nil || !tc.want(err) {
				t.Errorf("a hello that fits: %v, want %s", err, tc.words)
			}
			waitFor(t, "one firing", func() bool { return len(e.evidence.fired()) == 1 })
			if err := shake(tls.VersionTLS11); err != nil {
				t.Errorf("a hello that does not: %v", err)
			}
			if n := len(e.evidence.fired()); n != 1 {
				t.Errorf("%d firings, want 1", n)
			}
		})
	}
}

// inPieces writes what it is given in three segments.
type inPieces struct{ net.Conn }

func (c inPieces) Write(p []byte) (n int, err error) {
	for _, piece := range [][]byte{p[:min(3, len(p))], p[min(3, len(p)) : len(p)/2], p[len(p)/2:]} {
		if len(piece) == 0 {
			continue
		}
		m, err := c.Conn.Write(piece)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// A listener's filter drops the ClientHello of the connection that the rule's source names, `times` of its
// segments; the client retransmits and is served, and the firing tells how many.
func TestListenerFilterDropsClientHello(t *testing.T) {
	p := newPKI(t, "rsa")
	r, err := faults.Resolve(faults.Rule{Name: "lose-hello", Index: 1, Engine: faults.EngineSockfilter, At: stage.ClientHello, Action: faults.Drop, Times: 1, Probability: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key})
	if err := e.SetFaults("loss", []faults.Rule{r}); err != nil {
		if errors.Is(err, syscall.EPERM) {
			t.Skipf("needs CAP_NET_ADMIN: %v", err)
		}
		t.Fatal(err)
	}
	start := time.Now()
	c, err := armed(t, e, &r, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if took := time.Since(start); took < 190*time.Millisecond {
		t.Errorf("the handshake took %v: a lost hello costs a retransmission, 200 ms or more", took)
	}
	waitFor(t, "a firing", func() bool { return len(e.evidence.fired()) == 1 })
	if f := e.evidence.fired()[0]; f.Packets < 1 || f.Rule != "lose-hello" || f.Tuple.Client.String() != c.LocalAddr().String() {
		t.Errorf("firing %+v", f)
	}
	if err := e.SetFaults("calm", nil); err != nil {
		t.Fatal(err)
	}
	if c, err := armed(t, e, &r, p.client()); err != nil {
		t.Errorf("without the rule: %v", err)
	} else {
		c.Close()
	}
}

// While accept_queue_full is in force the kernel queues connections; they are served when it ends, and each is
// a firing.
func TestAcceptQueueIsHeld(t *testing.T) {
	p := newPKI(t, "rsa")
	r := faults.Rule{Name: "queue", Engine: faults.EngineEdge, Action: faults.AcceptQueue, Probability: 1, Until: 700 * time.Millisecond}
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key}, func(c *Config) { c.Faults = []faults.Rule{r} })
	start := time.Now()
	e.Begin(start)
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns {
		tc := tls.Client(c, p.client())
		if code, err := get(tc); code != 200 || err != nil {
			t.Errorf("%d, %v; want 200 in the end", code, err)
		}
	}
	if took := time.Since(start); took < 700*time.Millisecond {
		t.Errorf("served after %v, while the queue was held", took)
	}
	if n := len(e.evidence.fired()); n != 3 {
		t.Errorf("%d firings, want 3", n)
	}
}

// TestAWrongClockForgetsSessions: an edge whose clock is ahead holds a fresh session for one that is past
// ssl_session_timeout, and the client pays for a full handshake without an error.
func TestAWrongClockForgetsSessions(t *testing.T) {
	p := newPKI(t, "rsa")
	r := &faults.Rule{Name: "ahead", Index: 3, Engine: faults.EngineEdge, Action: faults.ClockWrong, Duration: time.Hour, Probability: 1}
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key},
		func(c *Config) { c.Faults = []faults.Rule{*r} })
	cfg := p.client()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	dials := []struct {
		why     string
		dial    func() (*tls.Conn, error)
		resumed bool
	}{
		{"the first visit", func() (*tls.Conn, error) { return tls.Dial("tcp", e.addr, cfg) }, false},
		{"the second, with the clock right", func() (*tls.Conn, error) { return tls.Dial("tcp", e.addr, cfg) }, true},
		{"the third, with the clock ahead", func() (*tls.Conn, error) { return armed(t, e, r, cfg) }, false},
	}
	for _, d := range dials {
		c, err := d.dial()
		if err != nil {
			t.Fatalf("%s: %v", d.why, err)
		}
		if _, err := get(c); err != nil {
			t.Errorf("%s: %v", d.why, err)
		}
		if got := c.ConnectionState().DidResume; got != d.resumed {
			t.Errorf("%s: resumed %v, want %v", d.why, got, d.resumed)
		}
		c.Close()
	}
	waitFor(t, "one firing", func() bool { return len(e.evidence.fired()) == 1 })
}
