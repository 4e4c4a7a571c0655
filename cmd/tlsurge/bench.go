package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/harness/bench"
	"tlsurge/harness/child"
	"tlsurge/harness/scenario"
	"tlsurge/results/compare"
)

// benchFlags are what the command line says about a bench.
type benchFlags struct {
	both, base, new     []string // --set, --base-set, --new-set
	baseStack, newStack string
	baseBin, newBin     string
	rounds, most        int
	seed                uint64
	out, plant          string
	selfTest            bool
	asJSON, asMarkdown  bool
	options             compare.Options
}

func (a *app) benchCmd() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [SCENARIO]",
		Short: "Regression benchmark: baseline against candidate in interleaved rounds, a verdict, an exit code",
		Long: `bench measures two sides in interleaved rounds: two stacks, two configurations, two tlsurge binaries, or two
addresses. Without a scenario a round measures full handshakes, resumed ones, and requests, on one edge. It makes
as many rounds as the noise asks for, says what it cannot judge and how many rounds would do, and confirms a
regression with as many rounds again before it says so.

--selftest benches the baseline against itself, which must pass, and against itself with a regression planted
(a handshake that costs 10 % more, memory, a browser that cannot connect), which must be caught.

Exit code: 0 no regression, 1 a regression (or a self-test that failed), 4 nothing could be judged.`,
		Example: `  tlsurge bench --base-stack openssl-1.0.1j --new-stack openssl-3.0
  tlsurge bench --new-set 'fleet.set.ssl_session_cache=off' --rounds 8
  tlsurge bench --base-bin ./tlsurge-main --new-bin ./tlsurge-branch --markdown
  tlsurge bench --selftest`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBench(cmd.Context(), args, f) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.both, "set", nil, "override a key of the scenario on both sides: `key.path=value`")
	fl.StringArrayVar(&f.base, "base-set", nil, "override a key on the baseline: `key.path=value`")
	fl.StringArrayVar(&f.new, "new-set", nil, "override a key on the candidate: `key.path=value`")
	fl.StringVar(&f.baseStack, "base-stack", "", "TLS `stack` of the baseline's edges")
	fl.StringVar(&f.newStack, "new-stack", "", "TLS `stack` of the candidate's edges")
	fl.StringVar(&f.baseBin, "base-bin", "", "tlsurge `binary` of the baseline (default: this one)")
	fl.StringVar(&f.newBin, "new-bin", "", "tlsurge `binary` of the candidate (default: this one)")
	fl.IntVar(&f.rounds, "rounds", 0, "rounds to make (default: as many as the noise asks for)")
	fl.IntVar(&f.most, "max-rounds", 15, "most rounds to make where the noise decides")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the first round")
	fl.StringVar(&f.out, "out", "", "directory of all runs (default: runs/<UTC time>-bench)")
	fl.StringVar(&f.plant, "plant", "", "put a regression into the candidate: handshake+10%, handshake+200us, memory, memory+BYTES, browser")
	fl.BoolVar(&f.selfTest, "selftest", false, "bench the bench: A/A must pass, planted regressions must be caught")
	fl.BoolVar(&f.asJSON, "json", false, "print the judgement as JSON")
	fl.BoolVar(&f.asMarkdown, "markdown", false, "print it for a pull request")
	fl.Float64Var(&f.options.MinEffect, "min-effect", 0, "smallest relative change that matters (default 0.05)")
	fl.Float64Var(&f.options.Alpha, "alpha", 0, "chance of a false alarm over all metrics (default 0.05)")
	return cmd
}

func (a *app) runBench(ctx context.Context, args []string, f benchFlags) error {
	cfg, err := a.benchConfig(f)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		// A wrong scenario or override is found before anything runs; another binary may know others.
		for _, s := range []bench.Side{cfg.Base, cfg.New} {
			if _, err := loadScenario(args[0], scenario.Overrides{Set: s.Set}); err != nil && s.Binary == "" {
				return err
			}
		}
	}
	dir := f.out
	if dir == "" {
		dir = fmt.Sprintf("runs/%s-bench", time.Now().UTC().Format("20060102T150405Z"))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return usagef("--out: %v", err)
	}
	if len(args) == 1 {
		cfg.Parts = []bench.Part{{Name: "run", Scenario: args[0]}}
	} else if cfg.Parts, err = bench.Parts(dir); err != nil {
		return err
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	if f.selfTest {
		return a.selfTest(ctx, cfg, dir, f)
	}
	r, err := bench.Run(ctx, cfg, bench.Exec(dir))
	if err != nil {
		return benchError(ctx, err)
	}
	if err := a.judge(a.out, r.Report, f.asJSON, f.asMarkdown); err != nil {
		return err
	}
	if r.Report.Decision == compare.Unsure {
		return &exitError{code: exitInvalid}
	}
	return nil
}

// benchConfig checks what can be checked before anything runs.
func (a *app) benchConfig(f benchFlags) (bench.Config, error) {
	stack := func(set []string, name string) []string {
		set = append(append([]string{}, f.both...), set...)
		if name != "" {
			set = append(set, "fleet.stack="+name)
		}
		return set
	}
	plant, err := bench.ParsePlant(f.plant)
	switch {
	case err != nil:
		return bench.Config{}, usagef("--plant: %v", err)
	case f.rounds < 0 || f.rounds > 200:
		return bench.Config{}, usagef("--rounds %d: allowed: 1 to 200, or 0 to let the noise decide", f.rounds)
	case f.most < 5 || f.most > 200:
		return bench.Config{}, usagef("--max-rounds %d: allowed: 5 to 200", f.most)
	case f.selfTest && (f.plant != "" || f.newStack != "" || f.newBin != "" || len(f.new) > 0):
		return bench.Config{}, usagef("--selftest benches the baseline against itself: leave --plant and --new-... out")
	case f.selfTest && f.asMarkdown:
		return bench.Config{}, usagef("--selftest prints a table or --json")
	}
	for _, bin := range []string{f.baseBin, f.newBin} {
		if info, err := os.Stat(bin); bin != "" && (err != nil || info.IsDir() || info.Mode()&0o111 == 0) {
			return bench.Config{}, usagef("%s: not a program that can be run", bin)
		}
	}
	cfg := bench.Config{
		Base:   bench.Side{Name: "base", Binary: f.baseBin, Set: stack(f.base, f.baseStack)},
		New:    bench.Side{Name: "new", Binary: f.newBin, Set: stack(f.new, f.newStack)},
		Rounds: f.rounds, Most: f.most, Seed: f.seed, Options: f.options, Plant: plant,
	}
	began := time.Now()
	cfg.Log = func(format string, args ...any) {
		fmt.Fprintf(a.err, "%4.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	return cfg, nil
}

func (a *app) selfTest(ctx context.Context, cfg bench.Config, dir string, f benchFlags) error {
	list, err := bench.SelfTest(ctx, cfg, func(trial string) bench.Runner { return bench.Exec(filepath.Join(dir, trial)) })
	if err != nil {
		return benchError(ctx, err)
	}
	if f.asJSON {
		err = writeJSON(a.out, list)
	} else {
		err = bench.WriteTrials(a.out, list)
	}
	for _, t := range list {
		if !t.Pass {
			return errors.Join(err, &exitError{code: exitFailed})
		}
	}
	return err
}

// benchError gives a run that could not be made its own exit code.
func benchError(ctx context.Context, err error) error {
	var failed *child.Error
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInvalid, "interrupted"}
	case errors.As(err, &failed) && failed.Code > 0:
		return &exitError{failed.Code, strings.TrimSpace(failed.Text)}
	}
	return err
}
