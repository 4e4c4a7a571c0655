package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tlsurge/results"
)

// BenchmarkTwoAgents is what two agents do beside what one does, each with the same share of a load that leaves the
// cores room: an open one at a fixed rate, and a closed one of browsers that load pages and think.
func BenchmarkTwoAgents(b *testing.B) {
	for _, m := range []struct{ name, load string }{
		{"open", "model = \"open\"\nconnections = %[1]d0\nrequest_rate = %[2]d00\narrivals = \"constant\"\n"},
		{"closed", "model = \"closed\"\nconnections = %[1]d0\npage = { resources = 5, think = \"400ms..600ms\" }\n"},
	} {
		b.Run(m.name, func(b *testing.B) {
			for range b.N {
				one := answeredBy(b, 1, fmt.Sprintf(m.load, 6, 1))
				two := answeredBy(b, 2, fmt.Sprintf(m.load, 12, 2))
				b.ReportMetric(one, "requests/s-of-one")
				b.ReportMetric(two, "requests/s-of-two")
				b.ReportMetric(two/one, "two/one")
			}
		})
	}
}

// answeredBy is the rate of answered requests of a run by so many agents, in the seconds after its ramp.
func answeredBy(b *testing.B, agents int, load string) float64 {
	path, err := built()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	file := filepath.Join(dir, "agents.toml")
	text := fmt.Sprintf("name = \"agents\"\n[run]\nagents = %d\n[fleet]\nedges = 1\nbalancer = \"none\"\nkey = \"ecdsa-p256\"\n[load]\nramp = \"2s\"\n%s"+
		"[[browsers]]\nprofile = \"firefox-35-osx\"\n[[phases]]\nname = \"act\"\nduration = \"12s\"\n", agents, load)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(dir, "run")
	if said, err := exec.Command(path, "run", file, "--quiet", "--out", out).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, said)
	}
	raw, err := os.ReadFile(filepath.Join(out, "run.json"))
	if err != nil {
		b.Fatal(err)
	}
	var run results.Run
	if err := json.Unmarshal(raw, &run); err != nil {
		b.Fatal(err)
	}
	if len(run.Agents) != agents || run.Requests.Failed != 0 || run.Verdict.State == results.Invalid {
		b.Fatalf("%d agents, %+v, %+v", len(run.Agents), run.Requests, run.Verdict)
	}
	var answered, measured int64
	for _, s := range run.Timeline {
		if s.AtNs-s.LengthNs >= run.Phases[0].StartedNs+3e9 {
			answered, measured = answered+s.Answered, measured+s.MeasuredNs
		}
	}
	return float64(answered) / float64(measured) * 1e9
}
