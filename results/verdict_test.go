package results

import (
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
)

// healthy gives a collector with one agent, one edge and one balanced phase of ten seconds.
func healthy(t *testing.T, change func(*CollectorConfig, *Snapshot, *PhaseInfo)) *Collector {
	t.Helper()
	cfg := CollectorConfig{Started: epoch, KernelNamespace: "own", Agents: []string{"agent-1"}}
	r := NewRecorder(RecorderConfig{Phase: "act", Agent: "agent-1"})
	for b := range uint32(100) {
		a := Attempt{Key: key(b, 0, 1), Profile: "firefox-35-osx", Edge: "edge-1", Kind: KindFirst, Class: ClassOK, Alert: -1, Stage: "response", HandshakeNs: 1,
			Version: "TLS 1.2", Suite: "S", Asked: "ticket", Issuer: "edge-1", Resumed: "ticket"}
		r.Start(time.Millisecond)
		r.Established(&a)
		r.Closed(ByClient)
		r.Attempt(&a)
		r.PageLoad(a.Profile, Fine)
	}
	s := r.Snapshot()
	s.Final = true
	s.Process = ProcessStats{Host: "h", CPU: 2 * time.Second, GCPauseMax: time.Millisecond}
	info := PhaseInfo{Name: "act"}
	if change != nil {
		change(&cfg, s, &info)
	}
	c, err := NewCollector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.BeginPhase(info, epoch); err != nil {
		t.Fatal(err)
	}
	if err := c.Snapshot(s); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVerdict(t *testing.T) {
	type cfg = CollectorConfig
	outcome := func(class Class, n int64) OutcomeCount {
		return OutcomeCount{OutcomeKey{Profile: "p", Kind: KindFirst, Class: class, Alert: -1}, n}
	}
	for _, row := range []struct {
		why    string
		change func(*CollectorConfig, *Snapshot, *PhaseInfo)
		after  func(*Collector)
		cut    string
		state  State
		reason string // a part of a reason, or of a note where the state is VALID
	}{
		{why: "a balanced run with nothing to say against it", state: Valid},
		{why: "Ctrl-C", cut: "interrupted", state: Invalid, reason: "cut short: interrupted"},
		{why: "an agent that died", after: func(c *Collector) { c.LostAgent("agent-1", "killed by signal 9") }, state: Invalid, reason: "agent-1 was lost: killed by signal 9"},
		{why: "an edge that died", after: func(c *Collector) { c.LostEdge("edge-2", "exit 3") }, state: Invalid, reason: "edge-2 was lost: exit 3"},
		{why: "an agent that never spoke", change: func(c *cfg, _ *Snapshot, _ *PhaseInfo) { c.Agents = append(c.Agents, "agent-2") }, state: Invalid, reason: "agent-2 never reported"},
		{why: "an agent whose last report is not its final one", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) { s.Final = false }, state: Suspect, reason: "the last report of agent-1 on act never came"},
		{why: "attempts that vanish", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) { s.Totals.Started++ }, state: Invalid, reason: "do not balance: 101 started"},
		{why: "requests that come from nowhere", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) { s.Totals.RequestsOK = 5 }, state: Invalid, reason: "requests do not balance: 0 sent"},
		{why: "page loads that vanish", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) { s.Pages[0].Verdict = "perhaps" }, state: Invalid, reason: "page loads of firefox-35-osx"},
		{why: "failures whose evidence never came", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			s.Outcomes = append(s.Outcomes, outcome(ClassReset, 2))
			s.Totals.Started, s.Totals.Failed = 102, 2
		}, state: Suspect, reason: "2 failed attempts were counted whose evidence never came"},
		{why: "ports that ran out", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			s.Outcomes = append(s.Outcomes, outcome(ClassNoResource, 1))
			s.Totals.Started, s.Totals.Failed = 101, 1
		}, after: func(c *Collector) {
			c.Attempts("agent-1", 1, []Attempt{{Key: key(1, 1, 1), Profile: "p", Kind: KindFirst, Class: ClassNoResource, Alert: -1}})
		}, state: Invalid, reason: "want of ports"},
		{why: "a generator somewhat behind its schedule", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			for range 5 {
				s.Lag.Record(int64(300 * time.Millisecond))
			}
		}, state: Suspect, reason: "the generator lagged: 1 in 100 starts was later than 300"},
		{why: "a generator far behind its schedule", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			for range 5 {
				s.Lag.Record(int64(3 * time.Second))
			}
		}, state: Invalid, reason: "could not keep up"},
		{why: "an agent with a core of its own to itself", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) { s.Process.CPU = 9500 * time.Millisecond }, state: Suspect, reason: "used 95 % of a core"},
		{why: "a long stop of the collector, a thousandth of the time", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			s.Process.GCPauseMax, s.Process.GCPaused = 80*time.Millisecond, 90*time.Millisecond
		}, state: Suspect, reason: "agent-1 stopped 80ms for its garbage collector (limit 50ms), and 90ms in all"},
		{why: "a long stop that reaches the lag's p99.9", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			s.Process.GCPauseMax, s.Process.GCPaused = 80*time.Millisecond, time.Millisecond
			for range 1000 {
				s.Lag.Record(int64(time.Millisecond))
			}
			for range 2 {
				s.Lag.Record(int64(70 * time.Millisecond))
			}
		}, state: Suspect, reason: "1 in 1,000 of its starts in act was later than 70"},
		{why: "a long stop that reaches the maximum alone", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			s.Process.GCPauseMax, s.Process.GCPaused = 80*time.Millisecond, time.Millisecond
			for range 2000 {
				s.Lag.Record(int64(time.Millisecond))
			}
			s.Lag.Record(int64(80 * time.Millisecond))
		}, state: Valid, reason: "only a maximum contains it"},
		{why: "an accept queue that overflowed unasked", after: func(c *Collector) { c.Kernel(map[string]int64{"ListenOverflows": 4}) }, state: Suspect, reason: "ListenOverflows is 4"},
		{why: "the same in a namespace that strangers use informs and condemns nothing",
			change: func(c *cfg, _ *Snapshot, _ *PhaseInfo) { c.KernelNamespace = "caller" },
			after:  func(c *Collector) { c.Kernel(map[string]int64{"ListenOverflows": 4}) }, state: Valid, reason: "ListenOverflows is 4"},
		{why: "the same where a rule filled the queue", change: func(_ *cfg, _ *Snapshot, p *PhaseInfo) {
			p.Rules = []faults.Rule{{Name: "q", Action: faults.AcceptQueue}}
		},
			after: func(c *Collector) { c.Kernel(map[string]int64{"ListenOverflows": 4}) }, state: Valid},
		{why: "retransmissions that no fault explains", after: retransmit(1), state: Suspect, reason: "1 retransmissions on connections that no fault hit"},
		{why: "the same where a rule loses packets by chance", change: func(_ *cfg, _ *Snapshot, p *PhaseInfo) { p.Rules = []faults.Rule{{Name: "l", PerPacket: true}} },
			after: retransmit(1), state: Valid},
		{why: "sessions that their own edge forgot", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) { s.Resumptions[0].Hits, s.Resumptions[0].Misses = 90, 10 },
			state: Suspect, reason: "10 of 100 sessions were not resumed by the edge that had issued them (edge-1)"},
		{why: "sessions that another edge does not know are round-robin's doing", change: func(_ *cfg, s *Snapshot, _ *PhaseInfo) {
			s.Resumptions = append(s.Resumptions, ResumptionCount{Issuer: "edge-1", Resumer: "edge-2", Misses: 50})
		}, state: Valid},
	} {
		c := healthy(t, row.change)
		if row.after != nil {
			row.after(c)
		}
		run, err := c.Finish(FinishInfo{At: epoch.Add(10 * time.Second), CutShort: row.cut})
		if err != nil {
			t.Fatal(err)
		}
		v := run.Verdict
		words := v.Reasons
		if row.state == Valid {
			words = v.Notes
		}
		if v.State != row.state || !strings.Contains(strings.Join(words, "\n"), row.reason) {
			t.Errorf("%s: %s %q, notes %q; want %s with %q", row.why, v.State, v.Reasons, v.Notes, row.state, row.reason)
		}
		if row.state == Valid && len(v.Reasons) > 0 || row.state != Valid && len(v.Reasons) != 1 {
			t.Errorf("%s: reasons %q", row.why, v.Reasons)
		}
	}
}

func retransmit(n int) func(*Collector) {
	return func(c *Collector) {
		a := Attempt{Key: key(7, 0, 1), Tuple: tuple(7), Profile: "firefox-35-osx", Kind: KindFirst, Class: ClassOK, Alert: -1, Stage: "response", Retransmits: n, Intended: epoch}
		c.Attempts("agent-1", 0, []Attempt{a})
	}
}

func TestAnUnexplainedFailureIsCounted(t *testing.T) {
	c := healthy(t, func(_ *CollectorConfig, s *Snapshot, _ *PhaseInfo) {
		s.Outcomes = append(s.Outcomes, OutcomeCount{OutcomeKey{"firefox-35-osx", KindFirst, ClassReset, "", -1, "", ""}, 2})
		s.Totals.Started, s.Totals.Failed = 102, 2
	})
	c.Attempts("agent-1", 1, []Attempt{attemptAt(key(1, 1, 1), 1, 0), attemptAt(key(2, 1, 1), 2, 0)})
	c.Firings("relay", 1, []faults.Firing{firingAt("cut", faults.Reset, 1, 0)})
	run, err := c.Finish(FinishInfo{At: epoch.Add(10 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if run.Attempts.Unexplained != 1 || run.Verdict.State != Valid {
		t.Errorf("%d unexplained, %+v", run.Attempts.Unexplained, run.Verdict)
	}
}

// An edge that is stopped for some seconds is no lost one; but who reads of open requests should know of it.
func TestASilentEdgeIsNoted(t *testing.T) {
	c := healthy(t, nil)
	for second := range 9 {
		for _, e := range []string{"edge-1", "edge-2"} {
			seq := uint64(second + 1)
			if e == "edge-2" && second >= 2 && second < 7 {
				seq = 2
			}
			if err := c.Edge(EdgeStats{Name: e, Phase: "act", Seq: seq}); err != nil {
				t.Fatal(err)
			}
		}
		c.Tick(epoch.Add(time.Duration(second+1) * time.Second))
	}
	run, err := c.Finish(FinishInfo{At: epoch.Add(10 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(run.Verdict.Notes, "\n")
	if !strings.Contains(notes, "edge-2 did not report for 5s") || strings.Contains(notes, "edge-1 did not") || run.Verdict.State != Valid {
		t.Errorf("%+v: want a note on edge-2 alone", run.Verdict)
	}
}

// Where nobody is heard of for some seconds it is not the edges' doing: the note says what may have been away.
func TestSilenceOfAllIsNotAnEdges(t *testing.T) {
	c := healthy(t, nil)
	for second := range 9 {
		seq := uint64(second + 1)
		if second >= 2 && second < 7 {
			seq = 2
		}
		for _, e := range []string{"edge-1", "edge-2"} {
			if err := c.Edge(EdgeStats{Name: e, Phase: "act", Seq: seq}); err != nil {
				t.Fatal(err)
			}
		}
		c.Tick(epoch.Add(time.Duration(second+1) * time.Second))
	}
	run, err := c.Finish(FinishInfo{At: epoch.Add(10 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(run.Verdict.Notes, "\n")
	if !strings.Contains(notes, "no agent and no edge was heard of for 5s: the NATS server was away") || strings.Contains(notes, "edge-1") || strings.Contains(notes, "edge-2") {
		t.Errorf("%q: want a note on all of them, and none on an edge", notes)
	}
}
