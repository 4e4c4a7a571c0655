package fleet

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/harness/browser"
	"tlsurge/harness/cluster"
)

func (s *stage) fleetConfig(phase string) Config {
	return Config{Dir: s.dir, Hub: s.hub, PKI: s.pki, Phase: phase, Seed: 1, Edges: 3, Stack: "openssl-1.0.1j", Balancer: "bundled", Notice: s.exit}
}

func browserEdges(edges []Edge) []browser.Edge {
	var out []browser.Edge
	for _, e := range edges {
		out = append(out, browser.Edge{Name: e.Name, Addr: e.Addr})
	}
	return out
}

// TestThreeEdgesServeTwoAgents is the whole drive below the scenario: application, balancer and three
// edges behind, two agents before, one phase.
func TestThreeEdgesServeTwoAgents(t *testing.T) {
	s := newStage(t, "agent-1", "agent-2")
	f, err := Start(within(t), s.fleetConfig("one"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop(within(t))
	if n := len(f.Edges()); n != 3 || f.Edges()[2].Addr.Addr().String() != "127.0.0.13" {
		t.Fatalf("edges %v, want three from 127.0.0.11 on", f.Edges())
	}
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 2, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	s.play(t, crew, s.phase(t, "one", browserEdges(f.Edges())))
	if err := errors.Join(crew.Stop(within(t)), f.Stop(within(t))); err != nil {
		t.Fatal(err)
	}
	run := s.finish(t)
	if run.Attempts.Failed != 0 || run.Requests.OK == 0 || run.Attempts.Started != run.Attempts.Completed+run.Attempts.OpenAtEnd {
		t.Errorf("attempts %+v, requests %+v: want a load without an error", run.Attempts, run.Requests)
	}
	if len(run.Edges) != 3 {
		t.Errorf("%d edges in the results, want 3", len(run.Edges))
	}
	for _, e := range run.Edges {
		if e.Handshakes == 0 || e.Stack != "openssl-1.0.1j" || e.RSSPeakBytes == 0 || e.CPUNs == 0 {
			t.Errorf("edge %+v: want handshakes, its stack, and what it used", e)
		}
	}
	for _, e := range s.ended() {
		if !e.Asked || !strings.Contains(e.Why, "exit status 0") {
			t.Errorf("exit %+v, want 0 and asked for", e)
		}
	}
	for _, name := range []string{"edge-1", "edge-2", "edge-3"} {
		if info, err := os.Stat(filepath.Join(s.dir, "edges", name, "access.log")); err != nil || info.Size() == 0 {
			t.Errorf("%s: access log: %v", name, err)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.12:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tc := range []struct {
		why    string
		change func(*Config)
		want   []string
	}{
		{"a port in use", func(c *Config) { c.Port = taken.Addr().(*net.TCPAddr).Port }, []string{"edge-2", taken.Addr().String(), "in use"}},
		{"a stack that nobody wrote", func(c *Config) { c.Stack = "openssl-9" }, []string{"openssl-9", "openssl-1.0.1j"}},
		{"a directive that nobody knows", func(c *Config) { c.Set = map[string]string{"ssl_protocol": "TLSv1"} }, []string{"ssl_protocol"}},
		{"a configuration file that is not there", func(c *Config) { c.Source = "/nonexistent/fl-ssl.conf" }, []string{"/nonexistent/fl-ssl.conf"}},
		{"no edges", func(c *Config) { c.Edges = 0 }, []string{"1 to 64"}},
	} {
		s := newStage(t)
		cfg := s.fleetConfig("one")
		tc.change(&cfg)
		f, err := Start(within(t), cfg)
		if err == nil {
			f.Stop(within(t))
			t.Errorf("%s: the fleet started", tc.why)
			continue
		}
		var se *StartError
		if !errors.As(err, &se) || !se.Config() {
			t.Errorf("%s: %v (%T), want a StartError that blames the configuration", tc.why, err, err)
		}
		for _, word := range tc.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not say %q", tc.why, err, word)
			}
		}
		for _, e := range s.ended() {
			if e.Role != RoleEdge && !e.Asked {
				t.Errorf("%s: %s ended on its own: %s", tc.why, e.Name, e.Why)
			}
		}
	}
}

func TestKillPauseRestart(t *testing.T) {
	s := newStage(t)
	cfg := s.fleetConfig("one")
	cfg.Edges = 2
	s.begin(t, "one")
	f, err := Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop(within(t))
	addr := f.Edges()[0].Addr.String()
	connects := func() error {
		c, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}

	first := f.edges[0].process
	if err := f.Restart(within(t), "edge-1"); err != nil {
		t.Fatal(err)
	}
	if f.edges[0].process == first || connects() != nil {
		t.Errorf("after a restart: the same process, or nobody listens (%v)", connects())
	}
	if err := s.hub.Wait(within(t), "edge-1"); err != nil {
		t.Errorf("the new edge is not in the cluster: %v", err)
	}

	if err := f.Pause(within(t), "edge-1", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Ask[none](within(t), s.hub, "edge-1", "begin", cluster.StartAt{At: time.Now()}); err != nil {
		t.Errorf("after a pause: %v", err)
	}

	if err := f.Kill("edge-1"); err != nil {
		t.Fatal(err)
	}
	if err := connects(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after a kill: %v, want connection refused", err)
	}
	if err := f.Kill("edge-9"); err == nil || !strings.Contains(err.Error(), "edge-9") {
		t.Errorf("an edge that is not there: %v", err)
	}
	if err := f.Stop(within(t)); err != nil {
		t.Error(err)
	}
}

// TestAStoppedEdgeIsStoppedForGood: SIGTERM does not reach a stopped process, and Stop ends it all the same.
func TestAStoppedEdgeIsStoppedForGood(t *testing.T) {
	s := newStage(t)
	cfg := s.fleetConfig("one")
	cfg.Edges = 1
	s.begin(t, "one")
	f, err := Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := f.edges[0].process
	p.signal(syscall.SIGSTOP)
	if err := f.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	default:
		t.Error("the edge outlived its fleet")
	}
	if !slices.ContainsFunc(s.ended(), func(e Exit) bool { return e.Name == "edge-1" && e.Asked }) {
		t.Errorf("exits %+v", s.ended())
	}
}

func TestPlanAgents(t *testing.T) {
	limits := Limits{Files: 20_000, Cores: 2}
	for _, tc := range []struct {
		why   string
		shape Shape
		want  int // 0: unsupported
		says  string
	}{
		{"a small load needs one agent", Shape{Connections: 100, Edges: 3}, 1, ""},
		{"a larger one takes the cores there are", Shape{Connections: 5_000, Edges: 3}, 2, ""},
		{"the thread's peak: 39,000 over three agents", Shape{Connections: 39_000, Edges: 3}, 3, ""},
		{"relays open two more files for each connection", Shape{Connections: 39_000, Edges: 3, Relayed: 10_000}, 4, ""},
		{"a hundred thousand on seven edges", Shape{Connections: 100_000, Edges: 7}, 6, ""},
		{"a hundred thousand on three edges", Shape{Connections: 100_000, Edges: 3}, 0, "ulimit -n 41967"},
		{"a target that is not ours has limits of its own", Shape{Connections: 100_000}, 6, ""},
		{"fewer agents than files allow", Shape{Connections: 39_000, Edges: 3, Agents: 1}, 0, "run.agents = 2"},
	} {
		got, err := PlanAgents(tc.shape, limits)
		if (err != nil) != (tc.want == 0) || got != tc.want || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %d agents (%v), want %d %s", tc.why, got, err, tc.want, tc.says)
		}
	}
}

// TestAFleetLeavesNoFilesOpen: whatever the coordinator opened for its children is closed with them.
func TestAFleetLeavesNoFilesOpen(t *testing.T) {
	s := newStage(t)
	s.begin(t, "one")
	open := func() int {
		t.Helper()
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	var before int
	for round := range 3 {
		f, err := Start(within(t), s.fleetConfig("one"))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Stop(within(t)); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			before = open() // the runtime's own are open now
		}
	}
	// The hub closes a member's connection a moment after the member itself has.
	for deadline := time.Now().Add(5 * time.Second); open() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if after := open(); after > before {
		t.Errorf("%d files open after three fleets, %d after one", after, before)
	}
}
