package compare

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestSignedRankAgainstPublishedFigures(t *testing.T) {
	near := func(why string, got, want, by float64) {
		t.Helper()
		if math.Abs(got-want) > by {
			t.Errorf("%s: %g, want %g", why, got, want)
		}
	}
	near("Darwin's maize, fifteen pairs, W = 24", signedRank([]float64{49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48}), 0.0413, 5e-4)
	near("five differences that point one way", signedRank([]float64{1, 2, 3, 4, 5}), 2.0/32, 1e-12)
	near("nothing differs", signedRank([]float64{0, 0, 0}), 1, 0)
	near("zeros are left out", signedRank([]float64{0, 1, 2, 3, 4, 5, 0}), 2.0/32, 1e-12)
	near("ties share a rank", signedRank([]float64{1, 1, 1, -1}), 10.0/16, 1e-12)
	// The tables' critical values at 5 %, two-sided: 2 for 7 pairs, 8 for 10, 25 for 15, 52 for 20.
	for _, row := range []struct{ n, k int }{{5, 0}, {6, 1}, {7, 3}, {10, 9}, {15, 26}, {20, 53}} {
		if got := signedRankBound(row.n, 0.05); got != row.k {
			t.Errorf("the bound for %d pairs is %d, want %d", row.n, got, row.k)
		}
	}
	if got := leastPairs(0.05, 1); got != 6 {
		t.Errorf("least pairs %d, want 6: 2/2^6 = 0.031", got)
	}
}

// TestSignedRankCountsOut: the p-value is the share of all sign patterns whose rank sum is as far out.
func TestSignedRankCountsOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SliceOfN(rapid.Float64Range(-4, 4), 1, 9).Draw(t, "differences")
		for i := range d {
			d[i] = math.Round(d[i]) // ties and zeros
		}
		var sizes []float64
		seen, most := 0.0, 0.0
		for _, v := range d {
			if v != 0 {
				sizes = append(sizes, math.Abs(v))
			}
		}
		ranks := midranks(sizes)
		k := 0
		for _, v := range d {
			if v > 0 {
				seen += ranks[k]
			}
			if v != 0 {
				most += ranks[k]
				k++
			}
		}
		out, all := 0.0, math.Exp2(float64(len(sizes)))
		for signs := range 1 << len(sizes) {
			sum := 0.0
			for i, r := range ranks {
				if signs>>i&1 == 1 {
					sum += r
				}
			}
			if math.Min(seen, most-seen) >= sum {
				out++
			}
		}
		want := min(1, 2*out/all)
		if len(sizes) == 0 {
			want = 1
		}
		if got := signedRank(d); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v: p %g, want %g", d, got, want)
		}
	})
}

// TestPairedRoundsSeeThroughTheMachine: what hits both sides of a round does not hide 10 %, and is never
// taken for a difference; apart, the same rounds show nothing.
func TestPairedRoundsSeeThroughTheMachine(t *testing.T) {
	caught, alarms, apart := 0, 0, 0
	for b := range uint64(100) {
		rng := rand.New(rand.NewPCG(b, 7))
		m := Metric{Name: "cpu", Paired: true}
		same := Metric{Name: "cpu", Paired: true}
		for range 12 {
			weather := math.Exp(0.4 * rng.NormFloat64())
			one := func(at float64) float64 { return at * weather * math.Exp(0.02*rng.NormFloat64()) }
			m.Base, m.New = append(m.Base, one(100)), append(m.New, one(110))
			same.Base, same.New = append(same.Base, one(100)), append(same.New, one(100))
		}
		count := func(m Metric, n *int) {
			if r := Judge([]Metric{m}, nil, Options{}); r.Decision == Regressed {
				*n++
			}
		}
		count(m, &caught)
		count(same, &alarms)
		m.Paired = false
		count(m, &apart)
	}
	if caught < 97 || alarms > 3 || apart > 30 {
		t.Errorf("of 100: %d caught, %d false alarms; %d caught as if they were not pairs", caught, alarms, apart)
	}
}

// TestBrowsersThatAllConnectCostNothing: sixty shares without an event leave the others their chance.
func TestBrowsersThatAllConnectCostNothing(t *testing.T) {
	shares := []Share{{Name: "s[broken]", Base: counts(6, 0, 1), New: counts(6, 1, 1), MinEffect: 0.5}}
	for range 60 {
		shares = append(shares, Share{Name: "s[x]", Base: counts(6, 0, 1), New: counts(6, 0, 1), MinEffect: 0.5})
	}
	if r := Judge(nil, shares, Options{}); r.Rows[0].Decision != Regressed || math.Abs(r.Rows[0].AdjustedP-r.Rows[0].P) > 1e-12 {
		t.Errorf("%+v", r.Rows[0])
	}
}
