package results

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/results/hist"
)

// judge collects why a run is not VALID. Reasons come in a fixed order, the gravest kind first.
type judge struct {
	v Verdict
}

func (d *judge) invalid(format string, args ...any) {
	d.v.State = Invalid
	d.v.Reasons = append(d.v.Reasons, fmt.Sprintf(format, args...))
}

func (d *judge) suspect(format string, args ...any) {
	if d.v.State == Valid {
		d.v.State = Suspect
	}
	d.v.Reasons = append(d.v.Reasons, fmt.Sprintf(format, args...))
}

func (d *judge) note(format string, args ...any) {
	d.v.Notes = append(d.v.Notes, fmt.Sprintf(format, args...))
}

// silentEdge is from when on an edge that reports each second has been silent for a reason.
const silentEdge = 3 * time.Second

// judgement is what the verdict needs beside the tables of the run.
type judgement struct {
	cutShort        string
	hopeless        string // the threshold for which the run was ended early
	missingEvidence int64
	noResource      int64
	stray           []string // firings that no attempt of the evidence had, by rule
	claimed         int
	overflowAsked   bool // a rule filled a queue or a table on purpose
	lossArmed       bool // a rule drops packets by chance, so any connection may retransmit
}

// verdict judges the run, not the servers: DESIGN section 3, "A verdict on the run itself".
func (c *Collector) verdict(run *Run, in judgement) Verdict {
	d := &judge{Verdict{State: Valid, Reasons: []string{}, Notes: []string{}}}
	if in.cutShort != "" {
		d.invalid("cut short: %s", in.cutShort)
	}
	if in.hopeless != "" {
		// What was measured is sound; there is less of it, and the threshold has failed for good.
		d.suspect("ended early: %s can hold no more; acts and times are shorter than the scenario's", in.hopeless)
	}
	if c.failure != nil {
		d.invalid("%v; what was written until then is kept", c.failure)
	}
	c.judgeProcesses(d, in.cutShort != "" || in.hopeless != "")
	c.judgeBalance(d, run, in)
	c.judgeLoad(d, run)
	c.judgeGenerator(d, run, in)
	c.judgeNetwork(d, run, in)
	judgeResumption(d, run, c.cfg.Limits.ResumptionMisses)
	d.v.Notes = append(d.v.Notes, c.cfg.Notes...)
	if n := c.unheard.longest; n >= silentEdge {
		d.note("no agent and no edge was heard of for %s: the NATS server was away, or the coordinator was stopped or had no processor; they went on and reported afterwards, with %d requests open at the end",
			short(n), run.Requests.OpenAtEnd)
	}
	for _, name := range slices.Sorted(maps.Keys(c.silent)) {
		if n := c.silent[name].longest; n >= silentEdge && c.lostEdges[name] == "" {
			d.note("%s did not report for %s while others did: it was stopped, or had no processor; %d requests were open at the end", name, short(n), run.Requests.OpenAtEnd)
		}
	}
	if in.claimed > 0 {
		d.note("%d failed attempts were armed by a rule whose firing is not in the ledger", in.claimed)
	}
	if len(in.stray) > 0 {
		d.note("%s struck connections outside the evidence: good ones that had nothing else to tell, such as idle keepalive connections", strings.Join(in.stray, ", "))
	}
	if run.Attempts.Unexplained > 0 {
		d.note("%d failed attempts have no firing in their chain", run.Attempts.Unexplained)
	}
	return d.v
}

// judgeProcesses: load that a dead agent should have made was not made.
func (c *Collector) judgeProcesses(d *judge, early bool) {
	for _, id := range slices.Sorted(maps.Keys(c.agents)) {
		if why := c.agents[id].lost; why != "" {
			d.invalid("%s was lost: %s; what it had sent is counted", id, why)
		} else if !c.heardOf(id) {
			d.invalid("%s never reported", id)
		}
	}
	for _, p := range c.phases {
		if open := p.unfinished(c.agents); len(open) > 0 && !early {
			d.suspect("the last report of %s on %s never came: its counters end before the evidence", strings.Join(open, ", "), p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.lostEdges)) {
		d.invalid("%s was lost: %s", name, c.lostEdges[name])
	}
}

// unfinished lists the agents, not lost ones, whose last snapshot of the phase is not a final one.
func (p *phaseState) unfinished(agents map[string]*agentState) []string {
	var list []string
	for k, s := range p.snapshots {
		if !s.Final && s.Totals.Started > 0 && agents[k.agent].lost == "" && !slices.Contains(list, k.agent) {
			list = append(list, k.agent)
		}
	}
	slices.Sort(list)
	return list
}

func (c *Collector) heardOf(id string) bool {
	if len(c.phases) == 0 {
		return true
	}
	for _, p := range c.phases {
		for k := range p.snapshots {
			if k.agent == id {
				return true
			}
		}
	}
	return false
}

// judgeBalance: started = completed + failed + open_at_end, and every failure has its evidence.
func (c *Collector) judgeBalance(d *judge, run *Run, in judgement) {
	a := run.Attempts
	if sum := a.Completed + a.Failed + a.OpenAtEnd; sum != a.Started {
		d.invalid("attempts do not balance: %d started, but %d completed + %d failed + %d open at the end = %d", a.Started, a.Completed, a.Failed, a.OpenAtEnd, sum)
	}
	if q := run.Requests; q.OK+q.Failed+q.Retried > q.Sent {
		d.invalid("requests do not balance: %d sent, but %d ok + %d failed + %d sent again", q.Sent, q.OK, q.Failed, q.Retried)
	}
	for _, u := range run.Users {
		if sum := u.Fine + u.SavedByRetry + u.Downgraded + u.SawError; sum != u.PageLoads {
			d.invalid("page loads of %s in %s do not balance: %d loads, verdicts on %d", u.Profile, u.Phase, u.PageLoads, sum)
		}
	}
	if in.missingEvidence > 0 {
		d.suspect("%d failed attempts were counted whose evidence never came: their fault is unknown", in.missingEvidence)
	}
}

// judgeLoad: whether browsers met what the scenario meant them to meet. A server that picks a protocol that is not
// spoken here is no outage, and a load that was never there, with no rule to blame, measures nothing.
func (c *Collector) judgeLoad(d *judge, run *Run) {
	alpn, rules := int64(0), 0
	for _, o := range run.Outcomes {
		if o.Class == ClassALPN {
			alpn += o.Count
		}
	}
	for _, p := range c.phases {
		rules += len(p.Rules)
	}
	if alpn > 0 {
		d.invalid("%d attempts ended because the server selected a protocol that is not spoken here (h2), which is no error of theirs; load.alpn = [\"http/1.1\"] keeps browsers from offering it", alpn)
	}
	if n := run.Connections; rules == 0 && run.Attempts.Unexplained > 0 && n.Target > 0 && 2*n.PeakEstablished < n.Target {
		d.suspect("the load was never there: at most %d of %d connections were held, %d of %d attempts failed, and no rule asked for that", n.PeakEstablished, n.Target, run.Attempts.Failed, run.Attempts.Started)
	}
}

// judgeGenerator: whether the load was the one asked for, at the time it was asked for.
func (c *Collector) judgeGenerator(d *judge, run *Run, in judgement) {
	lim := c.cfg.Limits
	if in.noResource > 0 {
		d.invalid("%d attempts failed for want of ports, files or memory on this machine", in.noResource)
	}
	switch p99 := time.Duration(run.ScheduleLag.P99Ns); {
	case p99 > lim.LagInvalid:
		d.invalid("the generator could not keep up: 1 in 100 starts was later than %s (limit %s)", short(p99), short(lim.LagInvalid))
	case p99 > lim.LagSuspect:
		d.suspect("the generator lagged: 1 in 100 starts was later than %s (limit %s); response times contain it", short(p99), short(lim.LagSuspect))
	}
	for _, a := range run.Agents {
		if share := float64(a.CPUNs) / float64(max(1, run.DurationNs)); share > lim.AgentCPU {
			d.suspect("%s used %.0f %% of a core: it may have measured itself (limit %.0f %%)", a.ID, 100*share, 100*lim.AgentCPU)
		}
		c.judgePauses(d, run, a)
	}
}

// stoppedShare is how much of the time under load an agent's collector may stop it: what it stops for longer shows in
// the p99.9 of whatever comes evenly.
const stoppedShare = 0.001

// judgePauses: a collector's stop delays everything that its agent had due meanwhile, and the schedule lag measures by
// how much. It condemns figures that it reaches: where 1 in 1,000 starts of any act was later than the limit, or where
// the stops make a thousandth of the time, which a closed model's requests, with no schedule to lag behind, would show.
// Else the maximum alone contains it, and a note says so.
func (c *Collector) judgePauses(d *judge, run *Run, a AgentRow) {
	pause, limit := time.Duration(a.GCPauseMaxNs), c.cfg.Limits.GCPause
	if pause <= limit {
		return
	}
	late, act := c.lateStarts(a.ID)
	var loaded int64
	for _, p := range run.Phases {
		loaded += p.DurationNs
	}
	switch {
	case late > limit:
		d.suspect("%s stopped %s for its garbage collector (limit %s), and 1 in 1,000 of its starts in %s was later than %s: percentiles contain it",
			a.ID, short(pause), short(limit), act, short(late))
	case float64(a.GCPausedNs) > stoppedShare*float64(loaded):
		d.suspect("%s stopped %s for its garbage collector (limit %s), and %s in all, which is more than a thousandth of the time under load", a.ID, short(pause), short(limit), short(time.Duration(a.GCPausedNs)))
	default:
		d.note("%s stopped %s for its garbage collector (limit %s): 999 in 1,000 of its starts were at most %s late in every act, so that only a maximum contains it", a.ID, short(pause), short(limit), short(late))
	}
}

// lateStarts is the largest p99.9 of an agent's schedule lag in any act, and that act.
func (c *Collector) lateStarts(agent string) (late time.Duration, act string) {
	for _, p := range c.phases {
		all := hist.New()
		for k, s := range p.snapshots {
			if k.agent == agent {
				all.Merge(s.Lag)
			}
		}
		if n := time.Duration(all.Quantile(0.999)); n > late {
			late, act = n, p.Name
		}
	}
	return late, act
}

// judgeNetwork: whether packets were lost that no rule dropped.
func (c *Collector) judgeNetwork(d *judge, run *Run, in judgement) {
	tell := d.suspect
	if run.KernelNamespace != "own" {
		tell = d.note
	}
	for _, name := range []string{"ListenOverflows", "ListenDrops"} {
		if n := run.Kernel[name]; n > 0 && !in.overflowAsked {
			tell("%s is %d, and no rule fills an accept queue: SYNs were dropped", name, n)
		}
	}
	n, all := run.Attempts.UnexplainedRetransmits, run.Attempts.Started
	if drops := run.Kernel["ListenDrops"]; n > 0 && in.overflowAsked && drops > 0 {
		// Each was answered by a queue that a rule has filled, and the client's kernel asked again.
		d.note("%d of %d retransmissions are of SYNs that a full accept queue dropped, as a rule wanted", min(n, drops), n)
		n -= min(n, drops)
	}
	if n > 0 && !in.lossArmed {
		if share := float64(n) / float64(max(1, all)); share > c.cfg.Limits.Retransmits {
			d.suspect("%d retransmissions on connections that no fault hit (%.2f per 100 attempts, limit %.2f)", n, 100*share, 100*c.cfg.Limits.Retransmits)
		} else {
			d.note("%d retransmissions on connections that no fault hit", n)
		}
	}
}

// judgeResumption: an edge that does not resume what it issued itself was not set up as asked.
func judgeResumption(d *judge, run *Run, limit float64) {
	var hits, misses int64
	var where []string
	for _, r := range run.Resumption {
		if r.Issuer == "" || r.Issuer != r.Resumer {
			continue
		}
		hits, misses = hits+r.Hits, misses+r.Misses
		if r.Misses > 0 && !slices.Contains(where, r.Issuer) {
			where = append(where, r.Issuer)
		}
	}
	if share := float64(misses) / float64(max(1, hits+misses)); share > limit {
		d.suspect("%d of %d sessions were not resumed by the edge that had issued them (%s)", misses, hits+misses, strings.Join(where, ", "))
	}
}

// asked reads from the rules of all phases what the network was meant to do.
func (c *Collector) asked() (overflow, loss bool) {
	for _, p := range c.phases {
		for _, r := range p.Rules {
			switch r.Action {
			case faults.AcceptQueue, faults.TableFull, faults.Pause, faults.Kill, faults.Restart:
				overflow = true
			}
			loss = loss || r.PerPacket || r.Engine == faults.EngineLink
		}
	}
	return overflow, loss
}

// short words a duration with at most three digits: 1.52s, 38.2ms, 412µs.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
