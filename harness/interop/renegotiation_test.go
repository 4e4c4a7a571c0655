package interop

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

var (
	ecdsa12 = []wire.CipherSuite{wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, wire.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	cell12  = cell{version: wire.TLS12, suite: wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, group: wire.X25519, cert: "ecdsa", mode: modeFull}
)

// counted lets a configuration's key log count its handshakes: one CLIENT_RANDOM line each.
func counted(n *atomic.Int32) func(string, []byte, []byte) {
	return func(string, []byte, []byte) { n.Add(1) }
}

// pumpUntil reads until done says so.
func pumpUntil(t *testing.T, l *link, done func() bool) {
	t.Helper()
	for !done() {
		if err := l.pump(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRenegotiationByTheClient: s_client asks for two more handshakes, which our server carries out, and goes on to its request.
func TestRenegotiationByTheClient(t *testing.T) {
	need(t, "openssl")
	var handshakes atomic.Int32
	cfg := serverConfig(cell12)
	cfg.Renegotiate, cfg.KeyLog = engine.RenegotiateSecure, counted(&handshakes)
	s, err := serve(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	c := typeTo(t, "openssl", "s_client", "-connect", s.addr, "-servername", serverName, "-CAfile", pki().caFile, "-verify_return_error", "-tls1_2")
	c.after(t, "Verify return code: 0")
	for range 2 {
		c.say(t, "R")
		c.after(t, "RENEGOTIATING")
	}
	c.say(t, strings.ReplaceAll(strings.TrimSpace(request), "\r\n", "\n")+"\r\n\r\n")
	c.after(t, "200 OK")
	if r, err := s.next(); err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	if n := handshakes.Load(); n != 3 {
		t.Errorf("%d handshakes, wanted three", n)
	}
}

// TestRenegotiationByOurServer: s_client and gnutls-cli do what our HelloRequest asks for, and go on to their request.
func TestRenegotiationByOurServer(t *testing.T) {
	need(t, "openssl", "gnutls")
	for _, client := range []string{"openssl", "gnutls-cli"} {
		t.Run(client, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			ended := make(chan error, 1)
			var handshakes atomic.Int32
			go func() { ended <- askAgain(ln, &handshakes) }()
			host, port, _ := net.SplitHostPort(ln.Addr().String())
			args := []string{"s_client", "-connect", ln.Addr().String(), "-servername", serverName, "-CAfile", pki().caFile, "-verify_return_error", "-tls1_2", "-quiet"}
			if client == "gnutls-cli" {
				args = []string{"-p", port, "--x509cafile", pki().caFile, "--sni-hostname", serverName, "--verify-hostname", serverName,
					"--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2", host}
			}
			out, err := runTool(t, request, regexp.MustCompile(`^again$`), client, args...)
			if !strings.Contains(out, "again") {
				t.Errorf("%v\n%s", err, out)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if n := handshakes.Load(); n != 2 {
				t.Errorf("%d handshakes, wanted two", n)
			}
		})
	}
}

// askAgain serves one connection: a handshake, another that it asks for itself, and one word.
func askAgain(ln net.Listener, handshakes *atomic.Int32) error {
	nc, err := ln.Accept()
	if err != nil {
		return err
	}
	defer nc.Close()
	cfg := serverConfig(cell12)
	cfg.Renegotiate, cfg.KeyLog = engine.RenegotiateSecure, counted(handshakes)
	l := newLink(nc, engine.NewServer(cfg))
	if err := l.handshake(); err != nil {
		return err
	}
	if err := l.c.Renegotiate(); err != nil {
		return err
	}
	for handshakes.Load() < 2 || l.c.State() != "CONNECTED" || !strings.Contains(string(l.data), "\r\n\r\n") {
		if err := l.pump(); err != nil {
			return err
		}
	}
	if err := l.c.Send([]byte("\nagain\n")); err != nil {
		return err
	}
	l.c.CloseNotify()
	if err := l.flush(); err != nil {
		return err
	}
	l.awaitClose()
	return nil
}

// TestRenegotiationWithServers: our client does what s_server asks for, or refuses it with a warning; it asks itself and gets it,
// or the no_renegotiation of
// s_server and nginx, or what the bundled edge does in the place of nginx and of its elder.
func TestRenegotiationWithServers(t *testing.T) {
	need(t, "openssl", "nginx")
	old := offer{max: wire.TLS12, suites: ecdsa12, groups: []wire.Group{wire.X25519, wire.Secp256r1}, ems: true}
	willing := func(n *atomic.Int32, how engine.Renegotiate) func(*engine.ClientConfig, *hello.ClientHello) {
		return func(cfg *engine.ClientConfig, _ *hello.ClientHello) { cfg.Renegotiate, cfg.KeyLog = how, counted(n) }
	}
	t.Run("asked by s_server", func(t *testing.T) {
		var n atomic.Int32
		s, addr := typedServer(t, "-tls1_2")
		l := meetAs(t, addr, old, willing(&n, engine.RenegotiateSecure))
		s.after(t, "CIPHER is")
		for i := range int32(2) {
			s.say(t, "r")
			pumpUntil(t, l, func() bool { return n.Load() == i+2 && l.c.State() == "CONNECTED" })
		}
		s.say(t, "good day")
		pumpUntil(t, l, func() bool { return strings.Contains(string(l.data), "good day") })
	})
	t.Run("asked by s_server and refused", func(t *testing.T) {
		var n atomic.Int32
		s, addr := typedServer(t, "-tls1_2")
		l := meetAs(t, addr, old, willing(&n, engine.RenegotiateRefuse))
		s.after(t, "CIPHER is")
		s.say(t, "r")
		s.say(t, "good day") // OpenSSL takes the warning for the end of the connection
		var alert *engine.PeerAlert
		var err error
		for err == nil && !strings.Contains(string(l.data), "good day") {
			err = l.pump()
		}
		if err != nil && !errors.As(err, &alert) && !errors.Is(err, engine.ErrTruncated) || n.Load() != 1 {
			t.Errorf("%v, %d handshakes", err, n.Load())
		}
	})
	t.Run("asked by us", func(t *testing.T) {
		var n atomic.Int32
		s, addr := typedServer(t, "-tls1_2", "-client_renegotiation")
		l := meetAs(t, addr, old, willing(&n, engine.RenegotiateSecure))
		if err := l.c.Renegotiate(); err != nil {
			t.Fatal(err)
		}
		pumpUntil(t, l, func() bool { return n.Load() == 2 && l.c.State() == "CONNECTED" })
		if err := errors.Join(l.c.Send([]byte("under new keys\n")), l.flush()); err != nil {
			t.Fatal(err)
		}
		s.after(t, "under new keys")
	})
	t.Run("asked by us and refused by s_server", func(t *testing.T) {
		var n atomic.Int32
		s, addr := typedServer(t, "-tls1_2")
		l := meetAs(t, addr, old, willing(&n, engine.RenegotiateSecure))
		refusesAgain(t, l)
		if err := errors.Join(l.c.Send([]byte("under old keys\n")), l.flush()); err != nil {
			t.Fatal(err)
		}
		s.after(t, "under old keys")
	})
	for name, start := range map[string]func(*testing.T) string{
		"nginx":             func(t *testing.T) string { return startNginx(t, &pki().ecdsa, false) },
		"the bundled nginx": func(t *testing.T) string { return bundled(t, "openssl-3.0") },
	} {
		t.Run("asked by us and refused by "+name, func(t *testing.T) {
			var n atomic.Int32
			l := meetAs(t, start(t), old, willing(&n, engine.RenegotiateSecure))
			refusesAgain(t, l)
			answer, err := l.get()
			if err != nil || !strings.Contains(answer, "200 OK") || n.Load() != 1 {
				t.Errorf("%q, %v, %d handshakes", answer, err, n.Load())
			}
		})
	}
	t.Run("asked by us, and the bundled nginx of 2015 closes", func(t *testing.T) {
		var n atomic.Int32
		l := meetAs(t, bundled(t, "openssl-1.0.1j"), old, willing(&n, engine.RenegotiateSecure))
		if err := errors.Join(l.c.Renegotiate(), l.pump()); !errors.Is(err, engine.ErrTruncated) || n.Load() != 1 {
			t.Errorf("%v, %d handshakes", err, n.Load())
		}
	})
}

// bundled starts our own edge with an ECDSA certificate.
func bundled(t *testing.T, stack string) string {
	return startEdge(t, proxy.Options{Name: "edge", Stack: stack, Certificate: pki().ecdsa.certFile, Key: pki().ecdsa.keyFile})
}

// refusesAgain asks for another handshake and wants a no_renegotiation warning.
func refusesAgain(t *testing.T, l *link) {
	t.Helper()
	if err := errors.Join(l.c.Renegotiate(), l.flush()); err != nil {
		t.Fatal(err)
	}
	k, err := l.nc.Read(l.buf)
	if err != nil {
		t.Fatal(err)
	}
	err = l.c.Receive(time.Now(), l.buf[:k])
	if e := l.c.Next(); err != nil || e.Kind != engine.EventWarning || e.Alert != wire.AlertNoRenegotiation {
		t.Fatalf("event %v, %v", e, err)
	}
}
