package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tlsurge/harness/cases"
	"tlsurge/harness/child"
	"tlsurge/harness/scenario"
	"tlsurge/harness/symptom"
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

func caseNames() (names []string) {
	for _, c := range cases.All() {
		names = append(names, c.Name+"\t"+c.Title)
	}
	return names
}

// listCases is `tlsurge repro --list`.
func (a *app) listCases(asJSON bool) error {
	type row struct {
		Name       string              `json:"name"`
		Title      string              `json:"title"`
		Symptom    string              `json:"symptom"`
		Mechanism  string              `json:"mechanism"`
		Signatures []symptom.Signature `json:"signatures"`
		Fix        string              `json:"fix"`
		Sources    []string            `json:"sources"`
	}
	rows := []row{}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, c := range cases.All() {
		rows = append(rows, row{c.Name, c.Title, c.Symptom, c.Mechanism, c.Signatures(), c.Fix.About, c.Sources})
		if !asJSON {
			fmt.Fprintf(w, "%s\t%s\n", c.Name, c.Title)
		}
	}
	if asJSON {
		return writeJSON(a.out, rows)
	}
	return w.Flush()
}

// playCase is `tlsurge repro --case NAME`: the case as it is, then with its fix.
func (a *app) playCase(ctx context.Context, f reproFlags) error {
	c, err := cases.Lookup(f.caseName)
	if err != nil {
		return err
	}
	started := time.Now()
	dir := f.out
	if dir == "" {
		dir = filepath.Join("runs", started.UTC().Format("20060102T150405Z")+"-case-"+c.Name)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	progress := newReproProgress(a.err, f.quiet || f.json)
	defer progress.Done()
	var played []*cases.Played
	for _, way := range []cases.Way{{}, {Fixed: true}} {
		progress.Step(c.Name + ", " + way.String())
		p, err := c.Play(ctx, func(ctx context.Context, name string, set []string) (*results.Run, error) {
			r := child.Run{Name: c.Name, Scenario: name, Out: filepath.Join(dir, strings.Fields(way.String())[0]), Seed: f.seed, Set: set}
			if way.Fixed {
				return child.Do(ctx, r) // what is fixed has nothing to show on the wire
			}
			return doCaptured(ctx, r, progress)
		}, way)
		if err != nil {
			return benchError(ctx, err)
		}
		if ctx.Err() != nil {
			return &exitError{exitInvalid, "interrupted"}
		}
		played = append(played, p)
	}
	file, err := writeCase(c, dir, f.seed)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "broken", "evidence")); err == nil {
		if err := os.Symlink("broken/evidence", filepath.Join(dir, "evidence")); err != nil {
			return err
		}
	}
	if err := a.tellPlayed(c, played, file, f); err != nil {
		return err
	}
	for _, p := range played {
		if p.Err() != nil {
			return &exitError{code: exitFailed}
		}
	}
	return nil
}

// doCaptured makes a run that leaves evidence, where this machine can record any.
func doCaptured(ctx context.Context, r child.Run, progress reproProgress) (*results.Run, error) {
	captured := r
	captured.Set = append(slices.Clone(r.Set), "run.capture=true")
	run, err := child.Do(ctx, captured)
	var failed *child.Error
	if !errors.As(err, &failed) || failed.Code != exitUnsupported {
		return run, err
	}
	progress.Step("no packets are recorded: " + failed.Text)
	return child.Do(ctx, r)
}

// writeCase leaves the case's scenario in dir, for whoever wants to change it.
func writeCase(c *cases.Case, dir string, seed uint64) (file string, err error) {
	sc, err := c.Scenario(scenario.Overrides{Seed: &seed})
	if err != nil {
		return "", err
	}
	text, err := sc.TOML()
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "scenario.toml")
	return file, os.WriteFile(file, text, 0o600)
}

// tellPlayed prints what the runs of a case have shown.
func (a *app) tellPlayed(c *cases.Case, played []*cases.Played, file string, f reproFlags) error {
	type finding struct {
		Expect string `json:"expect"`
		Seen   bool   `json:"seen"`
		Count  int64  `json:"count"`
		Note   string `json:"note,omitempty"`
	}
	type way struct {
		Way      string    `json:"way"`
		Kept     bool      `json:"as_promised"`
		Findings []finding `json:"findings"`
	}
	out := struct {
		Case     string `json:"case"`
		Title    string `json:"title"`
		Fix      string `json:"fix"`
		Ways     []way  `json:"ways"`
		Dir      string `json:"dir"`
		Scenario string `json:"scenario"`
	}{c.Name, c.Title, c.Fix.About, nil, filepath.Dir(file), file}
	for _, p := range played {
		w := way{Way: p.Way.String(), Kept: p.Err() == nil, Findings: []finding{}}
		for _, x := range p.Findings {
			w.Findings = append(w.Findings, finding{x.Expect.String(), x.Seen, x.Count, x.Note})
		}
		out.Ways = append(out.Ways, w)
	}
	page, err := os.OpenFile(filepath.Join(out.Dir, "report.txt"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer page.Close()
	if err := writePlayed(page, c, played, file); err != nil || f.quiet {
		return err
	}
	if f.json {
		return writeJSON(a.out, out)
	}
	return writePlayed(a.out, c, played, file)
}

// writePlayed is the case and what its runs have shown, on a page of plain words.
func writePlayed(w io.Writer, c *cases.Case, played []*cases.Played, file string) error {
	fmt.Fprintf(w, "%s\n\n%s\n", c.Title, c.Mechanism)
	for _, p := range played {
		kept := "as promised"
		if p.Err() != nil {
			kept = "NOT as promised"
		}
		fmt.Fprintf(w, "\n%v: %s\n", p.Way, kept)
		if p.Way.Fixed {
			fmt.Fprintf(w, "  fix: %s\n", c.Fix.About)
		}
		for _, x := range p.Findings {
			fmt.Fprintf(w, "  %v\n", x)
		}
	}
	evidence := filepath.Join(filepath.Dir(file), "evidence")
	if _, err := os.Stat(evidence); err == nil {
		fmt.Fprintf(w, "\nevidence of the broken run: %s\n", evidence)
	}
	_, err := fmt.Fprintf(w, "\nrun it alone: tlsurge run case:%s, or, to change it: tlsurge run %s\n", c.Name, file)
	return err
}
