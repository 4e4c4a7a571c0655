package compare

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// noisy gives n rounds around a level with a relative noise, from a seeded source.
func noisy(rng *rand.Rand, n int, level, noise float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = level * math.Exp(noise*rng.NormFloat64())
	}
	return v
}

func counts(n int, events, trials int64) []Count {
	c := make([]Count, n)
	for i := range c {
		c[i] = Count{events, trials}
	}
	return c
}

func TestJudge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	level := func(n int, at, noise float64) []float64 { return noisy(rng, n, at, noise) }
	for _, row := range []struct {
		why    string
		metric Metric
		share  Share
		want   Decision
		says   string
	}{
		{why: "twice the time is a regression", metric: Metric{Name: "m", Base: level(8, 100, 0.02), New: level(8, 200, 0.02)}, want: Regressed, says: "worse"},
		{why: "half the time is an improvement", metric: Metric{Name: "m", Base: level(8, 100, 0.02), New: level(8, 50, 0.02)}, want: Improved, says: "better"},
		{why: "half the requests are a regression", metric: Metric{Name: "m", Higher: true, Base: level(8, 100, 0.02), New: level(8, 50, 0.02)}, want: Regressed},
		{why: "one per cent more, clearly seen, does not matter", metric: Metric{Name: "m", Base: level(20, 100, 0.001), New: level(20, 101, 0.001)}, want: Same},
		{why: "one round each supports nothing, whatever it shows", metric: Metric{Name: "m", Base: []float64{100}, New: []float64{300}}, want: Unsure, says: "4 rounds of each side would do"},
		{why: "noise as large as the effect supports nothing, and says how many rounds would", metric: Metric{Name: "m", Base: level(6, 100, 0.2), New: level(6, 103, 0.2)}, want: Unsure, says: "would do"},
		{why: "a side that was not measured", metric: Metric{Name: "m", Base: level(6, 100, 0.2)}, want: Unsure, says: "absent in the new side"},
		{why: "values with zeros among them are held by their differences", metric: Metric{Name: "m", Base: []float64{0, 1, 0, 2, 1, 0}, New: []float64{9, 8, 9, 10, 9, 8}}, want: Regressed},
		{why: "a browser that can no longer connect", share: Share{Name: "s", Base: counts(5, 0, 20), New: counts(5, 20, 20)}, want: Regressed},
		{why: "even in a single round", share: Share{Name: "s", Base: counts(1, 0, 50), New: counts(1, 50, 50)}, want: Regressed},
		{why: "no errors on either side, seen often enough", share: Share{Name: "s", Base: counts(5, 0, 1000), New: counts(5, 0, 1000)}, want: Same},
		{why: "no errors on either side, seen too rarely to exclude one in 200", share: Share{Name: "s", Base: counts(1, 0, 20), New: counts(1, 0, 20)}, want: Unsure, says: "would do"},
		{why: "errors in one round only are that round's", share: Share{Name: "s", Base: counts(4, 0, 100), New: []Count{{0, 100}, {0, 100}, {60, 100}, {0, 100}}}, want: Unsure, says: "contradict"},
		{why: "rounds that contradict each other", share: Share{Name: "s", Base: []Count{{0, 100}, {40, 100}, {0, 100}, {0, 100}}, New: []Count{{30, 100}, {0, 100}, {60, 100}, {20, 100}}}, want: Unsure, says: "contradict"},
		{why: "more handshakes resumed is better", share: Share{Name: "s", Higher: true, Base: counts(4, 50, 100), New: counts(4, 90, 100)}, want: Improved},
	} {
		var metrics []Metric
		var shares []Share
		if row.metric.Name != "" {
			metrics = []Metric{row.metric}
		} else {
			shares = []Share{row.share}
		}
		r := Judge(metrics, shares, Options{})
		if got := r.Rows[0]; got.Decision != row.want || r.Decision != row.want || !strings.Contains(got.Why, row.says) {
			t.Errorf("%s: %s (%s), effect %+v, p %g; want %s", row.why, got.Decision, got.Why, got.Effect, got.P, row.want)
		}
	}
}

// TestOperatingCharacteristics holds the whole procedure (all metrics at once, correction, confirming
// rerun) to what the bench promises, on seeded samples with the noise of a busy machine.
func TestOperatingCharacteristics(t *testing.T) {
	const benches, rounds = 30, 10
	noise := map[string]float64{"cpu.full": 0.02, "cpu.resumed": 0.03, "cpu.request": 0.03, "memory": 0.01, "p50": 0.05, "p99": 0.15, "p999": 0.4}
	names := []string{"cpu.full", "cpu.resumed", "cpu.request", "memory", "p50", "p99", "p999"}
	run := func(rng *rand.Rand, planted float64, broken bool) ([]Metric, []Share) {
		var metrics []Metric
		for _, n := range names {
			at := 100.0
			if n == "cpu.full" {
				at *= planted
			}
			metrics = append(metrics, Metric{Name: n, Base: noisy(rng, rounds, 100, noise[n]), New: noisy(rng, rounds, at, noise[n])})
		}
		var shares []Share
		for b := range 11 {
			s := Share{Name: "browser" + string(rune('a'+b)), Base: counts(rounds, 0, 40), New: counts(rounds, 0, 40)}
			if broken && b == 3 {
				s.New = counts(rounds, 40, 40)
			}
			shares = append(shares, s)
		}
		return metrics, shares
	}
	for _, row := range []struct {
		why             string
		planted         float64
		broken          bool
		fewest, most    int // benches that end in Regressed
		regressedMetric string
	}{
		{"an A/A bench is at most once in thirty a false alarm", 1, false, 0, 1, ""},
		{"a handshake that costs 10 % more is caught in at least 28 of 30", 1.10, false, 28, 30, "cpu.full"},
		{"a broken browser is caught always", 1, true, 30, 30, "browserd"},
	} {
		caught := 0
		for b := range uint64(benches) {
			rng := rand.New(rand.NewPCG(b, 2015))
			metrics, shares := run(rng, row.planted, row.broken)
			r := Judge(metrics, shares, Options{})
			if len(Suspects(r)) > 0 {
				metrics, shares = run(rng, row.planted, row.broken)
				r = Confirm(r, metrics, shares)
			}
			if r.Decision != Regressed {
				continue
			}
			caught++
			for _, m := range r.Rows {
				if m.Decision == Regressed && m.Name != row.regressedMetric && row.regressedMetric != "" {
					t.Errorf("%s: bench %d blames %s", row.why, b, m.Name)
				}
			}
		}
		if caught < row.fewest || caught > row.most {
			t.Errorf("%s: %d of %d", row.why, caught, benches)
		}
	}
}

func TestConfirm(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	set := func(factors ...float64) (list []Metric) {
		for i, f := range factors {
			list = append(list, Metric{Name: string(rune('a' + i)), Base: noisy(rng, 10, 100, 0.01), New: noisy(rng, 10, 100*f, 0.01)})
		}
		return list
	}
	for _, row := range []struct {
		why           string
		first, second []Metric
		suspects      int
		want          Decision
	}{
		{"seen twice", set(1.2, 1), set(1.2, 1), 1, Regressed},
		{"seen at first only", set(1.2, 1), set(1, 1), 1, Same},
		{"another metric each time", set(1.2, 1), set(1, 1.2), 1, Same},
		{"seen the second time only", set(1, 1), set(1.2, 1), 0, Same},
		{"not measured again", set(1, 1.2), set(1), 1, Same},
	} {
		first := Judge(row.first, nil, Options{})
		if got := Suspects(first); len(got) != row.suspects {
			t.Errorf("%s: suspects %q", row.why, got)
		}
		if got := Confirm(first, row.second, nil); got.Decision != row.want {
			t.Errorf("%s: %s, want %s\n%s", row.why, got.Decision, row.want, Text(got))
		}
	}
}

// TestOverall: nothing bad seen by somebody who hardly looked is no "same".
func TestOverall(t *testing.T) {
	for _, row := range []struct {
		why  string
		rows []Row
		want Decision
	}{
		{"all judged", []Row{{Decision: Same}, {Decision: Same, Unit: "share"}}, Same},
		{"a key metric is open", []Row{{Decision: Same}, {Decision: Same}, {Decision: Unsure, Key: true}}, Unsure},
		{"shares alone", []Row{{Decision: Same, Unit: "share"}, {Decision: Same, Unit: "share"}, {Decision: Unsure}}, Unsure},
		{"half of the values", []Row{{Decision: Improved}, {Decision: Unsure}}, Improved},
		{"one of three values", []Row{{Decision: Same}, {Decision: Unsure}, {Decision: Unsure}}, Unsure},
		{"worse, whatever else is open", []Row{{Decision: Unsure, Key: true}, {Decision: Regressed}}, Regressed},
		{"nothing measured", nil, Unsure},
	} {
		if got := overall(row.rows); got != row.want {
			t.Errorf("%s: %s, want %s", row.why, got, row.want)
		}
	}
}

// TestALargeEstimateIsNeverSame: thirteen per cent more among noise as large is open, not "same".
func TestALargeEstimateIsNeverSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 200 {
		m := Metric{Name: "cpu", Key: true, Paired: true, Base: noisy(rng, 9, 100, 0.15), New: noisy(rng, 9, 113, 0.15)}
		r := Judge([]Metric{m, {Name: "memory", Paired: true, Base: noisy(rng, 9, 100, 0.001), New: noisy(rng, 9, 100, 0.001)}}, nil, Options{})
		if row := r.Rows[0]; r.Decision == Same && (row.Effect.Hi >= row.MinEffect || row.Effect.Lo <= -row.MinEffect) {
			t.Fatalf("same, with an interval of %+v", row.Effect)
		}
	}
}

// TestNeedRoundsIsEnough: as many rounds as it asks for do show the effect, nearly always.
func TestNeedRoundsIsEnough(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, noise := range []float64{0.01, 0.05, 0.1} {
		pilot := Metric{Name: "m", Base: noisy(rng, 20, 100, noise), New: noisy(rng, 20, 100, noise)}
		n := NeedRounds(pilot, Options{}, 1)
		seen := 0
		for range 40 {
			m := Metric{Name: "m", Base: noisy(rng, n, 100, noise), New: noisy(rng, n, 110, noise)} // twice the least effect
			if Judge([]Metric{m}, nil, Options{}).Decision == Regressed {
				seen++
			}
		}
		if seen < 38 || n < 4 {
			t.Errorf("noise %g: %d rounds show it %d times of 40", noise, n, seen)
		}
	}
}
