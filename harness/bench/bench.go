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
	"fmt"
	"math"
	"slices"
	"strings"
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
	// Limit ends a set of rounds that the noise would make longer; 0: no limit.
	Limit   time.Duration
	Options compare.Options
	Plant   Plant // put into New once the warm-up has said what a handshake costs
	Log     func(format string, args ...any)
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
	Rounds int             `json:"rounds"` // of the last set
	// Confirmed: a first set of rounds suspected something, and on that the judgement is the second's.
	Confirmed bool             `json:"confirmed"`
	Metrics   []compare.Metric `json:"metrics"` // of the last set, round by round
	Shares    []compare.Share  `json:"shares"`
}

// DefaultLeast is the fewest rounds of which all pointing one way can be significant for a dozen metrics;
// DefaultMost ends what noise might ask for.
const DefaultLeast, DefaultMost = 10, 40

// Run makes the rounds and judges them. What they call worse is looked at again in a second set of rounds,
// whose size is fixed before it begins, and only what that calls worse is blamed. Where ctx ends it, the result is
// what there is, which blames nothing, beside the error; nil before the first round is whole.
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
	first, err := b.look(ctx)
	if err != nil {
		return first, err
	}
	suspects := compare.Suspects(first.Report)
	if len(suspects) == 0 {
		return first, nil
	}
	return b.confirm(ctx, first, suspects)
}

type bench struct {
	Config
	rig  Rig
	made int // rounds of all sets
}

// look makes the first set: as many rounds as fixed, or the least, and then more for as long as a key
// metric is open and the noise asks for them.
func (b *bench) look(ctx context.Context) (*Result, error) {
	s := &samples{}
	want := b.Rounds
	if want == 0 {
		want = b.Least
	}
	began := time.Now()
	for {
		if err := b.rounds(ctx, "rounds", s, want, began); err != nil {
			if ctx.Err() == nil || s.made == 0 {
				return nil, err
			}
			return s.judged(b.Options).unfinished("interrupted after %d of %d rounds", s.made, want), err
		}
		got := s.judged(b.Options)
		if b.Rounds != 0 || s.made < want || s.made >= b.Most || !open(got.Report) {
			return got, nil
		}
		// At least a few more: the noise itself is only known from the rounds so far.
		want = min(b.Most, max(s.made+moreRounds, s.need(b.Options)))
	}
}

// moreRounds is the least by which a set grows.
const moreRounds = 4

// open tells whether a key metric is open. One that is suspected is left to the second set.
func open(r *compare.Report) bool {
	suspects := compare.Suspects(r)
	return slices.ContainsFunc(r.Rows, func(row compare.Row) bool {
		return row.Key && row.Decision == compare.Unsure && !slices.Contains(suspects, row.Name)
	})
}

// confirm makes the second set, and judges the suspects on it alone.
func (b *bench) confirm(ctx context.Context, first *Result, suspects []string) (*Result, error) {
	want := b.Rounds
	if want == 0 {
		if want = min(b.Most, max(b.Least, first.of(suspects).need(b.Options))); plain(first.Report, suspects) {
			want = min(want, b.Least/2)
		}
	}
	b.Log("worse in %d rounds: %s; %d more rounds before that is said", first.Rounds, firstFew(suspects), want)
	s := &samples{}
	if err := b.rounds(ctx, "confirming", s, want, time.Now()); err != nil {
		if ctx.Err() == nil {
			return nil, err
		}
		return first.unfinished("interrupted after %d of %d rounds that were to confirm it; the figures are of the %d before", s.made, want, first.Rounds), err
	}
	second := s.judged(b.Options)
	second.Report = compare.Confirm(first.Report, s.metrics, s.shares)
	second.Report.Notes = append(slices.Clone(first.Report.Notes), s.notes...)
	second.Confirmed = true
	return second, nil
}

// unfinished takes back what a bench that was interrupted may not say: that something is worse, or that nothing is.
func (r *Result) unfinished(format string, args ...any) *Result {
	why := fmt.Sprintf(format, args...)
	for i := range r.Report.Rows {
		if row := &r.Report.Rows[i]; row.Decision == compare.Regressed {
			row.Decision, row.Why = compare.Unsure, "worse, and not confirmed: "+why
		}
	}
	r.Report.Decision = compare.Unsure
	r.Report.Notes = append(r.Report.Notes, why)
	return r
}

// plain tells whether all suspects are browsers of whom at least half fare otherwise: half of the rounds show
// that again.
func plain(r *compare.Report, suspects []string) bool {
	return !slices.ContainsFunc(r.Rows, func(row compare.Row) bool {
		return slices.Contains(suspects, row.Name) && (row.Unit != "share" || math.Abs(row.Effect.Estimate) < 0.5)
	})
}

// firstFew names the first few of many.
func firstFew(names []string) string {
	if n := len(names) - 3; n > 1 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:3], ", "), n)
	}
	return strings.Join(names, ", ")
}

// rounds makes rounds until a set has so many, or the time for them is over; the least are made in any case.
func (b *bench) rounds(ctx context.Context, set string, s *samples, want int, began time.Time) error {
	for ; s.made < want; s.made++ {
		if b.Limit > 0 && b.Rounds == 0 && s.made >= b.Least && time.Since(began) >= b.Limit {
			s.notes = append(s.notes, fmt.Sprintf("%s: %d of %d rounds: the time of %v for a set was over", set, s.made, want, b.Limit))
			return nil
		}
		b.Log("%s: round %d of %d", set, s.made+1, want)
		p, err := b.rig.Round(ctx, b.Base, b.New, Round{set, s.made, b.made})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		b.made++
		s.add(p)
	}
	return nil
}
