package capacity

import (
	"testing"

	"pgregory.net/rapid"
)

// server is a system with known knees; 0 is none.
type server struct{ latency, errors, fallback, unmet, generator float64 }

func (s server) step(load float64) Step {
	bad := map[Knee]bool{}
	for k, at := range map[Knee]float64{Latency: s.latency, Errors: s.errors, Fallback: s.fallback, Unmet: s.unmet, Generator: s.generator} {
		bad[k] = at > 0 && load > at
	}
	return Step{Load: load, Bad: bad}
}

func walk(p Plan, s server) (steps []Step) {
	for {
		load, ok := p.Next(steps)
		if !ok {
			return steps
		}
		steps = append(steps, s.step(load))
	}
}

func TestSearchFindsTheKnee(t *testing.T) {
	for _, tc := range []struct {
		why   string
		srv   server
		start float64
		want  float64 // capacity, within the precision below it
	}{
		{"one limit", server{errors: 1000}, 100, 1000},
		{"the lowest of three", server{errors: 3000, latency: 800, fallback: 5000}, 100, 800},
		{"a limit below the first step", server{unmet: 70}, 500, 70},
		{"no limit up to the most", server{}, 100, 10_000},
		{"the generator gives out first", server{generator: 2500, errors: 9000}, 100, 2500},
	} {
		p := Plan{Start: tc.start, Max: 10_000, Precision: 0.1, Steps: 20}
		steps := walk(p, tc.srv)
		if got := Capacity(steps); got > tc.want || got < 0.89*tc.want {
			t.Errorf("%s: capacity %.0f after %d steps, want within a tenth below %.0f", tc.why, got, len(steps), tc.want)
		}
	}
}

func TestSearchRefinesEveryKneeItHasStepsFor(t *testing.T) {
	srv := server{latency: 700, errors: 1500, fallback: 2200, unmet: 4000}
	steps := walk(Plan{Start: 100, Max: 10_000, Precision: 0.1, Steps: 40}, srv)
	for k, at := range map[Knee]float64{Latency: 700, Errors: 1500, Fallback: 2200, Unmet: 4000} {
		if b := bracket(steps, k); b.Good > at || b.Bad <= at || !b.fine(0.1) {
			t.Errorf("%s: bracket %+v, want a narrow one around %.0f", k, b, at)
		}
	}
}

// TestSearchEnds: whatever the system does, noise included, a search stays within its bounds and ends.
func TestSearchEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Plan{Start: float64(rapid.IntRange(1, 1000).Draw(t, "start")), Max: float64(rapid.IntRange(1000, 100_000).Draw(t, "max")),
			Precision: rapid.Float64Range(0.02, 0.5).Draw(t, "precision"), Steps: rapid.IntRange(1, 40).Draw(t, "steps")}
		var steps []Step
		for {
			load, ok := p.Next(steps)
			if !ok {
				break
			}
			if load < 0 || load > p.Max || len(steps) >= p.Steps {
				t.Fatalf("step %d asks for %v of at most %v", len(steps)+1, load, p.Max)
			}
			bad := map[Knee]bool{}
			for _, k := range Knees {
				bad[k] = rapid.IntRange(0, 3).Draw(t, string(k)) == 0
			}
			steps = append(steps, Step{Load: load, Bad: bad})
		}
		best := Capacity(steps)
		for _, s := range steps {
			for _, k := range Knees {
				if s.Bad[k] && s.Load <= best {
					t.Fatalf("capacity %v, but %v was bad for %s", best, s.Load, k)
				}
			}
		}
	})
}
