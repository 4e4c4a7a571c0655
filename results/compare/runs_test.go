package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/results"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; then read the diff")

const stored = "../testdata/january-2015"

func storedRun(t *testing.T) *results.Run {
	t.Helper()
	run, err := results.LoadRun(stored)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

var sides int // made so far: no two begin at the same second

// rounds writes n run directories under one, each the stored run as change leaves it.
func rounds(t *testing.T, n int, change func(i int, run *results.Run)) string {
	t.Helper()
	dir := t.TempDir()
	sides++
	for i := range n {
		run := storedRun(t)
		run.Seed = uint64(i)
		run.Digests = map[string]string{"scenario": "a2015"}
		run.Started = run.Started.Add(time.Duration(i)*time.Hour + time.Duration(sides)*time.Second)
		change(i, run)
		inner := filepath.Join(dir, fmt.Sprintf("round-%02d", i))
		if err := os.Mkdir(inner, 0o700); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := run.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(inner, results.RunFile), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// jitter makes rounds differ as those of a quiet machine do, and plants a change of processor time.
func jitter(seed uint64, cpu float64) func(int, *results.Run) {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(_ int, run *results.Run) {
		for _, metric := range slices.Sorted(maps.Keys(run.Latency)) {
			p := run.Latency[metric]["response_time"]
			f := 1 + 0.01*rng.NormFloat64()
			p.P50Ns, p.P99Ns = int64(float64(p.P50Ns)*f), int64(float64(p.P99Ns)*f)
			run.Latency[metric]["response_time"] = p
		}
		for i := range run.Edges {
			run.Edges[i].CPUNs = int64(float64(run.Edges[i].CPUNs) * cpu * (1 + 0.01*rng.NormFloat64()))
		}
		run.Requests.PerS *= 1 + 0.01*rng.NormFloat64()
	}
}

func side(t *testing.T, path string) *Side {
	t.Helper()
	s, err := LoadSide(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRunsAgainstRuns(t *testing.T) {
	base := side(t, rounds(t, 10, jitter(1, 1)))
	same := Runs(base, side(t, rounds(t, 10, jitter(2, 1))), Options{})
	if same.Decision != Same || len(same.Differences) > 0 {
		t.Errorf("equal builds: %s, %v\n%s", same.Decision, same.Differences, Text(same))
	}
	slow := func(i int, run *results.Run) {
		jitter(uint64(100+i), 1.15)(i, run)
		run.Users[0].SawError += 20
		run.Users[0].Fine -= 20
	}
	worse := Runs(base, side(t, rounds(t, 10, slow)), Options{})
	got := map[string]Decision{}
	for _, row := range worse.Rows {
		got[row.Name] = row.Decision
	}
	if worse.Decision != Regressed || got["edge.cpu_per_handshake"] != Regressed || got["users.saw_error[chrome-39-win7]"] != Regressed || got["latency.handshake.p50"] != Same {
		t.Errorf("a slower build: %s, %v", worse.Decision, got)
	}
	for file, p := range map[string][]byte{"regressed.txt": Text(worse), "regressed.md": Markdown(worse)} {
		golden(t, file, p)
	}
	for _, line := range strings.Split(string(Text(worse)), "\n") {
		if strings.HasPrefix(line, "metric") && len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; if that is meant: go test ./results/compare -rewrite\n%s", name, got)
	}
}

func TestOneRunEachSupportsOnlyShares(t *testing.T) {
	s := side(t, stored)
	r := Runs(s, s, Options{})
	for _, row := range r.Rows {
		if row.Unit != "share" && (row.Decision != Unsure || row.NeedRounds < 4) {
			t.Errorf("%s: %s, %d rounds needed", row.Name, row.Decision, row.NeedRounds)
		}
	}
	if r.Decision == Regressed {
		t.Error("a run regressed against itself")
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	of := func(runs ...*results.Run) *Side { return &Side{Runs: runs} }
	a, b := storedRun(t), storedRun(t)
	a.Digests, b.Digests = map[string]string{"scenario": "aa"}, map[string]string{"scenario": "aa"}
	if d := Differences(of(a), of(b)); len(d) != 0 {
		t.Errorf("equal runs differ in %q", d)
	}
	b.Scenario, b.Seed, b.Machine.CPUs, b.Machine.Kernel, b.ToolVersion = "peak-39k", 7, 64, "7.0", "0.2.0"
	b.Digests = map[string]string{"scenario": "bb", "fleet.config": "cc"}
	d := strings.Join(Differences(of(a), of(b)), "\n")
	for _, want := range []string{"scenario: january-2015 against peak-39k", "seed: 42 against 7", "CPU: 2 × a laptop against 64 × a laptop", "kernel: ", "tool version: 0.1.0 against 0.2.0",
		"digest of the scenario: aa against bb", "the file of fleet.config: none against cc"} {
		if !strings.Contains(d, want) {
			t.Errorf("%q is not in %q", want, d)
		}
	}
	if d := Differences(of(a, b), of(a, b)); !strings.Contains(strings.Join(d, "\n"), "scenario differs within both sides") {
		t.Errorf("mixed sides: %q", d)
	}
	a.Digests = nil
	if notes := Runs(of(a), of(b), Options{}).Notes; len(notes) != 1 || !strings.Contains(notes[0], "is unknown") {
		t.Errorf("an old run.json alone: %q", notes)
	}
}

// TestKeysOfAScenarioAreNamed: a scenario of the same name with other parameters is another scenario.
func TestKeysOfAScenarioAreNamed(t *testing.T) {
	const text = "name = \"x\"\nseed = 1\n[load]\nduration = \"20s\"\nramp = \"2s\"\n[[browsers]]\nprofile = \"firefox-35-osx\"\nshare = 1.0\n" +
		"[[faults]]\nname = \"cut\"\nprobability = 0.1\nwho = { edge = \"edge-2\" }\n[thresholds]\n\"requests.ok\" = \"> 1\"\n"
	with := func(change ...string) *Side {
		dir := rounds(t, 1, func(int, *results.Run) {})
		file := filepath.Join(dir, "round-00", scenarioFile)
		if err := os.WriteFile(file, []byte(strings.NewReplacer(change...).Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
		return side(t, dir)
	}
	for _, row := range []struct{ why, from, to, want string }{
		{"nothing", "", "", ""},
		{"another seed is said by run.json, a threshold changes no run", "seed = 1", "seed = 2", ""},
		{"a threshold", "> 1", "> 2", ""},
		{"another duration", "20s", "40s", "load.duration: 20s against 40s"},
		{"another ramp", `ramp = "2s"`, `ramp = "3s"`, "load.ramp: 2s against 3s"},
		{"another parameter of a fault", "0.1", "0.2", "faults.cut.probability: 0.1 against 0.2"},
		{"whom it hits", "edge-2", "edge-1", "faults.cut.who.edge: edge-2 against edge-1"},
		{"another browser", "firefox-35-osx", "chrome-40-osx", "browsers.chrome-40-osx.profile: absent against chrome-40-osx"},
	} {
		d := strings.Join(Differences(with("\x00", ""), with(row.from+" ", row.to+" ", row.from, row.to)), "\n")
		if row.want == "" && d != "" || !strings.Contains(d, row.want) {
			t.Errorf("%s: %q, want %q", row.why, d, row.want)
		}
	}
}

func TestARunComparedWithItselfIsSaid(t *testing.T) {
	s := side(t, stored)
	if r := Runs(s, s, Options{}); r.Decision != Unsure || !strings.Contains(string(Text(r)), "compares a run with itself") {
		t.Errorf("%s\n%s", r.Decision, Text(r))
	}
	others := side(t, rounds(t, 5, jitter(1, 1)))
	some := &Side{Path: others.Path, Runs: others.Runs[:3]}
	if notes := Runs(some, others, Options{}).Notes; len(notes) != 1 || !strings.HasPrefix(notes[0], "3 of 3 runs of BASE are in NEW too") {
		t.Errorf("%q", notes)
	}
}

// TestAMetricOfOneSideIsAbsent, not zero.
func TestAMetricOfOneSideIsAbsent(t *testing.T) {
	base := side(t, rounds(t, 4, jitter(1, 1)))
	candidate := side(t, rounds(t, 4, func(i int, run *results.Run) {
		jitter(2, 1)(i, run)
		delete(run.Latency, "handshake")
		run.Started = run.Started.Add(time.Minute)
		run.Users = run.Users[1:]
	}))
	text := string(Text(Runs(base, candidate, Options{})))
	for _, want := range []string{"latency.handshake.p50 ", "absent in the new side", "absent"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "latency.handshake.p50") && !strings.Contains(line, "absent        -  unsure") {
			t.Errorf("%s", line)
		}
	}
}

func TestLoadSideRefuses(t *testing.T) {
	invalid := rounds(t, 2, func(i int, run *results.Run) {
		run.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"an agent was lost"}}
	})
	half := rounds(t, 2, func(i int, run *results.Run) {
		if i == 0 {
			run.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"an agent was lost"}}
		}
	})
	cut := rounds(t, 2, jitter(1, 1))
	file := filepath.Join(cut, "round-01", results.RunFile)
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, p[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ why, path, says string }{
		{"a path that is not there", filepath.Join(t.TempDir(), "x"), "no such file"},
		{"an empty directory", t.TempDir(), "not a run of tlsurge"},
		{"INVALID runs alone", invalid, "an agent was lost"},
		{"a run among others that was cut off", cut, "cut off"},
	} {
		_, err := LoadSide(row.path)
		var input *results.InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.why, err)
		}
	}
	if s := side(t, half); len(s.Runs) != 1 || len(s.LeftOut) != 1 || len(Runs(s, s, Options{}).Notes) == 0 {
		t.Errorf("a side that is half INVALID: %d runs, left out %q", len(s.Runs), s.LeftOut)
	}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.jsonl")
	change, slower := jitter(7, 1), jitter(8, 1.3)
	for i := range 20 {
		r := storedRun(t)
		r.Started = r.Started.Add(time.Duration(i) * 24 * time.Hour)
		if i < 12 {
			change(i, r)
		} else {
			slower(i, r)
		}
		if i == 5 { // a writer that was killed in the middle of its line
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(`{"schema":"tlsurge.his`); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		if err := AppendHistory(path, r); err != nil {
			t.Fatal(err)
		}
	}
	entries, skipped, err := ReadHistory(path)
	if err != nil || skipped != 1 || len(entries) != 20 {
		t.Fatalf("%d entries, %d skipped, %v", len(entries), skipped, err)
	}
	var marks []string
	for _, c := range Changes(entries, Options{}) {
		marks = append(marks, fmt.Sprintf("%s@%d", c.Metric, c.Index))
	}
	if len(marks) != 1 || marks[0] != "edge.cpu_per_handshake@12" {
		t.Errorf("marks %v", marks)
	}
	// Another machine's runs are another trend.
	entries = append(entries, entries[0])
	entries[20].Machine.CPUModel = "another"
	trends := Trends(entries, Options{})
	if len(trends) != 2 || trends[0].Runs != 20 || len(trends[0].Marks) != 1 || trends[1].Runs != 1 {
		t.Fatalf("%+v", trends)
	}
	text := string(TrendText(trends))
	for _, want := range []string{"edge.cpu_per_handshake\n    ▁", "(+30%) at run 13, ", "no change in ", "8 runs are the least"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	for _, row := range []struct{ why, line string }{{"another schema", `{"schema":"other/1"}`}, {"a list", `[]`}, {"a text", "hello"}} {
		bad := filepath.Join(t.TempDir(), "runs.jsonl")
		if err := os.WriteFile(bad, []byte(row.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var input *results.InputError
		if _, _, err := ReadHistory(bad); !errors.As(err, &input) || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", row.why, err)
		}
	}
}

// FuzzParseHistory: what is accepted writes to lines that read back as the same.
func FuzzParseHistory(f *testing.F) {
	run, err := results.LoadRun(stored)
	if err != nil {
		f.Fatal(err)
	}
	line, err := json.Marshal(NewEntry(run))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(line, '\n'))
	f.Add([]byte("{\"schema\":\"tlsurge.history/1\"\n\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		entries, _, err := parseHistory(bytes.NewReader(p))
		if err != nil {
			return
		}
		var b bytes.Buffer
		for _, e := range entries {
			line, err := json.Marshal(e)
			if err != nil {
				t.Skip("a year beyond 9999 cannot be written")
			}
			b.Write(append(line, '\n'))
		}
		again, skipped, err := parseHistory(&b)
		if err != nil || skipped != 0 || len(again) != len(entries) {
			t.Fatalf("%d entries read back as %d, %d skipped, %v", len(entries), len(again), skipped, err)
		}
		Changes(entries, Options{})
	})
}
