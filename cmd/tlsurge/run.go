package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/faults"
	"tlsurge/faults/explain"
	"tlsurge/harness"
	"tlsurge/harness/cases"
	"tlsurge/harness/cluster"
	"tlsurge/harness/fleet/sandbox"
	"tlsurge/harness/scenario"
	"tlsurge/results"
	"tlsurge/results/compare"
	"tlsurge/results/report"
)

const runExample = `  tlsurge run                                    the January 2015 story in three acts
  tlsurge run january-2015 --no-faults           the same population on an undamaged network
  tlsurge run january-2015 --only-fault reset-first-handshake
  tlsurge run my.toml --seed 7 --set load.connections=5000 --set faults.cut.probability=0.1
  tlsurge run my.toml --capture                  packets, keys and a timeline in RUNDIR/evidence
  tlsurge run case:thread-no-cypher-overlap      a report of the library (tlsurge repro --list)
  tlsurge run my.toml --json | jq .users`

type runFlags struct {
	metrics         string
	linger          time.Duration
	tags            []string
	keepGoing       bool
	history         string
	out             string
	seed            uint64
	set             []string
	onlyFault       string
	noFaults        bool
	authorise       []string
	quiet, json, ls bool
	dry, capture    bool
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:     "run [SCENARIO]",
		Short:   "Run a scenario: a built-in name, case:NAME or a TOML file (default: january-2015)",
		Example: runExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("tlsurge run takes one scenario, seen: %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, b := range scenario.Builtins() {
				names = append(names, b.Name+"\t"+b.Description)
			}
			for _, c := range cases.All() {
				names = append(names, cases.Prefix+c.Name+"\t"+c.Title)
			}
			return names, cobra.ShellCompDirectiveDefault
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "", "directory of the run's files (default: runs/<UTC time>-<name>)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of all choices (default: the scenario's)")
	fl.StringArrayVar(&f.set, "set", nil, "override a key: `key.path=value`, as load.connections=500 or faults.NAME.times=2")
	fl.StringVar(&f.onlyFault, "only-fault", "", "keep this fault alone")
	fl.BoolVar(&f.noFaults, "no-faults", false, "inject nothing")
	fl.StringArrayVar(&f.authorise, "authorise", nil, "allow load on this `host`, which the scenario lists too")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress, no report: the exit code and the run's files only")
	fl.BoolVar(&f.json, "json", false, "print run.json on standard output")
	fl.BoolVar(&f.capture, "capture", false, "record both ends' packets with keys and comments in evidence/ (as run.capture = true)")
	fl.StringVar(&f.metrics, "metrics", "", "`address` where /metrics answers in Prometheus's format while the run lasts, as 127.0.0.1:9100")
	fl.DurationVar(&f.linger, "metrics-linger", 15*time.Second, "how long the result waits there for a last scrape")
	fl.StringArrayVar(&f.tags, "tag", nil, "label the run in every form of its report: `key=value`")
	fl.StringVar(&f.history, "history", "", "add the run's metrics to this `file`, for compare --history")
	fl.BoolVar(&f.keepGoing, "keep-going", false, "play to the end although a threshold can hold no more")
	fl.BoolVar(&f.dry, "dry-run", false, "validate, say what each rule would do, and start nothing")
	fl.BoolVar(&f.ls, "list", false, "list the built-in scenarios")
	_ = cmd.RegisterFlagCompletionFunc("only-fault", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return ruleNames(scenarioOf(args))
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.ls {
			return a.listScenarios(f.json)
		}
		o := scenario.Overrides{Set: f.set, OnlyFault: f.onlyFault, NoFaults: f.noFaults, Authorise: f.authorise}
		if f.capture {
			o.Set = append(o.Set, "run.capture=true")
		}
		if fl.Changed("seed") {
			o.Seed = &f.seed
		}
		return a.runScenario(cmd.Context(), scenarioOf(args), o, f)
	}
	return cmd
}

// scenarioOf is the scenario that a command line names.
func scenarioOf(args []string) string {
	if len(args) == 0 {
		return "january-2015"
	}
	return args[0]
}

func (a *app) listScenarios(asJSON bool) error {
	if asJSON {
		return writeJSON(a.out, scenario.Builtins())
	}
	for _, b := range scenario.Builtins() {
		fmt.Fprintf(a.out, "%-16s %s\n", b.Name, b.Description)
	}
	return nil
}

// runScenario validates, moves into the sandbox, runs, and tells.
func (a *app) runScenario(ctx context.Context, name string, o scenario.Overrides, f runFlags) error {
	sc, err := loadScenario(name, o)
	if err != nil {
		return err
	}
	if f.dry {
		return a.dryRun(sc)
	}
	tags, err := parseTags(f.tags)
	if err != nil {
		return err
	}
	sc.Tags = merged(sc.Tags, tags)
	scrape, err := listenForScrapes(f.metrics)
	if err != nil {
		return err
	}
	place, done, code, err := sandbox.Enter(need(sc))
	if err != nil {
		return err
	}
	if done { // the run happened inside; only its exit code is left to hand on
		return codeOnly(code)
	}
	joinSecrets, err := joinSecretsFromEnv()
	if err != nil {
		return err
	}
	started := time.Now().UTC()
	dir := f.out
	if dir == "" {
		dir = fmt.Sprintf("runs/%s-%s", started.Format("20060102T150405Z"), sc.Name)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	ctx, cancel := interruptible(ctx, filepath.Join(abs, cluster.Socket))
	defer cancel()
	if scrape != nil {
		fmt.Fprintf(a.err, "metrics at http://%s/metrics\n", scrape.Addr())
	}
	progress := newProgress(a.err, f.quiet || f.json)
	run, err := harness.Run(ctx, sc, harness.Options{Dir: abs, Started: started, Place: place, Progress: progress, ToolVersion: version(),
		Token: joinSecrets.token, ClusterCA: joinSecrets.ca, Metrics: scrape, Linger: f.linger, KeepGoing: f.keepGoing})
	progress.Done()
	if run != nil {
		if err := a.tell(run, name, dir, f); err != nil {
			return err
		}
	}
	if run != nil && f.history != "" {
		if err := compare.AppendHistory(f.history, run); err != nil {
			return usagef("--history: %v; the run is in %s", err, dir)
		}
	}
	if run == nil && ctx.Err() != nil {
		return &exitError{exitInvalid, "interrupted before the run began"}
	}
	if run == nil {
		return err
	}
	if err != nil && run.Verdict.State == results.Invalid {
		// A full disk, say: the verdict names it, and the run ends with the code of a run cut short.
		return &exitError{exitInvalid, oneLine(err)}
	}
	return errors.Join(err, verdictError(run))
}

// rulesInWords names an act's rules, or says that it has none.
func rulesInWords(names []string) string {
	if len(names) == 0 {
		return "no rules"
	}
	return "rules: " + strings.Join(names, ", ")
}

// oneLine is a joined error as one line, each part once: everyone who writes to a full disk finds it full.
func oneLine(err error) string {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(parts, line) {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

// dryRun says what a run of the scenario would do.
func (a *app) dryRun(sc *scenario.Scenario) error {
	if err := harness.CheckKernel(sc.Kernel); err != nil {
		return err
	}
	for _, p := range sc.Phases {
		fmt.Fprintf(a.out, "%s: %v, %d connections, %s\n", p.Name, time.Duration(p.Duration), sc.Load.Connections, rulesInWords(p.Faults))
	}
	for _, f := range sc.Faults {
		text, err := explain.Rule(f.Rule)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "\n%s", text)
	}
	return nil
}

// need is what the scenario asks of its surroundings.
func need(sc *scenario.Scenario) sandbox.Need {
	n := sandbox.Need{OwnNet: sc.Run.Netns == "own",
		Outside: sc.Target != nil || sc.Run.Netns == "caller" || sc.Run.Listen != "" || sc.Run.NATS != ""}
	// A capture wants a namespace without strangers, where everybody may capture.
	n.OwnNet = n.OwnNet || sc.Run.Capture && !n.Outside
	for _, p := range sc.Phases {
		for i := range p.Rules {
			for _, c := range faults.Requires(&p.Rules[i]) {
				n.Filters = n.Filters || c == faults.NetAdmin
				n.OwnNet = n.OwnNet || c == faults.OwnNamespaces
			}
		}
	}
	return n
}

// interruptible ends the run early on the first interrupt, with its results written, and ends the
// program on the second, which leaves none of the given files behind.
func interruptible(ctx context.Context, leftovers ...string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-ch:
			cancel()
		case <-ctx.Done():
		}
		<-ch
		for _, f := range leftovers {
			os.Remove(f)
		}
		os.Exit(exitInvalid)
	}()
	return ctx, cancel
}

func (a *app) tell(run *results.Run, name, dir string, f runFlags) error {
	switch {
	case f.quiet:
		return nil
	case f.json:
		return writeJSON(a.out, run)
	}
	err := report.WriteText(a.out, run, report.Options{Color: movesCursor(a.out) && os.Getenv("NO_COLOR") == "", Width: terminalWidth(a.out), Dir: dir})
	return errors.Join(err, tellCase(a.out, name, run))
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// codeOnly is an exit code whose words were said already.
func codeOnly(code int) error {
	if code == exitGood {
		return nil
	}
	return &exitError{code: code}
}
