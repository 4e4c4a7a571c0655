package browser

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
	"tlsurge/harness/pace"
	"tlsurge/profiles"
	"tlsurge/results"
)

const testName = "www.example.test"

// server is an HTTPS server of the standard library: another implementation at the other end.
type server struct {
	edges []Edge
	roots *x509.CertPool
	tls   *tls.Config
	http  *http.Server
	pid   int // where the server is a process of its own
}

// serve starts n listeners on addresses of their own; set changes the server before it starts.
func serve(tb testing.TB, n int, maxVersion uint16, h http.Handler, set ...func(*server)) *server {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testName}, DNSNames: []string{testName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	s := &server{roots: x509.NewCertPool()}
	s.roots.AddCert(cert)
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion: tls.VersionTLS10, MaxVersion: maxVersion, NextProtos: []string{"http/1.1"},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}
	hs := &http.Server{Handler: h, IdleTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	s.tls, s.http = cfg, hs
	for _, f := range set {
		f(s)
	}
	for i := range n {
		lc := net.ListenConfig{}
		lc.SetMultipathTCP(false)
		l, err := lc.Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.%d:0", 11+i))
		if err != nil {
			tb.Fatal(err)
		}
		s.edges = append(s.edges, Edge{fmt.Sprintf("edge-%d", i+1), l.Addr().(*net.TCPAddr).AddrPort()})
		go hs.Serve(tls.NewListener(l, cfg))
	}
	tb.Cleanup(func() { hs.Close() })
	return s
}

func ok(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("fine")) }

func profile(tb testing.TB, name string) *profiles.Profile {
	tb.Helper()
	p, err := profiles.Lookup(name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// played is what one run left behind.
type played struct {
	totals   results.Totals
	attempts []results.Attempt
	firings  []faults.Firing
	pages    map[results.PageVerdict]int64
	snapshot *results.Snapshot
}

// play runs one agent through warm-up and its phase.
func play(tb testing.TB, cfg *Config) played { return perform(tb, cfg, true) }

// playCold leaves the warm-up out: for servers that would not survive one.
func playCold(tb testing.TB, cfg *Config) played { return perform(tb, cfg, false) }

func hasProfile(name string) bool { return slices.Contains(profiles.Names(), name) }

func perform(tb testing.TB, cfg *Config, warm bool, tune ...func(*Agent)) played {
	tb.Helper()
	rec := results.NewRecorder(results.RecorderConfig{Seed: cfg.Seed, Phase: cfg.Phase, Agent: "agent-1", SampleEvery: 1})
	var p played
	a, err := NewAgent(cfg, rec, func(f faults.Firing) { p.firings = append(p.firings, f) })
	if err != nil {
		tb.Fatal(err)
	}
	defer a.Close()
	for _, f := range tune {
		f(a)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if warm {
		if err := a.Warm(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	for _, w := range a.Warnings() {
		tb.Log(w)
	}
	if err := a.Run(ctx, time.Now()); err != nil {
		tb.Fatal(err)
	}
	p.totals = rec.Totals()
	p.snapshot = rec.Snapshot()
	p.pages = map[results.PageVerdict]int64{}
	for _, c := range p.snapshot.Pages {
		p.pages[c.Verdict] += c.Count
	}
	for {
		e, more := rec.TakeEvidence()
		if !more {
			return p
		}
		p.attempts = append(p.attempts, e.Attempts...)
	}
}

func config(s *server, mix ...Visitor) *Config {
	return &Config{Seed: 42, Phase: "test", Agents: 1, Mix: mix, Edges: s.edges, ServerName: testName,
		KeyPool: 64, Verifier: &engine.Verifier{Roots: s.roots}, Sources: []netip.Addr{netip.MustParseAddr("127.1.0.1")},
		Load: Load{Model: Open, Connections: 60, PerBrowser: [2]int{6, 6}, Duration: 2 * time.Second, Ramp: 500 * time.Millisecond,
			Requests: pace.Constant(200)}}
}

func TestBrowsersHoldAndUseTheirConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, 3, tls.VersionTLS12, http.HandlerFunc(ok))
	p := play(t, config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1, Returning: 0.5}))
	tt := p.totals
	if tt.Failed != 0 || tt.OpenAtEnd != 60 || tt.Established != 60 || tt.RequestsFailed != 0 {
		t.Errorf("want 60 connections open and no failure: %+v", tt)
	}
	if p.pages[results.Fine] != 10 || len(p.pages) != 1 {
		t.Errorf("want 10 page loads, all fine: %v", p.pages)
	}
	// 60 opening requests, and 200/s for what is left of 2 s after the ramp, half of it in the ramp.
	if tt.RequestsOK < 60+100 || tt.RequestsOK > 60+400 {
		t.Errorf("%d requests answered", tt.RequestsOK)
	}
	for _, a := range p.attempts {
		if a.Class != results.ClassOK {
			t.Errorf("%+v", a)
		}
	}
}
