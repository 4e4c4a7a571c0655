// Package bench is the drive of `tlsurge bench`: it measures a baseline and a candidate in interleaved
// rounds and hands the samples to results/compare.
//
// A round runs every part (full handshakes, resumed ones, requests) on both sides, one right after the
// other; which side goes first, and which part, rotates from round to round, so that a machine that
// slows down slows both. The same seed on both sides gives both the same browsers.
//
// It owns the order of things and what is derived from a round's runs. It does not judge (results/compare
// does) and makes no load itself: each run is a `tlsurge run` of its own.
package bench

import (
	"context"
	"errors"
	"fmt"

	"tlsurge/results"
	"tlsurge/results/compare"
)

// Side is the baseline or the candidate.
type Side struct {
	Name   string   // "base", "new"
	Binary string   // the tlsurge that makes load and edges; empty: this one
	Set    []string // overrides of the scenario, "fleet.stack=openssl-1.1.1"
	Plant  string   // a regression for the edges to carry (proxy.ParsePlant); empty: none
}

// Part is one thing that a round measures.
type Part struct {
	Name     string
	Scenario string // a built-in name or a file
}

// Config is a bench.
type Config struct {
	Base, New Side
	Parts     []Part
	// Rounds fixes how many rounds are made; 0 makes Least, then as many as the noise in them asks
	// for, up to Most.
	Rounds, Least, Most int
	Seed                uint64 // of the first round; each round has the next
	Options             compare.Options
	Plant               Plant // put into New once the warm-up has said what a handshake costs
	Log                 func(format string, args ...any)
}

// Runner makes one run and gives its result. label names it among the bench's runs and is a path.
type Runner func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error)

// Result is what a bench found.
type Result struct {
	Report *compare.Report `json:"report"`
	Rounds int             `json:"rounds"` // of the set that was judged
	// Confirmed: a first set of rounds said "regressed", and the judgement is on both.
	Confirmed bool `json:"confirmed"`
}

// Run makes the rounds and judges them. Where they say that the candidate is worse, it makes as many
// again and blames only what is worse in both.
func Run(ctx context.Context, cfg Config, run Runner) (*Result, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Least == 0 {
		cfg.Least = 6
	}
	cfg.Most = max(cfg.Most, cfg.Least)
	b := &bench{Config: cfg, run: run}
	if err := b.warmUp(ctx); err != nil {
		return nil, err
	}
	first, n, err := b.judged(ctx, "rounds")
	if err != nil || first.Decision != compare.Regressed {
		return &Result{first, n, false}, err
	}
	cfg.Log("worse in %d rounds; as many again before that is said", n)
	b.Rounds = n
	second, n, err := b.judged(ctx, "confirming")
	if err != nil {
		return nil, err
	}
	return &Result{compare.Confirm(first, second), n, true}, nil
}

type bench struct {
	Config
	run   Runner
	round int // of all made, for seeds and rotation
	notes []string
}

// warmUp runs each side once and keeps nothing but what a handshake costs: pages of the binaries,
// the processor's clock and the kernel's caches settle in it.
func (b *bench) warmUp(ctx context.Context) error {
	b.Log("warm-up")
	var base *results.Run
	for i, s := range []Side{b.Base, b.New} {
		r, err := b.run(ctx, s, b.Parts[0], b.Seed, "warm-up/"+s.Name)
		if err != nil {
			return err
		}
		if i == 0 {
			base = r
		}
	}
	return b.Plant.into(&b.New, base)
}

// judged makes one set of rounds.
func (b *bench) judged(ctx context.Context, set string) (*compare.Report, int, error) {
	s := &samples{}
	want := b.Rounds
	if want == 0 {
		want = b.Least
	}
	made := 0
	for ; made < want; made++ {
		b.Log("%s: round %d of %d", set, made+1, want)
		if err := b.oneRound(ctx, s, set, made); err != nil {
			return nil, made, err
		}
		if b.Rounds == 0 && made+1 == b.Least {
			want = min(b.Most, max(want, s.need(b.Options)))
		}
	}
	report := compare.Judge(s.metrics, s.shares, b.Options)
	report.Notes = append(report.Notes, b.notes...)
	b.notes = nil
	return report, made, nil
}

// oneRound runs every part on both sides.
func (b *bench) oneRound(ctx context.Context, s *samples, set string, n int) error {
	r := b.round
	b.round++
	sides := []Side{b.Base, b.New}
	got := map[string]map[string]*results.Run{b.Base.Name: {}, b.New.Name: {}}
	for i := range b.Parts {
		p := b.Parts[(i+r)%len(b.Parts)]
		for k := range sides {
			side := sides[(k+r)%2]
			run, err := b.one(ctx, side, p, b.Seed+1+uint64(r), fmt.Sprintf("%s/%s/%s/round-%02d", set, p.Name, side.Name, n))
			if err != nil {
				return err
			}
			got[side.Name][p.Name] = run
		}
	}
	s.add(got[b.Base.Name], got[b.New.Name], b.Parts)
	return nil
}

// one makes a run; an INVALID one is made once more, and left out if it is INVALID again.
func (b *bench) one(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
	for try, where := range []string{label, label + "-again"} {
		run, err := b.run(ctx, s, p, seed, where)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		if run.Verdict.State != results.Invalid {
			return run, nil
		}
		if try == 1 {
			b.notes = append(b.notes, fmt.Sprintf("%s is left out: INVALID twice (%s)", label, run.Verdict.Reasons[0]))
		}
	}
	return nil, nil
}
