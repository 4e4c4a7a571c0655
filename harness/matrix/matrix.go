// Package matrix plays every browser against every server with every class of fault, in memory, and says
// what each user sees: "whom would this configuration break?" in seconds.
//
// It owns the table: what is played, in which order it stands, how two tables differ, and its forms (text,
// CSV, JSON, a page). What a trial is belongs to package trial, and a cell is no more than a trial: a claim
// about rules, which a run on the real fleet confirms.
package matrix

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/trial"
	"tlsurge/profiles"
	"tlsurge/results"
)

// Row is one cell of the table: what a user of this browser sees.
type Row struct {
	Profile  string              `json:"profile"`
	Stack    string              `json:"stack"`
	Fault    string              `json:"fault"`
	Verdict  results.PageVerdict `json:"verdict"`
	UserSees string              `json:"user_sees,omitempty"`
	Attempts int                 `json:"attempts"`
	Logs     string              `json:"server_logs,omitempty"` // code of the last refusal
}

// Words is what the user gets: "fine", "saw error: ssl_error_no_cypher_overlap".
func (r Row) Words() string {
	t := strings.ReplaceAll(string(r.Verdict), "_", " ")
	if r.UserSees != "" {
		t += ": " + r.UserSees
	}
	return t
}

// Options is what is played. Empty lists are everything.
type Options struct {
	Profiles []*profiles.Profile
	Stacks   []*stack.Stack
	Faults   []trial.Fault
	Servers  Servers
	// Returning: each browser made one undisturbed visit before, and may hold a session.
	Returning bool
	Seed      uint64
	// Skip is told which of all stacks cannot play Servers (a configuration of today, on an OpenSSL of 2008), where
	// Stacks names none; nil: such a stack is an error.
	Skip func(stack string, why error)
}

// InputError is something that the caller wrote and that cannot be played.
type InputError struct{ Text string }

func (e *InputError) Error() string { return e.Text }

func inputf(format string, a ...any) error { return &InputError{fmt.Sprintf(format, a...)} }

// Classes are the classes of damage that a table asks about, in the order in which they meet a connection.
func Classes() []trial.Fault {
	return []trial.Fault{
		{},
		{Action: faults.Reset, At: stage.ClientHello},
		{Action: faults.Reset, At: stage.ClientHello, Attempts: 2},
		{Action: faults.FIN, At: stage.ClientHello},
		{Action: faults.Stall, At: stage.ClientHello},
		{Action: faults.Reset, At: stage.ServerHello},
		{Action: faults.FIN, At: stage.ServerHello},
		{Action: faults.Stall, At: stage.ServerHello},
		{Action: faults.Corrupt, At: stage.ServerHello},
		{Action: faults.CertExpired},
		{Action: faults.Reset, At: stage.Finished},
		{Action: faults.Reset, At: stage.Request},
		{Action: faults.FIN, At: stage.Response},
	}
}

// Name is a fault as the table calls it: "reset at client_hello x2".
func Name(f trial.Fault) string {
	if f.Attempts > 1 {
		return fmt.Sprintf("%s x%d", f, f.Attempts)
	}
	return f.String()
}

// ParseFault reads what Name writes; "@" stands for " at " too.
func ParseFault(text string) (f trial.Fault, err error) {
	words := strings.Fields(strings.ReplaceAll(text, "@", " at "))
	refuse := func() (trial.Fault, error) {
		var names []string
		for _, c := range Classes() {
			names = append(names, Name(c))
		}
		return f, inputf("fault %q: want an action and a stage that a trial in memory can play, as: %s", text, strings.Join(names, ", "))
	}
	if n := len(words); n > 1 && strings.HasPrefix(words[n-1], "x") {
		if _, err := fmt.Sscanf(words[n-1], "x%d", &f.Attempts); err != nil || f.Attempts < 1 || f.Attempts > 16 {
			return refuse()
		}
		words = words[:n-1]
	}
	switch {
	case len(words) == 1 && words[0] == "none":
	case len(words) == 1:
		f.Action = faults.Action(words[0])
	case len(words) == 3 && words[1] == "at":
		var ok bool
		if f.At, ok = stage.Parse(words[2]); !ok {
			return refuse()
		}
		f.Action = faults.Action(words[0])
	default:
		return refuse()
	}
	if !f.Playable() {
		return refuse()
	}
	return f, nil
}

// Browsers finds the built-in profiles that a pattern names, or reads a TOML file.
func Browsers(pattern string) (list []*profiles.Profile, err error) {
	if strings.HasSuffix(pattern, ".toml") {
		p, err := profiles.LoadFile(pattern)
		if err != nil {
			return nil, inputf("%v", err)
		}
		return []*profiles.Profile{p}, nil
	}
	for _, n := range profiles.Names() {
		ok, err := path.Match(pattern, n)
		if err != nil {
			return nil, inputf("profile %s: not a pattern: * and ? and [a-z] are allowed", pattern)
		}
		if !ok {
			continue
		}
		p, err := profiles.Lookup(n)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, inputf("profile %s: no profile of that name; see 'tlsurge profiles list'", pattern)
	}
	return list, nil
}

// Personalities are the stacks that can be played, oldest first.
func Personalities() (list []*stack.Stack) {
	for _, n := range stack.Names() {
		if st, err := stack.Lookup(n); err == nil && st.Library {
			list = append(list, st)
		}
	}
	return list
}

// chunk is how many browsers one server plays before another takes over: enough that making a server does not
// count, few enough that all cores are busy to the end.
const chunk = 8

// Play plays every cell. Rows stand by server, then browser, then fault.
func Play(ctx context.Context, o Options) ([]Row, error) {
	skip := o.Skip
	if len(o.Stacks) == 0 {
		o.Stacks = Personalities()
	} else {
		skip = nil // what was asked for by name is not left out
	}
	if len(o.Faults) == 0 {
		o.Faults = Classes()
	}
	if len(o.Profiles) == 0 {
		var err error
		if o.Profiles, err = Browsers("*"); err != nil {
			return nil, err
		}
	}
	o.Profiles = slices.Clone(o.Profiles)
	slices.SortStableFunc(o.Profiles, func(a, b *profiles.Profile) int { return natural(a.Name, b.Name) })
	makers, err := o.Servers.prepare(o.Stacks, skip)
	if err != nil {
		return nil, err
	}
	type task struct {
		make     func() (*trial.Server, error)
		profiles []*profiles.Profile
		rows     []Row
		err      error
	}
	var tasks []*task
	for _, m := range makers {
		for list := range slices.Chunk(o.Profiles, chunk) {
			tasks = append(tasks, &task{make: m, profiles: list})
		}
	}
	var workers sync.WaitGroup
	next := make(chan *task)
	for range min(runtime.GOMAXPROCS(0), len(tasks)) {
		workers.Go(func() {
			for t := range next {
				if t.err = ctx.Err(); t.err == nil {
					t.rows, t.err = o.play(t.make, t.profiles)
				}
			}
		})
	}
	for _, t := range tasks {
		next <- t
	}
	close(next)
	workers.Wait()
	var rows []Row
	for _, t := range tasks {
		if t.err != nil {
			return nil, t.err
		}
		rows = append(rows, t.rows...)
	}
	return rows, nil
}

// play is one server's share.
func (o *Options) play(newServer func() (*trial.Server, error), list []*profiles.Profile) (rows []Row, err error) {
	server, err := newServer()
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		for _, f := range o.Faults {
			r, err := trial.Play(trial.Setup{Profile: p, Server: server, Fault: f, Returning: o.Returning, Seed: o.Seed})
			if err != nil {
				return nil, err
			}
			row := Row{Profile: p.Name, Stack: server.Name, Fault: Name(f), Verdict: r.Verdict, UserSees: r.UserSees, Attempts: len(r.Attempts)}
			for _, a := range r.Attempts {
				if a.LogCode != "" {
					row.Logs = a.LogCode
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// natural orders names as people do: firefox-4 before firefox-35 before firefox-100.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := leading(a), leading(b)
		if unicode.IsDigit(rune(x[0])) && unicode.IsDigit(rune(y[0])) {
			m, n := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(m) != len(n) {
				return len(m) - len(n)
			}
			if c := strings.Compare(m, n); c != 0 {
				return c
			}
		} else if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
	return len(a) - len(b)
}

// leading is the run of digits, or of others, that a name begins with.
func leading(s string) string {
	n := strings.IndexFunc(s, func(r rune) bool { return unicode.IsDigit(r) != unicode.IsDigit(rune(s[0])) })
	if n < 0 {
		return s
	}
	return s[:n]
}
