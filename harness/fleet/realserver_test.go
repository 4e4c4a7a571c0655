package fleet

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/results"
)

// needs skips where a real peer is not installed, unless TLSURGE_REQUIRE names it.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if strings.Contains(os.Getenv("TLSURGE_REQUIRE"), program) {
		t.Fatalf("%s is not installed, and TLSURGE_REQUIRE asks for it", program)
	}
	t.Skipf("%s is not installed", program)
}

// TestRealServersStandIn: Debian's nginx as the edges and its HAProxy as the balancer serve the same load,
// started and stopped, killed and restarted as the bundled ones are.
func TestRealServersStandIn(t *testing.T) {
	needs(t, "nginx")
	needs(t, "haproxy")
	s := newStage(t, "agent-1")
	cfg := s.fleetConfig("one")
	cfg.Edge, cfg.Edges, cfg.Balancer = "nginx", 2, "haproxy"
	cfg.Source = "builtin:fl-ssl.conf"
	f, err := Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop(within(t))
	if err := f.Restart(within(t), "edge-2"); err != nil {
		t.Fatal("restart: ", err)
	}
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 1, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	s.play(t, crew, s.phase(t, "one", browserEdges(f.Edges())))
	if err := errors.Join(crew.Stop(within(t)), f.Stop(within(t))); err != nil {
		t.Fatal(err)
	}
	run := s.finish(t)
	if run.Attempts.Failed != 0 || run.Requests.OK == 0 {
		t.Errorf("attempts %+v, requests %+v: want a load without an error", run.Attempts, run.Requests)
	}
	for _, e := range run.Edges {
		if e.Stack != "nginx" || e.PeakEstablished == 0 || e.RSSPeakBytes == 0 {
			t.Errorf("edge %+v: want nginx, connections, memory", e)
		}
	}
	for _, e := range s.ended() {
		if !e.Asked {
			t.Errorf("%s ended on its own: %s", e.Name, e.Why)
		}
	}
	stat, err := os.ReadFile(filepath.Join(s.dir, "balancer", "stat.csv"))
	if err != nil || !strings.Contains(string(stat), "application,app1,") {
		t.Errorf("HAProxy's statistics: %v\n%s", err, stat)
	}
}

// TestHAProxyStandsIn: Debian's HAProxy as the edges, from the same configuration, and its lines about handshakes that
// fail, whose clients it names with their ports.
func TestHAProxyStandsIn(t *testing.T) {
	needs(t, "haproxy")
	s := newStage(t, "agent-1")
	cfg := s.fleetConfig("one")
	cfg.Edge, cfg.Edges, cfg.Source = "haproxy", 2, "builtin:fl-ssl.conf"
	f, err := Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop(within(t))
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 1, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	s.play(t, crew, s.phase(t, "one", browserEdges(f.Edges())))
	var clients []netip.AddrPort
	for _, offer := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		raw, err := net.Dial("tcp", f.Edges()[0].Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: offer, MaxVersion: offer, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}})
		if err := conn.Handshake(); err == nil {
			t.Errorf("version %#x was served", offer)
		}
		clients = append(clients, netip.MustParseAddrPort(raw.LocalAddr().String()))
		raw.Close()
	}
	if err := errors.Join(crew.Stop(within(t)), f.Stop(within(t))); err != nil {
		t.Fatal(err)
	}
	run := s.finish(t)
	if run.Attempts.Failed != 0 || run.Requests.OK == 0 {
		t.Errorf("attempts %+v, requests %+v: want a load without an error", run.Attempts, run.Requests)
	}
	for _, e := range run.Edges {
		if e.Stack != "haproxy" || e.PeakEstablished == 0 || e.RSSPeakBytes == 0 {
			t.Errorf("edge %+v: want haproxy, connections, memory", e)
		}
	}
	if got := run.Edges[0].LogSignatures; got["0A000102"] != 1 || got["0A0000C1"] != 1 {
		t.Errorf("signatures %v: want unsupported protocol and no shared cipher, once each", got)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "edges", "edge-1", "error.log"))
	for _, c := range clients {
		if !strings.Contains(string(text), c.String()) {
			t.Errorf("%v: no line about %v in\n%s", err, c, text)
		}
	}
}

func TestHAProxyLine(t *testing.T) {
	for _, tc := range []struct {
		line string
		want logLine
		ok   bool
	}{
		{`E 127.0.0.1:40000 1421151779 167772533 "SSL handshake failure" "error:0A000175:SSL routines::inappropriate fallback"`,
			logLine{results.LogLine{Level: "info", Code: "0A000175", Reason: "inappropriate fallback"}, time.Unix(1421151779, 0), netip.MustParseAddrPort("127.0.0.1:40000")}, true},
		{`E [::1]:40000 1421151779 0 "Connection closed during SSL handshake" "-"`,
			logLine{results.LogLine{Level: "info", Reason: "Connection closed during SSL handshake"}, time.Unix(1421151779, 0), netip.MustParseAddrPort("[::1]:40000")}, true},
		{`127.0.0.1:40000 [13/Jan/2015:12:22:59.000] edge~ behind/behind 0/0/1/1/2 503 1 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"`, logLine{}, false},
		{"E 127.0.0.1:40000", logLine{}, false},
	} {
		if got, ok := haproxyLine(tc.line); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s\nread as %+v, %v", tc.line, got, ok)
		}
	}
}

func TestNginxThatCannotStart(t *testing.T) {
	needs(t, "nginx")
	s := newStage(t)
	cfg := s.fleetConfig("one")
	cfg.Edge, cfg.Edges = "nginx", 1
	cfg.Set = map[string]string{"ssl_ciphers": "NO-SUCH-CIPHER"}
	_, err := Start(within(t), cfg)
	var se *StartError
	if !errors.As(err, &se) || !se.Config() || !strings.Contains(err.Error(), "no cipher match") {
		t.Errorf("%v, want nginx's own words and a fault of the configuration", err)
	}
}

func TestKindsThatThereAreNot(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, tc := range []struct {
		why    string
		change func(*Config)
		want   string
	}{
		{"an edge that nobody knows", func(c *Config) { c.Edge = "iis" }, `edge = "iis": want bundled, nginx or haproxy`},
		{"a balancer that nobody knows", func(c *Config) { c.Balancer = "f5" }, `balancer = "f5": want bundled, haproxy or none`},
	} {
		s := newStage(t)
		cfg := s.fleetConfig("one")
		tc.change(&cfg)
		_, err := Start(within(t), cfg)
		var se *StartError
		if !errors.As(err, &se) || !se.Config() || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.why, err, tc.want)
		}
	}
	if _, err := realServer("edge", "no-such-server"); !errors.Is(err, faults.ErrUnsupported) {
		t.Errorf("a program that is not installed: %v", err)
	}
}

func TestAdaptNginx(t *testing.T) {
	tree, err := nginxconf.Parse("site.conf", []byte(`user www; worker_processes 12; pid x;
		events { worker_connections 50000; }
		http { server { ssl_ciphers HIGH:!aNULL; location / { return 200; } } }`))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(string(adaptNginx(tree, "/run", true, 20000))), " ")
	want := `worker_processes 1; worker_rlimit_nofile 20000; pid /run/nginx.pid; user root root; ` +
		`events { worker_connections 20000; } ` +
		`http { client_body_temp_path /run/tmp/client_body; proxy_temp_path /run/tmp/proxy; fastcgi_temp_path /run/tmp/fastcgi; ` +
		`uwsgi_temp_path /run/tmp/uwsgi; scgi_temp_path /run/tmp/scgi; ` +
		`server { ssl_ciphers HIGH:!aNULL:@SECLEVEL=0; location / { return 200; } } }`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
