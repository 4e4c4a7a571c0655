package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/results"
	"tlsurge/results/hist"
)

// picture is a chart with the table behind it.
type picture struct {
	chart
	Caption string
	Legend  []string
	Head    []string
	Rows    [][]string
}

// overTime is a picture of timeline columns: one line per column, faults' windows shaded.
func overTime(run *results.Run, id, title, unit string, words func(float64) string, columns []column) picture {
	p := picture{chart: chart{id: id, title: title, xLabel: "seconds since the run began", yLabel: unit, yWords: words, yLeast: 1, fromZero: true}}
	if unit == "response time" {
		p.yLeast = float64(time.Microsecond)
	}
	p.Head = []string{"to second", "phase"}
	for _, col := range columns {
		s := series{name: col.name}
		for _, x := range run.Timeline {
			s.xs = append(s.xs, time.Duration(x.AtNs).Seconds())
			s.ys = append(s.ys, col.of(x))
		}
		p.series = append(p.series, s)
		p.Legend = append(p.Legend, col.name)
		p.Head = append(p.Head, col.name)
	}
	for _, ph := range run.Phases {
		p.marks = append(p.marks, mark{time.Duration(ph.StartedNs).Seconds(), ph.Name})
	}
	p.bands = windows(run)
	step := (len(run.Timeline) + 119) / 120 // a page holds that many rows
	for i, x := range run.Timeline {
		if i%max(1, step) != 0 {
			continue
		}
		row := []string{strconv.FormatFloat(time.Duration(x.AtNs).Seconds(), 'f', 1, 64), x.Phase}
		for _, col := range columns {
			row = append(row, words(col.of(x)))
		}
		p.Rows = append(p.Rows, row)
	}
	p.desc = fmt.Sprintf("%s over %s, a line for each of: %s. The table below has the numbers.", title, seconds(run.DurationNs), strings.Join(p.Legend, ", "))
	return p
}

type column struct {
	name string
	of   func(results.Sample) float64
}

// windows are the times in which each rule could strike, for those that struck.
func windows(run *results.Run) []band {
	start := map[string]results.Phase{}
	for _, p := range run.Phases {
		start[p.Name] = p
	}
	var list []band
	for _, f := range run.Faults {
		p, ok := start[f.Phase]
		if !ok || f.Fired == 0 {
			continue
		}
		until := f.UntilNs
		if until == 0 || until > p.DurationNs {
			until = p.DurationNs
		}
		b := band{time.Duration(p.StartedNs + f.FromNs).Seconds(), time.Duration(p.StartedNs + until).Seconds(), f.Name + ": " + blow(f.Action, f.At)}
		// Rules with one window share one band: shades of the same time would add up.
		if i := slices.IndexFunc(list, func(o band) bool { return o.from == b.from && o.to == b.to }); i >= 0 {
			list[i].text += "; " + b.text
			continue
		}
		list = append(list, b)
	}
	return list
}

func perSecond(n func(results.Sample) int64) func(results.Sample) float64 {
	return func(s results.Sample) float64 {
		if s.LengthNs < int64(100*time.Millisecond) {
			return 0 // a sliver at the end of a phase has no rate
		}
		return float64(n(s)) / time.Duration(s.LengthNs).Seconds()
	}
}

func whole(v float64) string { return count(int64(math.Round(v))) }
func nanos(v float64) string { return ms(int64(v)) }
func level(n func(results.Sample) int64) func(results.Sample) float64 {
	return func(s results.Sample) float64 { return float64(n(s)) }
}

// timePictures are the run over time, in the order of the page.
func timePictures(run *results.Run) (latency, load, sockets []picture) {
	if len(run.Timeline) == 0 {
		return nil, nil, nil
	}
	type s = results.Sample
	latency = []picture{overTime(run, "latency-time", "Latency percentiles over time", "response time", nanos, []column{
		{"handshake p50", level(func(x s) int64 { return x.HandshakeP50Ns })}, {"handshake p99", level(func(x s) int64 { return x.HandshakeP99Ns })},
		{"response p50", level(func(x s) int64 { return x.ResponseP50Ns })}, {"response p99", level(func(x s) int64 { return x.ResponseP99Ns })}})}
	load = []picture{
		overTime(run, "rates", "Attempts, handshakes and requests over time", "per second", whole, []column{
			{"attempts started", perSecond(func(x s) int64 { return x.Started })}, {"handshakes completed", perSecond(func(x s) int64 { return x.Handshakes })},
			{"requests sent", perSecond(func(x s) int64 { return x.Requests })}}),
		overTime(run, "failures", "Failures and faults over time", "per second", whole, []column{
			{"attempts failed", perSecond(func(x s) int64 { return x.Failed })}, {"faults fired", perSecond(func(x s) int64 { return x.Firings })},
			{"requests failed", perSecond(func(x s) int64 { return x.RequestsFailed })}}),
	}
	sockets = []picture{overTime(run, "sockets", "Sockets by state over time", "sockets", whole, []column{
		{"ESTABLISHED, as the agents count", level(func(x s) int64 { return x.Established })}, {"TIME_WAIT, at the edges", level(func(x s) int64 { return x.TimeWait })}})}
	return latency, load, sockets
}

// curve is the HDR percentile curve: latency over "how many nines", for every metric measured.
func curve(byName map[string]*hist.Histogram) (picture, bool) {
	p := picture{chart: chart{id: "hdr", title: "Latency by percentile", xLabel: "percentile", yLabel: "response time", yWords: nanos, logY: true}}
	quantiles := []float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999} {
		p.xTicks = append(p.xTicks, tick{nines(q), percentText(q)})
	}
	p.Head = []string{"percentile"}
	table := make([][]string, len(quantiles))
	for i, q := range quantiles {
		table[i] = []string{percentText(q)}
	}
	for _, m := range latencyNames {
		h := byName[m.metric+".response_time"]
		if h == nil || h.Count() == 0 {
			continue
		}
		s := series{name: m.label}
		top := nines(1 - 1/float64(h.Count()+1))
		for _, pt := range h.Curve(5) {
			s.xs = append(s.xs, math.Min(nines(pt.Quantile), top))
			s.ys = append(s.ys, math.Max(1, float64(pt.ValueNs)))
		}
		p.series = append(p.series, s)
		p.Legend = append(p.Legend, m.label)
		p.Head = append(p.Head, m.label)
		for i, q := range quantiles {
			table[i] = append(table[i], ms(h.Quantile(q)))
		}
	}
	p.Rows = table
	p.desc = "How long the slowest share of each took, from the median to the maximum; both axes are logarithmic. The table below has the numbers."
	return p, len(p.series) > 0
}

// nines places a quantile: 0.9 at 1, 0.99 at 2, 0.999 at 3.
func nines(q float64) float64 {
	if q >= 1 {
		return math.Inf(1)
	}
	return -math.Log10(1 - q)
}

func percentText(q float64) string { return strconv.FormatFloat(100*q, 'f', -1, 64) + "%" }
