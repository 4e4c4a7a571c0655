// Package hist is the histogram that every latency of tlsurge goes into: an HdrHistogram of nanoseconds
// with one fixed geometry, so that any two can be merged, subtracted and compared without loss.
//
// It owns the geometry, the encoding (V2 compressed, base64) and the interval log. It does not own a
// clock, a file or a lock: one histogram belongs to one loop, and merging happens in one place.
package hist

import (
	"errors"
	"fmt"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// The geometry. The lowest discernible value is a microsecond, because loopback has nothing finer to
// say; the highest trackable value is an hour, because no timeout of any browser is longer; three
// significant digits keep each reported value within 0.1 % of the recorded one. A histogram is then a
// fixed 180 KiB of counts, whatever is recorded.
const (
	LowestDiscernible = 1_000             // ns
	HighestTrackable  = 3_600_000_000_000 // ns
	SignificantDigits = 3
)

// Histogram counts nanosecond values. The zero value is not usable; call New.
type Histogram struct {
	h *hdr.Histogram
	// clipped is how many values lay outside the trackable range: recorded at its nearer end, and
	// counted here so that nobody takes them for measurements.
	clipped int64
	text    prepared // what an Encoder made of it
}

// New returns an empty histogram.
func New() *Histogram {
	return &Histogram{h: hdr.New(LowestDiscernible, HighestTrackable, SignificantDigits)}
}

// Record counts one value in nanoseconds. It does not allocate.
func (h *Histogram) Record(ns int64) {
	if ns < 0 || ns > HighestTrackable {
		h.clipped++
		ns = min(max(ns, 0), HighestTrackable)
	}
	if err := h.h.RecordValue(ns); err != nil {
		panic("hist: a value within the geometry was refused: " + err.Error()) // cannot happen: ns is in range
	}
}

// Count is how many values were recorded, clipped ones included.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Clipped is how many values lay outside the trackable range.
func (h *Histogram) Clipped() int64 { return h.clipped }

// Min, Max and Mean are exact to the significant digits; 0 for an empty histogram.
func (h *Histogram) Min() int64    { return h.h.Min() }
func (h *Histogram) Max() int64    { return h.h.Max() }
func (h *Histogram) Mean() float64 { return h.h.Mean() }

// Quantile is the value at quantile q, 0..1: the smallest recorded value, to the significant digits,
// that at least q of all values do not exceed. 0 for an empty histogram.
func (h *Histogram) Quantile(q float64) int64 { return h.h.ValueAtPercentile(q * 100) }

// Point is one step of the percentile curve.
type Point struct {
	Quantile float64 `json:"quantile"`
	ValueNs  int64   `json:"value_ns"`
}

// Curve gives the percentile curve, from the minimum to the maximum, in steps that halve the distance
// to 100 % (the shape that HdrHistogram plots use), ticks steps per halving.
func (h *Histogram) Curve(ticks int32) []Point {
	if h.Count() == 0 {
		return nil
	}
	var curve []Point
	for _, b := range h.h.CumulativeDistributionWithTicks(ticks) {
		curve = append(curve, Point{b.Quantile / 100, b.ValueAt})
	}
	return curve
}

// Bar is a recorded value, to the significant digits, and how often it was recorded.
type Bar struct {
	ValueNs int64
	Count   int64
}

// Bars lists what was recorded, in ascending order.
func (h *Histogram) Bars() []Bar {
	var bars []Bar
	for _, b := range h.h.Distribution() {
		if b.Count > 0 {
			bars = append(bars, Bar{(b.From + b.To) / 2, b.Count})
		}
	}
	return bars
}

// Merge adds all of from's counts.
func (h *Histogram) Merge(from *Histogram) {
	if from == nil {
		return
	}
	if dropped := h.h.Merge(from.h); dropped != 0 {
		panic(fmt.Sprintf("hist: %d values lost in a merge of equal geometries", dropped)) // cannot happen
	}
	h.clipped += from.clipped
}

// Clone returns an independent copy.
func (h *Histogram) Clone() *Histogram { return &Histogram{h: h.h.Clone(), clipped: h.clipped} }

// Reset empties the histogram and keeps its memory.
func (h *Histogram) Reset() { h.h.Reset(); h.clipped, h.text = 0, prepared{} }

// Equal tells whether both hold the same counts.
func (h *Histogram) Equal(o *Histogram) bool { return h.h.Equals(o.h) && h.clipped == o.clipped }

// ErrNotCumulative is returned by Sub when the earlier histogram counts something the later does not.
var ErrNotCumulative = errors.New("hist: the earlier histogram is not contained in the later one")

// Sub returns what was recorded between two cumulative states: h minus earlier. earlier may be nil.
func (h *Histogram) Sub(earlier *Histogram) (*Histogram, error) {
	if earlier == nil {
		return h.Clone(), nil
	}
	later, before := h.h.Export(), earlier.h.Export()
	for i, n := range before.Counts {
		later.Counts[i] -= n
		if later.Counts[i] < 0 {
			return nil, ErrNotCumulative
		}
	}
	if h.clipped < earlier.clipped {
		return nil, ErrNotCumulative
	}
	return &Histogram{h: hdr.Import(later), clipped: h.clipped - earlier.clipped}, nil
}
