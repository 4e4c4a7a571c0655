package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tlsurge/faults"
	"tlsurge/results"
)

// small is january-2015 at a size for a test: the same acts, rules and browsers, more cuts.
var small = []string{"january-2015",
	"--set", "load.connections=480", "--set", "load.ramp=3s", "--set", "load.request_rate=60", "--set", "load.per_browser=2",
	"--set", "fleet.set.client_header_timeout=2s", "--set", "run.sample=1",
	"--set", "faults.reset-first-handshake.probability=0.12",
	"--set", "faults.close-first-handshake.probability=0.12",
	"--set", "faults.hello-lost-until-deadline.probability=0.12",
	"--set", "phases.before-the-upgrade.duration=8s", "--set", "phases.after-the-upgrade.duration=8s", "--set", "phases.trigger-gone.duration=5s"}

// withoutPressure leaves the one rule out whose cause is load: what is left is a function of the seed.
var withoutPressure = []string{
	"--set", `phases.before-the-upgrade.faults=["reset-first-handshake","close-first-handshake","hello-lost-until-deadline"]`,
	"--set", `phases.after-the-upgrade.faults=["reset-first-handshake","close-first-handshake","hello-lost-until-deadline"]`}

const (
	actOne   = "before-the-upgrade"
	actTwo   = "after-the-upgrade"
	actThree = "trigger-gone"
)

// story is what the users of one browser see of a first handshake that is cut: the errors allowed in
// each act, or the verdict that saves them.
var story = []struct {
	profile                string
	oneErrors, twoErrors   []string
	oneVerdict, twoVerdict results.PageVerdict
}{
	{"firefox-35-osx", []string{"ssl_error_no_cypher_overlap"}, []string{"ssl_error_inappropriate_fallback_alert"}, results.SawError, results.SawError},
	{"firefox-31esr-win7", []string{"ssl_error_no_cypher_overlap"}, []string{"ssl_error_inappropriate_fallback_alert"}, results.SawError, results.SawError},
	{"firefox-34-osx", nil, nil, results.SavedByRetry, results.Downgraded},
	{"chrome-39-win7", []string{"ERR_SSL_VERSION_OR_CIPHER_MISMATCH"}, []string{"ERR_CONNECTION_RESET", "ERR_CONNECTION_CLOSED"}, results.SawError, results.SawError},
	{"chrome-40-osx", nil, []string{"ERR_CONNECTION_RESET", "ERR_CONNECTION_CLOSED"}, results.SavedByRetry, results.SawError},
}

func TestJanuary2015(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("three acts take half a minute; the whole suite runs them")
	}
	p := play(t, append(slices.Clone(small), withoutPressure...)...)
	t.Run("users", func(t *testing.T) { checkUsers(t, p) })
	t.Run("edges", func(t *testing.T) { checkLogs(t, p) })
	t.Run("causes", func(t *testing.T) { checkCauses(t, p) })
	again := play(t, append(slices.Clone(small), withoutPressure...)...)
	t.Run("same seed", func(t *testing.T) { checkSame(t, p, again) })
}

func (p *played) user(phase, profile string) results.UserRow {
	for _, u := range p.run.Users {
		if u.Phase == phase && u.Profile == profile {
			return u
		}
	}
	return results.UserRow{}
}

func (u userRow) count(v results.PageVerdict) int64 {
	return map[results.PageVerdict]int64{results.Fine: u.Fine, results.SavedByRetry: u.SavedByRetry,
		results.Downgraded: u.Downgraded, results.SawError: u.SawError}[v]
}

type userRow results.UserRow

func checkUsers(t *testing.T, p *played) {
	for _, s := range story {
		for _, act := range []struct {
			phase   string
			errors  []string
			verdict results.PageVerdict
		}{{actOne, s.oneErrors, s.oneVerdict}, {actTwo, s.twoErrors, s.twoVerdict}} {
			u := userRow(p.user(act.phase, s.profile))
			hurt := u.PageLoads - u.Fine
			if hurt == 0 || u.count(act.verdict) != hurt {
				t.Errorf("%s, %s: %+v: want every cut first handshake to end as %s, and some to be cut", s.profile, act.phase, u, act.verdict)
			}
			for words := range u.Errors {
				if !slices.Contains(act.errors, words) {
					t.Errorf("%s, %s: users saw %q, want one of %q", s.profile, act.phase, words, act.errors)
				}
			}
		}
	}
	for _, u := range p.run.Users {
		if u.Fine+u.SavedByRetry+u.Downgraded+u.SawError != u.PageLoads {
			t.Errorf("%+v does not add up", u)
		}
		if u.Phase == actThree && u.Fine != u.PageLoads {
			t.Errorf("act three: %+v: want nothing but fine", u)
		}
	}
}

func checkLogs(t *testing.T, p *played) {
	count := map[string]int64{}
	for _, e := range p.run.Edges {
		for code, n := range e.LogSignatures {
			count[e.Phase+" "+code] += n
		}
	}
	for _, want := range []string{actOne + " 1408A0C1", actOne + " 1408A0D7", actTwo + " 140A1175"} {
		if count[want] == 0 {
			t.Errorf("no edge logged %s: %v", want, count)
		}
	}
	for key, n := range count {
		phase, code, _ := strings.Cut(key, " ")
		switch {
		case phase == actThree, phase == actOne && code == "140A1175", phase == actTwo && (code == "1408A0C1" || code == "1408A0D7"):
			t.Errorf("%s logged %d times: it does not belong there", key, n)
		}
	}
}

// checkCauses: every failure has its firing, and the numbers balance.
func checkCauses(t *testing.T, p *played) {
	a := p.run.Attempts
	if a.Started != a.Completed+a.Failed+a.OpenAtEnd {
		t.Errorf("attempts do not balance: %+v", a)
	}
	if a.Unexplained != 0 {
		t.Errorf("%d failed attempts name no fault", a.Unexplained)
	}
	for _, x := range p.attempts {
		if x.Class != results.ClassOK && x.Fault == "" {
			t.Errorf("unexplained: %+v", x)
		}
		if x.Alert >= 0 && x.Sender == "server" && x.ServerLogs == "" {
			t.Errorf("the edge refused and logged nothing: %+v", x)
		}
	}
	if len(p.firings) == 0 {
		t.Error("no fault fired")
	}
}

// checkSame: the same seed gives the same browsers, edges, firings and outcome table.
func checkSame(t *testing.T, a, b *played) {
	if d := gocmp.Diff(firingSet(a.firings), firingSet(b.firings)); d != "" {
		t.Errorf("other firings with the same seed:\n%s", d)
	}
	if d := gocmp.Diff(whoIsWho(a.attempts), whoIsWho(b.attempts)); d != "" {
		t.Errorf("other browsers or edges with the same seed:\n%s", d)
	}
	if d := gocmp.Diff(outcomeTable(a.run), outcomeTable(b.run)); d != "" {
		t.Errorf("another outcome table with the same seed:\n%s", d)
	}
}

func firingSet(list []faults.Firing) (set []string) {
	for _, f := range list {
		set = append(set, fmt.Sprintf("%s %d/%d/%d %s %s", f.Key.Phase, f.Key.Browser, f.Key.Connection, f.Key.Attempt, f.Rule, f.Stage))
	}
	slices.Sort(set)
	return set
}

// whoIsWho is the profile and edge of each browser's first attempt.
func whoIsWho(list []results.Attempt) map[string]string {
	who := map[string]string{}
	for _, a := range list {
		if a.Connection == 0 && a.Attempt == 1 {
			who[fmt.Sprintf("%s %d", a.Phase, a.Browser)] = a.Profile + " " + a.Edge
		}
	}
	return who
}

// outcomeTable is the failures of the outcome table; how many connections a browser had opened beside
// its first when the act ended is a matter of time, not of the seed.
func outcomeTable(r *results.Run) (rows []results.OutcomeRow) {
	for _, o := range r.Outcomes {
		if o.Class != results.ClassOK {
			rows = append(rows, o)
		}
	}
	slices.SortFunc(rows, func(a, b results.OutcomeRow) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return rows
}
