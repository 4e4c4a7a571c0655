package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tlsurge/results"
)

// overSatellite hits half of the attempts with a geostationary satellite's path.
const overSatellite = `
name = "over-a-satellite"
seed = 7
[run]
sample = 1
[fleet]
edges = 2
stack = "openssl-1.0.1j"
[load]
connections = 40
ramp = "2s"
request_rate = 20
[[browsers]]
profile = "firefox-35-osx"
share = 1
[[faults]]
name = "satellite"
action = "shape"
model = "satellite"
probability = 0.5
[[phases]]
name = "only"
duration = "5s"
`

// TestOverALink: a rule about the path puts agents and edges into namespaces of their own with our packet
// forwarder between, under their usual addresses. Whom the rule hits has the satellite's round trip, at
// connect, and a line in the ledger; the others have neither, by the same edges.
func TestOverALink(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "over-a-satellite.toml")
	if err := os.WriteFile(file, []byte(overSatellite), 0o600); err != nil {
		t.Fatal(err)
	}
	p := play(t, file)
	if p.run.Verdict.State == results.Invalid {
		t.Errorf("INVALID: %v", p.run.Verdict.Reasons)
	}
	struck := map[string]bool{}
	for _, f := range p.firings {
		if f.Rule != "satellite" || f.Engine != "link" || struck[f.Tuple.Client.String()] {
			t.Errorf("ledger has %+v", f)
		}
		struck[f.Tuple.Client.String()] = true
	}
	hit, free, quick := 0, 0, 0
	for _, a := range p.attempts {
		took := time.Duration(a.ConnectedNs - a.StartNs)
		switch {
		case a.ConnectedNs < 0: // open when the act ended, still on its way up
		case struck[a.Tuple.Client.String()]:
			hit++
			if took < 540*time.Millisecond {
				t.Errorf("%s connected over a satellite in %v", a.Tuple.Client, took)
			}
		default:
			free++
			if took < 300*time.Millisecond {
				quick++
			}
		}
	}
	if hit < 5 || free < 5 || quick < free/2 {
		t.Errorf("%d attempts over the satellite; of %d others %d connected within 300 ms", hit, free, quick)
	}
}
