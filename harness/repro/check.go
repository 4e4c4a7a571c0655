package repro

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tlsurge/faults"
	"tlsurge/harness/cases"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/scenario"
	"tlsurge/harness/trial"
)

// ChangeError is a change that no recipe can carry out: said before a minute is spent on looking for one.
type ChangeError struct{ Err error }

func (e *ChangeError) Error() string { return e.Err.Error() }
func (e *ChangeError) Unwrap() error { return e.Err }

// checkChanges says what is wrong with the changes, whatever the recipe will be.
func (l *lab) checkChanges(config string, changes []Change) error {
	set := map[string]string{}
	for _, c := range changes {
		var err error
		switch {
		case strings.HasPrefix(c.Key, "fault."):
			err = checkFault(strings.TrimPrefix(c.Key, "fault."))
		case strings.HasPrefix(c.Key, "kernel."):
			err = checkSysctl(strings.TrimPrefix(c.Key, "kernel."))
		case nginxconf.Known(c.Key):
			set[c.Key] = c.Value
		case strings.Contains(c.Key, "."):
			err = checkPath(c)
		}
		if err != nil {
			return &ChangeError{fmt.Errorf("--fix %v: %w", c, err)}
		}
	}
	if len(set) == 0 {
		return nil
	}
	return l.checkDirectives(config, changes, set)
}

// checkDirectives lays the directives over the configuration: one of the stacks must be able to run that, or the
// one that is asked for.
func (l *lab) checkDirectives(config string, changes []Change, set map[string]string) error {
	stacks := slices.Concat(stacksOfToday, stacksOf2015)
	for _, c := range changes {
		if c.Key == "stack" {
			stacks = []string{c.Value}
		}
	}
	var first error
	for _, name := range stacks {
		if st, err := stack.Lookup(name); err != nil || !st.Library {
			return nil // real crypto/tls takes or refuses it when it starts
		}
		s := base(config, name)
		s.Set = maps.Clone(s.Set)
		for k, v := range set {
			s = s.with(k, v)
		}
		_, err := l.make(s)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return &ChangeError{fmt.Errorf("--fix: %w", first)}
}

// faultNames are those that a recipe's rules can have: of what memory plays, and of the library.
var faultNames = sync.OnceValue(func() (names []string) {
	for _, f := range damages() {
		names = append(names, faultName([]trial.Fault{f}, 0))
	}
	for _, c := range cases.All() {
		if sc, err := c.Scenario(scenario.Overrides{}); err == nil { // a test reads them all
			for _, f := range sc.Faults {
				names = append(names, f.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
})

// checkFault refuses a pattern that fits no rule that there can be.
func checkFault(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil {
		return fmt.Errorf("not a pattern: * and ? and [a-z] are allowed")
	}
	fits := func(name string) bool {
		ok, _ := path.Match(pattern, name)
		second, _ := path.Match(pattern, name+"-2") // the second rule of a kind
		return ok || second
	}
	if slices.ContainsFunc(faultNames(), fits) || slices.Contains(faults.Actions(), faults.Action(pattern)) {
		return nil
	}
	return fmt.Errorf("no recipe has such a fault (a name is that of action and stage, as reset-at-client-hello, or a pattern, as 'reset*')%s",
		scenario.Suggest(pattern, faultNames()))
}

// checkSysctl refuses what this kernel does not have.
func checkSysctl(name string) error {
	file := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && filepath.IsLocal(strings.ReplaceAll(name, ".", "/")) {
		return nil
	}
	var siblings []string
	dir, last := path.Split(strings.ReplaceAll(name, ".", "/"))
	list, _ := os.ReadDir(filepath.Join("/proc/sys/net", strings.TrimPrefix(filepath.Clean("/"+dir), "/net"))) // none: none is suggested
	for _, e := range list {
		siblings = append(siblings, e.Name())
	}
	return fmt.Errorf("this kernel has no %s%s", name, scenario.Suggest(last, siblings))
}

// checkPath lays a path of a scenario over a recipe's.
func checkPath(c Change) error {
	r := Recipe{Acts: []Setting{base("", stacksOfToday[0])}, Faults: cuts[:1], Visitors: []Visitor{{Profile: lookup("chromium-156-linux").Name}}}
	key := c.Key
	if rest, ok := strings.CutPrefix(key, "faults."); ok {
		name, of, _ := strings.Cut(rest, ".")
		if err := checkFault(name); err != nil {
			return err
		}
		key = "faults." + faultName(r.Faults, 0) + "." + of
	}
	for _, name := range []string{"browsers.", "phases."} {
		if strings.HasPrefix(key, name) {
			return nil // whose they are, only the recipe tells
		}
	}
	_, err := scenario.Parse("--fix", r.Scenario("fix", "", nil, 1, 0), scenario.Overrides{Set: []string{key + "=" + c.Value}})
	return err
}
