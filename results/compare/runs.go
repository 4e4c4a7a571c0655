package compare

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tlsurge/results"
)

// Side is one side of a comparison of stored runs: every run is a round.
type Side struct {
	Path string
	Runs []*results.Run
	// LeftOut are runs that cannot be counted, with the reason.
	LeftOut []string

	scenarios []map[string]string // keys of each run's scenario; nil where it is not stored beside the run
}

// LoadSide reads a run directory, a run.json, or a directory of run directories, in order of their
// names. INVALID runs are left out and named: their numbers are not what the scenario asked for. Every
// error is a results.InputError.
func LoadSide(path string) (*Side, error) {
	s := &Side{Path: path}
	paths := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, results.RunFile)); err != nil {
			inner, err := filepath.Glob(filepath.Join(escapeGlob(path), "*", results.RunFile))
			if err != nil {
				return nil, &results.InputError{Path: path, Err: err}
			}
			if len(inner) > 0 {
				paths = inner
			}
		}
	}
	for _, p := range paths {
		run, err := results.LoadRun(p)
		if err != nil {
			return nil, err
		}
		if run.Verdict.State == results.Invalid {
			s.LeftOut = append(s.LeftOut, fmt.Sprintf("%s is INVALID: %s", p, strings.Join(run.Verdict.Reasons, "; ")))
			continue
		}
		s.Runs, s.scenarios = append(s.Runs, run), append(s.scenarios, scenarioKeys(p))
	}
	if len(s.Runs) == 0 {
		return nil, &results.InputError{Path: path, Err: errors.New(strings.Join(s.LeftOut, "\n"))}
	}
	return s, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Runs compares stored runs: it says what else differs, then judges every metric that both sides have.
func Runs(base, candidate *Side, o Options) *Report {
	metrics, shares := Samples(base.Runs, candidate.Runs)
	r := Judge(metrics, shares, o)
	r.Differences = Differences(base, candidate)
	r.Notes = slices.Concat(r.Notes, notCompared(base, candidate), shared(base, candidate))
	r.Notes = append(append(r.Notes, base.LeftOut...), candidate.LeftOut...)
	for _, s := range []*Side{base, candidate} {
		for _, run := range s.Runs {
			if run.Verdict.State == results.Suspect {
				r.Notes = append(r.Notes, fmt.Sprintf("a run of %s is SUSPECT: %s", s.Path, strings.Join(run.Verdict.Reasons, "; ")))
			}
		}
	}
	return r
}

// Value is one metric of one run.
type Value struct {
	Name, Unit string
	Higher     bool
	V          float64
}

// Values reads the metrics off a run: latencies, processor time per handshake and per request, memory
// per idle connection, and how much load was carried. What was not measured is left out.
func Values(run *results.Run) []Value {
	var list []Value
	add := func(name, unit string, higher bool, v float64, measured bool) {
		if measured {
			list = append(list, Value{name, unit, higher, v})
		}
	}
	for _, metric := range []string{"tcp_connect", "handshake", "first_byte", "response"} {
		p := run.Latency[metric]["response_time"]
		add("latency."+metric+".p50", "ns", false, float64(p.P50Ns), p.Count >= 100)
		add("latency."+metric+".p99", "ns", false, float64(p.P99Ns), p.Count >= 1_000)
		add("latency."+metric+".p999", "ns", false, float64(p.P999Ns), p.Count >= 10_000)
	}
	var cpu, handshakes, idle int64
	for _, e := range run.Edges {
		cpu += e.CPUNs
		handshakes += e.Handshakes
		idle = max(idle, e.RSSPerIdleConnectionBytes)
	}
	add("edge.cpu_per_handshake", "ns", false, float64(cpu)/float64(max(1, handshakes)), cpu > 0 && handshakes > 0)
	add("edge.rss_per_idle_connection", "bytes", false, float64(idle), idle > 0)
	idle = 0
	for _, a := range run.Agents {
		idle = max(idle, a.RSSPerIdleConnectionBytes)
	}
	add("agent.rss_per_idle_connection", "bytes", false, float64(idle), idle > 0)
	add("connections.peak_established", "count", true, float64(run.Connections.PeakEstablished), run.Connections.PeakEstablished > 0)
	add("requests.per_s", "per_s", true, run.Requests.PerS, run.Requests.Sent > 0)
	return list
}

// shareValue is one share of one run.
type shareValue struct {
	name   string
	higher bool
	Count
}

// shareValues reads off a run what happened to a share of something: errors and downgrades that each
// browser's users saw, and attempts that failed.
func shareValues(run *results.Run) []shareValue {
	var list []shareValue
	users := map[string]*results.UserRow{}
	for _, u := range run.Users {
		t := users[u.Profile]
		if t == nil {
			t = &results.UserRow{}
			users[u.Profile] = t
		}
		t.PageLoads += u.PageLoads
		t.SawError += u.SawError
		t.Downgraded += u.Downgraded
	}
	for _, p := range slices.Sorted(maps.Keys(users)) {
		u := users[p]
		list = append(list, shareValue{"users.saw_error[" + p + "]", false, Count{u.SawError, u.PageLoads}},
			shareValue{"users.downgraded[" + p + "]", false, Count{u.Downgraded, u.PageLoads}})
	}
	h := run.Handshakes
	if h.ResumptionAsked > 0 {
		list = append(list, shareValue{"handshakes.resumed", true, Count{h.ResumedSessionID + h.ResumedTicket + h.ResumedPSK, h.ResumptionAsked}})
	}
	return append(list, shareValue{"requests.failed", false, Count{run.Requests.Failed, run.Requests.Sent}})
}

// Samples gathers the metrics of two sets of runs, a run a round, in the order of the first run.
func Samples(base, candidate []*results.Run) ([]Metric, []Share) {
	var metrics []Metric
	var shares []Share
	for side, runs := range [][]*results.Run{base, candidate} {
		for _, run := range runs {
			for _, v := range Values(run) {
				i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == v.Name })
				if i < 0 {
					i = len(metrics)
					metrics = append(metrics, Metric{Name: v.Name, Unit: v.Unit, Higher: v.Higher})
				}
				if m := &metrics[i]; side == 0 {
					m.Base = append(m.Base, v.V)
				} else {
					m.New = append(m.New, v.V)
				}
			}
			for _, v := range shareValues(run) {
				i := slices.IndexFunc(shares, func(s Share) bool { return s.Name == v.name })
				if i < 0 {
					i = len(shares)
					shares = append(shares, Share{Name: v.name, Higher: v.higher})
				}
				if s := &shares[i]; side == 0 {
					s.Base = append(s.Base, v.Count)
				} else {
					s.New = append(s.New, v.Count)
				}
			}
		}
	}
	return metrics, shares
}
