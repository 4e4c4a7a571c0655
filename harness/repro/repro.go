// Package repro goes from a report to what makes it happen: it ranks the causes that may stand behind the
// report's signatures, searches servers, faults and browsers in memory (harness/trial), shrinks what it finds,
// and confirms it on a real fleet, in runs of their own. Only what a run has shown is called reproduced.
//
// It owns the search and the recipe. What a report says is harness/symptom's; what browsers, servers and faults do
// is theirs: a cause here is a place to look first, never an answer.
package repro

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// Config is one task.
type Config struct {
	Report *symptom.Report
	// Nginx is the path of the server's configuration in nginx's syntax; empty: servers of the report's time.
	Nginx  string
	Budget time.Duration // of everything, from Began
	Began  time.Time     // when the task was given, before the report was read; zero: now
	Seed   uint64
	Dir    string // where everything is written; made if missing
	Fix    []Change
	WhatIf bool

	Run      Runner
	Progress Progress
	Now      func() time.Time
}

// Runner makes a run of a scenario file, with overrides as --set has them, and leaves its files in out.
type Runner func(ctx context.Context, scenario, out string, seed uint64, set []string) (*results.Run, error)

// Progress is told what happens. Its methods are called from one goroutine.
type Progress interface {
	// Step begins a part of the work, in words.
	Step(text string)
	// Tick says how far the search is: candidates tried, the present one, and the share of the budget used.
	Tick(tried int, what string, used float64)
}

// ConfigError is a configuration of a server that no edge can run.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// NothingError is a report in which there is nothing to reproduce.
type NothingError struct{ Text string }

func (e *NothingError) Error() string { return e.Text }

// Result is what came of it.
type Result struct {
	Reproduced bool                `json:"reproduced"`
	Signatures []symptom.Signature `json:"signatures"`
	UserSees   string              `json:"user_sees"` // in the browser's words, as the confirming run had it
	Scenario   string              `json:"scenario"`  // the file that reproduces it
	Rate       *Rate               `json:"rate"`      // of the most telling signature
	Interval   *[2]float64         `json:"interval"`  // its 95 % interval

	// Unconfirmed is what was found and not shown on the fleet, where nothing was reproduced.
	Unconfirmed *Unconfirmed `json:"unconfirmed,omitempty"`

	// Alternatives are the causes that show the whole report, the likeliest first; the confirmed one is among them.
	Alternatives []Alternative `json:"alternatives,omitempty"`

	Cause   string          `json:"cause,omitempty"`
	Why     string          `json:"why,omitempty"`
	Recipe  *Recipe         `json:"recipe,omitempty"`
	Case    string          `json:"case,omitempty"`    // of the library, where that is the recipe
	Seen    []Sighting      `json:"seen"`              // in the confirming run, by signature
	NotSeen []string        `json:"not_seen"`          // signatures that the recipe does not show, and why not
	Chains  []results.Chain `json:"chains"`            // how it comes about
	Tried   int             `json:"candidates_tried"`  // until the one that was confirmed
	First   []string        `json:"first_candidates"`  // the ranking's first ones, in words
	Trials  int64           `json:"trials_in_memory"`  // page loads played
	Shrunk  []Step          `json:"shrunk"`            // what could be left out, and what could not
	Fix     *FixResult      `json:"fix,omitempty"`     // --fix
	Effects []Effect        `json:"what_if,omitempty"` // --what-if, the strongest first
	Run     string          `json:"run,omitempty"`     // directory of the confirming run
	// Evidence is a directory: packets of both ends with keys and comments, joined logs, a timeline; empty where
	// this machine records none.
	Evidence string        `json:"evidence,omitempty"`
	Dir      string        `json:"dir"`
	Seed     uint64        `json:"seed"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Notes    []string      `json:"notes"`
}

// task is one Run at work.
type task struct {
	Config
	*budget
	lab       *lab
	targets   []target
	required  mask
	search    *search
	stop      func() // ends the search; nil before it has begun
	runs      int
	result    *Result
	complete  []tried         // what showed all that was wanted, in the order of trying
	wrong     int             // recipes that the fleet did not bear out
	refuted   map[string]int  // by Candidate.kind
	played    map[string]bool // cases of the library
	noCapture bool            // this machine records no packets
	caseTime  time.Duration   // that the scenario of the case in hand lasts
	accepted                  // what is confirmed; run is nil before

	mu sync.Mutex // guards runs and the result's notes: two runs may go side by side
}

// Do reproduces the report. A report that could not be reproduced within the budget is a Result too, and so is
// what an interrupt left. A *ChangeError beside a Result is a fix that the recipe turned out not to have.
func Do(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Began.IsZero() {
		cfg.Began = cfg.Now()
	}
	t := &task{Config: cfg, budget: newBudget(cfg.Began, cfg.Budget, cfg.Now), targets: targets(cfg.Report), refuted: map[string]int{}, played: map[string]bool{}}
	if len(t.targets) == 0 {
		return nil, &NothingError{nothing(cfg.Report)}
	}
	t.result = &Result{Signatures: cfg.Report.Signatures, Seen: []Sighting{}, NotSeen: []string{}, Chains: []results.Chain{}, Shrunk: []Step{},
		First: []string{}, Notes: notes(cfg.Report), Dir: cfg.Dir, Seed: cfg.Seed}
	t.required = required(t.targets)
	var err error
	if t.lab, err = newLab(cfg.Seed); err != nil {
		return nil, err
	}
	defer t.lab.close()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := t.server(); err != nil {
		for _, made := range []string{t.path(wholeName), cfg.Dir} {
			_ = os.Remove(made) // nothing was found, and nothing is left; a directory that is not empty stays
		}
		return nil, err
	}
	if t.left() <= 0 {
		t.note("reading the report took %v of the budget of %v", t.used().Round(100*time.Millisecond), cfg.Budget)
	}
	ctx, cancel := t.context(ctx)
	defer cancel()
	defer func() {
		if t.stop != nil {
			t.stop()
		}
	}()
	if err := t.find(ctx); err != nil {
		return nil, err
	}
	if t.wrong > mostWrong {
		t.note("and %d more recipes that the fleet did not bear out", t.wrong-mostWrong)
	}
	var unfit *ChangeError
	if t.result.Reproduced {
		if err := t.after(ctx); err != nil && !errors.As(err, &unfit) {
			return nil, err
		}
	}
	if !t.result.Reproduced {
		t.result.Trials = t.lab.trials.Load()
	}
	_ = os.Remove(t.path("runs")) // if it is empty: the confirming run has moved out
	t.result.Elapsed = t.used()
	if err := t.write(); err != nil || unfit == nil {
		return t.result, err
	}
	return t.result, unfit
}

// wholeName is the file that is written around a part of a configuration.
const wholeName = "nginx.conf"

// server looks at the configuration that was handed in, and at what --fix would change in it.
func (t *task) server() (err error) {
	if t.Nginx, err = wholeConfig(t.Nginx, t.path(wholeName)); err != nil {
		return err
	}
	if err := t.lab.readable(t.Nginx); err != nil {
		return err
	}
	return t.lab.checkChanges(t.Nginx, t.Fix)
}

// nothing says why there is nothing to find, with what the reader made of the report.
func nothing(r *symptom.Report) string {
	text := "nothing to reproduce: the report names no failure of TLS or of the network"
	if r.Lines > 0 {
		text += fmt.Sprintf(" (%d lines read, %d of them unreadable)", r.Lines, r.Unreadable)
	}
	for _, n := range notes(r) {
		text += "; " + n
	}
	if r.Lines == 0 {
		text += "; understood are an error's name (ERR_CONNECTION_RESET, ssl_error_no_cypher_overlap), a browser's sentence, a line of a server's log, " +
			"a log file, a capture"
	}
	return text
}

// notes are the reader's, and what the report shows that nothing here can play.
func notes(r *symptom.Report) []string {
	list := append([]string{}, r.Notes...)
	for _, s := range r.Signatures {
		if why := s.Beyond(); why != "" {
			if n := fmt.Sprintf("%s: %s", signatureWords(s), why); !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

// required are the most telling signature of each origin: without them a recipe is not the report's.
func required(list []target) (m mask) {
	seen := map[symptom.Origin]bool{}
	for i, t := range list {
		if !seen[t.Origin] {
			seen[t.Origin] = true
			m |= 1 << i
		}
	}
	return m
}

// find searches, shrinks and confirms until something is confirmed or time is up.
func (t *task) find(ctx context.Context) error {
	k := &ranking{config: t.Nginx, targets: t.targets, era: eraOf(t.targets)}
	ranked := k.candidates()
	for _, c := range ranked {
		if words := fmt.Sprintf("%s (%v)", c.Cause, c); len(t.result.First) < 5 && !slices.Contains(t.result.First, words) {
			t.result.First = append(t.result.First, words)
		}
	}
	t.search, t.stop = newSearch(t.lab, t.targets, k.era.people(t.targets, t.Report.Hellos), chained(slices.Values(ranked), systematic(t.Nginx, k.era.stacks)))
	t.search.when = k.era.when
	t.Progress.Step(fmt.Sprintf("searching in memory: %d ranked causes, then all others in order", len(ranked)))

	var promising []tried
	var later []tried // complete, by browsers that hardly anybody had any more
	ranksOver := false
	for len(promising) == 0 && t.result.Unconfirmed == nil || t.left() > t.costs(plain) {
		c, ok := t.search.next(ctx)
		if !ok {
			break
		}
		t.Progress.Tick(t.search.count, c.String(), t.share())
		if c.Cause == enumerated && !ranksOver {
			ranksOver = true
			for _, c := range later {
				if done, err := t.confirm(ctx, c, c.number); done || err != nil {
					return err
				}
			}
			if best(promising, t.required) {
				break // the rest would only add what is not required
			}
			if err := t.confirmLibrary(ctx); err != nil || t.result.Reproduced {
				return err
			}
		}
		if c.Case != "" {
			if err := t.confirmNamed(ctx, c.Case); err != nil || t.result.Reproduced {
				return err
			}
			continue
		}
		if c.shows == 0 {
			continue
		}
		if c.shows&t.search.want() == t.search.want() {
			t.complete = append(t.complete, c)
			if c.Cause != enumerated && t.unlikely(c) {
				later = append(later, c)
				continue
			}
			done, err := t.confirm(ctx, c, c.number)
			if done || err != nil {
				return err
			}
			continue
		}
		promising = append(promising, c)
	}
	t.result.Tried = t.search.count
	return t.confirmBest(ctx, promising)
}

// unlikely says whether a user's report would have come from old news: from browsers that are all years older than
// the newest of the report's at its time.
func (t *task) unlikely(c tried) bool {
	return !slices.ContainsFunc(c.hits, func(h hit) bool { return h.shows&t.required != 0 && !t.bygone(h.visitor) })
}

// bygone says whether hardly any user had the browser any more. A server's log is another matter: old clients and
// scanners fill it.
func (t *task) bygone(v Visitor) bool {
	if !slices.ContainsFunc(t.targets, func(g target) bool { return g.Origin == symptom.User }) {
		return false
	}
	return t.search.newest().Sub(released(v.Profile)) >= 4*365*24*time.Hour
}

// plain is how long the scenario of a recipe lasts in which nobody waits: a search that has found something leaves
// as much.
const plain = 2 * time.Second

// best says whether one of the list shows all of want.
func best(list []tried, want mask) bool {
	return slices.ContainsFunc(list, func(t tried) bool { return t.shows&want == want })
}

func chained(parts ...iter.Seq[Candidate]) iter.Seq[Candidate] {
	return func(yield func(Candidate) bool) {
		for _, p := range parts {
			for c := range p {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// mostConfirmed bounds how many candidates that show a part are tried on the fleet.
const mostConfirmed = 5

// confirmBest tries what shows a part of the report, what shows most first.
func (t *task) confirmBest(ctx context.Context, list []tried) error {
	score := func(c tried) int {
		return 100*bits.OnesCount32(uint32(c.shows&t.required)) + bits.OnesCount32(uint32(c.shows))
	}
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b tried) int { return cmp.Compare(score(b), score(a)) })
	for i, c := range order {
		if i >= mostConfirmed {
			break
		}
		c = joined(c, list, t.search.want())
		done, err := t.confirm(ctx, c, c.number)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// after is what a confirmed recipe is asked besides.
func (t *task) after(ctx context.Context) error {
	t.survey(ctx)
	t.knobs(ctx)
	if err := t.ownFix(ctx); err != nil {
		return err
	}
	if len(t.Fix) > 0 {
		if err := t.fix(ctx); err != nil {
			return err
		}
	}
	if t.WhatIf {
		return t.whatIf(ctx)
	}
	return nil
}

// interrupted says whether the error is only that time is up or somebody has had enough.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (t *task) path(name string) string { return filepath.Join(t.Dir, name) }
