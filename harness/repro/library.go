package repro

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"tlsurge/harness/cases"
	"tlsurge/harness/scenario"
	"tlsurge/harness/symptom"
	"tlsurge/profiles"
)

// library is the cases that expect what the report shows: all that is required of it, or where there is none,
// some. Those that expect most of it come first.
func (t *task) library() []*cases.Case {
	type scored struct {
		c     *cases.Case
		score int
	}
	var list []scored
	for _, c := range cases.All() {
		var m mask
		literal := t.literal(c)
		for i, g := range t.targets {
			if slices.ContainsFunc(c.Expect, g.expected) {
				m |= 1 << i
			}
		}
		switch {
		case m&t.required == t.required && literal:
			list = append(list, scored{c, 200 + onesOf(m)})
		case m&t.required == t.required:
			list = append(list, scored{c, 100 + onesOf(m)})
		case m&t.required != 0:
			list = append(list, scored{c, onesOf(m)})
		}
	}
	slices.SortStableFunc(list, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var out []*cases.Case
	for _, s := range list {
		if s.score >= 100 || list[0].score < 100 {
			out = append(out, s.c)
		}
	}
	return out
}

// literal says whether a case has a user's very words, and not only what they mean.
func (t *task) literal(c *cases.Case) bool {
	return slices.ContainsFunc(t.targets, func(g target) bool {
		return g.UserSees != "" && slices.ContainsFunc(c.Expect, func(e cases.Expect) bool { return strings.EqualFold(e.UserSees, g.UserSees) })
	})
}

// expected says whether a case expects the signature.
func (g target) expected(e cases.Expect) bool {
	if e.Number != "" || e.Origin != g.Origin && (g.Origin != symptom.Capture || e.Origin != symptom.User) {
		return false // a capture shows on the wire what a user meets
	}
	if e.Profile != "" && !slices.ContainsFunc(profiles.Names(), func(n string) bool {
		ok, _ := path.Match(e.Profile, n) // the pattern was checked when the case was read
		return ok && g.by(n)
	}) {
		return false
	}
	o := symptom.Observed{UserSees: e.UserSees, Class: e.Class, Alert: e.Alert, Sender: e.Sender, Stage: e.Stage, Code: e.Code, Reason: e.Reason, Level: e.Level}
	return g.Matches(o)
}

// mostCases bounds how many cases are played for one report.
const mostCases = 3

// confirmLibrary plays the cases that expect the report. A configuration that was handed in rules them out: their
// servers are others.
func (t *task) confirmLibrary(ctx context.Context) error {
	if t.Nginx != "" {
		return nil
	}
	for i, c := range t.library() {
		if i >= mostCases {
			break
		}
		if t.played[c.Name] {
			continue
		}
		done, err := t.confirmCase(ctx, c)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// confirmNamed plays the case that a cause of the ranking names, if it expects what is reported.
func (t *task) confirmNamed(ctx context.Context, name string) error {
	i := slices.IndexFunc(t.library(), func(c *cases.Case) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	_, err := t.confirmCase(ctx, t.library()[i])
	return err
}

// confirmCase plays a case as it is, then with less and less as long as it still shows the report.
func (t *task) confirmCase(ctx context.Context, c *cases.Case) (done bool, err error) {
	sc, err := c.Scenario(scenario.Overrides{Seed: &t.Seed})
	if err != nil {
		return false, err
	}
	t.caseTime, t.played[c.Name] = sc.Total(), true
	if t.left() < t.costs(t.caseTime) {
		t.tooLate("the case "+c.Name+" of the library", c.Title, cases.Prefix+c.Name, t.caseTime)
		return false, nil
	}
	t.Progress.Step(fmt.Sprintf("the library has a case with these signatures: %s; playing it on the fleet", c.Title))
	a, err := t.playScenario(ctx, "case-"+c.Name, sc)
	if a == nil || err != nil {
		return false, err
	}
	steps, a, err := t.shrinkScenario(ctx, sc, *a)
	if err != nil {
		return false, err
	}
	a.cause, a.why, a.steps, a.number, a.kase = c.Title, strings.TrimSuffix(strings.Join(strings.Fields(c.Mechanism), " "), "."), steps, t.search.count, c
	return true, t.accept(*a)
}

// playScenario runs a scenario; nil where it does not show the report.
func (t *task) playScenario(ctx context.Context, name string, sc *scenario.Scenario) (*accepted, error) {
	text, err := sc.TOML()
	if err != nil {
		return nil, err
	}
	file := t.path(fmt.Sprintf("%s-%d.toml", name, t.runs+1))
	if err := writeFile(file, string(text)); err != nil {
		return nil, err
	}
	run, dir, err := t.doCaptured(ctx, name, file, sc.Total())
	if run == nil || err != nil {
		return nil, err
	}
	seen, confirmed := t.judge(run)
	if confirmed&t.required != t.required {
		if strings.HasPrefix(name, "case-") {
			t.note("the %s of the library was played and does not show what is reported", strings.Replace(name, "-", " ", 1))
		}
		return nil, nil
	}
	return &accepted{run: run, dir: dir, file: file, seen: seen, confirmed: confirmed}, nil
}

// shrinkScenario leaves out faults, browsers and edges, each time by a run, as long as there is time for one and
// for what is asked besides.
func (t *task) shrinkScenario(ctx context.Context, sc *scenario.Scenario, best accepted) (steps []Step, _ *accepted, err error) {
	try := func(what string, change func(*scenario.Scenario)) bool {
		if err != nil || t.left() < t.reserve()+t.costs(t.caseTime) {
			return false
		}
		smaller := *sc
		smaller.Faults, smaller.Browsers, smaller.Phases = slices.Clone(sc.Faults), slices.Clone(sc.Browsers), slices.Clone(sc.Phases)
		change(&smaller)
		t.Progress.Step("without " + what)
		var a *accepted
		if a, err = t.playScenario(ctx, "smaller", &smaller); a != nil && a.confirmed&best.confirmed == best.confirmed {
			steps = append(steps, Step{what, true})
			*sc, best = smaller, *a
			return true
		}
		if ctx.Err() == nil {
			steps = append(steps, Step{What: what})
		}
		return false
	}
	for i := 0; i < len(sc.Faults) && err == nil; {
		name := sc.Faults[i].Name
		if !try("the fault "+name, func(s *scenario.Scenario) { dropFault(s, i) }) {
			i++
		}
	}
	if others := bystanders(sc, best); len(others) > 0 {
		try("the "+others.String(), func(s *scenario.Scenario) {
			s.Browsers = slices.DeleteFunc(s.Browsers, func(b scenario.Browser) bool { return slices.Contains(others, b.Profile) })
		})
	}
	for i := 0; i < len(sc.Browsers) && len(sc.Browsers) > 1 && err == nil; {
		if !try("the browser "+sc.Browsers[i].Profile, func(s *scenario.Scenario) { s.Browsers = slices.Delete(s.Browsers, i, i+1) }) {
			i++
		}
	}
	if sc.Fleet.Edges > 1 {
		try("all edges but one", func(s *scenario.Scenario) { s.Fleet.Edges = 1 })
	}
	return steps, &best, err
}

// names are profiles, in a sentence.
type names []string

func (n names) String() string {
	if len(n) == 1 {
		return "browser " + n[0]
	}
	return "browsers " + strings.Join(n, ", ")
}

// bystanders are browsers that the run would do without, by what each showed: leaving them out at once saves a run
// for each.
func bystanders(sc *scenario.Scenario, best accepted) (others names) {
	kept := map[string]bool{}
	for _, s := range best.seen {
		if s.Signature.Origin == symptom.ServerLog {
			continue // of whoever: the next run shows whether it is still there
		}
		shows := func(profile string) bool {
			return slices.ContainsFunc(s.Where, func(w string) bool { return strings.HasSuffix(w, ": "+profile) })
		}
		if slices.ContainsFunc(sc.Browsers, func(b scenario.Browser) bool { return kept[b.Profile] && shows(b.Profile) }) {
			continue
		}
		if i := slices.IndexFunc(sc.Browsers, func(b scenario.Browser) bool { return shows(b.Profile) }); i >= 0 {
			kept[sc.Browsers[i].Profile] = true
		}
	}
	for _, b := range sc.Browsers {
		if len(kept) > 0 && !kept[b.Profile] {
			others = append(others, b.Profile)
		}
	}
	return others
}

// dropFault takes a rule out of the scenario and its acts.
func dropFault(s *scenario.Scenario, i int) {
	name := s.Faults[i].Name
	s.Faults = slices.Delete(s.Faults, i, i+1)
	for p := range s.Phases {
		s.Phases[p].Faults = slices.DeleteFunc(slices.Clone(s.Phases[p].Faults), func(f string) bool { return f == name })
	}
}

// reserve is the time that what is asked besides a recipe needs.
func (t *task) reserve() time.Duration {
	duration := t.caseTime
	if t.recipe != nil {
		duration = t.lasts()
	}
	var d time.Duration
	if len(t.Fix) > 0 {
		d += 2 * t.costs(duration)
	}
	if t.WhatIf {
		d += time.Duration(len(kernelKnobs)) * t.costs(duration)
	}
	if t.recipe == nil {
		d += t.costs(duration) // the library's own fix
	}
	return d
}
