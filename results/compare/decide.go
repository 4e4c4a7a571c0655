package compare

import (
	"fmt"
	"slices"
)

// overall is the decision on all rows: Regressed if any is. It is Unsure where no metric could be judged,
// where a key metric could not, or where fewer than half of those measured in more than counts could: that
// nothing bad was seen by somebody who hardly looked is no "same".
func overall(rows []Row) Decision {
	judged, improved, key := 0, false, true
	values, judgedValues := 0, 0
	for _, row := range rows {
		if row.Decision == Regressed {
			return Regressed
		}
		sure := row.Decision != Unsure
		improved = improved || row.Decision == Improved
		key = key && (sure || !row.Key)
		if sure {
			judged++
		}
		if row.Unit != "share" {
			values++
			if sure {
				judgedValues++
			}
		}
	}
	switch {
	case judged == 0 || !key || 2*judgedValues < values:
		return Unsure
	case improved:
		return Improved
	}
	return Same
}

// decide words the judgement on a row: Same only where the whole interval lies within what matters,
// Regressed and Improved only where the test is significant and the estimate matters. All else is Unsure.
func decide(row *Row, o Options) {
	e := row.Effect
	worse := row.worse()
	significant := row.AdjustedP < o.Alpha
	switch {
	case row.Base.Rounds == 0 || row.New.Rounds == 0:
		row.Decision, row.Why = Unsure, absent(row.Base.Rounds, row.New.Rounds)
		return
	case e.Bounded && e.Lo > -row.MinEffect && e.Hi < row.MinEffect:
		row.Decision, row.Why = Same, "any difference is smaller than what matters"
	case significant && !row.contradicting && worse >= row.MinEffect:
		row.Decision, row.Why = Regressed, "worse, and by more than what matters"
	case significant && !row.contradicting && -worse >= row.MinEffect:
		row.Decision, row.Why = Improved, "better, and by more than what matters"
	case row.contradicting:
		row.Decision, row.Why = Unsure, "rounds of one side contradict each other"
	case significant:
		row.Decision, row.Why = Unsure, "different, but whether by as much as matters is open"
	default:
		row.Decision, row.Why = Unsure, unsupported
	}
	if row.Decision != Unsure {
		row.NeedRounds = 0
		return
	}
	row.NeedRounds = max(row.NeedRounds, row.New.Rounds+1, row.Base.Rounds+1)
	row.Why += "; " + roundsWords(row.NeedRounds)
}

const unsupported = "the samples cannot support a judgement"

// absent says on which side a metric is missing: a browser that no longer comes, or too little load for a
// percentile, is worth knowing.
func absent(base, candidate int) string {
	switch {
	case base > 0:
		return "absent in the new side"
	case candidate > 0:
		return "absent in the base"
	}
	return "measured on neither side"
}

// worse is the estimate, positive where the new side is worse.
func (row Row) worse() float64 {
	if row.Higher {
		return -row.Effect.Estimate
	}
	return row.Effect.Estimate
}

// roundsWords says how many rounds would do, as long as somebody might make them.
func roundsWords(n int) string {
	if n > 500 {
		return "no bearable number of rounds would do"
	}
	return fmt.Sprintf("%d rounds of each side would do", n)
}

// Suspects are the metrics that a first set of rounds calls worse by more than what matters, each at alpha
// by itself, uncorrected: nothing is said on the strength of it, a second set is made to look at them.
func Suspects(r *Report) []string {
	var names []string
	for _, row := range r.Rows {
		if row.Decision == Regressed || row.Decision == Unsure && row.P < r.Options.Alpha && row.worse() >= row.MinEffect && !row.contradicting {
			names = append(names, row.Name)
		}
	}
	return names
}

// Confirm puts the judgement of a second, independent set of rounds in the place of the first's on the
// metrics that were suspected. Those alone are judged, and the correction is for their number: the chance
// of blaming anything wrongly is alpha times that of having suspected it.
func Confirm(first *Report, metrics []Metric, shares []Share) *Report {
	suspects := Suspects(first)
	other := func(name string) bool { return !slices.Contains(suspects, name) }
	second := Judge(slices.DeleteFunc(slices.Clone(metrics), func(m Metric) bool { return other(m.Name) }),
		slices.DeleteFunc(slices.Clone(shares), func(s Share) bool { return other(s.Name) }), first.Options)
	r := *first
	r.Rows = slices.Clone(first.Rows)
	for i := range r.Rows {
		row := &r.Rows[i]
		if other(row.Name) {
			continue
		}
		j := slices.IndexFunc(second.Rows, func(s Row) bool { return s.Name == row.Name })
		switch {
		case j < 0:
			row.Decision, row.Why, row.NeedRounds = Unsure, "worse at first, not measured again", row.New.Rounds
		case second.Rows[j].Decision == Regressed:
			*row = second.Rows[j]
		default:
			*row = second.Rows[j]
			row.Why = "worse at first, not confirmed: " + row.Why
		}
	}
	r.Decision = overall(r.Rows)
	return &r
}
