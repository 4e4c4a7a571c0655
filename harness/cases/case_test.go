package cases

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"tlsurge/harness/scenario"
	"tlsurge/results"
)

var rewrite = flag.Bool("rewrite", false, "write docs/CASES.md anew from the library")

// TestTheLibraryReads: every file is a case of its own name, and its scenario is right in every way it is played.
func TestTheLibraryReads(t *testing.T) {
	entries, err := data.ReadDir("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		src, _ := data.ReadFile("data/" + e.Name())
		c, err := Parse(e.Name(), string(src))
		if err != nil {
			t.Error(err)
			continue
		}
		if c.Name+".toml" != e.Name() {
			t.Errorf("%s calls itself %q", e.Name(), c.Name)
		}
		for _, w := range []Way{{}, {Fixed: true}, {Real: true}, {Real: true, Fixed: true}} {
			if w.Real && c.Real.Edge == "" {
				continue
			}
			s, err := c.Scenario(scenario.Overrides{Set: c.Set(w)})
			if err != nil {
				t.Errorf("%v: %v", w, err)
				continue
			}
			if s.Name != c.Name {
				t.Errorf("%s: its scenario is called %q", c.Name, s.Name)
			}
			if s.MostConnections() > 400 || s.Total().Seconds() > 10 {
				t.Errorf("%s: %d connections for %v: a case is small", c.Name, s.MostConnections(), s.Total())
			}
		}
	}
}

// whole is a case that reads.
const whole = `
name = "x"
title = "t"
symptom = "s"
mechanism = "m"
sources = ["a"]
[[expect]]
origin = "user"
user_sees = "e"
[fix]
about = "f"
set = { "load.connections" = "3" }
[real]
none = "r"
[scenario.load]
connections = 2
[[scenario.browsers]]
profile = "firefox-35-osx"
[[scenario.faults]]
name = "cut"
at = "client_hello"
action = "fin"
`

func TestBadCasesAreRefused(t *testing.T) {
	for _, tc := range []struct{ why, old, new, want string }{
		{"a misspelt key", "symptom =", "symptoms =", `x.toml:4: symptoms: unknown key; did you mean "symptom"?`},
		{"no sources", `sources = ["a"]`, "", "sources: missing"},
		{"an origin that no reader gives", `"user"`, `"users"`, `expect[0].origin: "users" is not known; did you mean "user"?`},
		{"a user who sees nothing", `user_sees = "e"`, "", "needs user_sees, class or alert"},
		{"neither a real server nor a reason", `none = "r"`, "", "real: say which"},
		{"both", `none = "r"`, `none = "r"` + "\nedge = \"nginx\"", "real: say which"},
		{"no way out", `set = {`, `sets = {`, `fix.sets: unknown key; did you mean "set"?`},
		{"a number that is no path", `user_sees = "e"`, `number = "nothing"` + "\nis = \"> 1\"", `"nothing" is not in run.json`},
		{"a key of the scenario", "connections = 2", "conections = 2", `:16: load.conections: unknown key; did you mean "connections"?`},
		{"a rule of the scenario", `action = "fin"`, `action = "find"`, `:22: faults[0].action`},
	} {
		src := strings.Replace(whole, tc.old, tc.new, 1)
		c, err := Parse("x.toml", src)
		if err == nil {
			_, err = c.Scenario(scenario.Overrides{})
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.why, err, tc.want)
		}
	}
	c, err := Parse("x.toml", whole)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Scenario(scenario.Overrides{Set: c.Set(Way{Fixed: true})}); err != nil || s.Load.Connections != 3 || s.Name != "x" {
		t.Errorf("the fixed scenario: %+v, %v", s, err)
	}
}

func TestLookup(t *testing.T) {
	if c, err := Lookup(Prefix + "thread-no-cypher-overlap"); err != nil || c.Name != "thread-no-cypher-overlap" {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := Lookup("thread-no-cipher-overlap"); err == nil || !strings.Contains(err.Error(), `did you mean "thread-no-cypher-overlap"?`) {
		t.Errorf("a slip of the pen: %v", err)
	}
}

// TestJudge: a signature counts where it was expected, and nowhere else.
func TestJudge(t *testing.T) {
	run := &results.Run{
		Outcomes: []results.OutcomeRow{
			{Phase: "run", Profile: "firefox-35-osx", Class: results.ClassPeerAlert, UserSees: "a", Alert: 40, Count: 3},
			{Phase: "run", Profile: "chrome-40-osx", Class: results.ClassPeerAlert, UserSees: "a", Alert: 40, Count: 5},
			{Phase: "run", Profile: "firefox-35-osx", Class: results.ClassOK, Alert: -1, Count: 7},
		},
		Edges:      []results.EdgeRow{{Phase: "run", Name: "edge-1", LogLines: []results.LogLine{{Level: "info", Code: "1408A0C1", Reason: "no shared cipher", Count: 8}}}},
		Handshakes: results.Handshakes{ResumptionAsked: 10, ResumedTicket: 4},
	}
	src := strings.Replace(whole, "[[expect]]\norigin = \"user\"\nuser_sees = \"e\"\n", `
[[expect]]
origin = "user"
user_sees = "a"
profile = "firefox-*"
[[expect]]
origin = "user"
user_sees = "a"
min = 9
[[expect]]
origin = "user"
alert = 47
[[expect]]
origin = "server_log"
code = "1408a0c1"
[[expect]]
number = "handshakes.resumed_ticket.rate"
is = "< 50%"
[[expect]]
number = "handshakes.resumed_ticket.rate"
is = "< 30%"
`, 1)
	c, err := Parse("x.toml", src)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range Judge(run, c.Expect) {
		got = append(got, f.String())
	}
	want := []string{
		"firefox-*: a: 3 times (run, firefox-35-osx)",
		"user: a: 8 times (run, firefox-35-osx; run, chrome-40-osx)",
		"user: alert 47: not seen",
		"server's log: 1408A0C1: 8 times (run, edge-1)",
		"handshakes.resumed_ticket.rate < 50%: it was 40%",
		"handshakes.resumed_ticket.rate < 30%: it was 40%",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	found := Judge(run, c.Expect)
	if found[1].Seen || found[2].Seen || !found[3].Seen || !found[4].Seen || found[5].Seen {
		t.Errorf("%+v", found)
	}
}

// TestDocs: docs/CASES.md is the library, in words.
func TestDocs(t *testing.T) {
	const file = "../../docs/CASES.md"
	want := Markdown()
	if *rewrite {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != string(want) {
		t.Errorf("%s is not what the library says (%v): make golden", file, err)
	}
}

// FuzzParse: what reads as a case tells its whole story, and can be written down.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	for _, c := range All() {
		f.Add(c.src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Parse("x.toml", src)
		if err != nil {
			return
		}
		var b bytes.Buffer
		c.markdown(&b)
		for _, text := range []string{c.Name, c.Title, c.Symptom, c.Mechanism, c.Fix.About} {
			if text == "" || !strings.Contains(b.String(), text) {
				t.Errorf("%q is missing in\n%s", text, &b)
			}
		}
		if len(c.Expect) == 0 || len(c.Fix.Set) == 0 || len(c.Sources) == 0 {
			t.Errorf("half a case: %+v", c)
		}
		_, _ = c.Scenario(scenario.Overrides{Set: c.Set(Way{Fixed: true})}) // no panic, whatever it holds
	})
}

// TestScenariosStandAlone: written as a file, each case's scenario reads back as the same.
func TestScenariosStandAlone(t *testing.T) {
	for _, c := range All() {
		sc, err := c.Scenario(scenario.Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := sc.TOML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := scenario.Parse(c.Name+".toml", string(text), scenario.Overrides{})
		if err != nil {
			t.Errorf("%s: %v\n%s", c.Name, err, text)
			continue
		}
		if second, err := again.TOML(); err != nil || string(second) != string(text) {
			t.Errorf("%s: %v\n%s\nreads back as\n%s", c.Name, err, text, second)
		}
	}
}
