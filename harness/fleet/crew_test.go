package fleet

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlsurge/harness/browser"
	"tlsurge/harness/cluster"
	"tlsurge/harness/pace"
	"tlsurge/results"
)

const serverName = "www.example.test"

// within bounds every wait of these tests; it is not a measure of anything.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// stage is a coordinator without a scenario: a hub, a collector, certificates.
type stage struct {
	dir       string
	hub       *cluster.Hub
	collector *results.Collector
	pki       *PKI

	mu      sync.Mutex
	notices []string
	exits   []Exit
}

func newStage(t *testing.T, agents ...string) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir()}
	var err error
	s.collector, err = results.NewCollector(results.CollectorConfig{Dir: s.dir, Scenario: t.Name(), Seed: 1, Started: time.Now(), Agents: agents})
	if err != nil {
		t.Fatal(err)
	}
	stats, evidence := Collect(s.collector)
	s.hub, err = cluster.StartHub(within(t), cluster.HubConfig{Dir: s.dir, Stats: stats, Evidence: evidence, Notice: func(n cluster.Notice) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notices = append(s.notices, n.Info.ID+" "+string(n.State))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.hub.Close)
	s.pki, err = MakePKI(PKIConfig{Dir: s.dir + "/pki", Names: []string{serverName}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ended lists the exits so far.
func (s *stage) ended() []Exit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.exits)
}

func (s *stage) exit(e Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exits = append(s.exits, e)
}

// phase is a small load on the given edges.
func (s *stage) phase(t *testing.T, name string, edges []browser.Edge) AgentPhase {
	t.Helper()
	ca, err := os.ReadFile(s.pki.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := CurveOf(pace.Constant(40))
	if err != nil {
		t.Fatal(err)
	}
	return AgentPhase{Seed: 1, Phase: name, Edges: edges, ServerName: serverName, CA: ca, Sources: 2, Curve: curve,
		Mix:  []Visitor{{Profile: "firefox-35-osx", Weight: 2}, {Profile: "chrome-40-osx", Weight: 1, Returning: 0.5}},
		Load: browser.Load{Model: browser.Open, Connections: 24, Duration: 1500 * time.Millisecond, Ramp: 300 * time.Millisecond}}
}

func (s *stage) begin(t *testing.T, phase string) {
	t.Helper()
	if err := s.collector.BeginPhase(results.PhaseInfo{Name: phase}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// play runs one phase on a crew.
func (s *stage) play(t *testing.T, crew *Crew, p AgentPhase) {
	t.Helper()
	ctx := within(t)
	if err := s.collector.BeginPhase(results.PhaseInfo{Name: p.Phase, Target: int64(p.Load.Connections), Rules: p.Rules}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := crew.Prepare(ctx, p); err != nil {
		t.Fatal("prepare: ", err)
	}
	if err := crew.Warm(ctx); err != nil {
		t.Fatal("warm: ", err)
	}
	if _, _, err := crew.Start(ctx); err != nil {
		t.Fatal("start: ", err)
	}
	if err := crew.Wait(ctx); err != nil {
		t.Fatal("wait: ", err)
	}
	s.collector.EndPhase(time.Now())
}

func (s *stage) finish(t *testing.T) *results.Run {
	t.Helper()
	run, err := s.collector.Finish(results.FinishInfo{At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// strangersServer is a server that is not ours: crypto/tls and net/http.
func strangersServer(t *testing.T, p *PKI) netip.AddrPort {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }),
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	done := make(chan struct{})
	go func() { defer close(done); srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { srv.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestTwoAgentsPlayAPhaseTogether(t *testing.T) {
	s := newStage(t, "agent-1", "agent-2")
	server := strangersServer(t, s.pki)
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 2, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	s.play(t, crew, s.phase(t, "one", []browser.Edge{{Name: "server", Addr: server}}))
	s.play(t, crew, s.phase(t, "two", []browser.Edge{{Name: "server", Addr: server}}))
	if err := crew.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	run := s.finish(t)
	if run.Attempts.Started != run.Attempts.Completed+run.Attempts.Failed+run.Attempts.OpenAtEnd {
		t.Errorf("attempts do not balance: %+v", run.Attempts)
	}
	if run.Attempts.Failed != 0 || run.Connections.PeakEstablished != 24 || run.Requests.OK == 0 {
		t.Errorf("attempts %+v, connections %+v, requests %+v: want 24 connections held, requests answered, none failed",
			run.Attempts, run.Connections, run.Requests)
	}
	for _, a := range run.Agents {
		if a.Lost || a.CPUNs <= 0 || a.RSSPeakBytes <= 0 {
			t.Errorf("agent %+v: want it there to the end, with what it used", a)
		}
	}
	for _, e := range s.ended() {
		if !e.Asked || !strings.Contains(e.Why, "exit status 0") {
			t.Errorf("exit %+v, want 0 and asked for", e)
		}
	}
}

func TestAKilledAgentIsLostAndTheRestGoesOn(t *testing.T) {
	s := newStage(t, "agent-1", "agent-2")
	server := strangersServer(t, s.pki)
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 2, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	p := s.phase(t, "one", []browser.Edge{{Name: "server", Addr: server}})
	s.begin(t, p.Phase)
	ctx := within(t)
	for _, step := range []func() error{
		func() error { return crew.Prepare(ctx, p) },
		func() error { return crew.Warm(ctx) },
		func() error { _, _, err := crew.Start(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	victim := crew.processes[1]
	victim.signal(os.Kill)
	<-victim.done
	if err := crew.Wait(ctx); err != nil {
		t.Errorf("the phase ended with %v, want it to go on without the lost agent", err)
	}
	if ids := crew.IDs(); !slices.Equal(ids, []string{"agent-1"}) {
		t.Errorf("the crew is %q", ids)
	}
	if !slices.ContainsFunc(s.ended(), func(e Exit) bool { return e.Name == "agent-2" && !e.Asked && strings.Contains(e.Why, "killed") }) {
		t.Errorf("exits %+v: want agent-2's, with the signal", s.ended())
	}
	s.play(t, crew, s.phase(t, "two", []browser.Edge{{Name: "server", Addr: server}}))
	s.collector.LostAgent("agent-2", "killed")
	if run := s.finish(t); run.Attempts.Completed+run.Attempts.OpenAtEnd == 0 {
		t.Errorf("nothing of the run was kept: %+v", run.Attempts)
	}
}

func TestAnAgentFromElsewhereJoinsLate(t *testing.T) {
	s := newStage(t, "agent-1", "laptop")
	server := strangersServer(t, s.pki)
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 1, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	edges := []browser.Edge{{Name: "server", Addr: server}}
	s.play(t, crew, s.phase(t, "one", edges))

	ctx, leave := context.WithCancel(within(t))
	left := make(chan error, 1)
	go func() { left <- RunAgent(ctx, s.hub.Endpoint(), "laptop") }()
	if err := crew.Join(within(t), 1); err != nil {
		t.Fatal(err)
	}
	s.play(t, crew, s.phase(t, "two", edges))
	leave()
	if err := <-left; err != nil {
		t.Errorf("the agent left with %v", err)
	}
	s.play(t, crew, s.phase(t, "three", edges))

	go func() { left <- RunAgent(within(t), s.hub.Endpoint(), "laptop") }()
	if err := crew.Join(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := crew.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-left; err != nil {
		t.Errorf("let go with the run, the agent ended with %v", err)
	}
	run := s.finish(t)
	for _, a := range run.Agents {
		if a.Connections == 0 {
			t.Errorf("%s held no connection in any phase", a.ID)
		}
	}
	if run.Attempts.Failed != 0 {
		t.Errorf("attempts %+v", run.Attempts)
	}
}

func TestAPhaseThatCannotBePreparedSaysWhy(t *testing.T) {
	s := newStage(t, "agent-1")
	crew, err := StartAgents(within(t), AgentsConfig{Hub: s.hub, N: 1, Notice: s.exit})
	if err != nil {
		t.Fatal(err)
	}
	defer crew.Stop(within(t))
	p := s.phase(t, "one", []browser.Edge{{Name: "server", Addr: netip.MustParseAddrPort("127.0.0.1:1")}})
	p.Mix = []Visitor{{Profile: "netscape-4", Weight: 1}}
	if err := crew.Prepare(within(t), p); err == nil || !strings.Contains(err.Error(), "netscape-4") {
		t.Errorf("an unknown profile: %v", err)
	}
	if _, _, err := crew.Start(within(t)); err == nil || !strings.Contains(err.Error(), "no phase is prepared") {
		t.Errorf("a start without a phase: %v", err)
	}
}
