package results

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"tlsurge/results/hist"
)

// FinishInfo ends a run.
type FinishInfo struct {
	At time.Time
	// CutShort says why the run ended before its time (Ctrl-C, a full disk); empty for one that ran to
	// its end, or to where a threshold was hopeless.
	CutShort string
	// Hopeless is the threshold that the run was ended for.
	Hopeless string
}

// Finish joins all that came in, judges it, writes the run directory's final files and returns the
// run. The collector takes nothing more.
func (c *Collector) Finish(in FinishInfo) (*Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return nil, errors.New("results: the run was finished before")
	}
	c.finished = true
	c.tick(in.At)
	j := newJoin(c.phaseNames(), c.attempts, c.firings, c.events)
	run := c.build(in.At, j, in)
	c.joined = j
	if c.files == nil {
		return run, nil
	}
	err := errors.Join(c.failure, c.files.close())
	if c.failure == nil {
		err = errors.Join(err,
			writeLines(c.cfg.Dir, OutcomesFile, j.attempts),
			writeLines(c.cfg.Dir, FiringsFile, j.firings))
	}
	// Even on a full disk run.json is tried: the space of the .jsonl buffers may be free again.
	err = errors.Join(err, writeRun(c.cfg.Dir, run))
	if err != nil {
		err = fmt.Errorf("results: %s: %w", c.cfg.Dir, err)
	}
	return run, err
}

// Joined is what Finish has joined; nil before.
func (c *Collector) Joined() *Joined {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined == nil {
		return nil
	}
	return c.joined.joined()
}

// Note adds what is worth knowing about the run and condemns nothing.
func (c *Collector) Note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Notes = append(c.cfg.Notes, text)
}

func (c *Collector) phaseNames() []string {
	var names []string
	for _, p := range c.phases {
		names = append(names, p.Name)
	}
	return names
}

// Provisional is the run as it stands, counted up to the last Tick but not joined: it names no faults
// and no server logs yet, and its verdict is INVALID, because it is not finished.
func (c *Collector) Provisional(now time.Time) *Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.provisional(now)
}

// Latencies are the histograms of the whole run up to the last Tick, by LatencyName.
func (c *Collector) Latencies() map[string]*hist.Histogram {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := newPhaseLatency()
	for _, p := range c.phases {
		all.merge(p.written.byName, p.written.lag)
	}
	return all.byName
}

func (c *Collector) provisional(now time.Time) *Run {
	run := c.build(now, newJoin(c.phaseNames(), nil, nil, nil), FinishInfo{})
	run.Verdict = Verdict{State: Invalid, Reasons: []string{notFinished}, Notes: []string{}}
	return run
}

// writeProvisional writes the provisional run.json, and looks whether a threshold cannot hold any more.
// Called with mu held.
func (c *Collector) writeProvisional(now time.Time) error {
	run := c.provisional(now)
	for _, t := range c.cfg.Thresholds {
		if c.hopeless == "" && t.Hopeless(run) {
			c.hopeless = t.String()
		}
	}
	return writeRun(c.cfg.Dir, run)
}

// Hopeless is the first threshold that no continuation of the run can make hold, as of the last Tick;
// empty: there is hope.
func (c *Collector) Hopeless() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hopeless
}

const notFinished = "not finished"

// build makes the run from the tables. Called with mu held.
func (c *Collector) build(at time.Time, j *join, end FinishInfo) *Run {
	run := &Run{
		Schema: Schema, ToolVersion: c.cfg.ToolVersion, Scenario: c.cfg.Scenario, Seed: c.cfg.Seed, Started: c.cfg.Started.UTC(),
		DurationNs: at.Sub(c.cfg.Started).Nanoseconds(), Tags: c.cfg.Tags, Digests: c.cfg.Digests, Machine: c.cfg.Machine,
		Handshakes: c.handshakesTable(), Faults: c.faultsTable(j), Edges: c.edgesTable(), Agents: c.agentsTable(),
		Resumption: c.resumptionTable(), Chains: j.chainsTable(), Kernel: maps.Clone(c.kernel), KernelNamespace: c.cfg.KernelNamespace,
		Phases: []Phase{}, Thresholds: []ThresholdResult{}, Timeline: append([]Sample{}, c.timeline.samples...),
	}
	var missing int64
	run.Outcomes, missing = c.outcomesTable(j)
	run.Users = c.usersTable(run.Outcomes)
	c.totals(run, at)
	c.latencies(run)

	in := judgement{cutShort: end.CutShort, hopeless: end.Hopeless, missingEvidence: missing, stray: j.stray(), claimed: j.claimed}
	in.overflowAsked, in.lossArmed = c.asked()
	for _, o := range run.Outcomes {
		switch {
		case o.Class == ClassNoResource:
			in.noResource += o.Count
		case o.Class != ClassOK && o.Fault == "":
			run.Attempts.Unexplained += o.Count
		}
	}
	for i := range j.attempts {
		if a := &j.attempts[i]; a.Fault == "" {
			run.Attempts.UnexplainedRetransmits += int64(a.Retransmits)
		}
	}
	run.Verdict = c.verdict(run, in)
	for _, t := range c.cfg.Thresholds {
		run.Thresholds = append(run.Thresholds, t.Evaluate(run))
	}
	return run
}

// totals fills in what is a sum over all phases.
func (c *Collector) totals(run *Run, at time.Time) {
	var t Totals
	running := time.Duration(0)
	for _, p := range c.phases {
		pt := p.totals()
		t.add(pt)
		// An agent that was lost, or is still at work, holds connections that no final snapshot counts.
		t.OpenAtEnd += p.openNow()
		end := p.end
		if end.IsZero() {
			end = at
		}
		running += end.Sub(p.start)
		run.Phases = append(run.Phases, Phase{
			Name: p.Name, StartedNs: p.start.Sub(c.cfg.Started).Nanoseconds(), DurationNs: end.Sub(p.start).Nanoseconds(),
			Stack: p.Stack, About: p.About, Target: p.Target, Peak: p.peak,
			Latency: latencyTable(p.written),
		})
		run.Connections.PeakEstablished = max(run.Connections.PeakEstablished, p.peak)
		run.Connections.OpenAtEnd += pt.Established
	}
	run.Connections.Target = c.cfg.Target
	run.Connections.Opened = t.Opened
	run.Connections.ClosedByClient, run.Connections.ClosedByServer, run.Connections.Failed = t.ClosedByClient, t.ClosedByServer, t.ClosedByFailure
	run.Attempts = Attempts{Started: t.Started, Completed: t.Completed, Failed: t.Failed, OpenAtEnd: t.OpenAtEnd, Retransmits: t.Retransmits}
	run.Requests = Requests{Sent: t.RequestsSent, OK: t.RequestsOK, Failed: t.RequestsFailed, Retried: t.RequestsRetried, Unsent: t.RequestsUnsent,
		OpenAtEnd: max(0, t.RequestsSent-t.RequestsOK-t.RequestsFailed-t.RequestsRetried)}
	if running > 0 {
		run.Requests.PerS = float64(t.RequestsSent) / running.Seconds()
	}
}

// openNow counts attempts that are open in snapshots that are not final.
func (p *phaseState) openNow() int64 {
	var n int64
	for _, s := range p.snapshots {
		if t := s.Totals; !s.Final {
			n += t.Started - t.Completed - t.Failed - t.OpenAtEnd
		}
	}
	return n
}

// latencies merges the phases' histograms, each once, as the tick before has merged the agents'.
func (c *Collector) latencies(run *Run) {
	all := newPhaseLatency()
	for _, p := range c.phases {
		all.merge(p.written.byName, p.written.lag)
	}
	run.Latency = latencyTable(all)
	run.ScheduleLag = Lag{P99Ns: all.lag.Quantile(0.99), MaxNs: all.lag.Max()}
}
