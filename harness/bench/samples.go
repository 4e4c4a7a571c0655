package bench

import (
	"slices"
	"strings"

	"tlsurge/results"
	"tlsurge/results/compare"
)

// Sample is what one side showed in one round.
type Sample struct {
	Values []compare.Value
	Shares []ShareValue
}

// ShareValue is how many of one side's trials in a round had an event.
type ShareValue struct {
	Name      string
	Higher    bool
	MinEffect float64
	compare.Count
}

func (s *Sample) value(name, unit string, v float64) {
	s.Values = append(s.Values, compare.Value{Name: name, Unit: unit, V: v})
}

// saw counts, browser by browser, page loads that ended in an error.
func (s *Sample) saw(profile string, sawError, pages int64) {
	s.Shares = append(s.Shares, ShareValue{Name: "users.saw_error[" + profile + "]", MinEffect: errorEffect, Count: compare.Count{Events: sawError, Trials: pages}})
}

const (
	// errorEffect is the share of page loads that end in an error from which it matters.
	errorEffect = 0.05
	// connectEffect is that of visits by a browser that comes once a round: whether it can connect at all.
	connectEffect = 0.5
)

// samples are the rounds so far, metric by metric.
type samples struct {
	metrics []compare.Metric
	shares  []compare.Share
	notes   []string
	made    int // rounds
}

// judged judges the rounds so far.
func (s *samples) judged(o compare.Options) *Result {
	r := compare.Judge(s.metrics, s.shares, o)
	r.Notes = append(r.Notes, s.notes...)
	return &Result{Report: r, Rounds: s.made, Metrics: s.metrics, Shares: s.shares}
}

// of gives back the samples of a result, of the named metrics alone.
func (r *Result) of(names []string) *samples {
	s := &samples{made: r.Rounds}
	for _, m := range r.Metrics {
		if slices.Contains(names, m.Name) {
			s.metrics = append(s.metrics, m)
		}
	}
	for _, m := range r.Shares {
		if slices.Contains(names, m.Name) {
			s.shares = append(s.shares, m)
		}
	}
	return s
}

// add takes one round. A value that only one side has is left out, so that rounds stay pairs; so is a round
// without a sample of both sides.
func (s *samples) add(p Pair) {
	if p.Note != "" {
		s.notes = append(s.notes, p.Note)
	}
	if p.Base == nil || p.New == nil {
		return
	}
	for _, v := range p.Base.Values {
		if i := slices.IndexFunc(p.New.Values, func(o compare.Value) bool { return o.Name == v.Name }); i >= 0 {
			m := s.metric(v)
			m.Base, m.New = append(m.Base, v.V), append(m.New, p.New.Values[i].V)
		}
	}
	for _, v := range p.Base.Shares {
		if i := slices.IndexFunc(p.New.Shares, func(o ShareValue) bool { return o.Name == v.Name }); i >= 0 {
			m := s.share(v)
			m.Base, m.New = append(m.Base, v.Count), append(m.New, p.New.Shares[i].Count)
		}
	}
}

func (s *samples) metric(v compare.Value) *compare.Metric {
	i := slices.IndexFunc(s.metrics, func(m compare.Metric) bool { return m.Name == v.Name })
	if i < 0 {
		i = len(s.metrics)
		s.metrics = append(s.metrics, compare.Metric{Name: v.Name, Unit: v.Unit, Higher: v.Higher, MinEffect: minEffect(v.Name), Paired: true, Key: price(v.Name)})
	}
	return &s.metrics[i]
}

func (s *samples) share(v ShareValue) *compare.Share {
	i := slices.IndexFunc(s.shares, func(x compare.Share) bool { return x.Name == v.Name })
	if i < 0 {
		i = len(s.shares)
		s.shares = append(s.shares, compare.Share{Name: v.Name, Higher: v.Higher, MinEffect: v.MinEffect})
	}
	return &s.shares[i]
}

// minEffect is larger than the usual 5 % where a metric is small beside what the machine does to it, or
// the tail of a distribution.
func minEffect(metric string) float64 {
	for _, m := range []struct {
		suffix string
		effect float64
	}{{"cpu_per_resumed_handshake", 0.10}, {"cpu_per_request", 0.10}, {"memory_per_connection", 0.25}, {".p50", 0.10}, {".p99", 0.25}, {".p999", 0.50}} {
		if strings.HasSuffix(metric, m.suffix) {
			return m.effect
		}
	}
	return 0
}

// price tells whether a metric is one that a bench is for: processor time and memory. Tail latencies
// could ask for hundreds of rounds; they are judged on what there is, or not at all.
func price(metric string) bool {
	return strings.Contains(metric, "cpu_per_") || strings.HasPrefix(metric, "memory")
}

// need is how many rounds the noise so far asks for.
func (s *samples) need(o compare.Options) int {
	n := 0
	for _, m := range s.metrics {
		if m.Key {
			n = max(n, compare.NeedRounds(m, o, len(s.metrics)))
		}
	}
	return n
}

// spent is what the edges of a run used, and for how many handshakes.
func spent(run *results.Run) (cpu, handshakes int64) {
	for _, e := range run.Edges {
		cpu += e.CPUNs
		handshakes += e.Handshakes
	}
	return cpu, handshakes
}
