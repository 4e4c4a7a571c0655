package link

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const millisecond = time.Millisecond

func path(i Impairment) *Path { return NewPath(i, rand.New(rand.NewPCG(1, 2))) }

var begin = time.Date(2015, 1, 13, 12, 0, 0, 0, time.UTC)

// within99 says whether k of n lies in the 99 % interval of a binomial with probability p.
func within99(k, n int, p float64) bool {
	return math.Abs(float64(k)-float64(n)*p) <= 2.576*math.Sqrt(float64(n)*p*(1-p))+0.5
}

// TestLossRates: the share of lost packets is the one asked for, alone and in runs; and runs are as long as asked.
func TestLossRates(t *testing.T) {
	for _, p := range []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3} {
		const n = 100000
		single := path(Impairment{Loss: p})
		k := 0
		for range n {
			if single.Transit(begin, 100).Lost {
				k++
			}
		}
		if !within99(k, n, p) {
			t.Errorf("loss %v: %d of %d", p, k, n)
		}
		const burst = 5.0
		runs, lost, last := 0, 0, false
		bursty := path(Impairment{Loss: p, Burst: burst})
		const many = 1000000
		for range many {
			gone := bursty.Transit(begin, 100).Lost
			if gone {
				lost++
				if !last {
					runs++
				}
			}
			last = gone
		}
		// Losses come in runs, so their number varies by burst times as much as independent ones'.
		if got := float64(lost) / many; math.Abs(got-p) > 4*math.Sqrt(2*burst*p/many) {
			t.Errorf("loss %v in runs: %v", p, got)
		}
		if got := float64(lost) / float64(runs); math.Abs(got-burst)/burst > 0.15 {
			t.Errorf("loss %v: runs of %v packets on average, want %v", p, got, burst)
		}
	}
}

// TestExtremes: 0 never, 1 always, in runs too.
func TestExtremes(t *testing.T) {
	for _, burst := range []float64{0, 1, 5} {
		none, all := path(Impairment{Burst: burst}), path(Impairment{Loss: 1, Burst: burst})
		for i := range 10000 {
			if none.Transit(begin, 100).Lost {
				t.Fatalf("burst %v: loss 0 lost packet %d", burst, i)
			}
			if f := all.Transit(begin, 100); !f.Lost && i > 50 {
				t.Fatalf("burst %v: loss 1 let packet %d pass", burst, i)
			}
		}
	}
}

// TestDelay: jitter spreads the delay over its whole range and keeps the order.
func TestDelay(t *testing.T) {
	p := path(Impairment{Delay: 100 * millisecond, Jitter: 40 * millisecond})
	low, high := time.Hour, time.Duration(0)
	last := begin
	for i := range 5000 {
		now := begin.Add(time.Duration(i) * 200 * millisecond)
		f := p.Transit(now, 100)
		took := f.At.Sub(now)
		low, high = min(low, took), max(high, took)
		if f.At.Before(last) {
			t.Fatalf("packet %d overtook another", i)
		}
		last = f.At
	}
	if low < 60*millisecond || low > 62*millisecond || high > 140*millisecond || high < 138*millisecond {
		t.Errorf("delays from %v to %v, want 60 ms to 140 ms", low, high)
	}
	for range 5000 { // all at once: those drawn late hold the others up
		f := p.Transit(last, 100)
		if f.At.Before(last) {
			t.Fatal("a packet overtook another")
		}
	}
}

// TestRate: a packet leaves when those before it have left, and no packet waits longer than the queue is.
func TestRate(t *testing.T) {
	p := path(Impairment{Rate: 1000, Queue: 500 * millisecond})
	for i, want := range []time.Duration{100, 200, 300, 400, 500, 600, -1, -1} {
		f := p.Transit(begin, 100)
		if want < 0 {
			if !f.Overflow {
				t.Errorf("packet %d arrives at %v, want it dropped: half a second of packets waits", i, f.At.Sub(begin))
			}
		} else if f.Overflow || f.At != begin.Add(want*millisecond) {
			t.Errorf("packet %d: %+v, want it after %v ms", i, f, want)
		}
	}
	if f := p.Transit(begin.Add(time.Hour), 100); f.At != begin.Add(time.Hour+100*millisecond) {
		t.Errorf("the queue does not empty: %+v", f)
	}
}

// TestReorder: a late packet is overtaken; the others keep their order.
func TestReorder(t *testing.T) {
	p := path(Impairment{Delay: 10 * millisecond, Reorder: 0.1, ReorderBy: 5 * millisecond})
	late, last := 0, begin
	const n = 10000
	for i := range n {
		now := begin.Add(time.Duration(i) * millisecond)
		f := p.Transit(now, 100)
		want := 10 * millisecond
		if f.Late {
			late++
			want = 15 * millisecond
		} else if f.At.Before(last) {
			t.Fatal("a packet that is not late overtook another")
		} else {
			last = f.At
		}
		if f.At.Sub(now) != want {
			t.Fatalf("late %v after %v", f.Late, f.At.Sub(now))
		}
	}
	if !within99(late, n, 0.1) {
		t.Errorf("%d of %d late, want a tenth", late, n)
	}
}

// TestTwiceAndFlipped: shares and bits.
func TestTwiceAndFlipped(t *testing.T) {
	p := path(Impairment{Duplicate: 0.05, Corrupt: 0.02})
	twice, flipped := 0, 0
	bits := map[int]bool{}
	const n = 20000
	for range n {
		f := p.Transit(begin, 64)
		if f.Twice {
			twice++
		}
		if f.Flip >= 0 {
			flipped++
			bits[f.Flip] = true
			if f.Flip >= 64*8 {
				t.Fatalf("bit %d of 64 bytes", f.Flip)
			}
		}
	}
	if !within99(twice, n, 0.05) || !within99(flipped, n, 0.02) || len(bits) < 200 {
		t.Errorf("%d twice, %d flipped in %d places, of %d", twice, flipped, len(bits), n)
	}
}

// TestSameSource: the same draws, packets and times have the same fates.
func TestSameSource(t *testing.T) {
	i := Impairment{Loss: 0.1, Burst: 3, Delay: 20 * millisecond, Jitter: 10 * millisecond, Duplicate: 0.1, Reorder: 0.1,
		ReorderBy: millisecond, Corrupt: 0.1, Rate: 100000}
	a, b := path(i), path(i)
	for n := range 5000 {
		now := begin.Add(time.Duration(n) * millisecond)
		if x, y := a.Transit(now, 100+n%1000), b.Transit(now, 100+n%1000); x != y {
			t.Fatalf("packet %d: %+v and %+v", n, x, y)
		}
	}
}

// TestModels: each has figures for both directions, a source, and a name that finds it.
func TestModels(t *testing.T) {
	for _, want := range []string{"3g", "edge-2015", "lte", "train", "hotel-wifi", "transatlantic", "satellite"} {
		m, err := LookupModel(want)
		if err != nil || m.Up.Delay == 0 || m.Down.Delay == 0 || m.Up.Loss == 0 || m.Source == "" || m.About == "" {
			t.Errorf("%s: %+v, %v", want, m, err)
		}
	}
	if _, err := LookupModel("4g"); err == nil {
		t.Error("found a model that is not there")
	}
}

// FuzzPacket: no packet, however short, makes the parser look beyond it, and it reads ports only of what has them.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 20, 6, 64}, make([]byte, 52)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		k, ok := parsePacket(p)
		if !ok {
			return
		}
		if v := p[0] >> 4; k.src.Addr().Is4() != (v == 4) || k.dst.Addr().Is4() != (v == 4) {
			t.Errorf("version %d gives %s -> %s", v, k.src, k.dst)
		}
		if longer, _ := parsePacket(append(append([]byte{}, p...), 0)); longer.src.Addr() != k.src.Addr() {
			t.Errorf("one byte more changes the source: %s and %s", k.src, longer.src)
		}
	})
}

func BenchmarkTransit(b *testing.B) {
	p := path(Impairment{Loss: 0.01, Burst: 3, Delay: 20 * millisecond, Jitter: 5 * millisecond, Rate: 1 << 30})
	b.ReportAllocs()
	for i := range b.N {
		p.Transit(begin.Add(time.Duration(i)), 1500)
	}
}
