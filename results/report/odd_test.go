package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/results"
)

// oddRuns are the golden run turned into what a page must cope with too.
func oddRuns(t *testing.T) map[string]*results.Run {
	return map[string]*results.Run{"calm": calm(load(t, "january-2015")), "crowded": crowded(load(t, "january-2015")), "invalid": broken(load(t, "january-2015"))}
}

// calm: nobody failed, no fault was armed, no edge logged anything, nothing was asked for.
func calm(run *results.Run) *results.Run {
	run.Tags, run.Chains, run.Faults, run.Thresholds, run.Resumption = nil, nil, nil, nil, nil
	run.Phases = run.Phases[:1]
	run.Phases[0] = results.Phase{Name: "run", DurationNs: run.DurationNs, Latency: run.Phases[0].Latency}
	run.Users, run.Edges = run.Users[:6], run.Edges[:3]
	for i := range run.Users {
		u := &run.Users[i]
		*u = results.UserRow{Phase: "run", Profile: u.Profile, PageLoads: u.PageLoads, Fine: u.PageLoads}
	}
	for i := range run.Edges {
		run.Edges[i].Phase, run.Edges[i].LogLines, run.Edges[i].LogSignatures = "run", nil, nil
	}
	run.Outcomes = slices.DeleteFunc(run.Outcomes, func(o results.OutcomeRow) bool { return o.Class != results.ClassOK })
	run.Attempts = results.Attempts{Started: 1280, OpenAtEnd: 1280}
	run.Kernel = map[string]int64{}
	for i := range run.Timeline {
		s := &run.Timeline[i]
		s.Phase, s.Failed, s.Firings, s.RequestsFailed = "run", 0, 0, 0
	}
	return run
}

// crowded: more of everything, with longer names.
func crowded(run *results.Run) *results.Run {
	long := func(i int) string {
		return fmt.Sprintf("a-browser-that-somebody-imported-from-a-capture-%02d-of-2015", i)
	}
	acts := run.Phases
	for i := range 6 {
		p := acts[i%len(acts)]
		p.Name = fmt.Sprintf("%s-with-the-new-certificates-%d", p.Name, i/len(acts))
		if i >= len(acts) {
			p.StartedNs += run.DurationNs
		}
		run.Phases = append(run.Phases, p)
	}
	run.Phases = run.Phases[len(acts):]
	for act, p := range run.Phases {
		browsers, edges, chains := 50, 12, 8
		if act > 0 {
			browsers, edges, chains = 4, 3, 1 // enough is enough
		}
		like := strings.SplitN(p.Name, "-with", 2)[0]
		for _, u := range run.Users[:18] {
			if u.Phase == like {
				u.Phase = p.Name
				run.Users = append(run.Users, u)
			}
		}
		for i := range browsers {
			u := results.UserRow{Phase: p.Name, Profile: long(i), PageLoads: 12_345_678, Fine: 12_345_678 - int64(3*i), Downgraded: int64(i), SawError: int64(2 * i)}
			u.Errors = map[string]int64{"Safari can’t open the page “https://www.example.test/” because Safari can’t establish a secure connection to the server “www.example.test”.": int64(i),
				"ERR_SSL_VERSION_OR_CIPHER_MISMATCH": int64(i)}
			if i == 0 {
				u.Errors = nil
			}
			run.Users = append(run.Users, u)
		}
		for i, c := range slices.Clone(run.Chains[:24]) {
			if c.Phase == like {
				c.Phase = p.Name
				run.Chains = append(run.Chains, c)
				c.Steps = append(slices.Clone(c.Steps), c.Steps...)
				for k := range chains {
					c.Profile, c.Fault = long(k*6+i%6), fmt.Sprintf("cut-the-first-handshakes-of-the-data-centre-%d", k)
					c.Steps = slices.Clone(c.Steps)
					c.Steps[1+k%2].ServerLogs = fmt.Sprintf("1408A0D%d", k)
					run.Chains = append(run.Chains, c)
				}
			}
		}
		for _, f := range slices.Clone(run.Faults[:6]) {
			if f.Phase == like {
				for k := range 6 {
					f.Phase, f.Name = p.Name, fmt.Sprintf("cut-the-first-handshakes-of-the-data-centre-%d", k)
					f.FromNs, f.UntilNs = int64(k)*int64(time.Second), int64(k+1)*int64(time.Second)
					run.Faults = append(run.Faults, f)
				}
			}
		}
		for _, e := range slices.Clone(run.Edges[:9]) {
			if e.Phase == like {
				for k := range 4 {
					e.Phase, e.Name, e.Address = p.Name, fmt.Sprintf("edge-in-the-second-data-centre-%d-%s", k, e.Address), "[2001:db8:1234:5678:9abc:def0:1234:5678]:8443"
					e.LogLines = append(e.LogLines, results.LogLine{Level: "error", Reason: `upstream prematurely closed connection while reading response header from upstream, client: 192.0.2.1, upstream: "http://127.0.0.1:8080/a/long/path"`, Count: 3})
					run.Edges = append(run.Edges, e)
				}
			}
		}
		for i := range edges {
			for k := range edges {
				run.Resumption = append(run.Resumption, results.ResumptionRow{Phase: p.Name, ResumptionCount: results.ResumptionCount{
					Issuer: fmt.Sprintf("edge-in-data-centre-%d", i), Resumer: fmt.Sprintf("edge-in-data-centre-%d", k), Asked: "ticket", Hits: 100, Misses: int64(i + k)}})
			}
		}
	}
	run.Users, run.Chains, run.Faults, run.Edges, run.Resumption = run.Users[18:], run.Chains[24:], run.Faults[6:], run.Edges[9:], run.Resumption[9:]
	for _, s := range slices.Clone(run.Timeline) {
		s.AtNs += run.DurationNs
		run.Timeline = append(run.Timeline, s)
	}
	run.DurationNs *= 2
	for i := range 20 {
		run.Thresholds = append(run.Thresholds, results.ThresholdResult{Expression: fmt.Sprintf("users[phase=%s,profile=%s].errors.ERR_SSL_VERSION_OR_CIPHER_MISMATCH.rate < 0.1%%", run.Phases[i%6].Name, long(i)),
			Observed: 0.02, Limit: 0.001, Unit: "share", Pass: i%3 > 0, Margin: -19})
		run.Tags[fmt.Sprintf("a-label-of-the-build-%d", i)] = "https://ci.example.test/job/" + strings.Repeat("7", 40)
		run.Agents = append(run.Agents, results.AgentRow{ID: fmt.Sprintf("agent-on-another-machine-%d", i), Host: "load-generator.eu-central-1.compute.example.test", Connections: 10_000, RSSPeakBytes: 1 << 31, CPUNs: 9e12, GCPauseMaxNs: 3e8})
	}
	return run
}

// broken: an agent and an edge died, the run was cut short, strangers shared the namespace.
func broken(run *results.Run) *results.Run {
	run.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"cut short: interrupted", "agent-1 was lost: signal: killed; what it had sent is counted", "edge-2 was lost: exit status 1"},
		Notes: []string{"3 failed attempts have no firing in their chain"}}
	run.Agents[0].Lost, run.Edges[1].Lost, run.KernelNamespace = true, true, "caller"
	run.Phases, run.Timeline = run.Phases[:1], run.Timeline[:1]
	run.Outcomes = append(run.Outcomes, results.OutcomeRow{Phase: run.Phases[0].Name, Profile: "ie-8-xp", Kind: "first", Class: results.ClassPeerAlert, UserSees: "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", Alert: 40, ServerLogs: "1408A0C1", Count: 3})
	run.DurationNs, run.Phases[0].DurationNs = 1_200_000_000, 1_200_000_000
	for i := range run.Thresholds {
		run.Thresholds[i].Pass, run.Thresholds[i].Missing = false, "no such browser in the run"
	}
	return run
}
