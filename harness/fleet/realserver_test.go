package fleet

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tlsurge/faults"
	"tlsurge/harness/proxy/nginxconf"
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
		{"an edge that nobody knows", func(c *Config) { c.Edge = "iis" }, `edge = "iis": want bundled or nginx`},
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
