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
		{why: "a side that was not measured", metric: Metric{Name: "m", Base: level(6, 100, 0.2)}, want: Unsure, says: "not measured"},
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
	run := func(rng *rand.Rand, planted float64, broken bool) *Report {
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
		return Judge(metrics, shares, Options{})
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
			r := run(rng, row.planted, row.broken)
			if r.Decision == Regressed {
				r = Confirm(r, run(rng, row.planted, row.broken))
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
	report := func(d ...Decision) *Report {
		r := &Report{}
		for i, x := range d {
			r.Rows = append(r.Rows, Row{Name: string(rune('a' + i)), Decision: x, New: Summary{Rounds: 5}})
		}
		r.Decision = overall(r.Rows)
		return r
	}
	for _, row := range []struct {
		why           string
		first, second *Report
		want          Decision
	}{
		{"seen twice", report(Regressed, Same), report(Regressed, Same), Regressed},
		{"seen at first only", report(Regressed, Same), report(Same, Same), Same},
		{"another metric each time", report(Regressed, Same), report(Same, Regressed), Same},
		{"seen the second time only", report(Same), report(Regressed), Unsure},
	} {
		if got := Confirm(row.first, row.second).Decision; got != row.want {
			t.Errorf("%s: %s, want %s", row.why, got, row.want)
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
