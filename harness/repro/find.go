package repro

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"time"

	"tlsurge/harness/symptom"
)

// find searches, shrinks and confirms until something is confirmed or time is up.
func (t *task) find(ctx context.Context) error {
	k := &ranking{config: t.Nginx, targets: t.targets, era: eraOf(t.targets)}
	ranked := k.candidates()
	for _, c := range ranked {
		if words := fmt.Sprintf("%s (%v)", c.Cause, c); len(t.result.First) < 5 && !slices.Contains(t.result.First, words) {
			t.result.First = append(t.result.First, words)
		}
	}
	t.search, t.stop = newSearch(t.lab, t.targets, k.era.people(t.targets, t.Report.Hellos), chained(slices.Values(ranked), systematic(t.Nginx, k.era.stacks)))
	t.search.when = k.era.when
	t.Progress.Step(fmt.Sprintf("searching in memory: %d ranked causes, then all others in order", len(ranked)))

	var promising []tried
	var later []tried // complete, by browsers that hardly anybody had any more
	ranksOver := false
	for len(promising) == 0 && t.result.Unconfirmed == nil || t.left() > t.costs(plain) {
		c, ok := t.search.next(ctx)
		if !ok {
			break
		}
		t.Progress.Tick(t.search.count, c.String(), t.share())
		if c.Cause == enumerated && !ranksOver {
			ranksOver = true
			for _, c := range later {
				if done, err := t.confirm(ctx, c, c.number); done || err != nil {
					return err
				}
			}
			if best(promising, t.required) {
				break // the rest would only add what is not required
			}
			if err := t.confirmLibrary(ctx); err != nil || t.result.Reproduced {
				return err
			}
		}
		if c.Case != "" {
			if err := t.confirmNamed(ctx, c.Case); err != nil || t.result.Reproduced {
				return err
			}
			continue
		}
		if c.shows == 0 {
			continue
		}
		if c.shows&t.search.want() == t.search.want() {
			t.complete = append(t.complete, c)
			if c.Cause != enumerated && t.unlikely(c) {
				later = append(later, c)
				continue
			}
			done, err := t.confirm(ctx, c, c.number)
			if done || err != nil {
				return err
			}
			continue
		}
		promising = append(promising, c)
	}
	t.result.Tried = t.search.count
	return t.confirmBest(ctx, promising)
}

// unlikely says whether a user's report would have come from old news: from browsers that are all years older than
// the newest of the report's at its time.
func (t *task) unlikely(c tried) bool {
	return !slices.ContainsFunc(c.hits, func(h hit) bool { return h.shows&t.required != 0 && !t.bygone(h.visitor) })
}

// bygone says whether hardly any user had the browser any more. A server's log is another matter: old clients and
// scanners fill it.
func (t *task) bygone(v Visitor) bool {
	if !slices.ContainsFunc(t.targets, func(g target) bool { return g.Origin == symptom.User }) {
		return false
	}
	return t.search.newest().Sub(released(v.Profile)) >= 4*365*24*time.Hour
}

// plain is how long the scenario of a recipe lasts in which nobody waits: a search that has found something leaves
// as much.
const plain = 2 * time.Second

// best says whether one of the list shows all of want.
func best(list []tried, want mask) bool {
	return slices.ContainsFunc(list, func(t tried) bool { return t.shows&want == want })
}

func chained(parts ...iter.Seq[Candidate]) iter.Seq[Candidate] {
	return func(yield func(Candidate) bool) {
		for _, p := range parts {
			for c := range p {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// mostConfirmed bounds how many candidates that show a part are tried on the fleet.
const mostConfirmed = 5

// confirmBest tries what shows a part of the report, what shows most first.
func (t *task) confirmBest(ctx context.Context, list []tried) error {
	score := func(c tried) int {
		return 100*bits.OnesCount32(uint32(c.shows&t.required)) + bits.OnesCount32(uint32(c.shows))
	}
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b tried) int { return cmp.Compare(score(b), score(a)) })
	for i, c := range order {
		if i >= mostConfirmed {
			break
		}
		c = joined(c, list, t.search.want())
		done, err := t.confirm(ctx, c, c.number)
		if done || err != nil {
			return err
		}
	}
	return nil
}
