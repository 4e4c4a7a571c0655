package results

import (
	"time"

	"tlsurge/results/hist"
)

// Tick writes what came in since the last one: interval histograms, a timeline sample, whatever the
// .jsonl buffers hold, and a provisional run.json that says INVALID, because the run is not finished.
// The coordinator calls it each second; if it is killed, no more than that second is lost.
func (c *Collector) Tick(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick(now)
	if c.files != nil && c.failure == nil {
		c.note(c.files.flush())
		c.note(c.writeProvisional(now))
	}
	return c.failure
}

// tick adds an interval to each phase that has news. Called with mu held.
func (c *Collector) tick(now time.Time) {
	for _, p := range c.phases {
		t := p.totals()
		p.peak = max(p.peak, t.Established)
		c.notePeaks(p)
		if !p.end.IsZero() && !p.writtenTo.Before(p.end) && !p.news() {
			continue
		}
		c.noteSilence(p, now.Sub(p.writtenTo))
		merged := p.latency()
		sample := Sample{Phase: p.Name, AtNs: now.Sub(c.cfg.Started).Nanoseconds(), LengthNs: now.Sub(p.writtenTo).Nanoseconds(), TimeWait: p.timeWait()}
		for _, name := range merged.names() {
			interval, err := merged.byName[name].Sub(p.written.byName[name])
			if err != nil {
				continue // an agent that was restarted counts from zero again; its next interval is whole
			}
			c.logInterval(p, name, now, interval)
			sample.quantiles(name, interval)
		}
		p.written = merged
		p.reported = p.seqs()
		p.writtenTo = now
		c.timeline.add(sample, t, c.firingsIn(p.Name), p.elapsed(), p.edgeUse())
	}
}

// quantiles puts the figures of an interval into the sample's fields.
func (s *Sample) quantiles(name string, interval *hist.Histogram) {
	switch name {
	case LatencyName(Handshake, false):
		s.HandshakeP50Ns, s.HandshakeP99Ns = interval.Quantile(0.5), interval.Quantile(0.99)
	case LatencyName(Response, false):
		s.ResponseP50Ns, s.ResponseP99Ns = interval.Quantile(0.5), interval.Quantile(0.99)
	}
}

func (c *Collector) logInterval(p *phaseState, name string, now time.Time, interval *hist.Histogram) {
	if c.files == nil || c.failure != nil || interval.Count() == 0 {
		return
	}
	c.note(c.files.hlog.Interval(p.Name+"/"+name, p.writtenTo.UnixMilli(), now.UnixMilli(), interval))
}

// notePeaks keeps the most connections that each agent has held.
func (c *Collector) notePeaks(p *phaseState) {
	held := map[string]int64{}
	for k, s := range p.snapshots {
		held[k.agent] += s.Totals.Established
	}
	for id, n := range held {
		if a := c.agents[id]; a != nil {
			a.peak = max(a.peak, n)
		}
	}
}

// seqs adds the sequence numbers of all snapshots: it grows with each that comes.
func (p *phaseState) seqs() uint64 {
	var n uint64
	for _, s := range p.snapshots {
		n += s.Seq
	}
	return n
}

func (p *phaseState) news() bool { return p.seqs() != p.reported }

// elapsed is the mean of the times that the snapshots were taken at.
func (p *phaseState) elapsed() int64 {
	var sum time.Duration
	for _, s := range p.snapshots {
		sum += max(0, s.Elapsed)
	}
	return int64(sum) / int64(max(1, len(p.snapshots)))
}

func (p *phaseState) timeWait() int64 {
	var n int64
	for _, e := range p.edges {
		n += e.TimeWait
	}
	return n
}

// firingsIn counts a phase's firings as far as they name it; the join finds the rest at the end.
func (c *Collector) firingsIn(phase string) int64 { return c.firingCount[phase] }

// Live is what a progress bar shows.
type Live struct {
	Phase       string
	Target      int64
	Totals      Totals
	Pages       map[PageVerdict]int64
	Firings     int64
	HandshakeP  Percentiles // of the phase so far, response time
	InHandshake int64       // attempts started, neither established nor over
}

// Live reads the state of the phase that runs now; ok is false before the first.
func (c *Collector) Live() (l Live, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.phases) == 0 {
		return Live{}, false
	}
	p := c.phases[len(c.phases)-1]
	l = Live{Phase: p.Name, Target: p.Target, Totals: p.totals(), Pages: map[PageVerdict]int64{}, Firings: c.firingsIn(p.Name)}
	if l.Target == 0 {
		l.Target = c.cfg.Target
	}
	handshakes := hist.New()
	for _, s := range p.snapshots {
		for _, pc := range s.Pages {
			l.Pages[pc.Verdict] += pc.Count
		}
		handshakes.Merge(s.Latency[LatencyName(Handshake, false)])
	}
	l.HandshakeP = percentiles(handshakes)
	l.InHandshake = max(0, l.Totals.Started-l.Totals.Completed-l.Totals.Failed-l.Totals.Established)
	return l, true
}

// silence is how long somebody has not reported, and the longest time that it did not. Agents and edges report each
// second.
type silence struct {
	seq          uint64
	now, longest time.Duration
}

func (s *silence) goOn(d time.Duration) {
	s.now += d
	s.longest = max(s.longest, s.now)
}

// noteSilence looks which edges of a phase that runs have said nothing new in the interval: stopped ones, and those
// that get no processor. While nobody at all is heard of, agents neither, that says nothing of an edge: it is what all
// of them speak through, or this process, that was away.
func (c *Collector) noteSilence(p *phaseState, interval time.Duration) {
	if !p.end.IsZero() || interval <= 0 { // over, or yet to begin
		return
	}
	heard, expected := p.news(), p.started || len(p.edges) > 0 || p.seqs() > 0
	var quiet []*silence
	for name, e := range p.edges {
		s := c.silent[name]
		if s == nil {
			s = &silence{}
			c.silent[name] = s
		}
		if s.seq != e.Seq {
			s.seq, s.now, heard = e.Seq, 0, true
			continue
		}
		quiet = append(quiet, s)
	}
	switch {
	case heard:
		c.unheard.now = 0
		for _, s := range quiet {
			s.goOn(interval)
		}
	case expected:
		c.unheard.goOn(interval)
	}
}
