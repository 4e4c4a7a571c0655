package results_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
	"tlsurge/results/hist"
)

var rewrite = flag.Bool("rewrite", false, "write the stored runs anew; then read the diff")

// stored is a run directory that the collector wrote, kept as input of the report's and the
// comparison's golden tests.
const stored = "testdata/january-2015"

func TestStoredRunIsWhatTheCollectorWrites(t *testing.T) {
	dir := mkdir(t)
	play(t, dir, 42)
	for _, name := range []string{results.RunFile, results.OutcomesFile, results.FiringsFile, results.LatencyFile} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(stored, name)
		if *rewrite {
			if err := os.MkdirAll(stored, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from the stored one; if that is meant: go test ./results -rewrite", name)
		}
	}
}

// TestEqualInputsGiveEqualBytes: the order of maps, of messages and of rows must not show.
func TestEqualInputsGiveEqualBytes(t *testing.T) {
	a, b, c := mkdir(t), mkdir(t), mkdir(t)
	play(t, a, 42)
	play(t, b, 42)
	other := play(t, c, 43)
	for _, name := range []string{results.RunFile, results.OutcomesFile, results.FiringsFile, results.LatencyFile} {
		pa, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		pb, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pa, pb) {
			t.Errorf("%s differs between two runs of one seed", name)
		}
	}
	same, err := results.LoadRun(a)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(same.Outcomes)
	y, _ := json.Marshal(other.Outcomes)
	if !bytes.Equal(x, y) {
		t.Error("the outcome table depends on times, which are all that the seed changes here")
	}
}

// TestEverythingAddsUp holds the tables of a run against each other and against its files.
func TestEverythingAddsUp(t *testing.T) {
	dir := mkdir(t)
	run := play(t, dir, 42)
	var outcomes, failed, sawError, worded, fired int64
	for _, o := range run.Outcomes {
		outcomes += o.Count
		if o.Class != results.ClassOK {
			failed += o.Count
			if o.Fault == "" {
				t.Errorf("unexplained: %+v", o)
			}
		}
	}
	if outcomes != run.Attempts.Started || failed != run.Attempts.Failed || failed == 0 {
		t.Errorf("outcomes %d (failed %d), attempts %+v", outcomes, failed, run.Attempts)
	}
	for _, u := range run.Users {
		sawError += u.SawError
		for _, n := range u.Errors {
			worded += n
		}
	}
	if sawError != worded || sawError == 0 {
		t.Errorf("%d page loads ended in an error, %d in words", sawError, worded)
	}
	var walked int64
	for _, c := range run.Chains {
		if c.Verdict == results.SawError {
			walked += c.Count
		}
	}
	if walked != sawError {
		t.Errorf("%d errors, %d at the end of a chain", sawError, walked)
	}
	firings, cut, err := results.ReadFirings(filepath.Join(dir, results.FiringsFile))
	if err != nil || cut {
		t.Fatal(err, cut)
	}
	for _, f := range run.Faults {
		fired += f.Fired
	}
	if int(fired) != len(firings) {
		t.Errorf("%d fired, %d in the ledger", fired, len(firings))
	}
	for _, f := range firings {
		if !f.HasKey {
			t.Errorf("a firing without its attempt: %+v", f)
		}
	}
	if run.Verdict.State != results.Valid {
		t.Errorf("verdict %+v", run.Verdict)
	}
	sums := map[string]*hist.Histogram{}
	log, err := os.Open(filepath.Join(dir, results.LatencyFile))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	intervals, cut, err := hist.ReadLog(log)
	if err != nil || cut {
		t.Fatal(err, cut)
	}
	for _, in := range intervals {
		_, name, _ := strings.Cut(in.Tag, "/")
		if sums[name] == nil {
			sums[name] = hist.New()
		}
		sums[name].Merge(in.Histogram)
	}
	for _, name := range []string{"tcp_connect", "handshake", "first_byte", "response"} {
		for _, mode := range []string{"response_time", "service_time"} {
			p, h := run.Latency[name][mode], sums[name+"."+mode]
			if h == nil || h.Count() != p.Count || h.Quantile(0.99) != p.P99Ns || h.Max() != p.MaxNs {
				t.Errorf("%s.%s: run.json has %+v, latency.hlog adds up to something else", name, mode, p)
			}
		}
	}
}

// fed is a collector in a directory with one phase begun.
func fed(t *testing.T) (*results.Collector, string, time.Time) {
	t.Helper()
	dir, start := mkdir(t), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c, err := results.NewCollector(results.CollectorConfig{Dir: dir, Scenario: "s", Started: start, KernelNamespace: "own", Agents: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.BeginPhase(results.PhaseInfo{Name: "p"}, start); err != nil {
		t.Fatal(err)
	}
	return c, dir, start
}

func TestARunThatIsKilledLeavesWhatItHad(t *testing.T) {
	c, dir, start := fed(t)
	r := results.NewRecorder(results.RecorderConfig{Phase: "p", Agent: "a"})
	bad := goodAttempt(1)
	bad.Class, bad.Intended = results.ClassReset, start
	r.Start(0)
	r.Attempt(bad)
	if err := c.Snapshot(r.Snapshot()); err != nil {
		t.Fatal(err)
	}
	e, _ := r.TakeEvidence()
	if _, err := c.Evidence(e); err != nil {
		t.Fatal(err)
	}
	if err := c.Tick(start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	// No Finish: the coordinator was killed here.
	run, err := results.LoadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !run.Unfinished() || run.Verdict.State != results.Invalid || run.Attempts.Failed != 1 {
		t.Errorf("verdict %+v, attempts %+v", run.Verdict, run.Attempts)
	}
	attempts, cut, err := results.ReadAttempts(filepath.Join(dir, results.OutcomesFile))
	if err != nil || cut || len(attempts) != 1 || attempts[0].Class != results.ClassReset {
		t.Errorf("outcomes.jsonl: %v, cut %v, %v", attempts, cut, err)
	}
}

func TestRepeatedAndLateMessagesDoNoHarm(t *testing.T) {
	c, _, start := fed(t)
	r := results.NewRecorder(results.RecorderConfig{Phase: "p", Agent: "a"})
	early := r.Snapshot()
	bad := goodAttempt(1)
	bad.Class = results.ClassEOF
	r.Start(0)
	r.Latency(results.Handshake, time.Millisecond, time.Millisecond)
	r.Attempt(bad)
	late := r.Snapshot()
	e, _ := r.TakeEvidence()
	for range 3 {
		if err := c.Snapshot(late); err != nil {
			t.Fatal(err)
		}
		if err := c.Snapshot(early); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []bool{true, false, false} {
		if fresh, err := c.Evidence(e); fresh != want || err != nil {
			t.Errorf("batch %d: fresh %v, %v", i, fresh, err)
		}
	}
	firing := []faults.Firing{{Rule: "cut", Key: bad.Key, HasKey: true, Time: start}}
	for range 2 { // two sources may use one number
		if _, err := c.Firings("relay", 1, firing); err != nil {
			t.Fatal(err)
		}
	}
	if fresh, _ := c.Firings("edge-1", 1, firing); !fresh {
		t.Error("the first batch of another source was taken for a repetition")
	}
	run, err := c.Finish(results.FinishInfo{At: start.Add(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if run.Attempts.Failed != 1 || run.Latency["handshake"]["response_time"].Count != 1 || len(run.Outcomes) != 1 || run.Outcomes[0].Count != 1 || run.Faults[0].Fired != 2 {
		t.Errorf("attempts %+v, outcomes %+v, faults %+v", run.Attempts, run.Outcomes, run.Faults)
	}
	if _, err := c.Finish(results.FinishInfo{At: start}); err == nil {
		t.Error("finished twice")
	}
}

func TestACollectorRefuses(t *testing.T) {
	c, dir, start := fed(t)
	if err := c.BeginPhase(results.PhaseInfo{Name: "p"}, start); err == nil {
		t.Error("a phase was begun twice")
	}
	if err := c.Snapshot(&results.Snapshot{Phase: "q", Agent: "a"}); err == nil || !strings.Contains(err.Error(), `"q"`) {
		t.Errorf("a snapshot of a phase that was not begun: %v", err)
	}
	if err := c.Edge(results.EdgeStats{Phase: "q", Name: "edge-1"}); err == nil {
		t.Error("an edge's report of a phase that was not begun was taken")
	}
	before, _ := os.ReadFile(filepath.Join(dir, results.RunFile))
	if _, err := results.NewCollector(results.CollectorConfig{Dir: dir, Started: start}); err == nil {
		t.Error("a second run was begun in one directory")
	}
	if after, _ := os.ReadFile(filepath.Join(dir, results.RunFile)); !bytes.Equal(before, after) {
		t.Error("the run that was there has been overwritten")
	}
}

func TestADirectoryThatCannotBeWrittenEndsTheRunWithTheReason(t *testing.T) {
	c, dir, start := fed(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Tick(start.Add(time.Second)); err == nil || c.Err() == nil {
		t.Fatal("nothing was written, and nothing was said")
	}
	run, err := c.Finish(results.FinishInfo{At: start.Add(2 * time.Second)})
	if err == nil || run == nil || run.Verdict.State != results.Invalid || !strings.Contains(strings.Join(run.Verdict.Reasons, " "), dir) {
		t.Errorf("%v, %+v", err, run)
	}
}

func TestPhaseStartedLeavesTheWarmUpOut(t *testing.T) {
	c, _, start := fed(t)
	if err := c.Tick(start.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	c.PhaseStarted(start.Add(1500 * time.Millisecond))
	r := results.NewRecorder(results.RecorderConfig{Phase: "p", Agent: "a"})
	if err := c.Snapshot(r.Snapshot()); err != nil {
		t.Fatal(err)
	}
	if err := c.Tick(start.Add(2500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	c.EndPhase(start.Add(2500 * time.Millisecond))
	run, err := c.Finish(results.FinishInfo{At: start.Add(3 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if p := run.Phases[0]; p.StartedNs != 15e8 || p.DurationNs != 1e9 {
		t.Errorf("phase %+v", p)
	}
	if len(run.Timeline) != 1 || run.Timeline[0].LengthNs != 1e9 {
		t.Errorf("timeline %+v", run.Timeline)
	}
}

func TestLive(t *testing.T) {
	c, _, _ := fed(t)
	r := results.NewRecorder(results.RecorderConfig{Phase: "p", Agent: "a"})
	r.Start(0)
	r.Start(0)
	r.Established(goodAttempt(1))
	r.PageLoad("firefox-35-osx", results.Fine)
	if err := c.Snapshot(r.Snapshot()); err != nil {
		t.Fatal(err)
	}
	l, ok := c.Live()
	if !ok || l.Phase != "p" || l.Totals.Established != 1 || l.InHandshake != 1 || l.Pages[results.Fine] != 1 {
		t.Errorf("%v %+v", ok, l)
	}
}

// TestALateFinalReportStillCounts: the last report travels as evidence and what follows it as statistics,
// so the two may change places on the way.
func TestALateFinalReportStillCounts(t *testing.T) {
	for _, order := range [][]uint64{{1, 2}, {2, 1}} {
		c, err := results.NewCollector(results.CollectorConfig{Scenario: "t", Started: time.Unix(0, 0), Agents: []string{"agent-1"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.BeginPhase(results.PhaseInfo{Name: "one"}, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		for _, seq := range order {
			s := &results.Snapshot{Phase: "one", Agent: "agent-1", Seq: seq, Final: seq == 1, Totals: results.Totals{Started: 1, OpenAtEnd: 1}}
			if err := c.Snapshot(s); err != nil {
				t.Fatal(err)
			}
		}
		run, err := c.Finish(results.FinishInfo{At: time.Unix(10, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(run.Verdict.Reasons, " "), "never came") {
			t.Errorf("reports in the order %v: %+v", order, run.Verdict)
		}
	}
}
