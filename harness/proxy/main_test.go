package proxy

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tlsurge/faults"
	"tlsurge/results"
)

// TestMain also is the edge of tests that measure a process of its own: with edgeChild in the environment,
// the test binary serves the options in it.
func TestMain(m *testing.M) {
	if text := os.Getenv(edgeChild); text != "" {
		os.Exit(runChild(text))
	}
	for name, run := range map[string]func(string) error{hostileChild: runHostile, plainChild: runPlainProxy, balancerChild: runBalancer, applicationChild: runApplication} {
		if text := os.Getenv(name); text != "" {
			if err := run(text); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
			os.Exit(0)
		}
	}
	// the clock of the backtracking engine's bound runs on for a second after its last use
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

const (
	edgeChild  = "TLSURGE_TEST_EDGE"
	plainChild = "TLSURGE_TEST_PLAIN_PROXY"

	balancerChild    = "TLSURGE_TEST_BALANCER" // its backends
	applicationChild = "TLSURGE_TEST_APPLICATION"
)

func runChild(text string) int {
	var o Options
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		var cfg *Config
		if cfg, err = Load(o); err == nil {
			err = RunStandalone(context.Background(), cfg, os.Stdout, func() (*Config, error) { return Load(o) })
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

// pki is a certificate authority with one leaf for www.example.test, of RSA-2048 or P-256.
type pki struct {
	cert, key string // files
	roots     *x509.CertPool
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newPKI(t testing.TB, kind string) *pki {
	t.Helper()
	var key any = rsaKey()
	var pub any = &rsaKey().PublicKey
	if kind == "ecdsa" {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, pub = k, &k.PublicKey
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "www.example.test"},
		DNSNames: []string{"www.example.test", "example.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &pki{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), roots: x509.NewCertPool()}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.roots.AddCert(leaf)
	writeFile(t, p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return p
}

func (p *pki) client() *tls.Config {
	return &tls.Config{RootCAs: p.roots, ServerName: "www.example.test", MinVersion: tls.VersionTLS10}
}

func writeFile(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// evidence collects what an edge reports.
type evidence struct {
	mu      sync.Mutex
	events  []results.ServerEvent
	firings []faults.Firing
}

func (e *evidence) ServerEvent(ev results.ServerEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, ev)
}

func (e *evidence) Firing(f faults.Firing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.firings = append(e.firings, f)
}

func (e *evidence) lines() []results.ServerEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]results.ServerEvent(nil), e.events...)
}

func (e *evidence) fired() []faults.Firing {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]faults.Firing(nil), e.firings...)
}

// edge is an edge that runs inside the test.
type edge struct {
	*Server
	addr     string
	evidence *evidence
	dir      string
}

// startEdge runs the options' edge until the test ends.
func startEdge(t testing.TB, o Options, change ...func(*Config)) *edge {
	t.Helper()
	e := &edge{evidence: &evidence{}, dir: t.TempDir()}
	if o.Dir == "" {
		o.Dir = e.dir
	}
	if o.ErrorLog == "" {
		o.ErrorLog = "error.log"
	}
	if o.Listen == nil {
		o.Listen = []string{"127.0.0.1:0"}
	}
	o.Name = "edge-1"
	cfg, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Reporter = e.evidence
	for _, f := range change {
		f(cfg)
	}
	if e.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ls, err := e.Listen()
	if err != nil {
		t.Fatal(err)
	}
	e.addr = ls[0].Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Serve(ctx, ls) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	waitFor(t, "the edge serves", func() bool { return e.firstAddr() != "" })
	return e
}

// waitFor waits until cond holds, for at most five seconds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("after 5 s still not: %s", what)
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// fileHas says whether one line of a file has all the words.
func fileHas(t testing.TB, path string, words ...string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
lines:
	for _, line := range strings.Split(string(text), "\n") {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return true
	}
	return false
}

func addrPort(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 0) }

// expiredCopy makes a certificate for the same key and names whose time is over.
func expiredCopy(t testing.TB, p *pki) string {
	t.Helper()
	text, err := os.ReadFile(p.cert)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, c, c.PublicKey, rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "expired.pem")
	writeFile(t, path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return path
}
