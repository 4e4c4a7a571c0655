package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/child"
	"tlsurge/results"
	"tlsurge/results/compare"
)

// machine is a scripted rig: what a side costs, with the noise of a machine that hits both sides of a round
// and the noise that hits one, from a seeded source.
type machine struct {
	rng          *rand.Rand
	noise, drift float64
	slow         func(s Side, r Round) float64 // how much more a handshake costs
	rounds       []Round
	fail         func(n int) error
}

func (m *machine) WarmUp(context.Context, Side, Side) (time.Duration, error) {
	return 2 * time.Millisecond, m.failing(0)
}

func (m *machine) failing(n int) error {
	if m.fail == nil {
		return nil
	}
	return m.fail(n)
}

func (m *machine) Round(_ context.Context, base, candidate Side, r Round) (Pair, error) {
	m.rounds = append(m.rounds, r)
	if err := m.failing(len(m.rounds)); err != nil {
		return Pair{}, err
	}
	weather := 1 + m.drift*m.rng.NormFloat64()
	side := func(s Side) *Sample {
		jitter := func() float64 { return weather * (1 + m.noise*m.rng.NormFloat64()) }
		factor, memory := 1.0, 30e3
		if m.slow != nil {
			factor = m.slow(s, r)
		}
		if strings.HasPrefix(s.Plant, "handshake+") {
			factor = 1.12
		}
		if strings.HasPrefix(s.Plant, "connection+") {
			memory += 65536
		}
		x := &Sample{}
		x.value("cpu_per_full_handshake", "ns", 2e6*factor*jitter())
		x.value("cpu_per_request", "ns", 2e5*jitter())
		x.value("memory_per_connection", "bytes", memory*jitter())
		broken := int64(0)
		if strings.Contains(strings.Join(s.Set, " "), "ssl_protocols") {
			broken = 24
		}
		x.saw("android-4.2.2", broken, 24)
		x.Shares = append(x.Shares, cannotConnect("ie-6-xp", [2]int64{0, 1}))
		return x
	}
	return Pair{Base: side(base), New: side(candidate)}, nil
}

func config() Config {
	return Config{Base: Side{Name: "base"}, New: Side{Name: "new"}, Least: 10, Most: 16}
}

// TestAnInterruptedBenchKeepsWhatItHas: a result that blames nothing and clears nothing, in either set of rounds.
func TestAnInterruptedBenchKeepsWhatItHas(t *testing.T) {
	for _, row := range []struct {
		why    string
		at     int // the round in which it is interrupted
		rounds int // that the result rests on; 0: no result
		says   string
	}{
		{"in its first round", 1, 0, ""},
		{"in the first set", 8, 7, "interrupted after 7 of 10 rounds"},
		{"while it confirms", 13, 10, "interrupted after 2 of"},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		m := &machine{rng: rand.New(rand.NewPCG(1, 2)), noise: 0.01, slow: newSide(1.5)}
		m.fail = func(n int) error {
			if n == row.at {
				cancel()
			}
			return nil
		}
		got, err := Run(ctx, config(), m)
		if !errors.Is(err, context.Canceled) || (got == nil) != (row.rounds == 0) {
			t.Fatalf("%s: %v, %v", row.why, got, err)
		}
		if got == nil {
			continue
		}
		if got.Rounds != row.rounds || got.Report.Decision != compare.Unsure || !strings.Contains(strings.Join(got.Report.Notes, "\n"), row.says) {
			t.Errorf("%s: %d rounds, %s, %v", row.why, got.Rounds, got.Report.Decision, got.Report.Notes)
		}
		for _, r := range got.Report.Rows {
			if r.Decision == compare.Regressed || r.Name == "cpu_per_full_handshake" && !strings.Contains(r.Why, "not confirmed") {
				t.Errorf("%s: %s is %s, %s", row.why, r.Name, r.Decision, r.Why)
			}
		}
	}
}

func newSide(f float64) func(Side, Round) float64 {
	return func(s Side, _ Round) float64 {
		if s.Name == "new" {
			return f
		}
		return 1
	}
}

func TestBench(t *testing.T) {
	const broken = "users.saw_error[android-4.2.2]"
	for _, row := range []struct {
		why       string
		m         machine
		set       string
		want      compare.Decision
		confirmed bool
		metric    string // that is blamed
	}{
		{why: "equal sides", m: machine{noise: 0.02}, want: compare.Same},
		{why: "a handshake that costs 10 % more", m: machine{noise: 0.02, slow: newSide(1.10)}, want: compare.Regressed, confirmed: true, metric: "cpu_per_full_handshake"},
		{why: "the same on a machine that does other work, which hits both sides of a round", m: machine{noise: 0.02, drift: 0.3, slow: newSide(1.10)}, want: compare.Regressed, confirmed: true, metric: "cpu_per_full_handshake"},
		{why: "a handshake that costs 20 % less", m: machine{noise: 0.02, slow: newSide(0.8)}, want: compare.Improved},
		{why: "a candidate that was slow in the first set only is not blamed", m: machine{noise: 0.02, slow: func(s Side, r Round) float64 {
			if s.Name == "new" && r.Set == "rounds" {
				return 1.15
			}
			return 1
		}}, want: compare.Same, confirmed: true},
		{why: "a browser that cannot connect", m: machine{noise: 0.02}, set: "fleet.set.ssl_protocols=TLSv1.2", want: compare.Regressed, confirmed: true, metric: broken},
	} {
		row.m.rng = rand.New(rand.NewPCG(4, 4))
		cfg := config()
		cfg.Rounds = 12
		if row.set != "" {
			cfg.New.Set = []string{row.set}
		}
		r, err := Run(context.Background(), cfg, &row.m)
		if err != nil {
			t.Fatalf("%s: %v", row.why, err)
		}
		if r.Report.Decision != row.want || r.Confirmed != row.confirmed {
			t.Errorf("%s: %s, confirmed %v; want %s, %v\n%s", row.why, r.Report.Decision, r.Confirmed, row.want, row.confirmed, compare.Text(r.Report))
		}
		for _, x := range r.Report.Rows {
			if (x.Decision == compare.Regressed) != (x.Name == row.metric) {
				t.Errorf("%s: %s is %s", row.why, x.Name, x.Decision)
			}
		}
		for i, round := range row.m.rounds {
			if round.Number != i || round.Index != i%12 {
				t.Errorf("%s: round %d is %+v", row.why, i, round)
			}
		}
	}
}

func TestRoundsFollowTheNoise(t *testing.T) {
	for _, row := range []struct {
		why    string
		noise  float64
		rounds int
	}{
		{"a quiet machine needs the least", 0.001, 10},
		{"a noisy one gets the most", 0.2, 16},
	} {
		m := machine{rng: rand.New(rand.NewPCG(2, 2)), noise: row.noise}
		r, err := Run(context.Background(), config(), &m)
		if err != nil || r.Rounds != row.rounds {
			t.Errorf("%s: %d rounds, %v; want %d", row.why, r.Rounds, err, row.rounds)
		}
	}
}

func TestARoundThatFailsEndsTheBench(t *testing.T) {
	for _, at := range []int{0, 1, 9} {
		m := machine{rng: rand.New(rand.NewPCG(1, 1)), fail: func(n int) error {
			if n == at {
				return &child.Error{Code: 2, Text: "wrong"}
			}
			return nil
		}}
		_, err := Run(context.Background(), config(), &m)
		var failed *child.Error
		if !errors.As(err, &failed) || failed.Code != 2 || len(m.rounds) != at {
			t.Errorf("at round %d: %v after %d rounds", at, err, len(m.rounds))
		}
	}
}

// TestRunsAreInterleaved: both sides run next to each other with one seed, the first side changes from
// round to round, an INVALID run is made once more, and a round that stays INVALID is left out.
func TestRunsAreInterleaved(t *testing.T) {
	var calls []string
	seeds := map[string][]uint64{}
	r := &Runs{Part: Part{"run", "x"}, Seed: 10, Run: func(_ context.Context, s Side, _ Part, seed uint64, label string) (*results.Run, error) {
		calls = append(calls, label)
		seeds[s.Name] = append(seeds[s.Name], seed)
		run := &results.Run{Verdict: results.Verdict{State: results.Valid}, Edges: []results.EdgeRow{{Handshakes: 10, CPUNs: 30}},
			Users: []results.UserRow{{Phase: "a", Profile: "p", PageLoads: 5, SawError: 1}, {Phase: "b", Profile: "p", PageLoads: 5}}}
		if strings.Contains(label, "round-01") && s.Name == "new" || label == "rounds/run/base/round-02" {
			run.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"lag"}}
		}
		return run, nil
	}}
	base, candidate := Side{Name: "base"}, Side{Name: "new"}
	if cost, err := r.WarmUp(context.Background(), base, candidate); err != nil || cost != 3 {
		t.Errorf("warm-up: %v, %v", cost, err)
	}
	for i := range 3 {
		p, err := r.Round(context.Background(), base, candidate, Round{"rounds", i, i})
		if err != nil || (p.Base == nil) != (i == 1) {
			t.Fatalf("round %d: %+v, %v", i, p, err)
		}
		if i == 0 && (p.Base.Shares[0].Count != compare.Count{Events: 1, Trials: 10}) {
			t.Errorf("%+v", p.Base.Shares)
		}
	}
	want := "warm-up/base warm-up/new rounds/run/base/round-00 rounds/run/new/round-00 rounds/run/new/round-01 rounds/run/new/round-01-again" +
		" rounds/run/base/round-02 rounds/run/base/round-02-again rounds/run/new/round-02"
	if got := strings.Join(calls, " "); got != want {
		t.Errorf("runs:\n%s\nwant\n%s", got, want)
	}
	if seeds["base"][1] != seeds["new"][1] {
		t.Errorf("seeds %v and %v", seeds["base"], seeds["new"])
	}
}

func TestSelfTestCatchesWhatIsPlanted(t *testing.T) {
	cfg := config()
	cfg.Rounds = 12
	honest := func(string, Trial, Side, Side) (Rig, error) {
		return &machine{rng: rand.New(rand.NewPCG(3, 3)), noise: 0.02}, nil
	}
	told := 0
	list, err := SelfTest(context.Background(), cfg, Trials(), 2, honest, func(string, Trial, *Result) error { told++; return nil })
	if err != nil || len(list) != 8 || told != 8 || !Good(list) {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, x := range list {
		if x.Outcome != Pass {
			t.Errorf("%+v", x)
		}
	}
	blind := func(string, Trial, Side, Side) (Rig, error) {
		return blindRig{&machine{rng: rand.New(rand.NewPCG(3, 3)), noise: 0.02}}, nil
	}
	list, err = SelfTest(context.Background(), cfg, Trials(), 1, blind, func(string, Trial, *Result) error { return nil })
	if err != nil || list[0].Outcome != Pass || list[1].Outcome != Fail || list[2].Outcome != Fail || list[3].Outcome != Fail || Good(list) {
		t.Errorf("a bench that misses everything passes its self-test: %+v, %v", list, err)
	}
	var b strings.Builder
	if err := WriteTrials(&b, list); err != nil || !strings.Contains(b.String(), "A/A: 0 false alarms in 1 benches\nhandshake+10%: caught in 0 of 1\n") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// blindRig measures edges that do not carry the plant.
type blindRig struct{ *machine }

func (b blindRig) Round(ctx context.Context, base, _ Side, r Round) (Pair, error) {
	return b.machine.Round(ctx, base, base, r)
}

// TestAnUnsureBenchIsNotJudged: a planted tenth among noise of a third is not told, which is no mistake; a
// memory that grows or a browser that breaks is told whatever the noise.
func TestAnUnsureBenchIsNotJudged(t *testing.T) {
	list, err := SelfTest(context.Background(), config(), Trials(), 1, func(string, Trial, Side, Side) (Rig, error) {
		return &machine{rng: rand.New(rand.NewPCG(5, 5)), noise: 0.3}, nil
	}, func(string, Trial, *Result) error { return nil })
	if err != nil || !Good(list) {
		t.Fatalf("%v, %v", list, err)
	}
	for i, want := range []Outcome{Pass, NotJudged, Pass, Pass} {
		if list[i].Outcome != want {
			t.Errorf("%v, want %s", list[i], want)
		}
	}
	var b strings.Builder
	if err := WriteTrials(&b, list); err != nil || !strings.Contains(b.String(), "rounds would do") || !strings.Contains(b.String(), "handshake+10%: caught in 0 of 1, not judged in 1\n") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestHowGoodABenchMustBe(t *testing.T) {
	list := func(plant string, made, wrong int, how Outcome) (l []Trial) {
		for i := range made {
			l = append(l, Trial{Plant: plant, Outcome: Pass})
			if i < wrong {
				l[i].Outcome = how
			}
		}
		return l
	}
	for _, row := range []struct {
		plant       string
		made, wrong int
		how         Outcome
		good        bool
	}{
		{"", 30, 1, Fail, true}, {"", 30, 2, Fail, false}, {"", 10, 1, Fail, false},
		{"handshake+10%", 30, 2, Fail, true}, {"handshake+10%", 30, 3, Fail, false}, {"handshake+10%", 5, 1, Fail, false}, {"browser", 30, 1, Fail, false},
		{"handshake+10%", 1, 1, NotJudged, true}, {"handshake+10%", 30, 2, NotJudged, true}, {"handshake+10%", 30, 3, NotJudged, false},
	} {
		if got := Good(list(row.plant, row.made, row.wrong, row.how)); got != row.good {
			t.Errorf("%q: %d %s of %d is good: %v", row.plant, row.wrong, row.how, row.made, got)
		}
	}
}

func TestParsePlant(t *testing.T) {
	for _, row := range []struct {
		text, carried string
		ok            bool
	}{
		{"", "", true}, {"handshake+10%", "handshake+200µs", true}, {"handshake+150us", "handshake+150µs", true},
		{"memory", "connection+65536B", true}, {"memory+4096", "connection+4096B", true}, {"browser", "", true},
		{"handshake", "", false}, {"handshake+10", "", false}, {"disk+1ms", "", false}, {"memory+x", "", false}, {"handshake+-5%", "", false},
	} {
		p, err := ParsePlant(row.text)
		if (err == nil) != row.ok {
			t.Errorf("%q: %v", row.text, err)
			continue
		}
		if !row.ok {
			if !strings.Contains(err.Error(), "allowed: handshake+10%") {
				t.Errorf("%q: %v", row.text, err)
			}
			continue
		}
		s := Side{Name: "new", Set: p.Set([]string{"a=b"})}
		if err := p.into(&s, 2*time.Millisecond); err != nil || s.Plant != row.carried {
			t.Errorf("%q: carried as %q, %v", row.text, s.Plant, err)
		}
		if row.text == "browser" && len(s.Set) != 2 {
			t.Errorf("browser: %q", s.Set)
		}
	}
	p, err := ParsePlant("handshake+10%")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.into(&Side{}, 0); err == nil {
		t.Error("10 % of a handshake that was never measured")
	}
}
