package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tlsurge/harness/child"
	"tlsurge/results"
	"tlsurge/results/compare"
)

// machine is a scripted runner: what a run of a side costs, with the noise of a machine, from a seeded
// source. It keeps the order of the runs it was asked for.
type machine struct {
	rng   *rand.Rand
	noise float64
	slow  func(s Side, n int) float64 // how much more a handshake costs, at the n-th run
	calls []string
	fail  func(n int) (*results.Run, error) // nil, nil: the run is made
	seeds map[string][]uint64
}

func (m *machine) run(_ context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
	n := len(m.calls)
	m.calls = append(m.calls, s.Name+":"+p.Name)
	if m.seeds == nil {
		m.seeds = map[string][]uint64{}
	}
	m.seeds[s.Name] = append(m.seeds[s.Name], seed)
	if m.fail != nil {
		if run, err := m.fail(n); run != nil || err != nil {
			return run, err
		}
	}
	factor := 1.0
	if m.slow != nil {
		factor = m.slow(s, n)
	}
	jitter := func() float64 { return 1 + m.noise*m.rng.NormFloat64() }
	full, resumedN, requests := 600.0, 0.0, 700.0
	switch p.Name {
	case PartResumed:
		full, resumedN = 604, 600
	case PartRequests:
		full, resumedN, requests = 11, 50, 3200
	}
	cpu := (full*2e6*factor+resumedN*2.5e5)*jitter() + requests*2e5*jitter()
	run := &results.Run{
		Verdict: results.Verdict{State: results.Valid}, Requests: results.Requests{Sent: int64(requests)},
		Handshakes: results.Handshakes{Full: int64(full), ResumedTicket: int64(resumedN)},
		Edges:      []results.EdgeRow{{Name: "edge-1", Handshakes: int64(full + resumedN), CPUNs: int64(cpu), RSSPeakBytes: int64(48e6 * jitter())}},
		Users:      []results.UserRow{{Profile: "android-4.2.2", PageLoads: 120, Fine: 120}},
	}
	for _, set := range s.Set {
		if strings.Contains(set, "ssl_protocols") {
			run.Users[0].Fine, run.Users[0].SawError = 0, 120
		}
	}
	return run, nil
}

var parts = []Part{{PartFull, "f"}, {PartResumed, "r"}, {PartRequests, "q"}}

func config() Config {
	return Config{Base: Side{Name: "base"}, New: Side{Name: "new"}, Parts: parts, Seed: 10, Least: 5, Most: 8}
}

func TestBench(t *testing.T) {
	slower := func(f float64) func(Side, int) float64 {
		return func(s Side, _ int) float64 {
			if s.Name == "new" {
				return f
			}
			return 1
		}
	}
	for _, row := range []struct {
		why       string
		m         machine
		cfg       func(*Config)
		want      compare.Decision
		confirmed bool
		metric    string // that is blamed
	}{
		{why: "equal sides", m: machine{noise: 0.01}, want: compare.Same},
		{why: "a handshake that costs 15 % more", m: machine{noise: 0.01, slow: slower(1.15)}, want: compare.Regressed, confirmed: true, metric: "cpu_per_full_handshake"},
		{why: "a handshake that costs 20 % less", m: machine{noise: 0.01, slow: slower(0.8)}, want: compare.Improved},
		{why: "a machine that slows down while it is measured slows both sides", m: machine{noise: 0.005, slow: func(_ Side, n int) float64 { return 1 + 0.01*float64(n)/6 }}, want: compare.Same},
		{why: "a candidate that was slow in the first set only is not blamed", m: machine{noise: 0.01, slow: func(s Side, n int) float64 {
			if s.Name == "new" && n < 55 {
				return 1.15
			}
			return 1
		}}, want: compare.Same, confirmed: true},
		{why: "a browser that cannot connect", m: machine{noise: 0.01}, cfg: func(c *Config) { c.New.Set = []string{"fleet.set.ssl_protocols=TLSv1.2"} }, want: compare.Regressed, confirmed: true, metric: "full.users.saw_error[android-4.2.2]"},
		{why: "one INVALID run is made again", m: machine{noise: 0.01, fail: func(n int) (*results.Run, error) {
			if n == 7 {
				return &results.Run{Verdict: results.Verdict{State: results.Invalid, Reasons: []string{"lag"}}}, nil
			}
			return nil, nil
		}}, want: compare.Same},
	} {
		row.m.rng = rand.New(rand.NewPCG(4, 4))
		cfg := config()
		cfg.Rounds = 8
		if row.cfg != nil {
			row.cfg(&cfg)
		}
		r, err := Run(context.Background(), cfg, row.m.run)
		if err != nil {
			t.Fatalf("%s: %v", row.why, err)
		}
		if r.Report.Decision != row.want || r.Confirmed != row.confirmed {
			t.Errorf("%s: %s, confirmed %v; want %s, %v\n%s", row.why, r.Report.Decision, r.Confirmed, row.want, row.confirmed, compare.Text(r.Report))
		}
		for _, x := range r.Report.Rows {
			if (x.Decision == compare.Regressed) != (x.Name == row.metric || row.metric == "full.users.saw_error[android-4.2.2]" && strings.Contains(x.Name, "users.saw_error")) {
				t.Errorf("%s: %s is %s", row.why, x.Name, x.Decision)
			}
		}
	}
}

// TestRoundsAreInterleavedAndRotated: every part runs on both sides side by side, the first side and
// the first part change from round to round, and both sides get the same seeds.
func TestRoundsAreInterleavedAndRotated(t *testing.T) {
	m := machine{rng: rand.New(rand.NewPCG(1, 1)), noise: 0.01}
	cfg := config()
	cfg.Rounds = 6
	if _, err := Run(context.Background(), cfg, m.run); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m.calls[:2], " "); got != "base:full new:full" {
		t.Errorf("warm-up: %s", got)
	}
	calls := m.calls[2:]
	first := map[string]int{}
	for i := 0; i < len(calls); i += 2 {
		a, pa, _ := strings.Cut(calls[i], ":")
		b, pb, _ := strings.Cut(calls[i+1], ":")
		if a == b || pa != pb {
			t.Errorf("runs %d and %d are %s and %s", i, i+1, calls[i], calls[i+1])
		}
		first[a]++
		if i%6 == 0 {
			first[pa]++
		}
	}
	if first["base"] != first["new"] || first[PartFull] != 2 || first[PartResumed] != 2 || first[PartRequests] != 2 {
		t.Errorf("who goes first: %v", first)
	}
	if fmt.Sprint(m.seeds["base"]) != fmt.Sprint(m.seeds["new"]) {
		t.Errorf("seeds %v and %v", m.seeds["base"], m.seeds["new"])
	}
}

func TestRoundsFollowTheNoise(t *testing.T) {
	for _, row := range []struct {
		why    string
		noise  float64
		rounds int
	}{
		{"a quiet machine needs the least", 0.001, 5},
		{"a noisy one gets the most", 0.2, 8},
	} {
		m := machine{rng: rand.New(rand.NewPCG(2, 2)), noise: row.noise}
		r, err := Run(context.Background(), config(), m.run)
		if err != nil || r.Rounds != row.rounds {
			t.Errorf("%s: %d rounds, %v; want %d", row.why, r.Rounds, err, row.rounds)
		}
	}
}

func TestARunThatCannotStartEndsTheBench(t *testing.T) {
	for _, at := range []int{0, 1, 9} {
		m := machine{rng: rand.New(rand.NewPCG(1, 1)), fail: func(n int) (*results.Run, error) {
			if n == at {
				return nil, &child.Error{Code: 2, Text: "wrong"}
			}
			return nil, nil
		}}
		_, err := Run(context.Background(), config(), m.run)
		var failed *child.Error
		if !errors.As(err, &failed) || failed.Code != 2 || len(m.calls) != at+1 {
			t.Errorf("at run %d: %v after %d runs", at, err, len(m.calls))
		}
	}
}

func TestSelfTestCatchesWhatIsPlanted(t *testing.T) {
	m := machine{rng: rand.New(rand.NewPCG(3, 3)), noise: 0.01}
	honest := func(string) Runner {
		return func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
			m.slow = func(s Side, _ int) float64 {
				if strings.HasPrefix(s.Plant, "handshake+") {
					return 1.12
				}
				return 1
			}
			run, err := m.run(ctx, s, p, seed, label)
			if err == nil && strings.HasPrefix(s.Plant, "connection+") {
				run.Edges[0].RSSPeakBytes *= 2
			}
			return run, err
		}
	}
	cfg := config()
	cfg.Rounds = 8
	cfg.Log = t.Logf
	list, err := SelfTest(context.Background(), cfg, honest)
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	for _, x := range list {
		if !x.Pass {
			t.Errorf("%+v", x)
		}
	}
	blind := func(string) Runner { // edges that do not carry the plant
		return func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
			s.Set, m.slow = nil, nil
			return m.run(ctx, s, p, seed, label)
		}
	}
	list, err = SelfTest(context.Background(), cfg, blind)
	if err != nil || !list[0].Pass || list[1].Pass || list[2].Pass || list[3].Pass {
		t.Errorf("a bench that misses everything passes its self-test: %+v, %v", list, err)
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
		s := Side{Name: "new", Set: []string{"a=b"}}
		if err := p.into(&s, &results.Run{Edges: []results.EdgeRow{{CPUNs: 2e9, Handshakes: 1000}}}); err != nil || s.Plant != row.carried {
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
	if err := p.into(&Side{}, &results.Run{}); err == nil {
		t.Error("10 % of a handshake that was never measured")
	}
}
