package results

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// outcomesTable counts attempts by everything that run.json tells them apart by.
//
// Failed attempts and those that belong to a chain are counted one by one from the evidence, because
// the join knows their fault and what the edge logged. All others are the counters' remainder: good
// attempts, and failed ones whose evidence was lost with their agent (missing).
func (c *Collector) outcomesTable(j *join) (rows []OutcomeRow, missing int64) {
	type counter struct {
		phase string
		OutcomeKey
	}
	left := map[counter]int64{}
	for _, p := range c.phases {
		for _, s := range p.snapshots {
			for _, o := range s.Outcomes {
				left[counter{p.Name, o.OutcomeKey}] += o.Count
			}
		}
	}
	table := map[OutcomeRow]int64{}
	rows = []OutcomeRow{}
	for i := range j.attempts {
		a := &j.attempts[i]
		if a.Class == ClassOK && a.Fault == "" {
			continue
		}
		k := OutcomeKey{a.Profile, a.Kind, a.Class, a.UserSees, a.Alert, a.Sender, a.Stage}
		table[k.row(a.Phase, a.ServerLogs, a.Fault)]++
		left[counter{a.Phase, k}]--
	}
	for k, n := range left {
		if n <= 0 {
			continue // evidence may run ahead of the last snapshot of an agent that died
		}
		table[k.row(k.phase, "", "")] += n
		if k.Class != ClassOK {
			missing += n
		}
	}
	for row, n := range table {
		row.Count = n
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b OutcomeRow) int { return compareOutcomeRows(j.order, a, b) })
	return rows, missing
}

func (k OutcomeKey) row(phase, logs, fault string) OutcomeRow {
	return OutcomeRow{Phase: phase, Profile: k.Profile, Kind: k.Kind, Class: k.Class, UserSees: k.UserSees, Alert: k.Alert,
		Sender: k.Sender, Stage: k.Stage, ServerLogs: logs, Fault: fault}
}

func compareOutcomeRows(order map[string]int, a, b OutcomeRow) int {
	return cmp.Or(comparePhases(order, a.Phase, b.Phase),
		compareOutcomeKeys(OutcomeKey{a.Profile, a.Kind, a.Class, a.UserSees, a.Alert, a.Sender, a.Stage},
			OutcomeKey{b.Profile, b.Kind, b.Class, b.UserSees, b.Alert, b.Sender, b.Stage}),
		cmp.Compare(a.ServerLogs, b.ServerLogs), cmp.Compare(a.Fault, b.Fault))
}

func comparePhases(order map[string]int, a, b string) int {
	return cmp.Or(cmp.Compare(order[a], order[b]), cmp.Compare(a, b))
}

// usersTable counts page loads by what they were for the person in front of them.
func (c *Collector) usersTable(outcomes []OutcomeRow) []UserRow {
	type id struct{ phase, profile string }
	rows := map[id]*UserRow{}
	row := func(phase, profile string) *UserRow {
		k := id{phase, profile}
		if rows[k] == nil {
			rows[k] = &UserRow{Phase: phase, Profile: profile, Errors: map[string]int64{}}
		}
		return rows[k]
	}
	order := map[string]int{}
	for i, p := range c.phases {
		order[p.Name] = i
		for _, s := range p.snapshots {
			for _, pc := range s.Pages {
				row(p.Name, pc.Profile).add(pc.Verdict, pc.Count)
			}
		}
	}
	for _, o := range outcomes {
		if o.UserSees != "" {
			row(o.Phase, o.Profile).Errors[o.UserSees] += o.Count
		}
	}
	list := []UserRow{}
	for _, r := range rows {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b UserRow) int {
		return cmp.Or(comparePhases(order, a.Phase, b.Phase), cmp.Compare(a.Profile, b.Profile))
	})
	return list
}

func (r *UserRow) add(v PageVerdict, n int64) {
	r.PageLoads += n
	switch v {
	case Fine:
		r.Fine += n
	case SavedByRetry:
		r.SavedByRetry += n
	case Downgraded:
		r.Downgraded += n
	case SawError:
		r.SawError += n
	}
}

// faultsTable says for each armed rule whom it could have hit and whom it did hit.
func (c *Collector) faultsTable(j *join) []FaultRow {
	type id struct{ phase, rule string }
	fired := map[id]*FaultRow{}
	for i := range j.firings {
		f := &j.firings[i]
		phase := f.Key.Phase
		if phase == "" {
			phase = c.phaseAt(f.Time.Sub(c.cfg.Started).Nanoseconds())
		}
		k := id{phase, f.Rule}
		if fired[k] == nil {
			fired[k] = &FaultRow{Phase: phase, Name: f.Rule, Engine: f.Engine, Action: f.Action, At: f.Stage}
		}
		fired[k].Fired++
		fired[k].PacketsDropped += int64(f.Packets)
	}
	rows := []FaultRow{}
	for _, p := range c.phases {
		eligible := p.eligible()
		for _, r := range p.Rules {
			row := FaultRow{Phase: p.Name, Name: r.Name, Engine: string(r.Engine), Action: string(r.Action), At: r.At.String(),
				Eligible: eligible[r.Name], FromNs: r.From.Nanoseconds(), UntilNs: r.Until.Nanoseconds()}
			if f := fired[id{p.Name, r.Name}]; f != nil {
				row.Fired, row.PacketsDropped = f.Fired, f.PacketsDropped
				delete(fired, id{p.Name, r.Name})
			}
			rows = append(rows, row)
		}
	}
	// A firing of a rule that its phase does not list would otherwise vanish from the table.
	unlisted := slices.Collect(maps.Values(fired))
	slices.SortFunc(unlisted, func(a, b *FaultRow) int {
		return cmp.Or(comparePhases(j.order, a.Phase, b.Phase), cmp.Compare(a.Name, b.Name))
	})
	for _, f := range unlisted {
		rows = append(rows, *f)
	}
	return rows
}

func (p *phaseState) eligible() map[string]int64 {
	n := map[string]int64{}
	for _, s := range p.snapshots {
		for rule, k := range s.Eligible {
			n[rule] += k
		}
	}
	for _, e := range p.edges {
		for rule, k := range e.Eligible {
			n[rule] += k
		}
	}
	return n
}

// phaseAt names the phase that ran at a time after the run's start.
func (c *Collector) phaseAt(ns int64) string {
	name := ""
	for _, p := range c.phases {
		if p.start.Sub(c.cfg.Started).Nanoseconds() <= ns {
			name = p.Name
		}
	}
	return name
}

// edgesTable gives a row per phase and edge, its log counted by code.
func (c *Collector) edgesTable() []EdgeRow {
	rows := []EdgeRow{}
	for _, p := range c.phases {
		for _, name := range slices.Sorted(maps.Keys(p.edges)) {
			e := p.edges[name]
			_, lost := c.lostEdges[name]
			row := EdgeRow{
				Phase: p.Name, Name: name, Address: e.Address, Stack: e.Stack, PeakEstablished: e.PeakEstablished, PeakTimeWait: e.PeakTimeWait,
				Handshakes: e.Handshakes, LogSignatures: map[string]int64{}, LogLines: slices.Clone(e.LogLines), RSSPeakBytes: e.RSSPeakBytes,
				RSSPerIdleConnectionBytes: e.RSSPerIdleConnectionBytes, CPUNs: e.CPU.Nanoseconds(), Lost: lost,
			}
			if row.LogLines == nil {
				row.LogLines = []LogLine{}
			}
			slices.SortFunc(row.LogLines, func(a, b LogLine) int {
				return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Reason, b.Reason))
			})
			for _, l := range row.LogLines {
				if l.Code != "" {
					row.LogSignatures[strings.ToUpper(l.Code)] += l.Count
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (c *Collector) agentsTable() []AgentRow {
	rows := []AgentRow{}
	for _, id := range slices.Sorted(maps.Keys(c.agents)) {
		a := c.agents[id]
		rows = append(rows, AgentRow{
			ID: id, Host: a.process.Host, Connections: a.peak, RSSPeakBytes: a.process.RSSPeakBytes,
			RSSPerIdleConnectionBytes: a.process.RSSPerIdleConnectionBytes, CPUNs: a.process.CPU.Nanoseconds(),
			GCPauseMaxNs: a.process.GCPauseMax.Nanoseconds(), GCPausedNs: a.process.GCPaused.Nanoseconds(), Lost: a.lost != "",
		})
	}
	return rows
}

// handshakesTable counts completed handshakes by what was negotiated.
func (c *Collector) handshakesTable() Handshakes {
	t := Handshakes{ByVersion: map[string]int64{}, BySuite: map[string]int64{}, ByGroup: map[string]int64{}, PeakPerS: c.timeline.peakHandshakes()}
	for _, p := range c.phases {
		for _, s := range p.snapshots {
			t.ResumptionAsked += s.Totals.ResumptionAsked
			t.EarlySent += s.Totals.EarlySent
			t.EarlyAccepted += s.Totals.EarlyAccepted
			for _, h := range s.Handshakes {
				switch h.Resumed {
				case "":
					t.Full += h.Count
				case "session_id":
					t.ResumedSessionID += h.Count
				case "ticket":
					t.ResumedTicket += h.Count
				case "psk":
					t.ResumedPSK += h.Count
				}
				t.ByVersion[h.Version] += h.Count
				t.BySuite[h.Suite] += h.Count
				if h.Group != "" {
					t.ByGroup[h.Group] += h.Count
				}
			}
		}
	}
	return t
}

// resumptionTable is the issuer x resumer matrix.
func (c *Collector) resumptionTable() []ResumptionRow {
	rows := []ResumptionRow{}
	for _, p := range c.phases {
		cells := map[ResumptionCount]*ResumptionCount{}
		for _, s := range p.snapshots {
			for _, r := range s.Resumptions {
				id := ResumptionCount{Issuer: r.Issuer, Resumer: r.Resumer, Asked: r.Asked}
				if cells[id] == nil {
					cells[id] = &ResumptionCount{Issuer: r.Issuer, Resumer: r.Resumer, Asked: r.Asked}
				}
				cells[id].Hits += r.Hits
				cells[id].Misses += r.Misses
			}
		}
		for _, cell := range slices.SortedFunc(maps.Values(cells), func(a, b *ResumptionCount) int { return compareResumptions(*a, *b) }) {
			rows = append(rows, ResumptionRow{p.Name, *cell})
		}
	}
	return rows
}
