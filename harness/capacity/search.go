// Package capacity finds the load at which a system first fails its users, and names what gave out.
//
// It makes runs of one scenario at different loads, each a process of its own, and reads their results. A
// load has up to four knees: the latency, the errors that users see, the first false fallback (a browser
// lowers its version and nothing was injected), and the offered load that is no longer met. The search is
// a function of the steps so far; what a step means is judged from its run alone.
package capacity

import "math"

// Knee is a way in which a load can be too much.
type Knee string

const (
	Latency   Knee = "latency"   // the median second's p99 is above the limit
	Errors    Knee = "errors"    // users see errors, or requests fail
	Fallback  Knee = "fallback"  // a browser fell back and nothing was injected
	Unmet     Knee = "unmet"     // less was held or answered than was offered
	Generator Knee = "generator" // we could not keep up: the run says nothing of the server
)

// Knees in the order in which they are reported.
var Knees = []Knee{Latency, Errors, Fallback, Unmet, Generator}

// Step is one load and what it did.
type Step struct {
	Load float64       `json:"load"`
	Bad  map[Knee]bool `json:"bad"`
}

// Plan bounds a search.
type Plan struct {
	Start, Max float64 // loads; the search doubles from Start and never exceeds Max
	// Precision is how near, as a share, the last good load must be to the first bad one.
	Precision float64
	Steps     int // at most
}

// Bracket is what is known of a knee: all loads up to Good were good, Bad was not. Bad 0: never seen.
type Bracket struct{ Good, Bad float64 }

// bracket reads a knee's bracket from the steps. A load above the lowest bad one counts for nothing, good or
// bad: noise may make a heavier step look better.
func bracket(steps []Step, k Knee) (b Bracket) {
	for _, s := range steps {
		if s.Bad[k] && (b.Bad == 0 || s.Load < b.Bad) {
			b.Bad = s.Load
		}
	}
	for _, s := range steps {
		if !s.Bad[k] && s.Load > b.Good && (b.Bad == 0 || s.Load < b.Bad) {
			b.Good = s.Load
		}
	}
	return b
}

func (b Bracket) fine(precision float64) bool { return b.Bad > 0 && b.Bad-b.Good <= precision*b.Bad }

// Next says which load to try, or that the search is over.
//
// It doubles until something is bad, then halves the lowest knee's bracket (by the geometric mean: loads
// are ratios) until it is fine, then goes on upwards and refines the others while steps are left. Above a
// load that the generator could not make there is nothing to be learned.
func (p Plan) Next(steps []Step) (load float64, ok bool) {
	if len(steps) >= p.Steps {
		return 0, false
	}
	if len(steps) == 0 {
		return p.Start, true
	}
	lowest, highest := Bracket{}, 0.0
	for _, s := range steps {
		highest = max(highest, s.Load)
	}
	var open []Bracket
	for _, k := range Knees {
		b := bracket(steps, k)
		if b.Bad == 0 {
			continue
		}
		if lowest.Bad == 0 || b.Bad < lowest.Bad {
			lowest = b
		}
		if !b.fine(p.Precision) {
			open = append(open, b)
		}
	}
	ceiling := p.Max
	if g := bracket(steps, Generator); g.Bad > 0 {
		ceiling = min(ceiling, g.Bad)
	}
	switch {
	case lowest.Bad == 0:
		return grow(highest, ceiling)
	case !lowest.fine(p.Precision):
		return between(lowest, p.Start)
	case highest < ceiling && !p.allSeen(steps):
		return grow(highest, ceiling)
	case len(open) > 0:
		return between(open[0], p.Start)
	}
	return 0, false
}

func grow(highest, ceiling float64) (float64, bool) {
	if highest >= ceiling {
		return 0, false
	}
	return min(2*highest, ceiling), true
}

func between(b Bracket, start float64) (float64, bool) {
	load := math.Round(math.Sqrt(b.Good * b.Bad))
	if b.Good == 0 {
		load = math.Round(min(start, b.Bad) / 2) // even the first load was too much
	}
	return load, load >= 1 && load != b.Good && load != b.Bad
}

// allSeen says whether every knee that a server can have was found.
func (p Plan) allSeen(steps []Step) bool {
	for _, k := range Knees {
		if k != Generator && bracket(steps, k).Bad == 0 {
			return false
		}
	}
	return true
}

// Capacity is the highest load below every knee.
func Capacity(steps []Step) float64 {
	lowest := math.Inf(1)
	for _, k := range Knees {
		if b := bracket(steps, k); b.Bad > 0 {
			lowest = min(lowest, b.Bad)
		}
	}
	best := 0.0
	for _, s := range steps {
		if s.Load < lowest {
			best = max(best, s.Load)
		}
	}
	return best
}
