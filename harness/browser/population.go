package browser

import (
	"math"
	"time"
)

// population says who comes when. It is pure: every agent computes the same one and plays its share.
//
// Connections are held by places. In each place one browser follows another: browser i is the
// (i / places)-th in place i mod places. All browsers of a place have the same profile, so that the mix
// stays what it was while browsers come and go.
type population struct {
	draws
	load     *Load
	mix      []Visitor
	edges    int
	weights  []float64
	places   []place
	sumSlots int
}

// place is what all browsers in it share.
type place struct {
	visitor uint16 // index into the mix
	slots   uint8  // connections
	born    time.Duration
}

// who is one browser.
type who struct {
	index     uint32
	place     uint32
	visitor   uint16
	slots     uint8
	edge      uint8 // the edge that its resolver puts first
	returning bool
	slow      bool
	astray    bool          // its clock is off
	born      time.Duration // intended start, within the phase
	dies      time.Duration // intended end; forever where there is none
}

const forever = time.Duration(math.MaxInt64)

// newPopulation fills places until the connections are held.
func newPopulation(d draws, load *Load, mix []Visitor, edges int) *population {
	p := &population{draws: d, load: load, mix: mix, edges: edges}
	p.weights = cumulative(mix)
	for left := load.Connections; left > 0; {
		n := uint64(len(p.places))
		pl := place{visitor: p.visitor(n, p.weights)}
		pl.slots = uint8(min(left, p.slots(n, mix[pl.visitor])))
		left -= int(pl.slots)
		p.places = append(p.places, pl)
		p.sumSlots += int(pl.slots)
	}
	p.spreadBirths()
	return p
}

// cumulative gives the upper ends of each entry's part of [0, 1).
func cumulative(mix []Visitor) []float64 {
	var sum float64
	for _, v := range mix {
		sum += v.Weight
	}
	out := make([]float64, len(mix))
	var at float64
	for i, v := range mix {
		at += v.Weight / sum
		out[i] = at
	}
	return out
}

// visitor draws the profile of a place: steps of the golden ratio from a seeded start, folded into
// [0, 1). Any run of places then has every profile in its share, to within one or two, where independent
// draws would leave a rare browser out of a small run.
func (p *population) visitor(n uint64, weights []float64) uint16 {
	_, u := math.Modf(p.unit(saltProfile, 0) + float64(n)*math.Phi)
	for i, end := range weights {
		if u < end {
			return uint16(i)
		}
	}
	return uint16(len(weights) - 1)
}

// defaultConnections is what a profile that does not say holds: what every browser has done since 2008.
const defaultConnections = 6

func (p *population) slots(n uint64, v Visitor) int {
	most := defaultConnections
	if v.Profile != nil {
		if m := v.Profile.Manners().ConnectionsPerHost; m > 0 {
			most = m
		}
	}
	lo, hi := p.load.PerBrowser[0], p.load.PerBrowser[1]
	if hi == 0 {
		hi = most
	}
	if lo == 0 {
		lo = hi
	}
	k := lo + int(p.unit(saltConnections, n)*float64(max(0, hi-lo)+1))
	return max(1, min(k, hi, most, 255))
}

// spreadBirths spaces the first browsers over the ramp so that connections grow in a straight line, or
// draws their times (a Poisson process, given its number of arrivals, is as many independent uniform draws).
func (p *population) spreadBirths() {
	sum := 0
	for i := range p.places {
		at := float64(sum) / float64(p.sumSlots)
		if p.load.Poisson {
			at = p.unit(saltBirth, uint64(i))
		}
		p.places[i].born = time.Duration(at * float64(p.load.Ramp))
		sum += int(p.places[i].slots)
	}
}

// first is the first browser of a place.
func (p *population) first(place uint32) who {
	w := p.identity(place, place, 0)
	w.born = p.places[place].born
	w.dies = p.end(w)
	return w
}

// next is the browser that follows w in its place, at the moment that w was meant to end.
func (p *population) next(w who) who {
	n := p.identity(w.index+uint32(len(p.places)), w.place, w.index/uint32(len(p.places))+1)
	n.born = w.dies
	n.dies = p.end(n)
	return n
}

// transient is the n-th browser of a model that only connects: it stays for one connection.
func (p *population) transient(n uint32) who {
	v := p.visitor(uint64(n), p.weights)
	return who{index: n, place: n, visitor: v, slots: 1, edge: p.edge(n, 0), dies: forever,
		astray: p.mix[v].Clock != 0 && p.unit(saltClock, uint64(n)) < p.mix[v].ClockShare}
}

func (p *population) identity(index, place, generation uint32) who {
	pl := p.places[place]
	return who{
		index: index, place: place, visitor: pl.visitor, slots: pl.slots,
		edge:      p.edge(place, generation),
		returning: p.unit(saltReturning, uint64(index)) < p.mix[pl.visitor].Returning,
		astray:    p.mix[pl.visitor].Clock != 0 && p.unit(saltClock, uint64(index)) < p.mix[pl.visitor].ClockShare,
		slow:      p.unit(saltSlow, uint64(index)) < p.load.SlowShare,
	}
}

// edge is the address that the resolver's rotation puts first: each run of as many places as there are
// edges gets each edge once, from a drawn start, as round-robin DNS deals them out.
func (p *population) edge(place, generation uint32) uint8 {
	e := uint64(p.edges)
	start := p.bits(saltEdge, uint64(place)/e) % e
	return uint8((start + uint64(place) + uint64(generation)) % e)
}

// resolve is the address that the resolver puts first when a browser opens its connection of this number.
func (p *population) resolve(w who, connection uint32) uint8 {
	if !p.load.ResolveEach {
		return w.edge
	}
	return uint8(p.bits(saltResolve, uint64(w.index)<<20^uint64(connection)) % uint64(p.edges))
}

func (p *population) end(w who) time.Duration {
	last := p.closes(w.place)
	if p.load.Lifetime[1] <= 0 || w.born >= last {
		return last
	}
	return min(last, w.born+max(time.Millisecond, p.between(saltLifetime, uint64(w.index), p.load.Lifetime)))
}

// closes is when a place is given up for good: in the ramp down, the first place first.
func (p *population) closes(place uint32) time.Duration {
	if p.load.RampDown <= 0 {
		return forever
	}
	left := float64(place) / float64(len(p.places))
	return p.load.Duration - p.load.RampDown + time.Duration(left*float64(p.load.RampDown))
}

// last says whether nobody follows w in its place.
func (p *population) last(w who) bool { return w.dies >= p.closes(w.place) }
