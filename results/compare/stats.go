package compare

import (
	"cmp"
	"math"
	"slices"
)

// median of values in any order; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Clone(values)
	slices.Sort(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// exactRanks is the largest sample for which the rank statistic's distribution is counted out.
const exactRanks = 30

// rankBound gives the k for which the k-th smallest and k-th largest of all pairwise differences bound
// a confidence interval of 1-alpha: the largest k with P(U <= k-1) <= alpha/2 under the rank
// statistic's null distribution. It is 0 where the samples are too small for any.
func rankBound(n, m int, alpha float64) int {
	if n > exactRanks || m > exactRanks {
		mean, sd := float64(n*m)/2, math.Sqrt(float64(n*m*(n+m+1))/12)
		return max(0, int(math.Floor(mean-quantileNormal(1-alpha/2)*sd)))
	}
	ways := rankWays(n, m)
	all := 0.0
	for _, w := range ways {
		all += w
	}
	k, below := 0, 0.0
	for k < len(ways) {
		below += ways[k]
		if below/all > alpha/2 {
			break
		}
		k++
	}
	return k
}

// rankWays counts the arrangements of n and m values that give each rank statistic U: an arrangement
// ends in a value of the first sample, which m values of the second precede, or in one of the second.
func rankWays(n, m int) []float64 {
	table := make([][][]float64, n+1)
	for i := range table {
		table[i] = make([][]float64, m+1)
		for j := range table[i] {
			w := make([]float64, i*j+1)
			switch {
			case i == 0 || j == 0:
				w[0] = 1
			default:
				for u := range w {
					if u >= j && u-j < len(table[i-1][j]) {
						w[u] += table[i-1][j][u-j]
					}
					if u < len(table[i][j-1]) {
						w[u] += table[i][j-1][u]
					}
				}
			}
			table[i][j] = w
		}
	}
	return table[n][m]
}

// leastRounds is the number of rounds from which complete separation of the two sides is significant
// at alpha, shared by that many tests: 2/C(2n,n) < alpha/tests.
func leastRounds(alpha float64, tests int) int {
	p := 1.0
	for n := 1; ; n++ {
		// C(2n,n) = C(2n-2,n-1) * (2n)(2n-1)/n²
		p *= float64(n*n) / float64(2*n*(2*n-1))
		if 2*p < alpha/float64(tests) {
			return n
		}
	}
}

// NeedRounds plans how many rounds of each side would show a change of the minimum effect with the
// power of the options, from the noise within the sides: twice ((z_alpha + z_power) s / d)², over the
// efficiency of the rank test (3/π), where s is the robust standard deviation of the logarithms. At
// least as many as complete separation needs.
func NeedRounds(m Metric, o Options, tests int) int {
	o = o.withDefaults()
	if m.Paired {
		return needPairs(m, cmp.Or(m.MinEffect, o.MinEffect), o, max(1, tests))
	}
	least := leastRounds(o.Alpha, max(1, tests))
	s := math.Max(spread(m.Base), spread(m.New))
	if s == 0 || math.IsNaN(s) {
		return least
	}
	d := math.Log1p(cmp.Or(m.MinEffect, o.MinEffect))
	z := quantileNormal(1-o.Alpha/2/float64(max(1, tests))) + quantileNormal(o.Power)
	return max(least, int(math.Ceil(2*math.Pow(z*s/d, 2)*math.Pi/3)))
}

// spread is the deviation of the logarithms (of the values over their median, where some are not
// positive).
func spread(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	x := slices.Clone(values)
	if slices.Min(x) > 0 {
		for i := range x {
			x[i] = math.Log(x[i])
		}
	} else if unit := math.Abs(median(x)); unit > 0 {
		for i := range x {
			x[i] /= unit
		}
	}
	return deviation(x)
}

// deviation is the robust standard deviation: 1.4826 times the median absolute deviation, or the plain
// one where more than half of the values are equal.
func deviation(x []float64) float64 {
	center, mean := median(x), 0.0
	away := make([]float64, len(x))
	for i, v := range x {
		away[i] = math.Abs(v - center)
		mean += v / float64(len(x))
	}
	if mad := median(away); mad > 0 {
		return 1.4826 * mad
	}
	sum := 0.0
	for _, v := range x {
		sum += (v - mean) * (v - mean)
	}
	return math.Sqrt(sum / float64(max(1, len(x)-1)))
}

// fisher is the two-sided p-value of Fisher's exact test: the probability, with the margins fixed, of
// any table no more likely than the one seen.
func fisher(a, b Count) float64 {
	events := a.Events + b.Events
	lo, hi := max(0, events-b.Trials), min(events, a.Trials)
	logP := func(k int64) float64 {
		return choose(a.Trials, k) + choose(b.Trials, events-k) - choose(a.Trials+b.Trials, events)
	}
	seen, p := logP(a.Events), 0.0
	for k := lo; k <= hi; k++ {
		if l := logP(k); l <= seen+1e-9 {
			p += math.Exp(l)
		}
	}
	return min(1, p)
}

// choose is the logarithm of the binomial coefficient.
func choose(n, k int64) float64 {
	g := func(x int64) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return g(n) - g(k) - g(n-k)
}

// shareInterval is the difference of two shares with Newcombe's interval, which stays sensible where
// a share is 0 or 1.
func shareInterval(a, b Count) Interval {
	pa, la, ua := wilson(a)
	pb, lb, ub := wilson(b)
	d := pb - pa
	return Interval{Estimate: d, Lo: d - math.Hypot(pb-lb, ua-pa), Hi: d + math.Hypot(ub-pb, pa-la), Bounded: true}
}

// wilson is a share with its 95 % score interval.
func wilson(c Count) (p, lo, hi float64) {
	const z = 1.959964
	n := float64(c.Trials)
	p = c.share()
	center := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return p, max(0, center-half), min(1, center+half)
}

// needRoundsShare plans how many rounds of the present size would show a difference of shares.
func needRoundsShare(a, b Count, rounds int, effect float64, o Options, tests int) int {
	p := (float64(a.Events+b.Events) + 1) / (float64(a.Trials+b.Trials) + 2)
	z := quantileNormal(1-o.Alpha/2/float64(tests)) + quantileNormal(o.Power)
	trials := 2 * p * (1 - p) * math.Pow(z/effect, 2)
	perRound := float64(min(a.Trials, b.Trials)) / float64(max(1, rounds))
	return max(1, int(math.Ceil(trials/math.Max(1, perRound))))
}

// quantileNormal is the quantile of the standard normal distribution.
func quantileNormal(q float64) float64 { return math.Sqrt2 * math.Erfinv(2*q-1) }
