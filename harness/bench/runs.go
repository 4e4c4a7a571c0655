package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tlsurge/results"
	"tlsurge/results/compare"
)

// Part is a scenario that runs are made of.
type Part struct {
	Name     string
	Scenario string // a built-in name or a file
}

// Runner makes one run and gives its result. label names it among the bench's runs and is a path.
type Runner func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error)

// Runs is a rig that makes a whole run of a scenario on each side per round: for what a scenario is made
// of and the edges alone cannot show (faults, several edges, balancers, real servers).
type Runs struct {
	Part Part
	Seed uint64 // of the first round; each round has the next
	Run  Runner
}

// WarmUp runs each side once.
func (r *Runs) WarmUp(ctx context.Context, base, candidate Side) (time.Duration, error) {
	run, err := r.Run(ctx, base, r.Part, r.Seed, "warm-up/"+base.Name)
	if err != nil {
		return 0, err
	}
	if _, err := r.Run(ctx, candidate, r.Part, r.Seed, "warm-up/"+candidate.Name); err != nil {
		return 0, err
	}
	cpu, handshakes := spent(run)
	return time.Duration(cpu / max(1, handshakes)), nil
}

// Round runs both sides, the one that goes first changing from round to round.
func (r *Runs) Round(ctx context.Context, base, candidate Side, round Round) (Pair, error) {
	sides := [2]Side{base, candidate}
	var got [2]*Sample
	for k := range sides {
		i := (k + round.Number) % 2
		label := fmt.Sprintf("%s/%s/%s/round-%02d", round.Set, r.Part.Name, sides[i].Name, round.Index)
		run, err := r.valid(ctx, sides[i], r.Seed+1+uint64(round.Number), label)
		if err != nil {
			return Pair{}, err
		}
		if run.Verdict.State == results.Invalid {
			return Pair{Note: fmt.Sprintf("%s is left out: INVALID twice (%s)", label, run.Verdict.Reasons[0])}, nil
		}
		got[i] = sampleOf(run)
	}
	return Pair{Base: got[0], New: got[1]}, nil
}

// valid makes a run, and once more where it is INVALID.
func (r *Runs) valid(ctx context.Context, s Side, seed uint64, label string) (*results.Run, error) {
	run, err := r.Run(ctx, s, r.Part, seed, label)
	if err == nil && ctx.Err() == nil && run.Verdict.State == results.Invalid {
		run, err = r.Run(ctx, s, r.Part, seed, label+"-again")
	}
	if err == nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return run, err
}

// sampleOf reads off a run everything that compare knows of one.
func sampleOf(run *results.Run) *Sample {
	s := &Sample{Values: compare.Values(run)}
	pages := map[string][2]int64{}
	var order []string
	for _, u := range run.Users {
		t, seen := pages[u.Profile]
		if !seen {
			order = append(order, u.Profile)
		}
		pages[u.Profile] = [2]int64{t[0] + u.SawError, t[1] + u.PageLoads}
	}
	for _, p := range order {
		s.saw(p, pages[p][0], pages[p][1])
	}
	return s
}
