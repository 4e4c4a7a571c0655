package repro

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tlsurge/harness/child"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// FixResult is what --fix came to.
type FixResult struct {
	Changes []string `json:"changes"`
	Rounds  int      `json:"rounds"` // each a run without and a run with the changes, of the same seed
	// Before and After are of all the report's signatures that the recipe shows: page loads that show any.
	Before     Rate       `json:"before"`
	After      Rate       `json:"after"`
	Difference Difference `json:"difference"`
	Gone       bool       `json:"gone"` // not one page load or log line of the runs with the changes shows the report
	// Users is what changed, for which browsers.
	Users []UserChange `json:"users"`
	Logs  []string     `json:"logs"` // what servers log now and did not, and the other way round
	// Breaks are browsers, of all that are known, that could no longer load a page undisturbed; in memory.
	Breaks []string `json:"breaks"`
	Helps  []string `json:"helps"` // and those that now can
}

// UserChange is a browser's page loads without and with the changes.
type UserChange struct {
	Profile string          `json:"profile"`
	Before  results.UserRow `json:"before"`
	After   results.UserRow `json:"after"`
}

// mostRounds is how often a fix is tried against nothing: with thirty page loads of a kind in each, an interval
// of a few points.
const mostRounds = 3

// wrongConfiguration is the exit code of a run whose scenario no fleet can be.
const wrongConfiguration = 2

// fix runs the recipe with and without the changes, in turn.
func (t *task) fix(ctx context.Context) error {
	file, set, err := t.changed("fixed.toml", t.Fix)
	if err != nil {
		return &ChangeError{err}
	}
	f := &FixResult{Users: []UserChange{}, Logs: []string{}, Breaks: []string{}, Helps: []string{}}
	for _, c := range t.Fix {
		f.Changes = append(f.Changes, c.String())
	}
	var before, after []*results.Run
	for f.Rounds < mostRounds {
		need := 2 * t.again()
		if t.WhatIf && f.Rounds > 0 {
			need += time.Duration(len(kernelKnobs)) * t.again()
		}
		if t.left() < need {
			break
		}
		t.Progress.Step(fmt.Sprintf("round %d of %d: without and with %s", f.Rounds+1, mostRounds, changes(t.Fix)))
		pair := []side{{"without", t.file, nil}, {"with", file, set}}
		if f.Rounds%2 == 1 {
			slices.Reverse(pair)
		}
		got := map[string]*results.Run{}
		for _, s := range pair {
			run, _, err := t.doSeeded(ctx, s.name, s.scenario, s.set, t.lasts(), t.Seed+uint64(f.Rounds))
			var refused *child.Error
			if errors.As(err, &refused) && refused.Code == wrongConfiguration && s.name == "with" {
				return &ChangeError{fmt.Errorf("--fix %s: %w", changes(t.Fix), refused)}
			}
			if err != nil {
				return err
			}
			got[s.name] = run
		}
		if got["without"] == nil || got["with"] == nil {
			break
		}
		before, after = append(before, got["without"]), append(after, got["with"])
		f.Rounds++
	}
	if f.Rounds == 0 {
		t.note("no time was left to try %s: %v would do", changes(t.Fix), t.enough(2*t.again()))
		return nil
	}
	for i := range before {
		f.Before, f.After = f.Before.add(t.overall(before[i])), f.After.add(t.overall(after[i]))
	}
	f.Difference = difference(f.Before, f.After)
	f.Gone = !slices.ContainsFunc(after, t.shown)
	f.Users, f.Logs = userChanges(before, after), logChanges(before, after)
	if t.recipe != nil {
		if fixed, _, err := t.recipe.apply(t.Fix); err == nil {
			f.Breaks, f.Helps = t.sideEffects(fixed)
		}
	}
	t.result.Fix = f
	return nil
}

// changed is the confirmed scenario with the changes: a file, and what --set has to add.
func (t *task) changed(name string, list []Change) (file string, set []string, err error) {
	if t.recipe == nil {
		return t.file, sets(list, t.faultNames()), nil
	}
	r, set, err := t.recipe.apply(list)
	if err != nil || len(set) == len(list) {
		return t.file, set, err
	}
	file = t.path(name)
	return file, set, writeFile(file, r.Scenario(t.slug()+"-changed", "with "+changes(list), t.about(), t.Seed, t.took))
}

// faultNames are the rules of the confirmed scenario.
func (t *task) faultNames() (names []string) {
	sc, err := scenario.Load(t.file, scenario.Overrides{})
	if err != nil {
		return nil // it has been run: nothing to be said about it here
	}
	for _, f := range sc.Faults {
		names = append(names, f.Name)
	}
	return names
}

type side struct {
	name, scenario string
	set            []string
}

func changes(list []Change) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, " and ")
}

// overall is the share of page loads that show any of the confirmed signatures: in each act the largest of their
// counts, over all page loads of the recipe's browsers.
func (t *task) overall(run *results.Run) Rate {
	var hits, loads int64
	for _, act := range acts(run) {
		var in, of int64
		for _, u := range act.Users {
			of += u.PageLoads
		}
		for i, g := range t.targets {
			if t.confirmed.has(i) {
				in = max(in, min(of, g.sightings(act).Count))
			}
		}
		hits, loads = hits+in, loads+of
	}
	return NewRate(hits, loads)
}

// acts are the parts of a run that its phases are.
func acts(run *results.Run) (list []*results.Run) {
	var names []string
	for _, u := range run.Users {
		if !slices.Contains(names, u.Phase) {
			names = append(names, u.Phase)
		}
	}
	for _, name := range names {
		act := &results.Run{}
		for _, u := range run.Users {
			if u.Phase == name {
				act.Users = append(act.Users, u)
			}
		}
		for _, o := range run.Outcomes {
			if o.Phase == name {
				act.Outcomes = append(act.Outcomes, o)
			}
		}
		for _, e := range run.Edges {
			if e.Phase == name {
				act.Edges = append(act.Edges, e)
			}
		}
		list = append(list, act)
	}
	return list
}

// shown says whether the run shows any of the confirmed signatures.
func (t *task) shown(run *results.Run) bool {
	_, m := t.judge(run)
	return m&t.confirmed != 0
}

// userChanges lists what page loads came to, by browser.
func userChanges(before, after []*results.Run) []UserChange {
	var list []UserChange
	at := func(profile string) *UserChange {
		i := slices.IndexFunc(list, func(c UserChange) bool { return c.Profile == profile })
		if i < 0 {
			row := func() results.UserRow { return results.UserRow{Profile: profile, Errors: map[string]int64{}} }
			list, i = append(list, UserChange{Profile: profile, Before: row(), After: row()}), len(list)
		}
		return &list[i]
	}
	sum := func(to *results.UserRow, u results.UserRow) {
		to.PageLoads += u.PageLoads
		to.Fine += u.Fine
		to.SavedByRetry += u.SavedByRetry
		to.Downgraded += u.Downgraded
		to.SawError += u.SawError
		for k, n := range u.Errors {
			to.Errors[k] += n
		}
	}
	for _, r := range before {
		for _, u := range r.Users {
			sum(&at(u.Profile).Before, u)
		}
	}
	for _, r := range after {
		for _, u := range r.Users {
			sum(&at(u.Profile).After, u)
		}
	}
	return list
}

// logChanges lists kinds of lines that only one of the two sides wrote.
func logChanges(before, after []*results.Run) (list []string) {
	kinds := func(runs []*results.Run) map[string]bool {
		m := map[string]bool{}
		for _, r := range runs {
			for _, e := range r.Edges {
				for _, l := range e.LogLines {
					m[strings.Join(strings.Fields("["+l.Level+"] "+l.Code+" "+l.Reason), " ")] = true
				}
			}
		}
		return m
	}
	a, b := kinds(before), kinds(after)
	for k := range a {
		if !b[k] {
			list = append(list, "no longer logged: "+k)
		}
	}
	for k := range b {
		if !a[k] {
			list = append(list, "newly logged: "+k)
		}
	}
	slices.Sort(list)
	return list
}

func (r *Result) fixLines() (lines []string) {
	f := r.Fix
	if f == nil {
		return nil
	}
	verdict := "The report is NOT gone"
	switch {
	case f.Gone:
		verdict = "The report is gone"
	case f.Difference.High < 0:
		verdict = "The report is rarer, and not gone"
	}
	lines = append(lines, fmt.Sprintf("%s with %s, in %d rounds without and with it, of the same seeds, in turn.", verdict, strings.Join(f.Changes, " and "), f.Rounds),
		"- without: "+f.Before.String(), "- with: "+f.After.String(), "- change: "+f.Difference.String())
	for _, u := range f.Users {
		lines = append(lines, fmt.Sprintf("- %s: %s; with the fix: %s", u.Profile, loads(u.Before), loads(u.After)))
	}
	for _, l := range f.Logs {
		lines = append(lines, "- "+l)
	}
	if len(f.Breaks) > 0 {
		lines = append(lines, "- in memory, an undisturbed first visit no longer goes as before for: "+strings.Join(f.Breaks, ", "))
	}
	if len(f.Helps) > 0 {
		lines = append(lines, "- in memory, it now does for: "+strings.Join(f.Helps, ", "))
	}
	return lines
}

// loads is a row of users in words.
func loads(u results.UserRow) string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{u.Fine, "fine"}, {u.SavedByRetry, "saved by a retry"}, {u.Downgraded, "at a lower version"}, {u.SawError, "saw an error"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(u.Errors)) {
		parts = append(parts, fmt.Sprintf("%d × %s", u.Errors[k], k))
	}
	return cmp.Or(strings.Join(parts, ", "), "no page loads")
}
