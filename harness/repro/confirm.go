package repro

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tlsurge/harness/cases"
	"tlsurge/harness/child"
	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// confirm shrinks what a candidate showed and runs it on the fleet. done says that the report was seen there.
func (t *task) confirm(ctx context.Context, c tried, number int) (done bool, err error) {
	if t.refuted[c.kind()] >= mostRefuted {
		return false, nil
	}
	recipe := c.Recipe
	var shows mask
	var took time.Duration
	recipe.Visitors, shows, took = choose(c.hits, c.shows)
	visitors := recipe.Visitors
	recipe, steps := t.search.shrink(recipe, shows)
	file := t.path(fmt.Sprintf("candidate-%d.toml", number))
	text := recipe.Scenario(t.slug(), c.Why, t.about(), t.Seed, took)
	if err := writeFile(file, text); err != nil {
		return false, err
	}
	duration := lasts(recipe, took)
	if t.left() < t.costs(duration) {
		t.tooLate(recipe.words(), c.Cause, file, duration)
		return false, nil
	}
	t.Progress.Step(fmt.Sprintf("candidate %d shows it in memory (%s); confirming on the fleet: %s", number, c.Cause, recipe.words()))
	run, dir, err := t.doCaptured(ctx, "confirm", file, duration)
	if run == nil || err != nil {
		if err == nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.tooLate(recipe.words(), c.Cause, file, duration)
		}
		return false, err
	}
	seen, confirmed := t.judge(run)
	if confirmed&t.required != t.required {
		_ = os.Remove(file) // best effort: it is only in the way
		t.refuted[c.kind()]++
		if t.wrong++; t.wrong > mostWrong {
			return false, nil
		}
		t.note("not confirmed: %s shows it in memory, the fleet showed %d of %d signatures", recipe.words(), len(seen), len(t.targets))
		return false, nil
	}
	var population []Visitor
	for _, h := range c.hits {
		if h.shows&confirmed != 0 && (t.unlikely(c) || !t.bygone(h.visitor)) {
			population = append(population, h.visitor)
		}
	}
	cause, why := c.Candidate.of(c.hits[slices.IndexFunc(c.hits, func(h hit) bool { return h.visitor == visitors[0] })])
	return true, t.accept(accepted{cause: cause, why: why, recipe: &recipe, steps: steps, number: number, run: run, dir: dir, file: file,
		seen: seen, confirmed: confirmed, took: took, population: population})
}

func writeFile(file, text string) error { return os.WriteFile(file, []byte(text), 0o600) }

// lasts is the duration of a recipe's scenario.
func lasts(r Recipe, took time.Duration) time.Duration {
	return time.Duration(len(r.Acts)) * (plain + took.Round(time.Second))
}

// lasts is the duration of the confirmed scenario.
func (t *task) lasts() time.Duration {
	if t.recipe == nil {
		return t.caseTime
	}
	return lasts(*t.recipe, t.accepted.took)
}

// again is how long a run of what was accepted takes.
func (t *task) again() time.Duration { return t.costs(t.lasts()) }

// do makes one run in a directory of its own. No run and no error: it was interrupted, or failed in a way that
// only concerns it, and a note says so.
func (t *task) do(ctx context.Context, what, scenario string, set []string, duration time.Duration) (*results.Run, string, error) {
	return t.doSeeded(ctx, what, scenario, set, duration, t.Seed)
}

func (t *task) doSeeded(ctx context.Context, what, scenario string, set []string, duration time.Duration, seed uint64) (*results.Run, string, error) {
	t.mu.Lock()
	t.runs++
	dir := t.path(filepath.Join("runs", fmt.Sprintf("%02d-%s", t.runs, what)))
	t.mu.Unlock()
	began := t.now()
	run, err := t.Config.Run(ctx, scenario, dir, seed, set)
	if err == nil && ctx.Err() == nil {
		t.mu.Lock()
		t.learn(duration, t.now().Sub(began))
		t.mu.Unlock()
	}
	var failed *child.Error
	switch {
	case ctx.Err() != nil:
		t.note("time was up before a run had ended (%s)", what)
		return nil, "", nil
	case err == nil && run.Verdict.State == results.Invalid:
		t.note("a run was INVALID and does not count: %s", strings.Join(run.Verdict.Reasons, "; "))
		return nil, "", nil
	case errors.As(err, &failed):
		return nil, "", err
	}
	return run, dir, err
}

// mostRefuted is how often the fleet may refute the same fault, or none, before its other servers are left alone.
const mostRefuted = 2

// mostWrong is how many recipes that the fleet did not bear out are told one by one.
const mostWrong = 3

// kind is what candidates of other servers share.
func (c Candidate) kind() string { return fmt.Sprint(c.Cause, c.Recipe.Faults) }

// doCaptured makes a run that leaves evidence, where this machine can record any.
func (t *task) doCaptured(ctx context.Context, what, scenario string, duration time.Duration) (*results.Run, string, error) {
	if !t.noCapture {
		run, dir, err := t.do(ctx, what, scenario, []string{"run.capture=true"}, duration)
		var failed *child.Error
		if !errors.As(err, &failed) || failed.Code != unsupported {
			return run, dir, err
		}
		t.noCapture = true
		t.note("no packets were recorded: %s", failed.Text)
	}
	return t.do(ctx, what, scenario, nil, duration)
}

// unsupported is the exit code of a run that this machine cannot make.
const unsupported = 3

// judge looks for every target in a run.
func (t *task) judge(run *results.Run) (seen []Sighting, m mask) {
	for i, g := range t.targets {
		if s := g.sightings(run); s.Count > 0 {
			seen = append(seen, s)
			m |= 1 << i
		}
	}
	return seen, m
}

// tooLate keeps what was found and has no time left on the fleet: the recipe that needs least.
func (t *task) tooLate(words, cause, scenario string, duration time.Duration) {
	needs := t.enough(t.costs(duration))
	u := t.result.Unconfirmed
	if u == nil {
		u = &Unconfirmed{More: -1}
		t.result.Unconfirmed = u
	}
	u.More++
	if u.Needs == 0 || needs < u.Needs {
		u.Recipe, u.Cause, u.Scenario, u.Needs = words, cause, scenario, needs
	}
}

// accepted is what a run on the fleet has shown.
type accepted struct {
	cause, why string
	recipe     *Recipe     // nil: a case of the library
	kase       *cases.Case // nil: a recipe
	steps      []Step
	number     int // of the candidate
	run        *results.Run
	dir, file  string // of the run, and its scenario
	seen       []Sighting
	confirmed  mask
	took       time.Duration // of a page load, in virtual time
	population []Visitor     // everybody who shows the confirmed signatures in memory
}

// accept writes what was confirmed into the result.
func (t *task) accept(a accepted) error {
	t.accepted = a
	o := t.result
	o.Reproduced, o.Cause, o.Why, o.Recipe, o.Shrunk, o.Tried, o.Run, o.Seen = true, a.cause, a.why, a.recipe, a.steps, a.number, a.dir, a.seen
	o.Trials, o.Unconfirmed = t.lab.trials.Load(), nil
	if a.kase != nil {
		o.Case = a.kase.Name
	}
	rate := t.primary().rate(a.run)
	o.Rate, o.Interval = &rate, &[2]float64{rate.Low, rate.High}
	o.UserSees = t.userSees(a.run)
	for i, g := range t.targets {
		if !a.confirmed.has(i) {
			o.NotSeen = append(o.NotSeen, signatureWords(g.Signature))
		}
	}
	o.Chains = t.chains(a.run)
	if len(o.Chains) == 0 && a.recipe != nil {
		o.Chains = t.undisturbed(*a.recipe)
	}
	o.Scenario = t.path("scenario.toml")
	if err := os.Rename(a.file, o.Scenario); err != nil {
		return err
	}
	t.file = o.Scenario
	return t.place(a.dir)
}

// place gives the confirming run and its evidence names that do not depend on how many runs there were.
func (t *task) place(dir string) error {
	o := t.result
	o.Run = t.path("run")
	if err := os.Rename(dir, o.Run); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.Run, "evidence")); err == nil {
		o.Evidence = t.path("evidence")
		return os.Symlink("run/evidence", o.Evidence)
	}
	return nil
}

// primary is the signature whose rate is stated: what a user said, else the first.
func (t *task) primary() target {
	for _, g := range t.targets {
		if g.Origin == symptom.User {
			return g
		}
	}
	return t.targets[0]
}

// rate is how many page loads of those that could show the signature did: those of the browsers that showed it,
// in the acts in which they did.
func (g target) rate(run *results.Run) Rate {
	type who struct{ phase, profile string }
	hits := map[who]int64{}
	for _, o := range run.Outcomes {
		shown := g.Origin != symptom.ServerLog && o.Class != results.ClassOK && (g.Origin != symptom.User || o.UserSees != "") && g.by(o.Profile) &&
			g.Matches(symptom.Observed{UserSees: o.UserSees, Class: o.Class, Alert: o.Alert, Sender: o.Sender, Stage: o.Stage})
		logged := g.Origin == symptom.ServerLog && g.Code != "" && strings.EqualFold(g.Code, o.ServerLogs)
		if shown || logged {
			hits[who{o.Phase, o.Profile}] += o.Count
		}
	}
	lines := map[string]int64{}
	if len(hits) == 0 && g.Origin == symptom.ServerLog { // lines without a code stand in the edges' own tables alone
		for _, e := range run.Edges {
			for _, l := range e.LogLines {
				if g.Matches(symptom.Observed{Alert: -1, Code: l.Code, Reason: l.Reason, Level: l.Level}) {
					lines[e.Phase] += l.Count
				}
			}
		}
	}
	var n, of int64
	loads := map[string]int64{}
	for _, u := range run.Users {
		loads[u.Phase] += u.PageLoads
		if h, ok := hits[who{u.Phase, u.Profile}]; ok {
			n += min(h, u.PageLoads)
			of += u.PageLoads
		}
	}
	for phase, h := range lines {
		n += min(h, loads[phase])
		of += loads[phase]
	}
	return NewRate(n, of)
}

// userSees is what users of the run saw, in the report's own words where it has some.
func (t *task) userSees(run *results.Run) string {
	for _, g := range t.targets {
		if g.Origin == symptom.User {
			for _, o := range run.Outcomes {
				if o.UserSees != "" && g.by(o.Profile) && g.Matches(symptom.Observed{UserSees: o.UserSees, Class: o.Class, Alert: o.Alert, Sender: o.Sender, Stage: o.Stage}) {
					return o.UserSees
				}
			}
		}
	}
	most, words := int64(0), ""
	for _, o := range run.Outcomes {
		if o.UserSees != "" && o.Count > most {
			most, words = o.Count, o.UserSees
		}
	}
	return words
}

func (t *task) note(format string, a ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := fmt.Sprintf(format, a...); !slices.Contains(t.result.Notes, s) {
		t.result.Notes = append(t.result.Notes, s)
	}
}

// slug is the report's name in files: letters and digits of what is most telling.
func (t *task) slug() string { return "repro-" + Slug(t.Report) }

// Slug makes a name for files out of a report.
func Slug(r *symptom.Report) string {
	word := "report"
	if len(r.Signatures) > 0 {
		s := r.Signatures[0]
		for _, w := range []string{s.UserSees, s.Reason, s.Code, s.Text} {
			if w != "" {
				word = w
				break
			}
		}
	}
	var b strings.Builder
	for _, c := range strings.ToLower(word) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

// about are the comments at the top of the scenario.
func (t *task) about() []string {
	lines := []string{"Reproduces a report. Run it with: tlsurge run scenario.toml", "The report:"}
	for i, g := range t.targets {
		if i >= 4 {
			lines = append(lines, fmt.Sprintf("  and %d more signatures", len(t.targets)-i))
			break
		}
		text := strings.Join(strings.Fields(g.Text), " ")
		if len(text) > 110 {
			text = text[:110] + "…"
		}
		lines = append(lines, "  "+strings.ToValidUTF8(text, "?"))
	}
	return lines
}
