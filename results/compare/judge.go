package compare

import (
	"cmp"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Decision is what the samples say about one metric, or about all.
type Decision string

const (
	Regressed Decision = "regressed" // worse, significantly, by more than the minimum effect
	Improved  Decision = "improved"
	Same      Decision = "same"   // the whole interval lies within the minimum effect
	Unsure    Decision = "unsure" // the samples cannot support a judgement
)

// Metric is a continuous measure of both sides, one value per round.
type Metric struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit"` // ns, bytes, per_s, share, count
	Higher    bool    `json:"higher_is_better"`
	MinEffect float64 `json:"min_effect"` // the relative change that matters; 0: that of Options
	// Paired: the values of one index were measured side by side.
	Paired bool `json:"paired"`
	// Key: a judgement that leaves this metric open is none.
	Key  bool      `json:"key,omitempty"`
	Base []float64 `json:"base"`
	New  []float64 `json:"new"`
}

// Share is a measure of how many trials had an event (an error that a user saw, a handshake that
// failed), one count per round.
type Share struct {
	Name      string  `json:"name"`
	Higher    bool    `json:"higher_is_better"`
	MinEffect float64 `json:"min_effect"` // the difference of shares that matters; 0: that of Options
	Base      []Count `json:"base"`
	New       []Count `json:"new"`
}

// Count is the events among the trials of one round.
type Count struct {
	Events int64 `json:"events"`
	Trials int64 `json:"trials"`
}

// Options are what is called a difference. Zero fields take the defaults.
type Options struct {
	Alpha     float64 // chance of any false alarm over all metrics together; 0.05
	MinEffect float64 // relative change of a metric that matters; 0.05
	// MinShare is the difference of a share that matters: 0.005, one page load in 200. Where the base
	// has a share already, a fifth of that share matters, if that is more.
	MinShare float64
	Power    float64 // chance to see a difference of MinEffect that NeedRounds plans for; 0.95
}

func (o Options) withDefaults() Options {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Alpha, 0.05)
	def(&o.MinEffect, 0.05)
	def(&o.MinShare, 0.005)
	def(&o.Power, 0.95)
	return o
}

// Row is the judgement on one metric.
type Row struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit"`
	Higher bool     `json:"higher_is_better"`
	Base   Summary  `json:"base"`
	New    Summary  `json:"new"`
	Effect Interval `json:"effect"` // relative change of a metric, difference of a share
	// MinEffect is the effect from which a difference matters.
	MinEffect float64 `json:"min_effect"`
	Key       bool    `json:"key,omitempty"` // of its Metric
	P         float64 `json:"p"`
	Test      Test    `json:"test"`
	// AdjustedP is P after Holm's correction for all metrics of the report.
	AdjustedP  float64  `json:"p_adjusted"`
	Decision   Decision `json:"decision"`
	NeedRounds int      `json:"need_rounds"` // rounds of each side that would do; 0 where these did
	Why        string   `json:"why"`

	settled       bool // no outcome of the test could have been significant: it is no chance of a false alarm
	contradicting bool // rounds of one side contradict each other
}

// Test is what a p-value comes from.
type Test string

const (
	RankSum    Test = "rank sum"    // Mann-Whitney, benchmath.AssumeNothing: rounds of two sides
	SignedRank Test = "signed rank" // Wilcoxon: paired rounds whose differences are symmetric
	Exact      Test = "exact"       // Fisher: counts
)

// Summary is one side: the median of its rounds, or the share over all of them.
type Summary struct {
	Center float64 `json:"center"`
	Rounds int     `json:"rounds"`
}

// Interval is an estimate with its 95 % confidence interval. It is unbounded where there are too few
// rounds to bound it.
type Interval struct {
	Estimate float64 `json:"estimate"`
	Lo       float64 `json:"lo"`
	Hi       float64 `json:"hi"`
	Bounded  bool    `json:"bounded"`
}

// Report is the judgement on all metrics.
type Report struct {
	Decision Decision `json:"decision"`
	Rows     []Row    `json:"rows"`
	// Differences are what else differs between the sides: scenario, seed, machine.
	Differences []string          `json:"differences"`
	Notes       []string          `json:"notes"`
	Tags        map[string]string `json:"tags,omitempty"`
	Options     Options           `json:"options"`
}

// Judge decides on every metric, and on all.
//
// The whole is Regressed if any metric is, and Unsure where too few could be judged (overall says how few).
func Judge(metrics []Metric, shares []Share, o Options) *Report {
	o = o.withDefaults()
	r := &Report{Options: o, Rows: []Row{}, Differences: []string{}, Notes: []string{}}
	tests := max(1, len(metrics))
	for _, s := range shares {
		if e := total(s.Base).Events + total(s.New).Events; e > 0 && e < total(s.Base).Trials+total(s.New).Trials {
			tests++
		}
	}
	for _, m := range metrics {
		r.Rows = append(r.Rows, measure(m, o, tests))
	}
	for _, s := range shares {
		r.Rows = append(r.Rows, measureShare(s, o, tests))
	}
	holm(r.Rows)
	for i := range r.Rows {
		decide(&r.Rows[i], o)
	}
	r.Decision = overall(r.Rows)
	return r
}

// measure fills in a metric's figures.
func measure(m Metric, o Options, tests int) Row {
	row := Row{Name: m.Name, Unit: m.Unit, Higher: m.Higher, MinEffect: cmp.Or(m.MinEffect, o.MinEffect), Key: m.Key, P: 1,
		Base: Summary{median(m.Base), len(m.Base)}, New: Summary{median(m.New), len(m.New)}}
	row.NeedRounds = NeedRounds(m, o, tests)
	if len(m.Base) == 0 || len(m.New) == 0 {
		return row
	}
	if row.Test = RankSum; m.Paired && len(m.Base) == len(m.New) {
		d, _ := differences(m.Base, m.New)
		row.Test, row.P, row.Effect = SignedRank, signedRank(d), pairedEffect(m.Base, m.New)
		return row
	}
	t := benchmath.DefaultThresholds
	base, candidate := benchmath.NewSample(slices.Clone(m.Base), &t), benchmath.NewSample(slices.Clone(m.New), &t)
	row.P = benchmath.AssumeNothing.Compare(base, candidate).P
	row.Effect = effect(m.Base, m.New)
	return row
}

// effect is the Hodges-Lehmann estimate of how much the new side differs, with the interval that
// inverts the rank test: as a relative change where all values are positive, else as a difference in
// units of the base's median (of 1, where that is 0).
func effect(base, candidate []float64) Interval {
	positive := slices.Min(base) > 0 && slices.Min(candidate) > 0
	unit := math.Abs(median(base))
	if unit == 0 {
		unit = 1
	}
	var d []float64
	for _, b := range base {
		for _, c := range candidate {
			if positive {
				d = append(d, math.Log(c/b))
			} else {
				d = append(d, (c-b)/unit)
			}
		}
	}
	slices.Sort(d)
	back := func(v float64) float64 {
		if positive {
			return math.Expm1(v)
		}
		return v
	}
	e := Interval{Estimate: back(median(d))}
	if k := rankBound(len(base), len(candidate), 0.05); k > 0 {
		e.Lo, e.Hi, e.Bounded = back(d[k-1]), back(d[len(d)-k]), true
	}
	return e
}

// measureShare fills in a share's figures. Rounds are put together for the test, and held apart for
// the question whether they agree.
func measureShare(s Share, o Options, tests int) Row {
	base, candidate := total(s.Base), total(s.New)
	row := Row{Name: s.Name, Unit: "share", Higher: s.Higher, MinEffect: cmp.Or(s.MinEffect, max(o.MinShare, base.share()/5)), P: 1,
		Base: Summary{base.share(), len(s.Base)}, New: Summary{candidate.share(), len(s.New)}}
	if base.Trials == 0 {
		row.Base.Rounds = 0
	}
	if candidate.Trials == 0 {
		row.New.Rounds = 0
	}
	if base.Trials == 0 || candidate.Trials == 0 {
		row.NeedRounds = max(1, leastRounds(o.Alpha, 1))
		return row
	}
	row.Test, row.P = Exact, fisher(base, candidate)
	events := base.Events + candidate.Events
	row.settled = events == 0 || events == base.Trials+candidate.Trials
	row.Effect = shareInterval(base, candidate)
	row.NeedRounds = needRoundsShare(base, candidate, len(s.Base), row.MinEffect, o, tests)
	row.contradicting = !agree(s)
	return row
}

// agree tells whether the rounds point one way: the median round of the new side lies beyond every
// round of the base, on the side that the totals lie. Where it does not, put-together counts would
// make pressure in one round look like a property of the build.
func agree(s Share) bool {
	var base, candidate []float64
	for _, c := range s.Base {
		base = append(base, c.share())
	}
	for _, c := range s.New {
		candidate = append(candidate, c.share())
	}
	m := median(candidate)
	switch b, c := total(s.Base).share(), total(s.New).share(); {
	case c > b:
		return m > slices.Max(base)
	case c < b:
		return m < slices.Min(base)
	}
	return true
}

func (c Count) share() float64 { return float64(c.Events) / float64(max(1, c.Trials)) }

func total(counts []Count) (t Count) {
	for _, c := range counts {
		t.Events += c.Events
		t.Trials += c.Trials
	}
	return t
}

// holm corrects the p-values for their number: the smallest of m is multiplied by m, the next by m-1,
// and none may be smaller than one before it. Tests that could not have been significant, whatever the
// sides did (an event that never happened on either), are not counted (Tarone): sixty browsers that all
// connect do not make it harder to see one that does not.
func holm(rows []Row) {
	var order []int
	for i := range rows {
		if rows[i].AdjustedP = 1; !rows[i].settled {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rows[a].P, rows[b].P) })
	worst := 0.0
	for rank, i := range order {
		worst = max(worst, min(1, rows[i].P*float64(len(order)-rank)))
		rows[i].AdjustedP = worst
	}
}
