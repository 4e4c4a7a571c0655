package results

import "time"

// maxSamples bounds the timeline: past it, neighbours are put together two by two, so that a run of
// any length has between 600 and 1200 samples.
const maxSamples = 1200

// timeline is the run second by second, from differences of cumulative counters.
type timeline struct {
	samples []Sample
	last    map[string]*lastSeen // by phase
	// factor is how many ticks one sample covers; it doubles each time the timeline is halved.
	factor, pending int
}

type lastSeen struct {
	t       Totals
	firings int64
	elapsed int64
	edges   edgeUse
}

// edgeUse is what the edges of a phase have used since it began, together, and the mean of their clocks.
type edgeUse struct{ cpu, waited, elapsed int64 }

func (p *phaseState) edgeUse() (u edgeUse) {
	for _, e := range p.edges {
		u.cpu, u.waited, u.elapsed = u.cpu+int64(e.CPU), u.waited+int64(e.Waited), u.elapsed+int64(e.Elapsed)
	}
	u.elapsed /= int64(max(1, len(p.edges)))
	return u
}

// add appends what happened in a phase since its previous sample.
func (tl *timeline) add(s Sample, t Totals, firings, elapsed int64, edges edgeUse) {
	if tl.last == nil {
		tl.last, tl.factor = map[string]*lastSeen{}, 1
	}
	if s.LengthNs <= 0 { // the phase begins at an instant that is still to come: nothing is lost, counters are cumulative
		return
	}
	was := tl.last[s.Phase]
	if was == nil {
		was = &lastSeen{}
		tl.last[s.Phase] = was
	}
	s.Established = t.Established
	s.Started = t.Started - was.t.Started
	s.Failed = t.Failed - was.t.Failed
	s.Handshakes = t.Opened - was.t.Opened
	s.Requests = t.RequestsSent - was.t.RequestsSent
	s.RequestsFailed = t.RequestsFailed - was.t.RequestsFailed
	s.Answered = t.RequestsOK - was.t.RequestsOK
	s.Firings = firings - was.firings
	s.MeasuredNs = max(0, elapsed-was.elapsed)
	// An edge that was started again counts from zero.
	s.EdgeCPUNs, s.EdgeWaitedNs, s.EdgeMeasuredNs = max(0, edges.cpu-was.edges.cpu), max(0, edges.waited-was.edges.waited), max(0, edges.elapsed-was.edges.elapsed)
	*was = lastSeen{t, firings, elapsed, edges}

	if n := len(tl.samples); n > 0 && tl.pending > 0 && tl.samples[n-1].Phase == s.Phase {
		tl.samples[n-1] = joinSamples(tl.samples[n-1], s)
		tl.pending--
		return
	}
	tl.samples = append(tl.samples, s)
	tl.pending = tl.factor - 1
	if len(tl.samples) > maxSamples {
		tl.halve()
	}
}

func (tl *timeline) halve() {
	var half []Sample
	for i := 0; i < len(tl.samples); i++ {
		s := tl.samples[i]
		if i+1 < len(tl.samples) && tl.samples[i+1].Phase == s.Phase {
			i++
			s = joinSamples(s, tl.samples[i])
		}
		half = append(half, s)
	}
	tl.samples = half
	tl.factor *= 2
	tl.pending = 0
}

// joinSamples puts two neighbours of one phase together. Percentiles cannot be added: the worse of
// the two stands for both.
func joinSamples(a, b Sample) Sample {
	return Sample{
		AtNs: b.AtNs, LengthNs: a.LengthNs + b.LengthNs, Phase: b.Phase,
		Established: b.Established, TimeWait: max(a.TimeWait, b.TimeWait),
		Started: a.Started + b.Started, Failed: a.Failed + b.Failed, Handshakes: a.Handshakes + b.Handshakes,
		Requests: a.Requests + b.Requests, RequestsFailed: a.RequestsFailed + b.RequestsFailed, Firings: a.Firings + b.Firings,
		Answered: a.Answered + b.Answered, MeasuredNs: a.MeasuredNs + b.MeasuredNs,
		EdgeCPUNs: a.EdgeCPUNs + b.EdgeCPUNs, EdgeWaitedNs: a.EdgeWaitedNs + b.EdgeWaitedNs, EdgeMeasuredNs: a.EdgeMeasuredNs + b.EdgeMeasuredNs,
		HandshakeP50Ns: max(a.HandshakeP50Ns, b.HandshakeP50Ns), HandshakeP99Ns: max(a.HandshakeP99Ns, b.HandshakeP99Ns),
		ResponseP50Ns: max(a.ResponseP50Ns, b.ResponseP50Ns), ResponseP99Ns: max(a.ResponseP99Ns, b.ResponseP99Ns),
	}
}

// peakHandshakes is the highest rate of completed handshakes in any sample of at least half a second.
func (tl *timeline) peakHandshakes() float64 {
	peak := 0.0
	for _, s := range tl.samples {
		if s.LengthNs >= int64(time.Second/2) {
			peak = max(peak, float64(s.Handshakes)/time.Duration(s.LengthNs).Seconds())
		}
	}
	return peak
}
