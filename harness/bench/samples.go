package bench

import (
	"slices"
	"strings"

	"tlsurge/results"
	"tlsurge/results/compare"
)

// Names of the parts that a bench measures by itself.
const (
	PartFull     = "full"
	PartResumed  = "resumed"
	PartRequests = "requests"
)

// samples are the rounds so far, metric by metric.
type samples struct {
	metrics []compare.Metric
	shares  []compare.Share
}

// add takes one round: the runs of both sides by part. A run that was left out leaves its part out on
// both sides, so that rounds stay pairs.
func (s *samples) add(base, candidate map[string]*results.Run, parts []Part) {
	for _, p := range parts {
		if base[p.Name] == nil || candidate[p.Name] == nil {
			delete(base, p.Name)
			delete(candidate, p.Name)
		}
	}
	for side, runs := range []map[string]*results.Run{base, candidate} {
		for _, v := range costs(runs) {
			s.metric(v, side)
		}
		for _, p := range parts {
			run := runs[p.Name]
			if run == nil {
				continue
			}
			for _, v := range compare.Values(run) {
				if !p.measures(v.Name) {
					continue
				}
				v.Name = p.Name + "." + v.Name
				s.metric(v, side)
			}
			if p.Name != PartResumed && p.Name != PartRequests {
				s.share(p.Name+".", run, side)
			}
		}
	}
}

// measures tells whether a metric of a run is one of this part. The built-in parts leave out what
// costs says better, and what says the same twice: every metric more asks for more rounds of all.
func (p Part) measures(metric string) bool {
	switch p.Name {
	case PartFull:
		return strings.HasPrefix(metric, "latency.handshake.") || strings.Contains(metric, "rss_per_idle")
	case PartResumed:
		return strings.HasPrefix(metric, "latency.handshake.")
	case PartRequests:
		return strings.HasPrefix(metric, "latency.response.")
	}
	return true
}

func (s *samples) metric(v compare.Value, side int) {
	i := slices.IndexFunc(s.metrics, func(m compare.Metric) bool { return m.Name == v.Name })
	if i < 0 {
		i = len(s.metrics)
		s.metrics = append(s.metrics, compare.Metric{Name: v.Name, Unit: v.Unit, Higher: v.Higher, MinEffect: minEffect(v.Name)})
	}
	m := &s.metrics[i]
	if side == 0 {
		m.Base = append(m.Base, v.V)
	} else {
		m.New = append(m.New, v.V)
	}
}

// share counts, browser by browser, the page loads that users saw fail: who can connect at all.
func (s *samples) share(prefix string, run *results.Run, side int) {
	for _, u := range run.Users {
		name := prefix + "users.saw_error[" + u.Profile + "]"
		i := slices.IndexFunc(s.shares, func(x compare.Share) bool { return x.Name == name })
		if i < 0 {
			i = len(s.shares)
			s.shares = append(s.shares, compare.Share{Name: name, MinEffect: connectEffect})
		}
		c := compare.Count{Events: u.SawError, Trials: u.PageLoads}
		if side == 0 {
			s.shares[i].Base = append(s.shares[i].Base, c)
		} else {
			s.shares[i].New = append(s.shares[i].New, c)
		}
	}
}

// minEffect is larger than the usual 5 % where a metric is a small difference of large figures, or the
// tail of a distribution.
func minEffect(metric string) float64 {
	for _, m := range []struct {
		suffix string
		effect float64
	}{{"cpu_per_resumed_handshake", 0.25}, {"cpu_per_request", 0.10}, {"memory_at_peak", 0.15}, {".p50", 0.10}, {".p99", 0.25}, {".p999", 0.50}} {
		if strings.HasSuffix(metric, m.suffix) {
			return m.effect
		}
	}
	return 0
}

// connectEffect is the share of page loads from which "this browser cannot connect" matters.
const connectEffect = 0.05

// costs are what the edges of one side spent in one round:
//
//	cpu_per_full_handshake     = cpu(full) / handshakes(full), one page included
//	cpu_per_resumed_handshake  = (cpu(resumed) - full handshakes of its warm-up at that cost) / resumed
//	cpu_per_request            = (cpu(requests) - its handshakes at those costs) / requests
//	memory_at_peak             = resident memory of the edges at the peak of "full"
func costs(runs map[string]*results.Run) []compare.Value {
	var list []compare.Value
	full := runs[PartFull]
	if full == nil {
		return nil
	}
	cpu, handshakes, memory := spent(full)
	if handshakes == 0 {
		return nil
	}
	perFull := cpu / handshakes
	list = append(list, compare.Value{Name: "cpu_per_full_handshake", Unit: "ns", V: perFull}, compare.Value{Name: "memory_at_peak", Unit: "bytes", V: memory})
	perResumed := 0.0
	if r := runs[PartResumed]; r != nil {
		cpu, handshakes, _ := spent(r)
		if n := resumed(r); n > 0 {
			perResumed = (cpu - (handshakes-n)*perFull) / n
			list = append(list, compare.Value{Name: "cpu_per_resumed_handshake", Unit: "ns", V: perResumed})
		}
	}
	if r := runs[PartRequests]; r != nil && r.Requests.Sent > 0 {
		cpu, handshakes, _ := spent(r)
		n := resumed(r)
		list = append(list, compare.Value{Name: "cpu_per_request", Unit: "ns", V: (cpu - (handshakes-n)*perFull - n*perResumed) / float64(r.Requests.Sent)})
	}
	return list
}

func spent(run *results.Run) (cpu, handshakes, memory float64) {
	for _, e := range run.Edges {
		cpu += float64(e.CPUNs)
		handshakes += float64(e.Handshakes)
		memory += float64(e.RSSPeakBytes)
	}
	return cpu, handshakes, memory
}

func resumed(run *results.Run) float64 {
	h := run.Handshakes
	return float64(h.ResumedSessionID + h.ResumedTicket + h.ResumedPSK)
}

// need is how many rounds the noise so far asks for, by the metrics that a bench is for: processor time
// and memory. Tail latencies could ask for hundreds; they are judged on what there is, or not at all.
func (s *samples) need(o compare.Options) int {
	n := 0
	for _, m := range s.metrics {
		if strings.HasPrefix(m.Name, "cpu_") || strings.HasPrefix(m.Name, "memory") {
			n = max(n, compare.NeedRounds(m, o, len(s.metrics)+len(s.shares)))
		}
	}
	return n
}
