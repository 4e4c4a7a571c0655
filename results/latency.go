package results

import (
	"maps"
	"slices"

	"tlsurge/results/hist"
)

// phaseLatency is the merged histograms of one phase, by LatencyName.
type phaseLatency struct {
	byName map[string]*hist.Histogram
	lag    *hist.Histogram
}

func newPhaseLatency() *phaseLatency {
	return &phaseLatency{map[string]*hist.Histogram{}, hist.New()}
}

// merge adds what one recorder, or another phase, has measured.
func (l *phaseLatency) merge(byName map[string]*hist.Histogram, lag *hist.Histogram) {
	for name, h := range byName {
		if l.byName[name] == nil {
			l.byName[name] = hist.New()
		}
		l.byName[name].Merge(h)
	}
	l.lag.Merge(lag)
}

func (l *phaseLatency) names() []string { return slices.Sorted(maps.Keys(l.byName)) }

// latency merges the last snapshot of every loop: each histogram counts once.
func (p *phaseState) latency() *phaseLatency {
	l := newPhaseLatency()
	for _, s := range p.snapshots {
		l.merge(s.Latency, s.Lag)
	}
	return l
}

// totals adds the last snapshot of every loop.
func (p *phaseState) totals() Totals {
	var t Totals
	for _, s := range p.snapshots {
		t.add(s.Totals)
	}
	return t
}

func (t *Totals) add(o Totals) {
	t.Started += o.Started
	t.Completed += o.Completed
	t.Failed += o.Failed
	t.OpenAtEnd += o.OpenAtEnd
	t.Opened += o.Opened
	t.Established += o.Established
	t.PeakEstablished += o.PeakEstablished
	t.ClosedByClient += o.ClosedByClient
	t.ClosedByServer += o.ClosedByServer
	t.ClosedByFailure += o.ClosedByFailure
	t.ResumptionAsked += o.ResumptionAsked
	t.EarlySent += o.EarlySent
	t.EarlyAccepted += o.EarlyAccepted
	t.Retransmits += o.Retransmits
	t.RequestsSent += o.RequestsSent
	t.RequestsOK += o.RequestsOK
	t.RequestsFailed += o.RequestsFailed
	t.RequestsRetried += o.RequestsRetried
	t.RequestsUnsent += o.RequestsUnsent
}

// percentiles reads the figures of run.json off a histogram.
func percentiles(h *hist.Histogram) Percentiles {
	return Percentiles{
		Count: h.Count(), MinNs: h.Min(), P50Ns: h.Quantile(0.5), P90Ns: h.Quantile(0.9), P99Ns: h.Quantile(0.99),
		P999Ns: h.Quantile(0.999), MaxNs: h.Max(), MeanNs: int64(h.Mean()), Clipped: h.Clipped(),
	}
}

// latencyTable gives run.json's "latency": every metric with both of its times, measured or not, so
// that a threshold's path exists in every run.
func latencyTable(l *phaseLatency) map[string]map[string]Percentiles {
	table := map[string]map[string]Percentiles{}
	for m := range metrics {
		table[m.String()] = map[string]Percentiles{}
		for service, mode := range map[bool]string{false: "response_time", true: "service_time"} {
			h := l.byName[LatencyName(m, service)]
			if h == nil {
				h = hist.New()
			}
			table[m.String()][mode] = percentiles(h)
		}
	}
	return table
}
