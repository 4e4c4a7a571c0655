package repro

import (
	"context"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"tlsurge/harness/trial"
)

// mask is a set of targets.
type mask uint32

func (m mask) has(i int) bool { return m&(1<<i) != 0 }

// hit is what one visitor showed, over all acts of a candidate.
type hit struct {
	visitor  Visitor
	shows    mask
	end      trial.Attempt // that decided it, in the first act that shows something
	ahead    bool          // the browser's first hello offers more than that act's server speaks
	telltale bool          // its user reads what the server logs, so that one browser tells the whole story
	took     time.Duration
}

// tried is a candidate with what it showed.
type tried struct {
	Candidate
	hits  []hit // in the order of people
	shows mask  // of all
	err   error
	// number is its place among those that were given out.
	number int
}

// search is one search in memory.
type search struct {
	lab     *lab
	targets []target
	people  []Visitor
	when    time.Time // of the report
	workers int
	count   int // candidates given out
	pull    func() (Candidate, bool)
	ready   []tried // played, not given out
}

// newSearch begins a search through list; stop ends it.
func newSearch(l *lab, list []target, people []Visitor, candidates iter.Seq[Candidate]) (s *search, stop func()) {
	s = &search{lab: l, targets: list, people: people, workers: runtime.GOMAXPROCS(0)}
	s.pull, stop = iter.Pull(candidates)
	return s, stop
}

// newest is when the newest of the report's browsers came out, at its time.
func (s *search) newest() (newest time.Time) {
	for _, v := range s.people {
		if at := released(v.Profile); at.After(newest) && !at.After(s.when) {
			newest = at
		}
	}
	return newest
}

// want is what a candidate has to show to end the search.
func (s *search) want() mask { return wanted(s.targets) }

// next gives the next candidate with what it showed; false at the end of the list or of ctx. Candidates are
// played side by side and given out in their order, so time decides nothing but how far it comes.
func (s *search) next(ctx context.Context) (tried, bool) {
	if len(s.ready) == 0 && ctx.Err() == nil {
		s.batch(ctx)
	}
	if len(s.ready) == 0 || ctx.Err() != nil {
		return tried{}, false
	}
	t := s.ready[0]
	s.ready = s.ready[1:]
	s.count++
	t.number = s.count
	return t, true
}

// batch plays some candidates at once.
func (s *search) batch(ctx context.Context) {
	var batch []tried
	for range 2 * s.workers {
		c, ok := s.pull()
		if !ok {
			break
		}
		c.Recipe = c.Recipe.hurried()
		batch = append(batch, tried{Candidate: c})
	}
	var group sync.WaitGroup
	gate := make(chan struct{}, s.workers)
	for i := range batch {
		gate <- struct{}{}
		group.Go(func() {
			s.play(ctx, &batch[i])
			<-gate
		})
	}
	group.Wait()
	if ctx.Err() == nil { // else half played: not to be judged
		s.ready = batch
	}
}

// play plays the candidate with everybody.
func (s *search) play(ctx context.Context, t *tried) {
	if t.Case != "" || !playable(t.Recipe.Faults) {
		return
	}
	var acts []*trial.Server
	for _, setting := range t.Recipe.Acts {
		server, err := s.lab.take(setting)
		if err != nil {
			t.err = err
			break
		}
		defer s.lab.give(setting, server)
		acts = append(acts, server)
	}
	if t.err != nil {
		return
	}
	for _, v := range s.people {
		if ctx.Err() != nil {
			return
		}
		h := s.visit(acts, v, t.Recipe.Faults)
		if h.shows != 0 {
			t.hits = append(t.hits, h)
			t.shows |= h.shows
		}
	}
}

// visit is one visitor in every act.
func (s *search) visit(acts []*trial.Server, v Visitor, list []trial.Fault) hit {
	h := hit{visitor: v}
	for _, server := range acts {
		r, err := s.lab.play(server, v, list)
		s.lab.counted()
		if err != nil || len(r.Attempts) == 0 {
			continue // a page load without end: nobody reports what never comes
		}
		for i, t := range s.targets {
			at := t.shownBy(v.Profile, r)
			if at < 0 {
				continue
			}
			if h.shows == 0 {
				newest := server.Newest()
				h.end, h.ahead = r.Attempts[at], newest == 0 || r.Attempts[0].Offered > newest.String()
			}
			h.shows |= 1 << i
		}
		h.telltale = h.telltale || telltale(r)
		h.took = max(h.took, r.Took)
	}
	return h
}

// choose picks the fewest visitors that show what can be shown of want: each time the one who shows most that
// nobody before does; of those the one whose user reads what is logged, the first in order.
func choose(hits []hit, want mask) (people []Visitor, shows mask, took time.Duration) {
	for shows&want != want {
		best := -1
		better := func(a, b hit) bool {
			x, y := bits.OnesCount32(uint32(a.shows&want&^shows)), bits.OnesCount32(uint32(b.shows&want&^shows))
			return x > y || x == y && a.telltale && !b.telltale
		}
		for i, h := range hits {
			if h.shows&want&^shows != 0 && (best < 0 || better(h, hits[best])) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		h := hits[best]
		people, shows, took = append(people, h.visitor), shows|h.shows, max(took, h.took)
	}
	return people, shows, took
}

// joined adds to the best candidate the acts of others with the same faults, where those show more.
func joined(best tried, others []tried, want mask) tried {
	for _, o := range others {
		if best.shows&want == want {
			break
		}
		if o.shows&want&^best.shows == 0 || !slices.Equal(o.Recipe.Faults, best.Recipe.Faults) || len(o.Recipe.Acts) != 1 {
			continue
		}
		best.Recipe.Acts = append(slices.Clone(best.Recipe.Acts), o.Recipe.Acts...)
		slices.SortStableFunc(best.Recipe.Acts, func(a, b Setting) int { return age(a.Stack) - age(b.Stack) })
		best.hits = mergeHits(best.hits, o.hits)
		best.shows |= o.shows
	}
	return best
}

// mergeHits joins what the same visitor showed in two candidates.
func mergeHits(a, b []hit) []hit {
	out := slices.Clone(a)
	for _, h := range b {
		i := slices.IndexFunc(out, func(o hit) bool { return o.visitor == h.visitor })
		if i < 0 {
			out = append(out, h)
			continue
		}
		out[i].shows |= h.shows
		out[i].telltale = out[i].telltale || h.telltale
		out[i].took = max(out[i].took, h.took)
	}
	return out
}

// telltale says whether the words that the user reads are those of the server's log.
func telltale(r trial.Result) bool {
	words := func(s string) string {
		return strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' {
				return c
			}
			return -1
		}, strings.ToLower(s))
	}
	last := r.Attempts[len(r.Attempts)-1]
	return r.UserSees != "" && last.LogReason != "" && strings.Contains(words(r.UserSees), words(last.LogReason))
}

func onesOf(m mask) int { return bits.OnesCount32(uint32(m)) }
