package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tlsurge/harness/bench"
	"tlsurge/harness/child"
	"tlsurge/harness/scenario"
	"tlsurge/results/compare"
)

// benchFlags are what the command line says about a bench.
type benchFlags struct {
	both               []string // --set
	base, new          sideFlags
	rounds, most       int
	limit              time.Duration
	seed               uint64
	out, plant         string
	authorise, tags    []string
	selfTest           bool
	benches            int
	parts, only        []string
	asJSON, asMarkdown bool
	options            compare.Options
}

// sideFlags are what it says about one side.
type sideFlags struct {
	set                         []string
	stack, config, bin, address string
}

func (f *sideFlags) register(fl *pflag.FlagSet, side, whose string) {
	fl.StringArrayVar(&f.set, side+"-set", nil, "override a key on "+whose+": `key.path=value`")
	fl.StringVar(&f.stack, side+"-stack", "", "TLS `stack` of "+whose+"'s edges")
	fl.StringVar(&f.config, side+"-config", "", "configuration `file` of "+whose+"'s edges (nginx's syntax or TOML)")
	fl.StringVar(&f.bin, side+"-bin", "", "tlsurge `binary` of "+whose+" (default: this one)")
	fl.StringVar(&f.address, side+"-address", "", "`address` of "+whose+", a server that runs already")
}

func (f *sideFlags) given() bool {
	return len(f.set) > 0 || f.stack != "" || f.config != "" || f.bin != "" || f.address != ""
}

// side makes a side of the flags.
func (f *sideFlags) side(name string, both []string) (bench.Side, error) {
	s := bench.Side{Name: name, Binary: f.bin, Set: append(append([]string{}, both...), f.set...)}
	if info, err := os.Stat(f.bin); f.bin != "" && (err != nil || info.IsDir() || info.Mode()&0o111 == 0) {
		return s, usagef("%s: not a program that can be run", f.bin)
	}
	if f.address != "" && (f.bin != "" || f.stack != "" || f.config != "") {
		return s, usagef("--%s-address %s: a server that runs already has its own binary, stack and configuration", name, f.address)
	}
	for _, k := range [][2]string{{"fleet.stack", f.stack}, {"fleet.config", f.config}} {
		if k[1] != "" {
			s.Set = append(s.Set, k[0]+"="+k[1])
		}
	}
	if f.address != "" {
		s.Set = append(s.Set, fmt.Sprintf("target.addresses=[%q]", f.address))
	}
	return s, nil
}

func (a *app) benchCmd() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [SCENARIO]",
		Short: "Regression benchmark: baseline against candidate in interleaved rounds, a verdict, an exit code",
		Long: `bench measures two sides in interleaved rounds: two stacks, two configurations, two tlsurge binaries, or two
servers that run already. A round starts a fresh edge of each side and gives both the same small pieces of work
in turn: full handshakes, resumed ones, requests, connections that are held, and one visit by every known browser.
With a SCENARIO a round is a run of it on each side. It makes as many rounds as the noise asks for, says what it
cannot judge and how many rounds would do, and confirms a regression with as many rounds again before it says so.

--selftest benches the baseline against itself, which must pass, and against itself with a regression planted
(a handshake that costs 10 % more, memory, a browser that cannot connect), which must be caught.

Exit code: 0 no regression, 1 a regression (or a self-test that failed), 4 too little could be judged.`,
		Example: `  tlsurge bench --base-stack openssl-1.0.1j --new-stack openssl-3.0
  tlsurge bench --base-config site.conf --new-config site-new.conf
  tlsurge bench --new-set 'fleet.set.ssl_session_cache=off' --rounds 10
  tlsurge bench --base-bin ./tlsurge-main --new-bin ./tlsurge-branch --markdown
  tlsurge bench --base-address 127.0.0.1:8443 --new-address 127.0.0.1:9443 --set target.ca=ca.pem
  tlsurge bench --selftest`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBench(cmd.Context(), args, f) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.both, "set", nil, "override a key of the scenario on both sides: `key.path=value`")
	f.base.register(fl, "base", "the baseline")
	f.new.register(fl, "new", "the candidate")
	fl.StringSliceVar(&f.parts, "parts", nil, "what to measure: "+strings.Join(bench.Parts, ", ")+" (default: all; with --selftest, of A/A)")
	fl.IntVar(&f.rounds, "rounds", 0, "rounds to make (default: as many as the noise asks for)")
	fl.IntVar(&f.most, "max-rounds", bench.DefaultMost, "most rounds to make where the noise decides")
	fl.DurationVar(&f.limit, "max-time", 0, "longest a set of rounds may take where the noise decides (a second set confirms); default: no limit")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the first round")
	fl.StringVar(&f.out, "out", "", "directory of the bench's files (default: runs/<UTC time>-bench)")
	fl.StringVar(&f.plant, "plant", "", "put a regression into the candidate: handshake+10%, handshake+200us, memory, memory+BYTES, browser")
	fl.StringArrayVar(&f.authorise, "authorise", nil, "allow load on this `host`, which authorised_targets lists too")
	fl.StringArrayVar(&f.tags, "tag", nil, "label the judgement: `key=value`")
	fl.BoolVar(&f.selfTest, "selftest", false, "bench the bench: A/A must pass, planted regressions must be caught")
	fl.IntVar(&f.benches, "benches", 1, "with --selftest: benches of each kind")
	fl.StringSliceVar(&f.only, "only", nil, "with --selftest: these kinds alone (aa, handshake+10%, memory, browser)")
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
	tags, err := parseTags(f.tags)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		// A wrong scenario or override is found before anything runs; another binary may know others.
		for _, s := range []bench.Side{cfg.Base, cfg.New} {
			if _, err := loadScenario(args[0], scenario.Overrides{Set: s.Set, Authorise: f.authorise}); err != nil && s.Binary == "" {
				return err
			}
		}
	}
	dir, made, err := newDir(f.out, "bench")
	if err != nil {
		return err
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	rig := func(inside string, parts []string, base, candidate bench.Side) (bench.Rig, error) {
		inside = filepath.Join(dir, inside)
		if err := os.MkdirAll(inside, 0o700); err != nil {
			return nil, err
		}
		if len(args) == 1 {
			return &bench.Runs{Part: bench.Part{Name: "run", Scenario: args[0]}, Seed: f.seed, Run: bench.Exec(inside)}, nil
		}
		return bench.NewEdges(inside, base, candidate, f.seed, parts, f.authorise)
	}
	if f.selfTest {
		return a.selfTest(ctx, cfg, rig, dir, f)
	}
	r, err := rig("", f.parts, cfg.Base, cfg.New)
	if err != nil {
		os.RemoveAll(made) // nothing ran
		return benchError(ctx, err)
	}
	got, cut := bench.Run(ctx, cfg, r)
	if got == nil {
		return benchError(ctx, cut)
	}
	// One that was interrupted keeps and shows what it has.
	got.Report.Tags = tags
	if err := a.writeTo(filepath.Join(dir, "bench.json"), func(w io.Writer) error { return writeJSON(w, got) }); err != nil {
		return err
	}
	told := a.judge(a.out, got.Report, f.asJSON, f.asMarkdown)
	if cut != nil {
		return benchError(ctx, cut)
	}
	return told
}

// newDir makes the directory of a command that makes several runs; made is what to remove where nothing
// comes of it.
func newDir(out, what string) (dir, made string, err error) {
	if dir = out; dir == "" {
		dir = fmt.Sprintf("runs/%s-%s", time.Now().UTC().Format("20060102T150405Z"), what)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	made = dir
	for up := filepath.Dir(made); ; up = filepath.Dir(up) {
		if _, err := os.Stat(up); err == nil {
			break
		}
		made = up
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", "", usagef("--out: %v", err)
	}
	return dir, made, nil
}

// benchConfig checks what can be checked before anything runs.
func (a *app) benchConfig(f benchFlags) (cfg bench.Config, err error) {
	plant, err := bench.ParsePlant(f.plant)
	switch {
	case err != nil:
		return cfg, usagef("--plant: %v", err)
	case f.rounds < 0 || f.rounds > 200:
		return cfg, usagef("--rounds %d: allowed: 1 to 200, or 0 to let the noise decide", f.rounds)
	case f.most < 5 || f.most > 200:
		return cfg, usagef("--max-rounds %d: allowed: 5 to 200", f.most)
	case f.limit < 0:
		return cfg, usagef("--max-time %v: allowed: a duration such as 2m, or 0 for no limit", f.limit)
	case f.benches < 1 || f.benches > 1000:
		return cfg, usagef("--benches %d: allowed: 1 to 1000", f.benches)
	case !f.selfTest && (f.benches != 1 || len(f.only) > 0):
		return cfg, usagef("--benches and --only belong to --selftest")
	case f.selfTest && (f.plant != "" || f.new.given() || f.base.address != ""):
		return cfg, usagef("--selftest benches the baseline against itself: leave --plant, --base-address and --new-... out")
	case f.selfTest && f.asMarkdown:
		return cfg, usagef("--selftest prints a table or --json")
	case (f.base.address == "") != (f.new.address == ""):
		return cfg, usagef("--base-address and --new-address come together: a server that runs already is measured against another")
	case f.plant != "" && f.new.address != "":
		return cfg, usagef("--plant: nothing can be planted in a server that runs already")
	}
	for _, p := range f.parts {
		if !slices.Contains(bench.Parts, p) {
			return cfg, usagef("--parts %s; allowed: %s", p, strings.Join(bench.Parts, ", "))
		}
	}
	cfg = bench.Config{Rounds: f.rounds, Most: f.most, Limit: f.limit, Options: f.options, Plant: plant}
	if cfg.Base, err = f.base.side("base", f.both); err != nil {
		return cfg, err
	}
	if cfg.New, err = f.new.side("new", f.both); err != nil {
		return cfg, err
	}
	cfg.New.Set = plant.Set(cfg.New.Set)
	began := time.Now()
	cfg.Log = func(format string, args ...any) {
		fmt.Fprintf(a.err, "%4.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	return cfg, nil
}

// makeRig makes the rig of a bench, with its files in a directory inside that of the whole.
type makeRig func(inside string, parts []string, base, candidate bench.Side) (bench.Rig, error)

func (a *app) selfTest(ctx context.Context, cfg bench.Config, rig makeRig, dir string, f benchFlags) error {
	trials, err := bench.ChooseTrials(f.only)
	if err != nil {
		return usagef("--only: %v", err)
	}
	// Each line is there as soon as its bench has ended: a session of an hour that is cut short is not lost.
	kept, err := os.OpenFile(filepath.Join(dir, "selftest.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer kept.Close()
	list, err := bench.SelfTest(ctx, cfg, trials, f.benches, func(inside string, t bench.Trial, base, candidate bench.Side) (bench.Rig, error) {
		if t.Plant == "" {
			t.Parts = f.parts
		}
		return rig(inside, t.Parts, base, candidate)
	}, func(inside string, t bench.Trial, r *bench.Result) error {
		cfg.Log("%s", t)
		line, err := json.Marshal(t)
		if err == nil {
			_, err = kept.Write(append(line, '\n'))
		}
		if err != nil {
			return err
		}
		return a.writeTo(filepath.Join(dir, inside, "bench.json"), func(w io.Writer) error { return writeJSON(w, r) })
	})
	if err != nil && len(list) == 0 {
		return benchError(ctx, err)
	}
	var told error
	if f.asJSON {
		told = writeJSON(a.out, list)
	} else {
		told = bench.WriteTrials(a.out, list)
	}
	switch {
	case err != nil:
		return benchError(ctx, err)
	case told == nil && !bench.Good(list):
		return &exitError{code: exitFailed}
	}
	return told
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
