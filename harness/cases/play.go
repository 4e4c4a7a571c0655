package cases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// Runner plays a scenario, named as `tlsurge run` takes it, with overrides as --set has them, and gives its run.
type Runner func(ctx context.Context, name string, set []string) (*results.Run, error)

// Way is how a case is played.
type Way struct {
	Fixed bool   // with the fix applied
	Real  bool   // with the installed server in the edges' place
	Edge  string // which; empty: the case's first
}

func (w Way) String() string {
	words := []string{"broken"}
	if w.Fixed {
		words[0] = "fixed"
	}
	if w.Real {
		words = append(words, "on "+cmp.Or(w.Edge, "the real server"))
	}
	return strings.Join(words, ", ")
}

// Set is what the way changes about the scenario.
func (c *Case) Set(w Way) (set []string) {
	add := func(m map[string]string) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			set = append(set, k+"="+m[k])
		}
	}
	if w.Real {
		set = append(set, "fleet.edge="+cmp.Or(w.Edge, c.Real.Edge))
		add(c.Real.Set)
	}
	switch {
	case w.Fixed && w.Real && len(c.Real.Fix) > 0:
		add(c.Real.Fix)
	case w.Fixed:
		add(c.Fix.Set)
	}
	return set
}

// Expectations are those of the way: present where it is broken, absent where it is fixed.
func (c *Case) Expectations(w Way) []Expect {
	if w.Real && len(c.Real.Expect) > 0 {
		return c.Real.Expect
	}
	return c.Expect
}

// Finding is what a run shows of one expectation.
type Finding struct {
	Expect Expect
	Seen   bool
	Count  int64    // how often, for a signature
	Where  []string // "run, firefox-35-osx", "run, edge-2"
	Note   string   // for a number: what it was
	Unsaid bool     // for a number: the run has none
}

func (f Finding) String() string {
	switch {
	case f.Note != "":
		return fmt.Sprintf("%v: %s", f.Expect, f.Note)
	case f.Count > 0:
		return fmt.Sprintf("%v: %d times (%s)", f.Expect, f.Count, strings.Join(f.Where, "; "))
	}
	return fmt.Sprintf("%v: not seen", f.Expect)
}

// Played is a run of a case, judged.
type Played struct {
	Way      Way
	Run      *results.Run
	Findings []Finding
}

// Play runs the case and looks for its expectations.
func (c *Case) Play(ctx context.Context, run Runner, w Way) (*Played, error) {
	r, err := run(ctx, Prefix+c.Name, c.Set(w))
	if err != nil {
		return nil, err
	}
	return &Played{w, r, Judge(r, c.Expectations(w))}, nil
}

// Err says in what way the run was not what the case promises; nil where it kept all of it.
func (p *Played) Err() error {
	var errs []error
	if p.Run.Verdict.State == results.Invalid {
		errs = append(errs, fmt.Errorf("the run is INVALID: %s", strings.Join(p.Run.Verdict.Reasons, "; ")))
	}
	for _, f := range p.Findings {
		if f.Seen == p.Way.Fixed || f.Unsaid {
			errs = append(errs, fmt.Errorf("%v: %v", p.Way, f))
		}
	}
	if p.Way.Fixed && !served(p.Run) {
		errs = append(errs, fmt.Errorf("%v: nobody was served", p.Way))
	}
	return errors.Join(errs...)
}

// served says whether the run answered anybody: a fleet that is dead shows no error either.
func served(r *results.Run) bool {
	return r.Attempts.Completed+r.Attempts.OpenAtEnd > 0 && r.Requests.OK > 0
}

// Judge looks for each expectation in a run.
func Judge(r *results.Run, list []Expect) (found []Finding) {
	for _, e := range list {
		f := Finding{Expect: e}
		switch {
		case e.Number != "":
			f.number(r)
		case e.Origin == "server_log":
			f.log(r)
		default:
			f.users(r)
		}
		f.Seen = f.Seen || e.Number == "" && f.Count >= e.Min
		found = append(found, f)
	}
	return found
}

func (f *Finding) number(r *results.Run) {
	t, err := results.ParseThreshold(f.Expect.Number, f.Expect.Is)
	if err != nil {
		f.Note = err.Error() // Parse lets none through
		return
	}
	v := t.Evaluate(r)
	f.Seen, f.Note = v.Pass, "it was "+results.FormatValue(v.Observed, v.Unit)
	if v.Missing != "" {
		f.Note, f.Unsaid = v.Missing, true
	}
}

func (f *Finding) users(r *results.Run) {
	for _, o := range r.Outcomes {
		if ok, _ := path.Match(f.Expect.Profile, o.Profile); !ok && f.Expect.Profile != "" {
			continue
		}
		if f.Expect.fits(symptom.Observed{UserSees: o.UserSees, Class: o.Class, Alert: o.Alert, Sender: o.Sender, Stage: o.Stage}) {
			f.add(o.Count, o.Phase+", "+o.Profile)
		}
	}
}

func (f *Finding) log(r *results.Run) {
	for _, edge := range r.Edges {
		for _, l := range edge.LogLines {
			if f.Expect.fits(symptom.Observed{Alert: -1, Code: l.Code, Reason: l.Reason, Level: l.Level}) {
				f.add(l.Count, edge.Phase+", "+edge.Name)
			}
		}
	}
}

// fits says whether all that is expected was observed, to the letter: a case knows which browser says what. (A
// report's signature is compared by what it means, see symptom.Signature.Matches.)
func (e Expect) fits(o symptom.Observed) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(e.UserSees, o.UserSees) && is(string(e.Class), string(o.Class)) && (e.Alert < 0 || e.Alert == o.Alert) && is(e.Sender, o.Sender) &&
		is(e.Stage, o.Stage) && is(e.Code, o.Code) && is(e.Reason, o.Reason) && is(e.Level, o.Level)
}

func (f *Finding) add(n int64, where string) {
	f.Count += n
	if !slices.Contains(f.Where, where) {
		f.Where = append(f.Where, where)
	}
}
