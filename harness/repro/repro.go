// Package repro goes from a report to what makes it happen: it ranks the causes that may stand behind the
// report's signatures, searches servers, faults and browsers in memory (harness/trial), shrinks what it finds,
// and confirms it on a real fleet, in runs of their own. Only what a run has shown is called reproduced.
//
// It owns the search and the recipe. What a report says is harness/symptom's; what browsers, servers and faults do
// is theirs: a cause here is a place to look first, never an answer.
package repro

import (
	"context"
	"errors"
	"fmt"
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
