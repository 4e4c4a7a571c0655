// Package cases is the library of user reports that can be played again: each is a file with what users and
// operators report, why it happens, a small scenario that makes it happen, the signatures that must then show on
// either side, and what removes them.
//
// It knows cases and judges runs of them. It starts no run itself (a Runner does), and it holds no rule about
// browsers, servers or faults: a case is data in the scenario's own language.
package cases

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"tlsurge/harness/scenario"
	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// Prefix marks the name of a case where a scenario's name is asked for: `tlsurge run case:NAME`.
const Prefix = "case:"

// Case is one report of the library.
type Case struct {
	Name      string
	Title     string // one line
	Symptom   string // what users and operators report
	Mechanism string // why it happens, link by link
	Sources   []string
	// Expect are the signatures of the broken run: each must appear in it, and none in the fixed one.
	Expect []Expect
	Fix    Fix
	Real   Real

	src string
}

// Expect is one thing that a run of the case shows: a signature, or a number of run.json.
type Expect struct {
	symptom.Signature
	Profile string // glob over profiles; origin "user" only; "" is any
	// Min is how often it has to appear: 1, or more where a line is written now and then by healthy fleets too.
	Min int64

	// Number and Is are a threshold (docs/THRESHOLDS.md), for reports that no single connection shows: a share of
	// resumptions, a rate. Signature is then empty.
	Number, Is string
}

// Fix is what removes the report.
type Fix struct {
	About string
	Set   map[string]string // as --set has it
}

// Real says how Debian's servers can play the server's part.
type Real struct {
	Edge string            // "nginx" or "haproxy"; "" is not at all, for the reason in None
	Also []string          // further ones, of which all the same is expected
	Set  map[string]string // what differs in the scenario then, beside fleet.edge
	Fix  map[string]string // replaces the case's fix: another server has other settings. Empty: the case's own.
	// Expect replaces the case's own expectations: another library has other codes. Empty: the case's own.
	Expect []Expect
	// Unfixed says why the fix cannot be shown there; empty where it can.
	Unfixed string
	None    string
}

//go:embed data/*.toml
var data embed.FS

// All gives every case, by name.
func All() []*Case { return slices.Clone(all()) }

var all = sync.OnceValue(func() []*Case {
	entries, err := fs.ReadDir(data, "data")
	if err != nil {
		panic(err) // the directory is compiled in
	}
	var list []*Case
	for _, e := range entries {
		src, err := data.ReadFile("data/" + e.Name())
		if err != nil {
			panic(err)
		}
		c, err := Parse(e.Name(), string(src))
		if err != nil {
			panic(fmt.Sprintf("built-in case: %v", err)) // a test walks them
		}
		list = append(list, c)
	}
	return list
})

// Names lists the cases.
func Names() (names []string) {
	for _, c := range all() {
		names = append(names, c.Name)
	}
	return names
}

// Lookup finds a case by its name, with or without the prefix; the error suggests the nearest.
func Lookup(name string) (*Case, error) {
	name = strings.TrimPrefix(name, Prefix)
	for _, c := range all() {
		if c.Name == name {
			return c, nil
		}
	}
	near := scenario.Suggest(name, Names())
	if near == "" {
		near = "; 'tlsurge repro --list' shows them"
	}
	return nil, &scenario.Error{File: Prefix + name, Msg: "no such case" + near}
}

// Scenario is the case's scenario with overrides.
func (c *Case) Scenario(o scenario.Overrides) (*scenario.Scenario, error) {
	return scenario.ParseTable(Prefix+c.Name, c.src, "scenario", c.Name, o)
}

// Signatures are the case's expectations as reports show them; numbers are not among them.
func (c *Case) Signatures() (list []symptom.Signature) {
	for _, e := range c.Expect {
		if e.Number == "" {
			list = append(list, e.Signature)
		}
	}
	return list
}

// Edges are the servers that can play the server's part.
func (r *Real) Edges() []string {
	if r.Edge == "" {
		return nil
	}
	return append([]string{r.Edge}, r.Also...)
}

// String says what is expected, for people.
func (e Expect) String() string {
	if e.Number != "" {
		return e.Number + " " + e.Is
	}
	var what []string
	add := func(format string, v any, given bool) {
		if given {
			what = append(what, fmt.Sprintf(format, v))
		}
	}
	add("%s", e.UserSees, e.UserSees != "")
	add("%s", e.Class, e.Class != "")
	add("alert %d", e.Alert, e.Alert >= 0)
	add("from the %s", e.Sender, e.Sender != "")
	add("at %s", e.Stage, e.Stage != "")
	add("[%s]", e.Level, e.Level != "")
	add("%s", e.Code, e.Code != "")
	add("%q", e.Reason, e.Reason != "")
	who := map[symptom.Origin]string{"user": "user", "server_log": "server's log", "capture": "wire"}[e.Origin]
	if e.Profile != "" {
		who = e.Profile
	}
	return who + ": " + strings.Join(what, " ")
}

func (e Expect) check() error {
	switch {
	case e.Number != "":
		_, err := results.ParseThreshold(e.Number, e.Is)
		return err
	case e.Origin == "server_log" && e.Code == "" && e.Reason == "":
		return fmt.Errorf("an expectation of the server's log needs code or reason")
	case e.Origin == "user" && e.UserSees == "" && e.Class == "" && e.Alert < 0:
		return fmt.Errorf("an expectation of a user needs user_sees, class or alert")
	}
	_, err := path.Match(e.Profile, "")
	return err
}
