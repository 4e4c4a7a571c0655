package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/capacity"
)

var searches = flag.Bool("searches", false, "run the capacity searches, which want the machine to themselves")

// searched is the result of a search over a scenario, by the program itself.
func searched(t *testing.T, toml string, args ...string) (r capacity.Result, said string) {
	t.Helper()
	if !*searches {
		t.Skip("a search measures this machine for a minute and more: make capacity runs it")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "planted.toml")
	if err := os.WriteFile(file, []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	var out, words bytes.Buffer
	cmd := exec.Command(path, append([]string{"capacity", file, "--json", "--out", filepath.Join(dir, "search")}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// On a busy machine a capacity may not hold a second time: that is 1, and the result says it.
	if code := waitFor(t, cmd, 4*time.Minute); code != exitGood && code != exitFailed {
		t.Fatalf("exit %d\n%s", code, &words)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r, words.String()
}

// TestCapacityFindsAPlantedLimit: an edge whose connection table holds 240 is found to hold about that,
// and the table is named.
func TestCapacityFindsAPlantedLimit(t *testing.T) {
	t.Parallel()
	const table = 240
	r, said := searched(t, `
name = "planted"
[fleet]
edges = 1
set = { worker_connections = "240", worker_processes = "1" }
[load]
connections = 80
per_browser = 1
request_rate = 20
[[browsers]]
profile = "firefox-35-osx"
`, "--start", "80", "--max", "640", "--ramp", "1s", "--hold", "3s", "--steps", "7", "--p99", "60s")
	// Idle upstream connections and the listening socket take places too: a table is never full of clients.
	if r.Capacity > table || r.Capacity < 0.85*table || !r.Confirmed {
		t.Errorf("capacity %.0f, confirmed %t: want about %d\n%s", r.Capacity, r.Confirmed, table, said)
	}
	if len(r.Culprits) == 0 || !strings.Contains(r.Culprits[0].What, "connection table") {
		t.Errorf("what gave out: %+v, want the connection table\n%s", r.Culprits, said)
	}
	if r.Recovery == nil || !r.Recovery.Recovered || len(r.Recovery.Down) != 3 {
		t.Errorf("recovery %+v: want the edge good again on the way down", r.Recovery)
	}
}

// TestCapacityFindsASlowUpstream: four workers that take 40 ms for a page make 100 a second, by RFC 9411's procedure in
// shorter times.
func TestCapacityFindsASlowUpstream(t *testing.T) {
	t.Parallel()
	r, said := searched(t, `
name = "slow-upstream"
[fleet]
edges = 1
balancer = "none"
workers = 4
think = "40ms"
[load]
connections = 60
per_browser = 1
request_rate = 25
arrivals = "constant"
[[browsers]]
profile = "firefox-35-osx"
`, "--of", "requests", "--start", "60", "--max", "240", "--steps", "5", "--preset", "rfc9411", "--ramp", "1s", "--hold", "3s", "--down", "500ms", "--errors", "0.01", "--p99", "60s")
	// The limit is arithmetic. The margin is for a machine that cannot keep up with its own clock; docs/SCALE.md has the
	// figures of longer steps.
	for _, k := range r.Knees {
		if k.Knee == capacity.Unmet && (k.Good > 120 || k.Bad < 70) {
			t.Errorf("good up to %.0f requests/s, bad at %.0f: four workers make 100\n%s", k.Good, k.Bad, said)
		}
	}
	if r.Preset == nil || !strings.HasPrefix(r.Preset.Section, "7.7") || len(r.Preset.Departures) < 3 || len(r.Preset.Suites) == 0 {
		t.Errorf("preset %+v: want section 7.7, its suites, and that the times are shorter", r.Preset)
	}
}

// TestCapacityFindsOneProcessor: an edge that has one processor gives out when that is used up, and not for the accept
// queue that runs over next. What one processor can do is arithmetic: what a handshake costs the edge, seen in the steps
// that were good, and what it got of the processor in the lightest one that was not.
func TestCapacityFindsOneProcessor(t *testing.T) {
	t.Parallel()
	r, said := searched(t, `
name = "one-processor"
[fleet]
edges = 1
cpus = 1
balancer = "none"
[load]
model = "handshake"
connections = 300
per_browser = 1
arrivals = "constant"
[[browsers]]
profile = "firefox-35-osx"
`, "--of", "handshakes", "--start", "100", "--max", "3200", "--ramp", "1s", "--hold", "4s", "--steps", "9", "--p99", "60s")
	if len(r.Culprits) == 0 || r.Culprits[0].What != "the edges' processor time" {
		t.Errorf("what gave out: %+v, want the edges' processor time\n%s", r.Culprits, said)
	}
	var best, over *capacity.Seen
	for i := range r.Steps {
		s := &r.Steps[i]
		if s.EdgeUsed > 1 || s.EdgeWanted > 1 || s.EdgeUsed > s.EdgeWanted {
			t.Errorf("step %s: the edge used %.2f of its processor and wanted %.2f", s.Label, s.EdgeUsed, s.EdgeWanted)
		}
		switch {
		case len(s.Bad) == 0 && s.Load <= r.Capacity && (best == nil || s.Load > best.Load):
			best = s
		case s.Bad[capacity.Unmet] && (over == nil || s.Load < over.Load):
			over = s
		}
	}
	if best == nil || over == nil {
		t.Fatalf("no step was good, or none was too much\n%s", said)
	}
	// The figures are 10 % apart by the search's own precision, and a machine with other work gives each step another
	// share of the processor.
	can := best.Met / best.EdgeUsed * over.EdgeUsed
	t.Logf("capacity %.0f; a processor makes %.0f handshakes/s, and the edge had %.0f %% of it: %.0f\n%s", r.Capacity, best.Met/best.EdgeUsed, 100*over.EdgeUsed, can, said)
	if r.Capacity < 0.8*can || r.Capacity > 1.2*can {
		t.Errorf("capacity %.0f, want about %.0f", r.Capacity, can)
	}
}

func TestCapacityRefusals(t *testing.T) {
	for _, tc := range []struct {
		why  string
		args []string
		want string
	}{
		{"nothing to search", nil, "one scenario"},
		{"a scenario that there is not", []string{"no-such"}, "no-such"},
		{"a dimension that nobody turns", []string{"peak-39k", "--of", "users"}, "connections, handshakes or requests"},
		{"a preset that nobody wrote", []string{"peak-39k", "--preset", "rfc1"}, "want rfc9411"},
		{"an object that the document has not", []string{"peak-39k", "--preset", "rfc9411", "--object", "5"}, "5 bytes"},
		{"an object of no preset", []string{"peak-39k", "--object", "1024"}, "is a preset's"},
		{"an empty range", []string{"peak-39k", "--start", "10", "--max", "5"}, "start <= max"},
		{"a precision that no search reaches", []string{"peak-39k", "--precision", "0"}, "0.01 to 0.5"},
		{"a step too short to see a second of it", []string{"peak-39k", "--hold", "1s"}, "at least 2s"},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"capacity"}, tc.args...), nil, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), tc.want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", tc.why, code, errs.String(), tc.want)
		}
	}
}
