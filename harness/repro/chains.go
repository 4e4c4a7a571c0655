package repro

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tlsurge/harness/symptom"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
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

// chainLines walks each chain link by link.
func (r *Result) chainLines() (lines []string) {
	if r.Recipe != nil && len(r.Recipe.Faults) == 0 {
		lines = append(lines, "No fault is needed: browser and server, as they are set up, cannot agree on a handshake.")
	}
	for _, c := range r.Chains {
		title := c.Profile
		if p, err := profiles.Lookup(c.Profile); err == nil {
			title = p.Title
		}
		if r.Recipe != nil && len(r.Recipe.Acts) > 1 {
			title += " at " + c.Phase
		}
		if c.Count > 0 {
			title += fmt.Sprintf(", %d times", c.Count)
		}
		lines = append(lines, title+":")
		n := 0
		for i := 0; i < len(c.Steps); {
			same := 1
			for i > 0 && i+same < len(c.Steps) && c.Steps[i+same] == c.Steps[i] {
				same++
			}
			times := ""
			if same > 1 {
				times = fmt.Sprintf(" So %d times.", same)
			}
			n++
			lines = append(lines, fmt.Sprintf("%d. %s%s", n, link(c.Steps[i], i == 0, c), times))
			i += same
		}
		switch {
		case c.UserSees != "":
			lines = append(lines, fmt.Sprintf("%d. The user sees %s.", n+1, c.UserSees))
		default:
			lines = append(lines, fmt.Sprintf("%d. The user is served: %s.", n+1, strings.ReplaceAll(string(c.Verdict), "_", " ")))
		}
	}
	return lines
}

// link is one attempt in words.
func link(s results.ChainStep, first bool, c results.Chain) string {
	what := map[string]string{"first": "The first hello", "resumed": "A hello with a session", "retry": "The same hello once more", "fallback": "A lowered hello"}[s.Kind]
	what = cmp.Or(what, s.Kind)
	what += " offers " + s.Offered
	if s.SCSV {
		what += ", marked with TLS_FALLBACK_SCSV"
	}
	end := map[results.Class]string{
		results.ClassOK: "it is served", results.ClassReset: "the connection is reset", results.ClassEOF: "the connection is closed",
		results.ClassHandshakeTimeout: "nothing comes back until the browser gives up", results.ClassCertificate: "the browser refuses the certificate",
		results.ClassLocalAlert: "the browser refuses what it gets", results.ClassRequestReset: "the connection is reset under the request",
		results.ClassRequestEOF: "the connection is closed before an answer", results.ClassRequestTimeout: "no answer comes until the browser gives up",
		results.ClassConnectRefused: "nobody listens", results.ClassConnectTimeout: "nobody answers", results.ClassConnectReset: "the connection is reset at once",
	}[s.Class]
	if s.Class == results.ClassPeerAlert {
		end = "the server refuses it"
	}
	end = cmp.Or(end, string(s.Class))
	if s.Alert >= 0 {
		end += fmt.Sprintf(" with alert %d, %v", s.Alert, wire.AlertDescription(s.Alert))
		if s.Sender == "client" {
			end += " (sent by the browser)"
		}
	}
	if s.Version != "" {
		end += " (" + s.Version + ")"
	}
	if first && c.Fault != "" {
		end += fmt.Sprintf(" by the fault %s", c.Fault)
	}
	if s.LogReason != "" {
		end += fmt.Sprintf("; the server logs %s", strings.Join(strings.Fields("["+s.LogLevel+"] "+s.ServerLogs+" "+s.LogReason), " "))
	}
	return what + ": " + end + "."
}
