package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tlsurge/results"
)

// Trend is the history of one scenario on one kind of machine.
type Trend struct {
	Scenario string    `json:"scenario"`
	Machine  string    `json:"machine"`
	Runs     int       `json:"runs"`
	Invalid  int       `json:"invalid"` // of them; they are left out
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Marks    []Change  `json:"marks"`
	// Series are the values of each metric, in the order of the runs that have it.
	Series map[string][]float64 `json:"series"`
}

// Trends takes a history apart by scenario and machine (processors and their model: a runner in CI has
// another name each time), in the order in which they first appear, and marks each.
func Trends(entries []Entry, o Options) []Trend {
	type group struct{ scenario, machine string }
	var order []group
	by := map[group][]Entry{}
	for _, e := range entries {
		g := group{e.Scenario, fmt.Sprintf("%d × %s", e.Machine.CPUs, e.Machine.CPUModel)}
		if by[g] == nil {
			order = append(order, g)
		}
		by[g] = append(by[g], e)
	}
	list := []Trend{}
	for _, g := range order {
		runs := by[g]
		slices.SortStableFunc(runs, func(a, b Entry) int { return a.Started.Compare(b.Started) })
		t := Trend{Scenario: g.scenario, Machine: g.machine, Runs: len(runs), First: runs[0].Started, Last: runs[len(runs)-1].Started,
			Marks: Changes(runs, o), Series: map[string][]float64{}}
		for _, e := range runs {
			if e.Verdict == results.Invalid {
				t.Invalid++
				continue
			}
			for name, v := range e.Metrics {
				t.Series[name] = append(t.Series[name], v)
			}
		}
		list = append(list, t)
	}
	return list
}

// shownRuns is how many of the latest runs a line of a trend draws.
const shownRuns = 40

// TrendText words trends: a line per metric that changed, drawn, with its marks; the others are counted.
func TrendText(list []Trend) []byte {
	var b strings.Builder
	for i, t := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s on %s: %d runs, %s to %s", t.Scenario, t.Machine, t.Runs, t.First.UTC().Format(time.DateOnly), t.Last.UTC().Format(time.DateOnly))
		if t.Invalid > 0 {
			fmt.Fprintf(&b, "; %d INVALID, left out", t.Invalid)
		}
		b.WriteByte('\n')
		changed := map[string][]Change{}
		for _, m := range t.Marks {
			changed[m.Metric] = append(changed[m.Metric], m)
		}
		for _, name := range slices.Sorted(maps.Keys(changed)) {
			fmt.Fprintf(&b, "  %s\n    %s\n", name, drawn(t.Series[name]))
			for _, m := range changed[name] {
				fmt.Fprintf(&b, "    %s at run %d, %s (p=%.2g)\n", step(name, m), m.Index+1, m.At.UTC().Format("2006-01-02 15:04"), m.P)
			}
		}
		switch rest := len(t.Series) - len(changed); {
		case t.Runs-t.Invalid < 2*leastSegment:
			fmt.Fprintf(&b, "  %d runs are the least in which a change can be seen\n", 2*leastSegment)
		case len(changed) == 0:
			fmt.Fprintf(&b, "  no change in %d metrics\n", rest)
		default:
			fmt.Fprintf(&b, "  no change in %d others\n", rest)
		}
	}
	return []byte(b.String())
}

// step words what a mark marks.
func step(metric string, m Change) string {
	unit := unitOf(metric)
	text := fmt.Sprintf("%s to %s", results.FormatValue(m.Before, unit), results.FormatValue(m.After, unit))
	if unit == "share" {
		return text
	}
	if m.Before != 0 {
		text += fmt.Sprintf(" (%+.0f%%)", 100*(m.After-m.Before)/math.Abs(m.Before))
	}
	return text
}

// unitOf tells a metric's unit by its name: a line of history has values only.
func unitOf(metric string) string {
	switch {
	case strings.HasPrefix(metric, "latency."), strings.Contains(metric, "cpu_per"):
		return "ns"
	case strings.Contains(metric, "rss_per"):
		return "bytes"
	case strings.HasSuffix(metric, "per_s"):
		return "per_s"
	case strings.HasPrefix(metric, "connections."):
		return "count"
	}
	return "share"
}

// drawn is a series as eight heights, the latest last.
func drawn(values []float64) string {
	const heights = "▁▂▃▄▅▆▇█"
	values = values[max(0, len(values)-shownRuns):]
	lo, hi := slices.Min(values), slices.Max(values)
	var b strings.Builder
	for _, v := range values {
		n := 0
		if hi > lo {
			n = int((v - lo) / (hi - lo) * float64(utf8.RuneCountInString(heights)-1))
		}
		b.WriteRune([]rune(heights)[n])
	}
	return b.String()
}
