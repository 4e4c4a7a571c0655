package hist

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// recorded fills a histogram with n values of a seeded, long-tailed source and returns them sorted.
func recorded(seed uint64, n int) (*Histogram, []int64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	h := New()
	var values []int64
	for range n {
		v := int64(math.Exp(rng.NormFloat64()*2+14)) + 1000 // around a millisecond
		h.Record(v)
		values = append(values, v)
	}
	slices.Sort(values)
	return h, values
}

func TestQuantilesAreWithinThreeDigits(t *testing.T) {
	h, values := recorded(1, 10_000)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := values[int(math.Ceil(q*float64(len(values))))-1]
		if got := h.Quantile(q); math.Abs(float64(got-want)) > float64(want)/1000+1000 {
			t.Errorf("the value at quantile %g is %d, recorded was %d", q, got, want)
		}
	}
	if h.Count() != 10_000 || h.Clipped() != 0 {
		t.Errorf("count %d, clipped %d", h.Count(), h.Clipped())
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	h := New()
	if n := testing.AllocsPerRun(100, func() { h.Record(123456) }); n != 0 {
		t.Errorf("%g allocations per value", n)
	}
}

func TestValuesOutsideTheRangeAreCountedAsClipped(t *testing.T) {
	h := New()
	h.Record(-1)
	h.Record(HighestTrackable + 1)
	h.Record(5_000_000)
	if h.Count() != 3 || h.Clipped() != 2 {
		t.Errorf("count %d, clipped %d; want 3 and 2", h.Count(), h.Clipped())
	}
}

func TestMergeIsRecordingInOnePlace(t *testing.T) {
	a, va := recorded(1, 500)
	b, vb := recorded(2, 700)
	both := New()
	for _, v := range append(va, vb...) {
		both.Record(v)
	}
	a.Merge(b)
	a.Merge(nil)
	if !a.Equal(both) {
		t.Error("the merged histogram differs from one that saw all values")
	}
}

func TestSubGivesTheInterval(t *testing.T) {
	earlier, _ := recorded(1, 500)
	later := earlier.Clone()
	interval, values := recorded(2, 300)
	for _, v := range values {
		later.Record(v)
	}
	got, err := later.Sub(earlier)
	if err != nil || !got.Equal(interval) {
		t.Errorf("later - earlier is not what was recorded between: %v", err)
	}
	if _, err := earlier.Sub(later); !errors.Is(err, ErrNotCumulative) {
		t.Errorf("earlier - later: %v, want ErrNotCumulative", err)
	}
	if got, err := later.Sub(nil); err != nil || !got.Equal(later) {
		t.Errorf("later - nothing: %v", err)
	}
}

func TestTextSurvivesARoundTripAndIsReadByTheLibrary(t *testing.T) {
	h, _ := recorded(3, 2_000)
	h.Record(-5)
	text, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	got := New()
	if err := got.UnmarshalText(text); err != nil || !got.Equal(h) {
		t.Fatalf("read back: %v, clipped %d", err, got.Clipped())
	}
	payload, _, _ := strings.Cut(string(text), "~")
	lib, err := hdr.Decode([]byte(payload))
	if err != nil || lib.TotalCount() != 2_001 {
		t.Errorf("the library reads %v", err)
	}
}

func TestTextOfAnotherKindIsRefused(t *testing.T) {
	other, err := hdr.New(1, 1000, 2).Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := New().MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, text string }{
		{"nothing", ""},
		{"no base64", "%%%"},
		{"another geometry could not be merged without loss", string(other)},
		{"a clipped count that is no number", string(empty) + "~x"},
		{"a clipped count of nothing", string(empty) + "~0"},
		{"more clipped than recorded", string(empty) + "~1"},
	} {
		if err := New().UnmarshalText([]byte(row.text)); err == nil {
			t.Errorf("%s: accepted", row.name)
		}
	}
}

func TestLogIsReadBackExactlyByTheLibraryAndByUs(t *testing.T) {
	const base = 1_763_803_800_250 // not a whole second
	var log bytes.Buffer
	w, err := NewLogWriter(&log, base, "a run,\nits seed")
	if err != nil {
		t.Fatal(err)
	}
	total := New()
	for i := range 5 {
		h, _ := recorded(uint64(i), 100)
		total.Merge(h)
		if err := w.Interval("act/handshake.response_time", base+int64(i)*1000, base+int64(i+1)*1000, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Interval("no, comma", base, base, total); err == nil {
		t.Error("a tag with a comma and a space was written")
	}

	intervals, cut, err := ReadLog(bytes.NewReader(log.Bytes()))
	if err != nil || cut || len(intervals) != 5 {
		t.Fatalf("%d intervals, cut %v, %v", len(intervals), cut, err)
	}
	sum := New()
	for i, in := range intervals {
		sum.Merge(in.Histogram)
		if want := base + int64(i)*1000; in.Tag != "act/handshake.response_time" || in.StartMs != want || in.EndMs != want+1000 {
			t.Errorf("interval %d: tag %s, %d to %d, want from %d", i, in.Tag, in.StartMs, in.EndMs, want)
		}
	}
	if !sum.Equal(total) {
		t.Error("the intervals do not add up to what was recorded")
	}

	lib := hdr.NewHistogramLogReader(bytes.NewReader(log.Bytes()))
	byLibrary := hdr.New(LowestDiscernible, HighestTrackable, SignificantDigits)
	for {
		h, err := lib.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		byLibrary.Merge(h)
	}
	if !byLibrary.Equals(total.h) {
		t.Error("the HdrHistogram library reads other counts")
	}

	half := log.Bytes()[:log.Len()-20]
	if intervals, cut, err := ReadLog(bytes.NewReader(half)); err != nil || !cut || len(intervals) != 4 {
		t.Errorf("a log that was cut off: %d intervals, cut %v, %v", len(intervals), cut, err)
	}
}

func TestCurveEndsAtTheMaximum(t *testing.T) {
	h, values := recorded(4, 1_000)
	curve := h.Curve(5)
	last := curve[len(curve)-1]
	if top := values[len(values)-1]; last.Quantile != 1 || math.Abs(float64(last.ValueNs-top)) > float64(top)/500 {
		t.Errorf("the curve ends at %v, the greatest value is %d", last, top)
	}
	for i := 1; i < len(curve); i++ {
		if curve[i].Quantile < curve[i-1].Quantile || curve[i].ValueNs < curve[i-1].ValueNs {
			t.Errorf("the curve falls at %d: %v, %v", i, curve[i-1], curve[i])
		}
	}
	if New().Curve(5) != nil {
		t.Error("an empty histogram has a curve")
	}
}

// FuzzUnmarshalText: whatever is accepted encodes to a text that means the same.
func FuzzUnmarshalText(f *testing.F) {
	h, _ := recorded(1, 50)
	text, err := h.MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("HISTFAAAABx4nJNpmSzMwMAgxAABTBDKQsAAACC/Af8="))
	f.Fuzz(func(t *testing.T, p []byte) {
		h := New()
		if h.UnmarshalText(p) != nil {
			return
		}
		again, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		g := New()
		if err := g.UnmarshalText(again); err != nil || !g.Equal(h) {
			t.Fatalf("%q was read and written as %q: %v", p, again, err)
		}
	})
}

// FuzzReadLog: a log of any bytes is read or refused, and what is read can be merged.
func FuzzReadLog(f *testing.F) {
	var log bytes.Buffer
	w, err := NewLogWriter(&log, 1_763_803_800_000, "seed")
	if err != nil {
		f.Fatal(err)
	}
	h, _ := recorded(1, 20)
	if err := w.Interval("a/b", 1_763_803_800_000, 1_763_803_801_000, h); err != nil {
		f.Fatal(err)
	}
	f.Add(log.Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		intervals, _, err := ReadLog(bytes.NewReader(p))
		if err != nil {
			return
		}
		sum, n := New(), int64(0)
		for _, in := range intervals {
			sum.Merge(in.Histogram)
			n += in.Histogram.Count()
		}
		if sum.Count() != n {
			t.Fatalf("%d values in the parts, %d in the sum", n, sum.Count())
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	h := New()
	b.ReportAllocs()
	for i := range b.N {
		h.Record(int64(i%1_000_000) * 1000)
	}
}

// A prepared text reads back as the library's own does, and is not kept beyond the next value.
func TestEncoder(t *testing.T) {
	var e Encoder
	big := New()
	big.Record(5)
	for range 40 { // to counts that take many bytes
		big.Merge(big.Clone())
	}
	big.Record(HighestTrackable)
	clipped := New()
	clipped.Record(-1)
	long, _ := recorded(7, 5000)
	for name, h := range map[string]*Histogram{"empty": New(), "big": big, "clipped": clipped, "long": long} {
		own, err := h.Clone().MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Prepare(h); err != nil {
			t.Fatal(err)
		}
		text, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var a, b Histogram
		if err := a.UnmarshalText(text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := b.UnmarshalText(own); err != nil {
			t.Fatal(err)
		}
		if !a.Equal(h) || !b.Equal(&a) {
			t.Errorf("%s: the prepared text reads back as another histogram", name)
		}
		h.Record(77)
		if next, err := h.MarshalText(); err != nil || string(next) == string(text) {
			t.Errorf("%s: a value was recorded, and the text is the old one (%v)", name, err)
		}
	}
}
