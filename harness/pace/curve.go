package pace

import (
	"math"
	"time"
)

// Segment is a stretch of time over which the rate goes in a straight line from From to To, in arrivals
// per second.
type Segment struct {
	From, To float64
	For      time.Duration
}

// Piecewise is a rate made of straight lines, one after the other. After the last the rate is 0.
type Piecewise []Segment

// Constant is the same rate for ever.
//
//	rate ┤────────────
//	     └────────────▶ t
func Constant(rate float64) Piecewise { return Piecewise{{rate, rate, never}} }

// Ramp goes from one rate to another in a straight line, then stays.
//
//	to   ┤    ╱───────
//	from ┤──╱
//	     └────────────▶ t
func Ramp(from, to float64, over time.Duration) Piecewise {
	return Piecewise{{from, to, over}, {to, to, never}}
}

// Steps holds each rate for the same time, and the last one for ever.
//
//	┤       ┌────
//	┤   ┌───┘
//	┤───┘
//	└────────────▶ t
func Steps(each time.Duration, rates ...float64) Piecewise {
	var p Piecewise
	for _, r := range rates {
		p = append(p, Segment{r, r, each})
	}
	if len(p) > 0 {
		p[len(p)-1].For = never
	}
	return p
}

// Trapezoid rises to a rate, holds it, and falls back to nothing: the traffic load profile of RFC 9411, section 4.3.4.
//
//	rate ┤   ┌────────┐
//	     ┤ ╱            ╲
//	     └────────────────▶ t
func Trapezoid(rate float64, up, hold, down time.Duration) Piecewise {
	var p Piecewise
	for _, s := range []Segment{{0, rate, up}, {rate, rate, hold}, {rate, 0, down}} {
		if s.For > 0 {
			p = append(p, s)
		}
	}
	return p
}

// Spike is a constant rate with one stretch of another.
//
//	peak ┤    ┌──┐
//	base ┤────┘  └────
//	     └────────────▶ t
func Spike(base, peak float64, at, width time.Duration) Piecewise {
	return Piecewise{{base, base, at}, {peak, peak, width}, {base, base, never}}
}

// Arrivals is the area under the segments up to t.
func (p Piecewise) Arrivals(t time.Duration) float64 {
	var sum float64
	for _, s := range p {
		if t < s.For {
			return sum + s.area(t.Seconds())
		}
		t -= s.For
		sum += s.area(s.For.Seconds())
	}
	return sum
}

// area is the integral over the first x seconds of the segment.
func (s Segment) area(x float64) float64 {
	return s.From*x + (s.To-s.From)/s.For.Seconds()*x*x/2
}

// When walks the segments to the one in which the n-th arrival falls and solves its quadratic.
func (p Piecewise) When(n float64) time.Duration {
	var start time.Duration
	for _, s := range p {
		whole := s.area(s.For.Seconds())
		if n < whole || n == 0 && whole > 0 {
			return start + seconds(s.solve(n))
		}
		n -= whole
		if start += s.For; start < 0 || s.For == never {
			return never
		}
	}
	return never
}

// solve finds x with From·x + slope·x²/2 = n, by the form of the quadratic formula that does not divide
// by the slope (which may be 0).
func (s Segment) solve(n float64) float64 {
	if n == 0 {
		return 0 // also where the rate starts at 0: its arrival number 0 stands at the start
	}
	slope := (s.To - s.From) / s.For.Seconds()
	return 2 * n / (s.From + math.Sqrt(max(0, s.From*s.From+2*slope*n)))
}

// Sine swings around a mean rate: the day and night of a site, compressed.
//
//	mean+swing ┤ ╭─╮     ╭─╮
//	mean       ┤─╯ ╰╮   ╭╯
//	mean-swing ┤    ╰───╯
//	           └────────────▶ t
//
// Swing must not exceed Mean, as a rate cannot be negative.
type Sine struct {
	Mean, Swing float64 // arrivals per second
	Period      time.Duration
}

// Arrivals is the integral of Mean + Swing·sin(2πt/Period).
func (s Sine) Arrivals(t time.Duration) float64 {
	w := 2 * math.Pi / s.Period.Seconds()
	x := t.Seconds()
	return s.Mean*x + s.Swing/w*(1-math.Cos(w*x))
}

// When inverts by bisection: the integral never falls, and lies within 2·Swing/w of the mean line.
func (s Sine) When(n float64) time.Duration {
	if s.Mean <= 0 || math.IsInf(n, 1) {
		return never
	}
	w := 2 * math.Pi / s.Period.Seconds()
	lo := seconds(max(0, (n-2*s.Swing/w)/s.Mean))
	hi := seconds(n/s.Mean) + 1
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		if s.Arrivals(mid) < n {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi - 1
}

// seconds converts, with everything beyond a Duration's range as never.
func seconds(x float64) time.Duration {
	ns := math.Round(x * 1e9)
	if !(ns < math.MaxInt64) {
		return never
	}
	return time.Duration(ns)
}
