// Package pace says when load is due: arrival schedules as pure functions of a curve and a seed.
//
// A Curve is a rate over time; a Schedule is the sequence of intended starts that follows from it. A
// schedule never learns whether the load that it asked for was carried out: that is what makes the model
// open, and what keeps a stalled server from thinning out the very requests that would show the stall
// (coordinated omission). It reads no clock and holds no state but its own position.
package pace

import (
	"math"
	"time"
)

// Schedule yields intended starts, as offsets from the start of the load, never going back in time.
type Schedule interface {
	// Next gives the next intended start; ok is false when the schedule has ended, and stays false.
	Next() (at time.Duration, ok bool)
}

// Curve is a rate of arrivals over time, known by its integral.
type Curve interface {
	// Arrivals is the number of arrivals expected in [0, t): the integral of the rate.
	Arrivals(t time.Duration) float64
	// When is the inverse: the time by which n arrivals are expected. It is never when n is beyond all
	// that the curve will ever give.
	When(n float64) time.Duration
}

// never is later than any run.
const never = time.Duration(math.MaxInt64)

// Evenly spaces arrivals exactly along the curve: arrival n (from 0) stands where the integral is n, so
// a constant curve of 100/s gives 0 ms, 10 ms, 20 ms, …
//
// It ends at until (exclusive).
func Evenly(c Curve, until time.Duration) Schedule {
	return &evenly{curve: c, until: until}
}

type evenly struct {
	curve Curve
	until time.Duration
	n     float64
}

func (e *evenly) Next() (time.Duration, bool) {
	at := e.curve.When(e.n)
	if at >= e.until {
		return 0, false
	}
	e.n++
	return at, true
}

// Poisson draws arrivals as a Poisson process whose rate follows the curve: independent users, who do
// not take turns. The gaps are exponential with mean 1 on the scale of the curve's integral (time
// rescaling), so any curve will do. The same seed gives the same arrivals.
//
// It ends at until (exclusive).
func Poisson(c Curve, seed uint64, until time.Duration) Schedule {
	return &poisson{curve: c, until: until, random: seed}
}

type poisson struct {
	curve  Curve
	until  time.Duration
	random uint64
	sum    float64
}

func (p *poisson) Next() (time.Duration, bool) {
	p.sum -= math.Log(p.uniform())
	at := p.curve.When(p.sum)
	if at >= p.until {
		p.sum = math.Inf(1)
		return 0, false
	}
	return at, true
}

// uniform draws from (0, 1] with 53 bits (splitmix64, Steele, Lea and Flood 2014).
func (p *poisson) uniform() float64 {
	p.random += 0x9e3779b97f4a7c15
	z := p.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return (float64(z>>11) + 1) / (1 << 53)
}

// Share takes every of-th arrival of s beginning with number index, so that `of` agents, each with its
// own copy of s, together carry out s and nothing else.
func Share(s Schedule, index, of int) Schedule {
	return &share{s: s, skip: index, of: of}
}

type share struct {
	s        Schedule
	skip, of int
}

func (s *share) Next() (time.Duration, bool) {
	for range s.skip {
		if _, ok := s.s.Next(); !ok {
			return 0, false
		}
	}
	s.skip = s.of - 1
	return s.s.Next()
}

// Times replays given offsets, which must not go back in time.
func Times(offsets []time.Duration) Schedule { return &times{offsets} }

type times struct{ left []time.Duration }

func (t *times) Next() (time.Duration, bool) {
	if len(t.left) == 0 {
		return 0, false
	}
	at := t.left[0]
	t.left = t.left[1:]
	return at, true
}
