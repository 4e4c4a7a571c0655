package main

import (
	"slices"
	"testing"

	"tlsurge/results"
)

func TestNoFaultsNoErrors(t *testing.T) {
	if testing.Short() {
		t.Skip("three acts")
	}
	p := play(t, append(slices.Clone(small), "--no-faults")...)
	if p.run.Attempts.Failed != 0 || len(p.firings) != 0 {
		t.Errorf("%d attempts failed, %d firings, with nothing injected", p.run.Attempts.Failed, len(p.firings))
	}
	for _, u := range p.run.Users {
		if u.Fine != u.PageLoads {
			t.Errorf("%+v: want every page load fine", u)
		}
	}
}

// TestLossAloneNeverFallsBack: segments that the kernel drops are sent again, and no browser of 2015
// lowers its offer for it.
func TestLossAloneNeverFallsBack(t *testing.T) {
	t.Parallel()
	p := play(t, append(slices.Clone(small),
		"--set", `faults.hello-lost-until-deadline.at=server_hello`, "--set", "faults.hello-lost-until-deadline.times=1",
		"--set", "faults.hello-lost-until-deadline.probability=0.5",
		"--set", "phases.before-the-upgrade.duration=4s", "--set", "phases.after-the-upgrade.duration=4s", "--set", "phases.trigger-gone.duration=1s",
		"--set", "load.connections=200", "--set", "load.ramp=2s", "--set", "run.netns=own", "--only-fault", "hello-lost-until-deadline")...)
	if len(p.firings) < 20 {
		t.Fatalf("%d firings: want half of the first attempts of two acts", len(p.firings))
	}
	// It is the edges that send again; in a network namespace of the run's own the kernel counts nobody else's.
	if n := p.run.Kernel["RetransSegs"]; n < int64(len(p.firings)) {
		t.Errorf("%d segments sent again for %d dropped flights", n, len(p.firings))
	}
	for _, a := range p.attempts {
		if a.Kind == results.KindFallback {
			t.Errorf("a fallback on pure loss: %+v", a)
		}
	}
	for _, u := range p.run.Users {
		if u.Fine != u.PageLoads {
			t.Errorf("%+v: want every page load fine, only later", u)
		}
	}
}
