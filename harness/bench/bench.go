// Package bench is the drive of `tlsurge bench`: it measures a baseline and a candidate in interleaved
// rounds and hands the samples to results/compare.
//
// A rig measures both sides once per round, side by side, so that a machine that slows down slows both,
// and the difference within a round is what counts. There are two: Edges starts a fresh edge of each side
// per round and gives both the same small pieces of work in turn; Runs makes a `tlsurge run` of a scenario
// on each side. The same seed on both sides gives both the same browsers.
//
// It owns the order of things and what is measured. It does not judge (results/compare does).
package bench

import (
	"context"
	"time"

	"tlsurge/results/compare"
)

// Side is the baseline or the candidate.
type Side struct {
	Name   string   // "base", "new"
	Binary string   // the tlsurge that makes edges (Edges) or whole runs (Runs); empty: this one
	Set    []string // overrides of the scenario, "fleet.stack=openssl-1.1.1"
	Plant  string   // a regression for the edges to carry (proxy.ParsePlant); empty: none
}

// Config is a bench.
type Config struct {
	Base, New Side
	// Rounds fixes how many rounds are made; 0 makes Least, then as many as the noise in them asks
	// for, up to Most.
	Rounds, Least, Most int
	Options             compare.Options
	Plant               Plant // put into New once the warm-up has said what a handshake costs
	Log                 func(format string, args ...any)
}

// Rig measures.
type Rig interface {
	// WarmUp makes both sides work once and says what a full handshake costs the baseline: pages of the
	// binaries, the processor's clock and the kernel's caches settle in it.
	WarmUp(ctx context.Context, base, candidate Side) (perHandshake time.Duration, err error)
	// Round measures both sides.
	Round(ctx context.Context, base, candidate Side, r Round) (Pair, error)
}

// Round is one of many.
type Round struct {
	Set    string // "rounds", or "confirming"
	Index  int    // in the set
	Number int    // of all rounds of the bench: decides who goes first, and the seed
}

// Pair is what a round found. A round without a sample of both sides is left out, with a note.
type Pair struct {
	Base, New *Sample
	Note      string
}

// Result is what a bench found.
type Result struct {
	Report *compare.Report `json:"report"`
	Rounds int             `json:"rounds"` // of the set that was judged
	// Confirmed: a first set of rounds said "regressed", and the judgement is on both.
	Confirmed bool             `json:"confirmed"`
	Metrics   []compare.Metric `json:"metrics"` // of the set that was judged, round by round
	Shares    []compare.Share  `json:"shares"`
}

// DefaultLeast is the fewest rounds of which all pointing one way can be significant for a dozen metrics;
// DefaultMost ends what noise might ask for.
const DefaultLeast, DefaultMost = 10, 20

// Run makes the rounds and judges them. Where they say that the candidate is worse, it makes as many
// again and blames only what is worse in both.
func Run(ctx context.Context, cfg Config, rig Rig) (*Result, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Least == 0 {
		cfg.Least = DefaultLeast
	}
	cfg.Most = max(cfg.Most, cfg.Least)
	b := &bench{Config: cfg, rig: rig}
	b.Log("warm-up")
	cost, err := rig.WarmUp(ctx, b.Base, b.New)
	if err != nil {
		return nil, err
	}
	if err := b.Plant.into(&b.New, cost); err != nil {
		return nil, err
	}
	first, err := b.judged(ctx, "rounds")
	if err != nil || first.Report.Decision != compare.Regressed {
		return first, err
	}
	cfg.Log("worse in %d rounds; as many again before that is said", first.Rounds)
	b.Rounds = first.Rounds
	second, err := b.judged(ctx, "confirming")
	if err != nil {
		return nil, err
	}
	second.Report, second.Confirmed = compare.Confirm(first.Report, second.Report), true
	return second, nil
}

type bench struct {
	Config
	rig  Rig
	made int // rounds of all sets
}

// judged makes one set of rounds.
func (b *bench) judged(ctx context.Context, set string) (*Result, error) {
	s := &samples{}
	var notes []string
	want := b.Rounds
	if want == 0 {
		want = b.Least
	}
	n := 0
	for ; n < want; n++ {
		b.Log("%s: round %d of %d", set, n+1, want)
		p, err := b.rig.Round(ctx, b.Base, b.New, Round{set, n, b.made})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		b.made++
		if p.Note != "" {
			notes = append(notes, p.Note)
		}
		if p.Base != nil && p.New != nil {
			s.add(p)
		}
		if b.Rounds == 0 && n+1 == b.Least {
			want = min(b.Most, max(want, s.need(b.Options)))
		}
	}
	report := compare.Judge(s.metrics, s.shares, b.Options)
	report.Notes = append(report.Notes, notes...)
	return &Result{Report: report, Rounds: n, Metrics: s.metrics, Shares: s.shares}, nil
}
