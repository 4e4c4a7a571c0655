package cluster

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// envServe makes the test binary a NATS server, as an existing cluster has them.
const envServe = "TLSURGE_TEST_SERVE_NATS"

func serveNATS() int {
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Authorization: os.Getenv(envServe)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		return 1
	}
	fmt.Println(ns.ClientURL())
	io.Copy(io.Discard, os.Stdin) // until the test ends
	ns.Shutdown()
	return 0
}

func TestAnExistingClusterByURL(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envServe+"=open-sesame")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Wait() }()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)

	// Two runs share the cluster and do not hear each other.
	sinks := map[string]*sink{"monday": newSink(), "tuesday": newSink()}
	for run, s := range sinks {
		cfg := s.config(t.TempDir())
		cfg.URL, cfg.Token, cfg.Run = url, "open-sesame", run
		h := startHub(t, cfg)
		e, open := h.Remote()
		if !open || e.URL != url {
			t.Fatalf("agents are sent to %q, want %q", e.URL, url)
		}
		m := join(t, e, "agent-1", nil)
		m.Evidence("day", run)
		if err := m.Flush(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	for run, s := range sinks {
		if got := s.from("agent-1"); len(got) != 1 || got[0] != fmt.Sprintf("day 1 %q", run) {
			t.Errorf("%s heard %q", run, got)
		}
	}
	if _, err := StartHub(within(t), HubConfig{URL: url, Token: "guess"}); err == nil || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestAgentsFromElsewhereOverTLS(t *testing.T) {
	cert, ca := selfSigned(t)
	h := startHub(t, HubConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}})
	e, _ := h.Remote()
	if !strings.HasPrefix(e.URL, "tls://127.0.0.1:") {
		t.Fatalf("address %q, want tls://", e.URL)
	}
	e.CA = ca
	join(t, e, "agent-1", nil)
	join(t, h.Endpoint(), "edge-1", nil) // the Unix socket needs no TLS
	if err := h.Wait(within(t), "agent-1", "edge-1"); err != nil {
		t.Error(err)
	}
	_, e.CA = selfSigned(t)
	if _, err := Join(within(t), e, "agent-2", "agent"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a coordinator that another authority signed: %v", err)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestEndpointEnvironment(t *testing.T) {
	want := Endpoint{URL: "tls://198.51.100.7:4222", Token: "t", Run: "r", CA: "pem"}
	for _, kv := range want.Env() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	if got, err := EndpointFromEnv(); err != nil || got != want {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
	if _, err := EndpointFromEnv(); err != ErrNoHub {
		t.Errorf("a second time: %v, want ErrNoHub: grandchildren must not inherit the token", err)
	}
	for _, tc := range []struct {
		why  string
		e    Endpoint
		want string
	}{
		{"a scheme that NATS has not", Endpoint{URL: "http://host:1", Run: "r"}, "not one of unix, nats, tls"},
		{"no port or host", Endpoint{URL: "nats://", Run: "r"}, "host:port"},
		{"a socket without a path", Endpoint{URL: "unix://", Run: "r"}, "unix:///absolute/path"},
		{"a run with a dot, which separates subjects", Endpoint{URL: "nats://h:1", Run: "a.b"}, "'.' is not allowed"},
		{"an authority without TLS", Endpoint{URL: "nats://h:1", Run: "r", CA: "pem"}, "needs tls://"},
	} {
		if err := tc.e.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.why, err, tc.want)
		}
	}
}

func TestClockPrefersTheShortestRoundTrip(t *testing.T) {
	base := time.Unix(1420070400, 0)
	var c Clock
	for _, x := range []struct{ out, back time.Duration }{{40 * time.Millisecond, 2 * time.Millisecond}, {time.Millisecond, time.Millisecond}, {3 * time.Millisecond, 90 * time.Millisecond}} {
		// The coordinator's clock is five seconds ahead.
		c.sample(base, base.Add(x.out+5*time.Second), base.Add(x.out+x.back))
	}
	offset, bound := c.Offset()
	if offset != 5*time.Second || bound != time.Millisecond {
		t.Errorf("offset %s within %s, want 5s within 1ms", offset, bound)
	}
	if got := c.Local(base.Add(5 * time.Second)); !got.Equal(base) {
		t.Errorf("the coordinator's %s is our %s, want %s", base.Add(5*time.Second), got, base)
	}
}
