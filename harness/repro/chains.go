package repro

import (
	"slices"

	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// chains are the walks from the fault to the user that show a target, the most walked first; each target's once.
func (t *task) chains(run *results.Run) (list []results.Chain) {
	taken := map[int]bool{}
	for _, g := range t.targets {
		best := -1
		for i, c := range run.Chains {
			if g.in(c) && (best < 0 || c.Count > run.Chains[best].Count) {
				best = i
			}
		}
		if best >= 0 && !taken[best] {
			taken[best] = true
			list = append(list, run.Chains[best])
		}
	}
	slices.SortStableFunc(list, func(a, b results.Chain) int { return phaseOf(run, a.Phase) - phaseOf(run, b.Phase) })
	return list
}

// undisturbed are the walks of a recipe without a fault, as memory plays them: a run keeps those of firings.
func (t *task) undisturbed(r Recipe) (list []results.Chain) {
	for _, v := range r.Visitors {
		visits, err := t.lab.show(r, v)
		if err != nil {
			continue // it was played before, and confirmed
		}
		for i, visit := range visits {
			c := results.Chain{Phase: actName(r.Acts, i), Profile: v.Profile, Verdict: visit.Verdict, UserSees: visit.UserSees}
			for _, a := range visit.Attempts {
				c.Steps = append(c.Steps, results.ChainStep{Kind: a.Kind, Offered: a.Offered, SCSV: a.SCSV, Class: a.Class, Alert: a.Alert, Sender: a.Sender,
					Stage: a.Stage, Version: a.Version, ServerLogs: a.LogCode, LogLevel: a.LogLevel, LogReason: a.LogReason})
			}
			list = append(list, c)
		}
	}
	return list
}

func phaseOf(run *results.Run, name string) int {
	return slices.IndexFunc(run.Phases, func(p results.Phase) bool { return p.Name == name })
}

// in says whether a chain shows the signature.
func (g target) in(c results.Chain) bool {
	if !g.by(c.Profile) || len(c.Steps) == 0 {
		return false
	}
	if g.Origin == symptom.User {
		s := c.Steps[len(c.Steps)-1]
		return c.UserSees != "" && g.Matches(symptom.Observed{UserSees: c.UserSees, Class: s.Class, Alert: s.Alert, Sender: s.Sender, Stage: s.Stage})
	}
	return slices.ContainsFunc(c.Steps, func(s results.ChainStep) bool {
		if g.Origin == symptom.ServerLog {
			return (s.ServerLogs != "" || s.LogReason != "") && g.Matches(symptom.Observed{Alert: -1, Code: s.ServerLogs, Reason: s.LogReason, Level: s.LogLevel})
		}
		return s.Class != results.ClassOK && g.Matches(symptom.Observed{Class: s.Class, Alert: s.Alert, Sender: s.Sender, Stage: s.Stage})
	})
}
