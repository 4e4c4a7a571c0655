package capacity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"tlsurge/harness/bench"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// Config is one search.
type Config struct {
	Scenario  *scenario.Scenario // its phases are put aside: each step is one phase of its own
	Dimension Dimension
	Plan      Plan
	Limits    Limits
	// Ramp, Hold and RampDown are a step's times: the load comes, stands, and goes.
	Ramp, Hold, RampDown time.Duration
	Preset               *Preset // nil: none
	Dir                  string  // of all runs
	Log                  func(format string, args ...any)
}

// Result is what a search found.
type Result struct {
	Dimension Dimension `json:"dimension"`
	Steps     []Seen    `json:"steps"`
	Knees     []Found   `json:"knees"`
	// Capacity is the highest load that was good in every respect, Confirmed by a testing stage of its own.
	Capacity  float64       `json:"capacity"`
	Confirmed bool          `json:"confirmed"`
	Culprits  []Culprit     `json:"culprits"`
	Recovery  *Recovery     `json:"recovery,omitempty"`
	P99Limit  time.Duration `json:"p99_limit_ns"`
	Preset    *Preset       `json:"preset,omitempty"`
}

// Found is a knee with what is known of it; Bad 0: not reached.
type Found struct {
	Knee Knee    `json:"knee"`
	Good float64 `json:"good"`
	Bad  float64 `json:"bad"`
}

// Recovery is what the system does on the way down from a load above its capacity: hysteresis, if it is not good again
// where it was good on the way up.
type Recovery struct {
	Over float64 `json:"over"`
	Back float64 `json:"back"` // the lowest load of the way down: half the capacity
	// Down is the way down, step by step, on one and the same fleet.
	Down []DownStep `json:"down"`
	// GoodFrom is the highest load that was good on the way down; 0: none was.
	GoodFrom float64 `json:"good_from"`
	// Recovered: the system came back below every limit and stayed so, After so long.
	Recovered bool          `json:"recovered"`
	After     time.Duration `json:"after_ns"`
	// P99 at half the capacity after the overload; the search's first step had Before.
	P99    time.Duration `json:"p99_ns"`
	Before time.Duration `json:"before_ns"`
}

// DownStep is one load of the way down.
type DownStep struct {
	Load float64       `json:"load"`
	P99  time.Duration `json:"p99_ns"`
	Good bool          `json:"good"`
}

// Runner makes one run of a scenario file.
type Runner = bench.Runner

// Search steps through loads, tests what it found, and looks at the way back.
func Search(ctx context.Context, cfg Config, run Runner) (*Result, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	s := &search{Config: cfg, run: run}
	for {
		load, ok := cfg.Plan.Next(s.steps())
		if !ok {
			break
		}
		if _, err := s.step(ctx, "step", load); err != nil {
			return nil, err
		}
	}
	r := &Result{Dimension: cfg.Dimension, Preset: cfg.Preset}
	if err := s.confirm(ctx, r); err != nil {
		return nil, err
	}
	r.Steps, r.P99Limit = s.seen, s.Limits.P99
	for _, k := range Knees {
		b := bracket(s.steps(), k)
		r.Knees = append(r.Knees, Found{k, b.Good, b.Bad})
	}
	if bad := s.bad(); len(bad) > 0 {
		r.Culprits = s.blame(bad)
		recovery, err := s.recover(ctx, r.Capacity, bad[0].Load)
		if err != nil {
			return nil, err
		}
		r.Recovery = recovery
	}
	return r, nil
}

// blame names what gave out. Just beyond a knee a counter may not speak yet, or only one that follows from another; then
// the next heavier step is heard.
func (s *search) blame(bad []Seen) (list []Culprit) {
	for _, x := range bad {
		heard := culprits(x.Run, bounds{s.table(), s.Scenario.Fleet.CPUs}, s.Ramp, s.RampDown)
		if len(heard) > 0 && (len(list) == 0 || heard[0].rank < queue) {
			list = heard
		}
		if len(list) > 0 && list[0].rank < queue {
			break
		}
	}
	return list
}

type search struct {
	Config
	run  Runner
	seen []Seen
}

func (s *search) steps() (out []Step) {
	for _, x := range s.seen {
		out = append(out, x.Step)
	}
	return out
}

// step makes one run and judges it.
func (s *search) step(ctx context.Context, kind string, load float64) (*Seen, error) {
	label := fmt.Sprintf("%02d-%s-%.0f", len(s.seen)+1, kind, load)
	run, err := s.play(ctx, label, []scenario.Phase{s.phase("step", load, s.Ramp+s.Hold+s.RampDown)})
	if err != nil {
		return nil, err
	}
	x := judge(run, s.Dimension, load, s.Ramp, s.RampDown, s.Limits)
	x.Label = label
	x.EdgeUsed, x.EdgeWanted = edgeShare(settled(run, s.Ramp, s.RampDown), s.Scenario.Fleet.CPUs)
	s.Preset.see(run)
	if s.Limits.P99 == 0 {
		// The first step is the lightest: its p99 is what the system does when nothing presses.
		s.Limits.P99 = max(5*x.P99, 20*time.Millisecond)
	}
	s.seen = append(s.seen, x)
	words := "good"
	if len(x.Words) > 0 {
		words = x.Words[0]
	}
	if x.EdgeWanted > 0 {
		words += fmt.Sprintf("; edges used %.0f %% of their processors and waited for others to leave them %.0f %%", 100*x.EdgeUsed, 100*(x.EdgeWanted-x.EdgeUsed))
	}
	s.Log("%3d  %8.0f %s: %s (p99 %v)", len(s.seen), load, s.Dimension, words, x.P99.Round(10*time.Microsecond))
	return &s.seen[len(s.seen)-1], nil
}

// confirmTries bounds the testing stage: a capacity that does not hold a second time is lowered.
const confirmTries = 3

// confirm runs the capacity once more. Where it does not hold, the load is taken as bad and the next lower
// one is tried.
func (s *search) confirm(ctx context.Context, r *Result) error {
	for range confirmTries {
		r.Capacity = Capacity(s.steps())
		if r.Capacity == 0 {
			return nil
		}
		x, err := s.step(ctx, "confirm", r.Capacity)
		if err != nil {
			return err
		}
		if len(x.Bad) == 0 {
			r.Confirmed = true
			return nil
		}
	}
	r.Capacity = Capacity(s.steps())
	return nil
}

// bad is the steps beyond any knee, the lightest first.
func (s *search) bad() (list []Seen) {
	for _, x := range s.seen {
		if len(x.Bad) > 0 {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b Seen) int { return cmp.Compare(a.Load, b.Load) })
	return list
}

// downwards are the loads of the way down, as shares of the capacity.
var downwards = []float64{1, 0.75, 0.5}

// recover overloads the system and goes down again on the same fleet.
func (s *search) recover(ctx context.Context, capacity, bad float64) (*Recovery, error) {
	if capacity < 2 || s.Scenario.Target != nil {
		return nil, nil
	}
	rec := &Recovery{Over: bad * 1.2, Back: capacity / 2, Before: s.seen[0].P99}
	length := s.Ramp + s.Hold + s.RampDown
	acts := []scenario.Phase{s.phase("over", rec.Over, length)}
	for i, share := range downwards {
		p := s.phase(fmt.Sprintf("down-%d", i+1), share*capacity, length)
		p.Keep = []string{"fleet"}
		acts = append(acts, p)
	}
	run, err := s.play(ctx, "recovery", acts)
	if err != nil {
		return nil, err
	}
	if len(run.Phases) < len(acts) {
		return nil, nil
	}
	start := run.Phases[1].StartedNs
	var quiet []results.Sample // the good seconds at the end
	byAct := map[string][]results.Sample{}
	for _, x := range run.Timeline {
		if x.Phase == "over" {
			continue
		}
		byAct[x.Phase] = append(byAct[x.Phase], x)
		if x.Failed > 0 || x.RequestsFailed > 0 || time.Duration(s.metric(x)) > s.Limits.P99 {
			quiet = nil
			continue
		}
		quiet = append(quiet, x)
	}
	for i, share := range downwards {
		rec.down(share*capacity, byAct[acts[i+1].Name], s)
	}
	if len(quiet) > 0 {
		rec.Recovered = true
		rec.After = max(0, time.Duration(quiet[0].AtNs-quiet[0].LengthNs-start))
		rec.P99 = time.Duration(median(byAct[acts[len(acts)-1].Name], s.metric))
	}
	return rec, nil
}

// down judges one load of the way down by its seconds.
func (r *Recovery) down(load float64, seconds []results.Sample, s *search) {
	step := DownStep{Load: load, P99: time.Duration(median(seconds, s.metric))}
	var done, failed int64
	for _, x := range seconds {
		done, failed = done+x.Requests+x.Handshakes, failed+x.Failed+x.RequestsFailed
	}
	step.Good = len(seconds) > 0 && step.P99 <= s.Limits.P99 && share(failed, done) <= s.Limits.ErrorShare
	if step.Good {
		r.GoodFrom = max(r.GoodFrom, load)
	}
	r.Down = append(r.Down, step)
}

func (s *search) metric(x results.Sample) int64 {
	if s.Dimension == Handshakes {
		return x.HandshakeP99Ns
	}
	return x.ResponseP99Ns
}

// phase is an act at a load.
func (s *search) phase(name string, load float64, d time.Duration) scenario.Phase {
	p := scenario.Phase{Name: name, Duration: scenario.Duration(d)}
	for _, f := range s.Scenario.Faults {
		p.Faults = append(p.Faults, f.Name)
	}
	if p.Faults == nil {
		p.Faults = []string{}
	}
	if s.Dimension == Connections {
		p.Connections = int(load)
	} else {
		p.RequestRate = load
	}
	return p
}

// play writes a scenario of the given acts and runs it.
func (s *search) play(ctx context.Context, label string, phases []scenario.Phase) (*results.Run, error) {
	sc := *s.Scenario
	sc.Phases, sc.Load.Ramp, sc.Load.RampDown = phases, scenario.Duration(s.Ramp), scenario.Duration(s.RampDown)
	if s.Dimension == Handshakes {
		sc.Load.Model = "handshake"
	}
	text, err := sc.TOML()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, "scenarios")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, label+".toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	run, err := s.run(ctx, bench.Side{Name: "capacity"}, bench.Part{Name: label, Scenario: file}, sc.Seed, label)
	if err != nil {
		return nil, err
	}
	if run.Verdict.State == results.Invalid && ctx.Err() != nil {
		return nil, errors.New("cut short")
	}
	return run, nil
}

// table is the size of an edge's connection table where the scenario sets it.
func (s *search) table() int64 {
	n, err := strconv.ParseInt(s.Scenario.Fleet.Set["worker_connections"], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
