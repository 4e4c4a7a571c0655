package results

import (
	"errors"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// judged is a run with one figure of each kind.
func judged() *Run {
	return &Run{
		Users: []UserRow{
			{Phase: "before", Profile: "firefox-35-osx", PageLoads: 100, Fine: 90, SawError: 10, Errors: map[string]int64{"ssl_error_no_cypher_overlap": 10}},
			{Phase: "after", Profile: "chrome-40-osx", PageLoads: 300, Fine: 300},
		},
		Attempts:    Attempts{Started: 200, Completed: 190, Failed: 10},
		Requests:    Requests{Sent: 1000, Failed: 5, PerS: 99.5},
		Connections: Connections{PeakEstablished: 39000},
		Handshakes:  Handshakes{ResumptionAsked: 50, ResumedTicket: 40, ByVersion: map[string]int64{"TLS 1.2": 7}},
		Latency:     map[string]map[string]Percentiles{"handshake": {"response_time": {Count: 5, P99Ns: 200e6}, "service_time": {}}},
		ScheduleLag: Lag{P99Ns: 3e6},
		Edges: []EdgeRow{{Name: "edge-1", LogSignatures: map[string]int64{"1408A0D7": 12}, RSSPeakBytes: 1 << 20, PeakEstablished: 5},
			{Name: "edge-2", LogSignatures: map[string]int64{"1408A0D7": 3}, RSSPeakBytes: 3 << 20, PeakEstablished: 4}},
		Agents: []AgentRow{{ID: "agent-1", CPUNs: 2e9, RSSPerIdleConnectionBytes: 2048}, {ID: "agent-2", CPUNs: 1e9, RSSPerIdleConnectionBytes: 1024}},
		Kernel: map[string]int64{"TCPSynRetrans": 3},
		Faults: []FaultRow{{Phase: "before", Name: "cut", Eligible: 100, Fired: 10}},
		Outcomes: []OutcomeRow{{Profile: "firefox-35-osx", Class: ClassPeerAlert, Alert: 86, Count: 10},
			{Profile: "firefox-35-osx", Class: ClassOK, Alert: -1, Count: 90}},
	}
}

func TestThresholds(t *testing.T) {
	for _, row := range []struct {
		why, path, condition string
		observed             float64
		pass                 bool
		margin               float64
	}{
		{"a share over all browsers", "users.saw_error.rate", "< 0.1%", 0.025, false, -24},
		{"one browser's share, by a glob", "users[profile=chrome-*].saw_error.rate", "== 0%", 0, true, 0},
		{"one act, one browser", "users[phase=before,profile=firefox-35-osx].saw_error", "<= 10", 10, true, 0},
		{"all but one act", "users[phase!=before].page_loads", ">= 300", 300, true, 0},
		{"the browser's own words", "users.errors.ssl_error_no_cypher_overlap", "< 100", 10, true, 0.9},
		{"words that nobody saw are zero", "users.errors.ERR_TIMED_OUT", "== 0", 0, true, 0},
		{"a percentile, the unit's suffix left out", "latency.handshake.response_time.p99", "< 250ms", 200e6, true, 0.2},
		{"the same with it", "latency.handshake.response_time.p99_ns", "<= 0.2s", 200e6, true, 0},
		{"the schedule lag", "schedule_lag.p99", "< 1ms", 3e6, false, -2},
		{"counts of several edges add up", "edges.log_signatures.1408A0D7", "< 15", 15, false, 0},
		{"one edge", "edges[name=edge-2].log_signatures.1408A0D7", "< 15", 3, true, 0.8},
		{"a code that no edge logged is zero", "edges.log_signatures.140A1175", "== 0", 0, true, 0},
		{"peaks give the greatest", "edges.peak_established", "<= 5", 5, true, 0},
		{"so do sizes", "edges.rss_peak", "< 4MiB", 3 << 20, true, 0.25},
		{"memory per idle connection", "agents.rss_per_idle_connection_bytes", "<= 2KiB", 2048, true, 0},
		{"processor time adds up", "agents.cpu", "< 4s", 3e9, true, 0.25},
		{"a kernel counter", "kernel.TCPSynRetrans", "!= 0", 3, true, 3},
		{"a kernel counter that did not move", "kernel.ListenOverflows", "== 0", 0, true, 0},
		{"a rate per second", "requests.per_s", ">= 90/s", 99.5, true, 9.5 / 90},
		{"failed requests of those sent", "requests.failed.rate", "< 1%", 0.005, true, 0.5},
		{"failed attempts of those started", "attempts.failed.rate", "<= 5%", 0.05, true, 0},
		{"resumed handshakes of those asked for", "handshakes.resumed_ticket.rate", "> 75%", 0.8, true, 0.05 / 0.75},
		{"a version with a dot in its name", "handshakes.by_version[TLS 1.2]", ">= 7", 7, true, 0},
		{"firings of eligible attempts", "faults[name=cut].fired.rate", "> 5%", 0.1, true, 1},
		{"rows by a number", "outcomes[class=peer_alert,alert=86].count", "== 10", 10, true, 0},
		{"an ending that nobody came to is zero", "outcomes[class=reset].count", "== 0", 0, true, 0},
		{"a way that nobody took", "chains[verdict=downgraded].count", "== 0", 0, true, 0},
		{"connections held", "connections.peak_established", ">= 39000", 39000, true, 0},
	} {
		th, err := ParseThreshold(row.path, row.condition)
		if err != nil {
			t.Errorf("%s: %v", row.why, err)
			continue
		}
		r := th.Evaluate(judged())
		if r.Missing != "" || math.Abs(r.Observed-row.observed) > 1e-9 || r.Pass != row.pass || math.Abs(r.Margin-row.margin) > 1e-9 {
			t.Errorf("%s: %+v; want %v, %v, margin %v", row.why, r, row.observed, row.pass, row.margin)
		}
	}
}

func TestAThresholdOnNothingDoesNotPass(t *testing.T) {
	for _, row := range []struct{ why, path, condition string }{
		{"a browser that was not in the run", "users[profile=opera-*].saw_error", "== 0"},
		{"a latency that was not measured", "latency.handshake.service_time.p99", "< 1s"},
		{"a metric that is not in this run", "latency.first_byte.response_time.p99", "< 1s"},
		{"a share of nothing", "users[phase=after,profile=firefox-*].saw_error.rate", "< 1%"},
	} {
		th, err := ParseThreshold(row.path, row.condition)
		if err != nil {
			t.Errorf("%s: %v", row.why, err)
			continue
		}
		if r := th.Evaluate(judged()); r.Pass || r.Missing == "" {
			t.Errorf("%s: %+v", row.why, r)
		}
	}
}

func TestParseThresholdRefuses(t *testing.T) {
	for _, row := range []struct{ why, path, condition, says string }{
		{"no operator", "users.saw_error", "0.1%", "not a comparison"},
		{"no number", "users.saw_error", "< many", "not a comparison"},
		{"an unknown unit", "users.saw_error", "< 3 apples", "unit \"apples\""},
		{"a time against a count", "users.saw_error", "< 3ms", "ms measures time"},
		{"a share against a time", "schedule_lag.p99", "< 3%", "% measures a share"},
		{"a time without a unit", "schedule_lag.p99", "< 3", "needs a unit"},
		{"a misspelt list", "user.saw_error", "< 3", "\"user\" is not in run.json; there: "},
		{"a misspelt field", "users.saw_eror", "< 3", "\"saw_eror\" is not in users; there: phase, profile"},
		{"a misspelt metric", "latency.handshakes.response_time.p99", "< 3ms", "\"handshakes\" is not in latency; there: tcp_connect"},
		{"a misspelt percentile", "latency.handshake.response_time.p98", "< 3ms", "there: count, min_ns"},
		{"a table", "connections", "< 3", "is not a number"},
		{"a text", "users.profile", "< 3", "is not a number"},
		{"a number with more behind it", "attempts.failed.rapidly", "< 3", "goes on behind the number"},
		{"a rate of something that is part of nothing", "kernel.TCPSynRetrans.rate", "< 3%", "kernel has no rate"},
		{"a filter by something else", "users[colour=red].saw_error", "< 3", "cannot be filtered by \"colour\""},
		{"a filter on a table", "attempts[phase=a].failed", "< 3", "is not a list"},
		{"an open bracket", "users[phase=a.saw_error", "< 3", "no closing bracket"},
		{"more than all of it", "users.saw_error.rate", "< 150%", "no share is above 100%"},
		{"the same without a unit", "users.saw_error.rate", "< 5", "no share is above 100%"},
		{"a dot at the end", "users.", "< 3", "ends in a dot"},
		{"an empty path", "", "< 3", "the path is empty"},
	} {
		_, err := ParseThreshold(row.path, row.condition)
		var bad *ThresholdError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), row.says) || bad.Allowed == "" {
			t.Errorf("%s: %v; want a ThresholdError with %q", row.why, err, row.says)
		}
	}
}

func TestAFilterThatNoRowCanFit(t *testing.T) {
	names := Names{Phases: []string{"before", "after"}, Profiles: []string{"firefox-35-osx", "chrome-40-osx"}, Edges: []string{"edge-1", "edge-2"}, Faults: []string{"cut"}}
	for _, row := range []struct{ path, says string }{
		{"users[profile=firefox-*].saw_error", ""},
		{"users[profile=opera-*].saw_error", "no row of users can have profile=opera-*; allowed: firefox-35-osx, chrome-40-osx"},
		{"users[phase=befor,profile=firefox-*].saw_error", "phase=befor; allowed: before, after"},
		{"users[phase!=*].saw_error", "phase!=*"},
		{"users[phase!=before,phase!=after].saw_error", "phase!=after"},
		{"users[phase!=before].saw_error", ""},
		{"edges[name=edge-3].handshakes", "allowed: edge-1, edge-2"},
		{"faults[name=cuts].fired", "allowed: cut"},
		{"phases[name=later].peak_established", "allowed: before, after"},
		{"outcomes[class=resets].count", "can have class=resets; allowed: ok, connect_refused"},
		{"chains[verdict=saw_eror].count", "allowed: fine, saved_by_retry"},
		{"outcomes[user_sees=whatever].count", ""},
		{"agents[id=agent-9].cpu", ""},
	} {
		condition := "<= 10"
		if strings.HasSuffix(row.path, "cpu") {
			condition = "<= 10s"
		}
		th, err := ParseThreshold(row.path, condition)
		if err != nil {
			t.Fatal(err)
		}
		err = th.Fits(names)
		if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v; want %q", row.path, err, row.says)
		}
		if err := th.Fits(Names{Phases: nil}); err != nil && !strings.Contains(row.path, "class") && !strings.Contains(row.path, "verdict") {
			t.Errorf("%s: refused where nothing is known: %v", row.path, err)
		}
	}
}

// TestEveryClassCanBeFiltered: the names that a filter may have are those of outcome.go.
func TestEveryClassCanBeFiltered(t *testing.T) {
	p, err := os.ReadFile("outcome.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range regexp.MustCompile(`\bClass = "([a-z_]+)"`).FindAllStringSubmatch(string(p), -1) {
		want = append(want, m[1])
	}
	if !slices.Equal(classNames, want) {
		t.Errorf("%v; outcome.go has %v", classNames, want)
	}
}

func TestHopeless(t *testing.T) {
	for _, row := range []struct {
		why, path, condition string
		want                 bool
	}{
		{"a count beyond its bound never comes back", "users.saw_error", "< 10", true},
		{"a count that must stay zero", "edges.log_signatures.1408A0D7", "== 0", true},
		{"a count that is still inside", "users.saw_error", "<= 10", false},
		{"a share may still fall", "users.saw_error.rate", "< 0.1%", false},
		{"a percentile may still fall", "latency.handshake.response_time.p99", "< 1ms", false},
		{"a count that is to grow may still grow", "connections.peak_established", ">= 100000", false},
	} {
		th, err := ParseThreshold(row.path, row.condition)
		if err != nil {
			t.Fatal(err)
		}
		if got := th.Hopeless(judged()); got != row.want {
			t.Errorf("%s: hopeless = %v", row.why, got)
		}
	}
}

// FuzzParseThreshold: what is accepted can be evaluated on any run, and reads back as itself.
func FuzzParseThreshold(f *testing.F) {
	for _, s := range [][2]string{{"users.saw_error.rate", "< 0.1%"}, {"latency.handshake.response_time.p99", "< 250ms"},
		{"users[phase=a,profile=f*].errors[x y]", ">= 3"}, {"handshakes.by_version[TLS 1.2].rate", "!= 3 %"}, {"kernel.X", "== -1"}, {"phases[name=a].latency.handshake.service_time.max", "<1s"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, p, c string) {
		th, err := ParseThreshold(p, c)
		if err != nil {
			return
		}
		th.Evaluate(&Run{})
		r := th.Evaluate(judged())
		th.Hopeless(judged())
		again, err := ParseThreshold(th.Path, th.Condition)
		if err != nil || again.Evaluate(judged()).Pass != r.Pass {
			t.Fatalf("%q %q does not read back: %v", th.Path, th.Condition, err)
		}
	})
}
