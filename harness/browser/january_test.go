package browser

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// sessionTable is a server's session cache.
type sessionTable struct {
	mu sync.Mutex
	m  map[string]*engine.Session
}

func (s *sessionTable) Get(_ time.Time, id []byte) *engine.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[string(id)]
}
func (s *sessionTable) Put(_ time.Time, id []byte, e *engine.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[string(id)] = e
}
func (s *sessionTable) Delete(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, string(id))
}

// lockedRand is crypto/rand for many goroutines.
type lockedRand struct{}

func (lockedRand) Read(p []byte) (int, error) { return rand.Read(p) }

// eraServer is our engine with the personality of an OpenSSL of the time, speaking just enough HTTP.
func eraServer(t *testing.T, rules engine.Rules, versions engine.VersionSet) *server {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{testName}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	s := &server{roots: x509.NewCertPool()}
	s.roots.AddCert(cert)
	cfg := &engine.ServerConfig{
		Certificates: []*engine.Certificate{{Chain: [][]byte{der}, Key: key}}, Versions: versions,
		Suites: []wire.CipherSuite{wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, wire.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			wire.TLS_RSA_WITH_AES_128_CBC_SHA, wire.TLS_RSA_WITH_AES_256_CBC_SHA, wire.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
		PreferServer: true, Groups: []wire.Group{wire.Secp256r1}, ALPN: []string{"http/1.1"}, NPN: []string{"http/1.1"},
		Sessions: &sessionTable{m: map[string]*engine.Session{}}, SessionLifetime: 5 * time.Minute,
		Tickets: engine.FixedTicketKeys{{Name: [16]byte{1}}}, Rules: rules, Rand: lockedRand{},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.edges = []Edge{{"edge-1", l.Addr().(*net.TCPAddr).AddrPort()}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { converse(c, cfg) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return s
}

// converse answers every request on one connection with two bytes.
func converse(c net.Conn, cfg *engine.ServerConfig) {
	defer c.Close()
	tls := engine.NewServer(cfg)
	buf := make([]byte, 16<<10)
	var request []byte
	for {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		failed := tls.Receive(time.Now(), buf[:n])
		for ev := tls.Next(); ev.Kind != engine.EventNone; ev = tls.Next() {
			if ev.Kind == engine.EventData {
				request = append(request, ev.Data...)
			}
			if ev.Kind == engine.EventCloseNotify {
				failed = io.EOF
			}
		}
		if bytes.HasSuffix(request, []byte("\r\n\r\n")) {
			request = request[:0]
			tls.Send([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		}
		if _, err := c.Write(tls.AppendOutput(nil)); err != nil || failed != nil {
			return
		}
	}
}

// The January 2015 thread, link by link: what each browser's user sees of one cut first handshake, before
// the upgrade (OpenSSL 0.9.8zc: TLS 1.0, suites behind the SCSV overlooked) and after it (1.0.1j).
func TestJanuary2015(t *testing.T) {
	before := eraServer(t, engine.RulesOpenSSL098zc(), engine.Versions(wire.TLS10))
	after := eraServer(t, engine.RulesOpenSSL101j(), engine.Versions(wire.TLS10, wire.TLS11, wire.TLS12))
	const resetCode = "ERR_CONNECTION_RESET"
	for _, c := range []struct {
		profile, why string
		act1, act2   results.PageVerdict
		sees1, sees2 string
	}{
		{"firefox-35-osx", "NSS puts the SCSV first", results.SawError, results.SawError,
			"ssl_error_no_cypher_overlap", "ssl_error_inappropriate_fallback_alert"},
		{"firefox-31esr-win7", "31.3 has the SCSV by backport", results.SawError, results.SawError,
			"ssl_error_no_cypher_overlap", "ssl_error_inappropriate_fallback_alert"},
		{"firefox-34-osx", "no SCSV yet", results.SavedByRetry, results.Downgraded, "", ""},
		{"chrome-39-win7", "NSS, SCSV first", results.SawError, results.SawError,
			"ERR_SSL_VERSION_OR_CIPHER_MISMATCH", resetCode},
		{"chrome-40-osx", "BoringSSL, SCSV last", results.SavedByRetry, results.SawError, "", resetCode},
	} {
		for i, s := range []*server{before, after} {
			t.Run(fmt.Sprintf("%s/act %d", c.profile, i+1), func(t *testing.T) {
				t.Parallel()
				verdict, sees := []results.PageVerdict{c.act1, c.act2}[i], []string{c.sees1, c.sees2}[i]
				cfg := config(s, Visitor{Profile: profile(t, c.profile), Weight: 1})
				cfg.Plan = plan(t, cutFirst)
				cfg.Load = Load{Model: Open, Connections: 12, Duration: 800 * time.Millisecond}
				p := play(t, cfg)
				if p.pages[verdict] != 2 || len(p.pages) != 1 {
					t.Errorf("%s (%s), act %d: pages %v, want 2 %s", c.profile, c.why, i+1, p.pages, verdict)
				}
				if sees == "" {
					return
				}
				shown := func(a results.Attempt) bool { return a.UserSees == sees }
				if !slices.ContainsFunc(p.attempts, shown) {
					t.Errorf("%s (%s), act %d: nobody saw %q", c.profile, c.why, i+1, sees)
					for _, a := range p.attempts {
						t.Logf("%s %s %s %s sees %q", a.Kind, a.OfferedVersion, a.Class, a.Detail, a.UserSees)
					}
				}
			})
		}
	}
}

// Apple's hello names its session even in a fallback, SCSV and all: before the upgrade the server resumes,
// finds no suite and says illegal_parameter, the operator's crit line.
func TestRequiredCipherMissing(t *testing.T) {
	t.Parallel()
	s := eraServer(t, engine.RulesOpenSSL098zc(), engine.Versions(wire.TLS10))
	cfg := config(s, Visitor{Profile: profile(t, "safari-8-osx10.10"), Weight: 1, Returning: 1})
	cfg.Plan = plan(t, cutFirst)
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 800 * time.Millisecond}
	p := play(t, cfg)
	var alert47 *results.Attempt
	for i := range p.attempts {
		a := &p.attempts[i]
		t.Logf("%s %s asked %q: %s alert %d, sees %q", a.Kind, a.OfferedVersion, a.Asked, a.Class, a.Alert, a.UserSees)
		if a.Class == results.ClassPeerAlert && a.Alert == int(wire.AlertIllegalParameter) {
			alert47 = a
		}
	}
	if alert47 == nil || alert47.Kind != results.KindFallback || alert47.Asked != "session_id" {
		t.Errorf("no fallback with a session ID was refused with illegal_parameter")
	}
}
