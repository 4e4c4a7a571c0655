package main

import (
	"fmt"
	"io"
	"strings"

	"tlsurge/harness/cases"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// loadScenario reads what a command line names: a built-in scenario, a file, or a case of the library
// ("case:NAME").
func loadScenario(name string, o scenario.Overrides) (*scenario.Scenario, error) {
	if !strings.HasPrefix(name, cases.Prefix) {
		return scenario.Load(name, o)
	}
	c, err := cases.Lookup(name)
	if err != nil {
		return nil, err
	}
	return c.Scenario(o)
}

// tellCase says which of a case's signatures the run has shown.
func tellCase(w io.Writer, name string, run *results.Run) error {
	if !strings.HasPrefix(name, cases.Prefix) {
		return nil
	}
	c, err := cases.Lookup(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s: %s\n", c.Name, c.Title)
	for _, f := range cases.Judge(run, c.Expect) {
		mark := "-"
		if f.Seen {
			mark = "+"
		}
		fmt.Fprintf(w, "  %s %v\n", mark, f)
	}
	_, err = fmt.Fprintf(w, "  fix: %s\n", c.Fix.About)
	return err
}
