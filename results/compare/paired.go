package compare

import (
	"math"
	"slices"
)

// Paired rounds: both sides of a round were measured side by side, so what the machine did to one it did
// to the other, and the difference within a round is far steadier than either side. The assumption behind
// the test has a name, as in benchmath: AssumeSymmetric, the differences are spread alike on both sides
// of their median; nothing else is asked of them. The test is Wilcoxon's signed rank.

// differences are the rounds' log ratios where all values are positive, else the differences in units
// of the base's median (of 1, where that is 0). back turns one into an effect.
func differences(base, candidate []float64) (d []float64, back func(float64) float64) {
	if slices.Min(base) > 0 && slices.Min(candidate) > 0 {
		for i := range base {
			d = append(d, math.Log(candidate[i]/base[i]))
		}
		return d, math.Expm1
	}
	unit := math.Abs(median(base))
	if unit == 0 {
		unit = 1
	}
	for i := range base {
		d = append(d, (candidate[i]-base[i])/unit)
	}
	return d, func(v float64) float64 { return v }
}

// signedRank is the two-sided p-value of Wilcoxon's test that the differences lie around zero: zeros are
// left out, equal sizes share the mean of their ranks, and the distribution is counted out, whatever the
// ties.
func signedRank(d []float64) float64 {
	var sizes []float64
	var positive []bool
	for _, v := range d {
		if v != 0 {
			sizes, positive = append(sizes, math.Abs(v)), append(positive, v > 0)
		}
	}
	if len(sizes) == 0 {
		return 1
	}
	var twice []int // ranks, doubled: a shared one may be a half
	seen := 0
	for i, r := range midranks(sizes) {
		twice = append(twice, int(2*r))
		if positive[i] {
			seen += twice[i]
		}
	}
	ways := subsetSums(twice)
	below, above, all := 0.0, 0.0, 0.0
	for sum, w := range ways {
		all += w
		if sum <= seen {
			below += w
		}
		if sum >= seen {
			above += w
		}
	}
	return min(1, 2*min(below, above)/all)
}

// subsetSums counts, for each sum, the subsets that have it: signs are as likely either way.
func subsetSums(values []int) []float64 {
	ways := []float64{1}
	for _, v := range values {
		next := make([]float64, len(ways)+v)
		for sum, w := range ways {
			next[sum] += w
			next[sum+v] += w
		}
		ways = next
	}
	return ways
}

// pairedEffect is the Hodges-Lehmann estimate, the median of all means of two differences, with the
// interval that inverts the signed rank test.
func pairedEffect(base, candidate []float64) Interval {
	d, back := differences(base, candidate)
	var means []float64
	for i := range d {
		for j := i; j < len(d); j++ {
			means = append(means, (d[i]+d[j])/2)
		}
	}
	slices.Sort(means)
	e := Interval{Estimate: back(median(means))}
	if k := signedRankBound(len(d), 0.05); k > 0 {
		e.Lo, e.Hi, e.Bounded = back(means[k-1]), back(means[len(means)-k]), true
	}
	return e
}

// signedRankBound is rankBound for the signed rank: the largest k with P(W <= k-1) <= alpha/2.
func signedRankBound(n int, alpha float64) int {
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i + 1
	}
	k, below := 0, 0.0
	for _, w := range subsetSums(ranks) {
		below += w / math.Exp2(float64(n))
		if below > alpha/2 {
			break
		}
		k++
	}
	return k
}

// leastPairs is the number of rounds from which differences that all point one way are significant at
// alpha, shared by that many tests: 2/2^n < alpha/tests.
func leastPairs(alpha float64, tests int) int {
	n := 1
	for 2/math.Exp2(float64(n)) >= alpha/float64(tests) {
		n++
	}
	return n
}

// needPairs is NeedRounds for paired rounds: ((z_alpha + z_power) s / d)², over the efficiency of the
// rank test, where s is the robust standard deviation of the differences.
func needPairs(m Metric, effect float64, o Options, tests int) int {
	least := leastPairs(o.Alpha, tests)
	if len(m.Base) < 2 || len(m.Base) != len(m.New) {
		return least
	}
	d, _ := differences(m.Base, m.New)
	s := deviation(d)
	z := quantileNormal(1-o.Alpha/2/float64(tests)) + quantileNormal(o.Power)
	return max(least, int(math.Ceil(math.Pow(z*s/math.Log1p(effect), 2)*math.Pi/3)))
}
