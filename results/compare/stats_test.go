package compare

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAgainstPublishedFigures(t *testing.T) {
	near := func(why string, got, want, by float64) {
		t.Helper()
		if math.Abs(got-want) > by {
			t.Errorf("%s: %g, want %g", why, got, want)
		}
	}
	near("Fisher's lady tasting tea, three of four right", fisher(Count{3, 4}, Count{1, 4}), 0.4857, 1e-4)
	near("all eight right", fisher(Count{4, 4}, Count{0, 4}), 2.0/70, 1e-9)
	e := shareInterval(Count{48, 80}, Count{56, 70})
	near("Newcombe 1998, example a, lower", e.Lo, 0.0524, 5e-4)
	near("Newcombe 1998, example a, upper", e.Hi, 0.3339, 5e-4)
	near("the normal quantile", quantileNormal(0.975), 1.959964, 1e-5)
	for _, row := range []struct{ n, m, k int }{{3, 3, 0}, {4, 4, 1}, {5, 5, 3}, {8, 8, 14}, {10, 10, 24}, {20, 20, 128}} {
		if got := rankBound(row.n, row.m, 0.05); got != row.k { // one more than the tables' critical U
			t.Errorf("the bound for %d and %d values is %d, want %d", row.n, row.m, got, row.k)
		}
	}
	near("the normal approximation joins on", float64(rankBound(31, 31, 0.05)), 340, 2)
	if got := leastRounds(0.05, 1); got != 4 {
		t.Errorf("least rounds %d, want 4: 2/C(8,4) = 0.029", got)
	}
}

func TestRankWaysCountAllArrangements(t *testing.T) {
	for _, nm := range [][2]int{{1, 1}, {3, 5}, {8, 8}, {12, 7}} {
		sum := 0.0
		ways := rankWays(nm[0], nm[1])
		for u, w := range ways {
			sum += w
			if w != ways[len(ways)-1-u] {
				t.Errorf("%v: the statistic is not symmetric at %d", nm, u)
			}
		}
		if want := math.Exp(choose(int64(nm[0]+nm[1]), int64(nm[0]))); math.Abs(sum-want) > want*1e-9 {
			t.Errorf("%v: %g arrangements, want %g", nm, sum, want)
		}
	}
}

// TestTheIntervalCovers: 95 % intervals hold the true ratio at least nearly as often as they say.
func TestTheIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	held := 0
	const tries = 400
	for range tries {
		e := effect(noisy(rng, 10, 100, 0.1), noisy(rng, 10, 120, 0.1))
		if e.Bounded && e.Lo <= 0.2 && 0.2 <= e.Hi {
			held++
		}
	}
	if held < tries*93/100 {
		t.Errorf("%d of %d intervals hold the true effect", held, tries)
	}
}

func TestChangePoints(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	series := func(levels ...float64) []float64 {
		var v []float64
		for _, l := range levels {
			v = append(v, noisy(rng, 12, l, 0.02)...)
		}
		return v
	}
	for _, row := range []struct {
		why    string
		values []float64
		at     []int
	}{
		{"a level that stays", series(100, 100, 100), nil},
		{"one step", series(100, 120), []int{12}},
		{"up and down again", series(100, 150, 100), []int{12, 24}},
		{"a step too small to matter", series(100, 102), nil},
		{"too few runs to say", []float64{100, 100, 100, 200, 200}, nil},
		{"equal values have no change", make([]float64, 20), nil},
		{"from nothing to something", append(make([]float64, 10), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), []int{10}},
	} {
		changes := ChangePoints(row.values, Options{})
		ok := len(changes) == len(row.at)
		for i := range changes {
			ok = ok && math.Abs(float64(changes[i].Index-row.at[i])) <= 1
		}
		if !ok {
			t.Errorf("%s: %+v, want marks at %v", row.why, changes, row.at)
		}
	}
}
