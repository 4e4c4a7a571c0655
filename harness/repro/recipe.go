package repro

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/trial"
)

// Recipe is what makes a report happen: who meets which server, and what is done to them.
type Recipe struct {
	// Acts are the servers, one after the other; more than one where the report spans a change of the server.
	Acts     []Setting     `json:"acts"`
	Faults   []trial.Fault `json:"faults"`
	Visitors []Visitor     `json:"visitors"`
}

// Setting is a server as the search varies it.
type Setting struct {
	Stack  string            `json:"stack"`
	Config string            `json:"config"`        // as fleet.config
	Set    map[string]string `json:"set,omitempty"` // directives laid over it
	Key    string            `json:"key,omitempty"` // as fleet.key; empty: rsa-2048
}

// Visitor is a browser, which may hold a session from an undisturbed visit.
type Visitor struct {
	Profile   string `json:"profile"`
	Returning bool   `json:"returning,omitempty"`
}

func (v Visitor) String() string {
	if v.Returning {
		return v.Profile + ", returning"
	}
	return v.Profile
}

// String is the setting in a line.
func (s Setting) String() string {
	out := s.Stack
	for _, k := range slices.Sorted(maps.Keys(s.Set)) {
		out += "; " + k + " " + s.Set[k]
	}
	if s.Key != "" {
		out += "; key " + s.Key
	}
	return out
}

// with is the setting with one more directive.
func (s Setting) with(name, args string) Setting {
	s.Set = maps.Clone(s.Set)
	if s.Set == nil {
		s.Set = map[string]string{}
	}
	s.Set[name] = args
	return s
}

// id tells settings apart.
func (s Setting) id() string { return s.Config + "\x00" + s.String() }

// deadline is client_header_timeout where a recipe waits for it: nginx's own minute would make each run that long.
const deadline = 2 * time.Second

// waits says whether the fault leaves an end waiting.
func waits(f trial.Fault) bool {
	switch f.Action {
	case faults.Drop, faults.Stall, faults.Blackhole:
		return true
	}
	return false
}

// hurried shortens the server's deadline where a fault has it waited for.
func (r Recipe) hurried() Recipe {
	if slices.ContainsFunc(r.Faults, waits) {
		acts := slices.Clone(r.Acts)
		for i := range acts {
			acts[i] = acts[i].with("client_header_timeout", fmt.Sprintf("%ds", int(deadline.Seconds())))
		}
		r.Acts = acts
	}
	return r
}

// everyAttempt is a fault's Attempts where it hits all of them.
const everyAttempt = math.MaxInt32

// visitors of each kind in a run: enough for an interval that says something, few enough for seconds.
const perVisitor = 30

// Scenario writes the recipe as a scenario file, for people too. about are the comment lines at its top.
func (r Recipe) Scenario(name, description string, about []string, seed uint64, took time.Duration) string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	for _, l := range about {
		p("# %s", l)
	}
	p("name = %q", name)
	p("description = %q", description)
	p("seed = %d", seed)
	p("")
	p("[fleet]")
	p("edges = 1")
	p("balancer = \"none\"")
	first := r.Acts[0]
	p("stack = %q", first.Stack)
	p("config = %q", first.Config)
	if first.Key != "" {
		p("key = %q", first.Key)
	}
	if len(r.Acts) == 1 && len(first.Set) > 0 {
		p("set = %s", inline(first.Set))
	}
	duration := 2*time.Second + took.Round(time.Second)
	p("")
	p("[load]")
	p("connections = %d   # of each kind of browser about %d", perVisitor*len(r.Visitors), perVisitor)
	p("per_browser = 1")
	p("ramp = \"1s\"")
	if len(r.Acts) == 1 {
		p("duration = %q", duration.String())
	}
	if r.http2() {
		p("alpn = [\"http/1.1\"]   # browsers here speak HTTP/1.1")
	}
	for _, g := range r.groups() {
		p("")
		p("[[browsers]]")
		p("profile = %q", g.profile)
		p("share = %d", g.share)
		if g.returning > 0 {
			p("returning = %s   # share that holds a session from an earlier, undisturbed visit", strconv.FormatFloat(g.returning, 'g', 3, 64))
		}
	}
	for i, f := range r.Faults {
		p("")
		p("[[faults]]")
		p("name = %q", faultName(r.Faults, i))
		if f.At != stage.None {
			p("at = %q", f.At.String())
		}
		if f.Action == faults.CertExpired {
			p("engine = \"edge\"")
		}
		p("action = %q", string(f.Action))
		if f.Attempts != everyAttempt {
			p("who = { attempt = %d }", max(f.Attempts, 1))
		}
		if f.Bytes > 0 {
			p("bytes = %d", f.Bytes)
		}
		if f.Part != "" {
			p("part = %q", string(f.Part))
		}
		if f.Duration > 0 {
			p("duration = %q", f.Duration.String())
		}
	}
	if len(r.Acts) > 1 {
		for i, s := range r.Acts {
			p("")
			p("[[phases]]")
			p("name = %q", actName(r.Acts, i))
			p("duration = %q", duration.String())
			fleet := fmt.Sprintf("stack = %q", s.Stack)
			if len(s.Set) > 0 {
				fleet += ", set = " + inline(s.Set)
			}
			p("fleet = { %s }", fleet)
		}
	}
	return b.String()
}

// group is a [[browsers]] entry.
type group struct {
	profile   string
	share     int
	returning float64
}

// groups joins visitors of one profile.
func (r Recipe) groups() (list []group) {
	for _, v := range r.Visitors {
		i := slices.IndexFunc(list, func(g group) bool { return g.profile == v.Profile })
		if i < 0 {
			list, i = append(list, group{profile: v.Profile}), len(list)
		}
		g := &list[i]
		if v.Returning {
			g.returning++
		}
		g.share++
	}
	for i := range list {
		list[i].returning /= float64(list[i].share)
	}
	return list
}

func (r Recipe) http2() bool {
	return slices.ContainsFunc(r.Acts, func(s Setting) bool { return s.Set["http2"] == "on" })
}

// faultName is a rule's name in the scenario: what it does, and where.
func faultName(list []trial.Fault, i int) string {
	f := list[i]
	name := strings.ReplaceAll(string(f.Action), "_", "-")
	if f.At != stage.None {
		name += "-at-" + strings.ReplaceAll(f.At.String(), "_", "-")
	}
	for _, other := range list[:i] {
		if other.Action == f.Action && other.At == f.At {
			name += "-" + strconv.Itoa(i+1)
		}
	}
	return name
}

// actName is a phase's name.
func actName(acts []Setting, i int) string {
	for j, s := range acts {
		if j != i && s.Stack == acts[i].Stack {
			return fmt.Sprintf("act-%d-%s", i+1, acts[i].Stack)
		}
	}
	return acts[i].Stack
}

// inline writes an inline table of strings.
func inline(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s = %q", k, m[k]))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// words is the recipe in one sentence.
func (r Recipe) words() string {
	var who, what, where []string
	for _, v := range r.Visitors {
		who = append(who, v.String())
	}
	for _, f := range r.Faults {
		w := f.String()
		switch {
		case f.Action == faults.CertExpired:
		case f.Attempts == everyAttempt:
			w += " of every attempt"
		default:
			w += " of the first attempt"
		}
		what = append(what, w)
	}
	for _, s := range r.Acts {
		where = append(where, s.String())
	}
	fault := strings.Join(what, " and ")
	return fmt.Sprintf("%s; %s; at %s", cmp.Or(fault, "nothing is damaged"), strings.Join(who, " and "), strings.Join(where, ", then "))
}
