package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/harness/child"
	"tlsurge/harness/repro"
	"tlsurge/harness/symptom"
	"tlsurge/results"
)

type reproFlags struct {
	config, out, caseName     string
	budget                    time.Duration
	seed                      uint64
	fix                       []string
	whatIf, list, quiet, json bool
}

func (a *app) reproCmd() *cobra.Command {
	var f reproFlags
	cmd := &cobra.Command{
		Use:   "repro REPORT...",
		Short: "Reproduce a report: from a user's words or a log to the recipe, the evidence and the proof of the fix",
		Long: `repro takes what somebody reports: an error's name or sentence from any browser, a log line, a log file (nginx,
HAProxy, Apache, Go's http.Server), a capture (pcap, pcapng), a server's nginx.conf, or several of these. An
existing path is read as a file, - is the standard input, anything else is text. A pipe that does not end is read
for half of the budget.

It ranks what may be the cause, searches servers, faults and browsers in memory, shrinks what it finds to the
fewest parts, confirms it on a fleet of its own, and leaves a scenario that 'tlsurge run' repeats, a page of plain
words, and the evidence. The same report gives the same recipe.

Exit code: 0 reproduced, 1 not within the budget or nothing to find, 2 usage.`,
		Example: `  tlsurge repro ssl_error_inappropriate_fallback_alert
  tlsurge repro /var/log/nginx/error.log --config /etc/nginx/nginx.conf
  tlsurge repro ERR_CONNECTION_RESET error.log capture.pcapng --budget 2m
  tlsurge repro ssl_error_no_cypher_overlap --fix ssl_session_tickets=off --fix stack=openssl-1.0.2
  tlsurge repro error.log --what-if`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !f.list && f.caseName == "" && f.config == "" {
				return usagef("tlsurge repro wants a report: an error's name, a log line, a log file or a capture\nSee 'tlsurge repro --help'.")
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "the server's configuration in nginx's syntax, `nginx.conf`")
	fl.DurationVar(&f.budget, "budget", time.Minute, "time for everything")
	fl.StringVar(&f.out, "out", "", "`directory` of what is found (default: runs/<UTC time>-repro-<report>)")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of everything random")
	fl.StringArrayVar(&f.fix, "fix", nil, "rerun with and without this change, `K=V`: a directive, stack=NAME, fault.NAME=off, or a path as run --set has it")
	fl.BoolVar(&f.whatIf, "what-if", false, "turn every knob that may matter, one at a time, and rank them by what they do to the report")
	fl.BoolVar(&f.list, "list", false, "list the library of cases")
	fl.StringVar(&f.caseName, "case", "", "play a case of the library, broken and fixed, and check what it promises: `NAME`")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress, no report: the exit code and the files only")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	_ = cmd.RegisterFlagCompletionFunc("case", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return caseNames(), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case f.list:
			return a.listCases(f.json)
		case f.caseName != "":
			return a.playCase(cmd.Context(), f)
		}
		return a.repro(cmd.Context(), args, f)
	}
	return cmd
}

func (a *app) repro(ctx context.Context, args []string, f reproFlags) error {
	if f.budget < time.Second {
		return usagef("--budget %v: want a second or more", f.budget)
	}
	for _, arg := range args {
		if strings.TrimSpace(arg) == "" {
			return usagef("tlsurge repro: an empty report")
		}
	}
	started := time.Now()
	ctx, cancel := interruptible(ctx)
	defer cancel()
	changes, err := reproChanges(f.fix)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(f.out); f.out != "" && err == nil && len(entries) > 0 {
		return usagef("--out %s: the directory is not empty, and nothing is overwritten", f.out)
	}
	progress := newReproProgress(a.err, f.quiet || f.json)
	report, err := symptom.Source{Progress: progress.Read, Stdin: a.in, Patience: f.budget / 2}.Read(ctx, args)
	if err != nil {
		progress.Done()
		if ctx.Err() != nil {
			return &exitError{exitInvalid, "interrupted while the report was read"}
		}
		return usagef("%v", err)
	}
	cfg := repro.Config{Report: report, Nginx: report.Config, Budget: f.budget, Began: started, Seed: f.seed, WhatIf: f.whatIf, Fix: changes,
		Run: reproRun(repro.Grace(f.budget)), Progress: progress, Now: time.Now}
	if f.config != "" {
		cfg.Nginx = f.config
	}
	if cfg.Nginx != "" {
		if cfg.Nginx, err = filepath.Abs(cfg.Nginx); err != nil {
			return err
		}
	}
	dir := f.out
	if dir == "" {
		dir = filepath.Join("runs", started.UTC().Format("20060102T150405Z")+"-repro-"+repro.Slug(report))
	}
	if cfg.Dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	result, err := repro.Do(ctx, cfg)
	progress.Done()
	var nothing *repro.NothingError
	var conf *repro.ConfigError
	if errors.As(err, &conf) {
		return usagef("%v", conf)
	}
	if errors.As(err, &nothing) {
		return &exitError{exitFailed, nothing.Text}
	}
	var unfit *repro.ChangeError
	if errors.As(err, &unfit) && result == nil {
		return usagef("%v", unfit)
	}
	if err != nil && unfit == nil {
		return benchError(ctx, err)
	}
	err = nil
	switch {
	case f.quiet:
	case f.json:
		err = writeJSON(a.out, result)
	default:
		err = result.WriteText(a.out)
	}
	switch {
	case err != nil:
		return err
	case unfit != nil:
		return usagef("%v", unfit)
	case ctx.Err() != nil:
		return &exitError{exitInvalid, "interrupted: what was found until then is in " + dir}
	case !result.Reproduced:
		return &exitError{code: exitFailed}
	}
	return nil
}

// reproRun makes a run in a process of its own, which has grace to end in when it is told to.
func reproRun(grace time.Duration) repro.Runner {
	return func(ctx context.Context, scenario, out string, seed uint64, set []string) (*results.Run, error) {
		return child.Do(ctx, child.Run{Name: filepath.Base(out), Scenario: scenario, Out: out, Seed: seed, Set: set, Grace: grace})
	}
}

func reproChanges(list []string) (changes []repro.Change, err error) {
	for _, s := range list {
		c, err := repro.ParseChange(s)
		if err != nil {
			return nil, usagef("%v", err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}
