package repro

import (
	"fmt"
	"math"
)

// Rate is how often it happens: of so many page loads, so many.
type Rate struct {
	Hits  int64 `json:"hits"`
	Loads int64 `json:"page_loads"`
	// Low and High are the ends of the 95 % interval (Wilson, without correction for continuity).
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// z is the 97.5 % quantile of the normal distribution.
const z = 1.959963984540054

// NewRate computes the interval (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical
// Inference, 1927).
func NewRate(hits, loads int64) Rate {
	r := Rate{Hits: hits, Loads: loads, High: 1}
	if loads <= 0 {
		return r
	}
	n, p := float64(loads), r.Value()
	centre, spread := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	r.Low, r.High = max(0, (centre-spread)/(1+z*z/n)), min(1, (centre+spread)/(1+z*z/n))
	// At the ends the formula is exact but for rounding.
	if hits == 0 {
		r.Low = 0
	}
	if hits == loads {
		r.High = 1
	}
	return r
}

// Value is the share.
func (r Rate) Value() float64 {
	if r.Loads == 0 {
		return 0
	}
	return float64(r.Hits) / float64(r.Loads)
}

func (r Rate) add(o Rate) Rate { return NewRate(r.Hits+o.Hits, r.Loads+o.Loads) }

func (r Rate) String() string {
	return fmt.Sprintf("%d of %d page loads, %s (95 %%: %s to %s)", r.Hits, r.Loads, percent(r.Value()), percent(r.Low), percent(r.High))
}

func percent(p float64) string { return fmt.Sprintf("%.3g %%", 100*p) }

// Difference is the change of a share, with its 95 % interval (R. G. Newcombe, Interval estimation for the
// difference between independent proportions, 1998, method 10).
type Difference struct {
	Value float64 `json:"value"` // after less before
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

func difference(before, after Rate) Difference {
	a, b := after.Value(), before.Value()
	return Difference{a - b,
		a - b - math.Hypot(a-after.Low, before.High-b),
		a - b + math.Hypot(after.High-a, b-before.Low)}
}

// Clear says whether the interval leaves out no change.
func (d Difference) Clear() bool { return d.Low > 0 || d.High < 0 }

func (d Difference) String() string {
	return fmt.Sprintf("%+.3g points (95 %%: %+.3g to %+.3g)", 100*d.Value, 100*d.Low, 100*d.High)
}
