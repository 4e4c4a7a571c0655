package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tlsurge/harness/bench"
	"tlsurge/harness/capacity"
	"tlsurge/harness/child"
	"tlsurge/harness/scenario"
)

const capacityExample = `  tlsurge capacity my.toml
  tlsurge capacity my.toml --of requests --start 200 --max 20000
  tlsurge capacity peak-39k --set fleet.edges=1 --set fleet.set.worker_connections=1000 --start 250
  tlsurge capacity my.toml --preset rfc9411 --of handshakes --json`

type capacityFlags struct {
	of         string
	start, max float64
	precision  float64
	steps      int
	ramp, hold time.Duration
	down       time.Duration
	object     int64
	p99        time.Duration
	errors     float64
	preset     string
	out        string
	set        []string
	seed       uint64
	authorise  []string
	json       bool
}

func (a *app) capacityCmd() *cobra.Command {
	var f capacityFlags
	cmd := &cobra.Command{
		Use:   "capacity SCENARIO",
		Short: "Find the load at which users first see something, and what gave out",
		Long: `capacity makes runs of a scenario at rising loads, each a process of its own, and looks for its knees: the
latency, the errors that users see, the first false fallback (nothing was injected, and a browser lowered its
version), and the offered load that is no longer met. It halves the bracket of each, tests what it found once
more, and goes back from an overload to half the capacity to see whether the system recovers.

--preset rfc9411 takes the procedure of that document: for --of handshakes its section 7.6, for requests 7.7, for
connections 7.9, each with HTTPS and GET requests for one object (--object) whose status and length are checked; ramp up
180 s, sustain 300 s, ramp down 180 s; at most 0.001 % of transactions failed and of connections reset, and a rate within
5 % of its mean; no session resumed. --max is the test objective, of which the first step is a tenth. A search takes
hours; with shorter --ramp, --hold and --down the result says that it departs from the document.

Exit code: 0 a capacity was found and confirmed, 1 it did not hold the second time.`,
		Example: capacityExample,
		Args:    exactly(1, "one scenario"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, b := range scenario.Builtins() {
				names = append(names, b.Name+"\t"+b.Description)
			}
			return names, cobra.ShellCompDirectiveDefault
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.of, "of", string(capacity.Connections), "what is turned up: connections, handshakes or requests (per second)")
	fl.Float64Var(&f.start, "start", 0, "first load (default: a tenth of the scenario's)")
	fl.Float64Var(&f.max, "max", 0, "highest load (default: a hundred times the first)")
	fl.Float64Var(&f.precision, "precision", 0.1, "how near, as a share, the last good load must be to the first bad one")
	fl.IntVar(&f.steps, "steps", 14, "most steps to make before the testing stage")
	fl.DurationVar(&f.ramp, "ramp", 5*time.Second, "time in which a step's load comes")
	fl.DurationVar(&f.down, "down", 0, "time in which it goes again")
	fl.Int64Var(&f.object, "object", 0, "preset: `bytes` of an answer's body (default: the smallest that it has)")
	fl.DurationVar(&f.hold, "hold", 10*time.Second, "time for which it stands")
	fl.DurationVar(&f.p99, "p99", 0, "latency limit (default: five times the first step's p99, at least 20 ms)")
	fl.Float64Var(&f.errors, "errors", capacity.DefaultLimits().ErrorShare, "share of page loads or requests that may fail")
	fl.StringVar(&f.preset, "preset", "", "rfc9411: that document's phases and limits")
	fl.StringVar(&f.out, "out", "", "directory of all runs (default: runs/<UTC time>-capacity)")
	fl.StringArrayVar(&f.set, "set", nil, "override a key of the scenario: `key.path=value`")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of every run (default: the scenario's)")
	fl.StringArrayVar(&f.authorise, "authorise", nil, "allow load on this `host`, which the scenario lists too")
	fl.BoolVar(&f.json, "json", false, "print the result as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := f.config(args[0], fl.Changed)
		if err != nil {
			return err
		}
		return a.runCapacity(cmd.Context(), cfg, f.json)
	}
	return cmd
}

// config checks the flags before anything starts.
func (f *capacityFlags) config(name string, changed func(string) bool) (cfg capacity.Config, err error) {
	o := scenario.Overrides{Set: f.set, Authorise: f.authorise}
	if changed("seed") {
		o.Seed = &f.seed
	}
	sc, err := loadScenario(name, o)
	if err != nil {
		return cfg, err
	}
	var usual float64
	d := capacity.Dimension(f.of)
	switch d {
	case capacity.Connections:
		usual = float64(sc.Load.Connections)
	case capacity.Handshakes, capacity.Requests:
		usual = sc.Load.RequestRate
	default:
		return cfg, usagef("--of %q: want connections, handshakes or requests", f.of)
	}
	lim := capacity.DefaultLimits()
	preset, err := f.applyPreset(sc, d, changed)
	if err != nil {
		return cfg, err
	}
	if preset != nil {
		lim = preset.Limits
	}
	lim.P99 = f.p99
	if preset == nil || changed("errors") {
		lim.ErrorShare = f.errors
	}
	if f.start == 0 {
		f.start = max(usual/10, 10)
	}
	if f.max == 0 {
		f.max = 100 * f.start
	}
	switch {
	case f.start < 1 || f.max < f.start:
		return cfg, usagef("--start %g and --max %g: want 1 <= start <= max", f.start, f.max)
	case f.precision < 0.01 || f.precision > 0.5:
		return cfg, usagef("--precision %g: want 0.01 to 0.5", f.precision)
	case f.steps < 1 || f.steps > 100:
		return cfg, usagef("--steps %d: want 1 to 100", f.steps)
	case f.hold < 2*time.Second || f.ramp < 0 || f.down < 0:
		return cfg, usagef("--ramp %v --hold %v --down %v: want ramps that are not negative and at least 2s held", f.ramp, f.hold, f.down)
	case f.object != 0 && f.preset == "":
		return cfg, usagef("--object %d: is a preset's", f.object)
	case f.errors < 0 || f.errors > 1:
		return cfg, usagef("--errors %g: want 0 to 1", f.errors)
	}
	dir := f.out
	if dir == "" {
		dir = fmt.Sprintf("runs/%s-capacity", time.Now().UTC().Format("20060102T150405Z"))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return cfg, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return cfg, usagef("--out %s: the directory is not empty, and nothing is overwritten", f.out)
	}
	return capacity.Config{Scenario: sc, Dimension: d, Limits: lim, Ramp: f.ramp, Hold: f.hold, RampDown: f.down, Preset: preset, Dir: dir,
		Plan: capacity.Plan{Start: f.start, Max: f.max, Precision: f.precision, Steps: f.steps}}, nil
}

// applyPreset lays a published procedure over the scenario and over the times that the user did not give.
func (f *capacityFlags) applyPreset(sc *scenario.Scenario, d capacity.Dimension, changed func(string) bool) (*capacity.Preset, error) {
	switch f.preset {
	case "":
		return nil, nil
	case "rfc9411":
	default:
		return nil, usagef("--preset %q: want rfc9411", f.preset)
	}
	p, err := capacity.RFC9411(d, f.object)
	if err != nil {
		return nil, usagef("--object: %v", err)
	}
	p.Traffic(sc, d)
	for _, t := range []struct {
		flag string
		at   *time.Duration
		want time.Duration
	}{{"ramp", &f.ramp, p.Ramp}, {"hold", &f.hold, p.Hold}, {"down", &f.down, p.RampDown}} {
		if !changed(t.flag) {
			*t.at = t.want
		}
		p.Depart("--"+t.flag, *t.at, t.want)
	}
	if changed("errors") && f.errors > p.Limits.ErrorShare {
		p.Departures = append(p.Departures, fmt.Sprintf("--errors %g, the document has %g", f.errors, p.Limits.ErrorShare))
	}
	if f.max > 0 && f.start == 0 {
		f.start = max(f.max/10, 1)
	}
	return p, nil
}

func (a *app) runCapacity(ctx context.Context, cfg capacity.Config, asJSON bool) error {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	cfg.Log = func(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }
	r, err := capacity.Search(ctx, cfg, bench.Exec(cfg.Dir))
	var failed *child.Error
	if errors.As(err, &failed) {
		return &exitError{code: failed.Code, text: failed.Text}
	}
	if err != nil {
		return err
	}
	if asJSON {
		err = writeJSON(a.out, r)
	} else {
		err = tellCapacity(a.out, r)
	}
	if err == nil && !r.Confirmed {
		err = &exitError{code: exitFailed}
	}
	return err
}

// tellCapacity prints what a person asks: how much, what happens first, why, and the way back.
func tellCapacity(out io.Writer, r *capacity.Result) error {
	unit := map[capacity.Dimension]string{capacity.Connections: "connections held", capacity.Handshakes: "handshakes/s", capacity.Requests: "requests/s"}[r.Dimension]
	word := "confirmed by a run of its own"
	if !r.Confirmed {
		word = "not confirmed: it did not hold a second time"
	}
	fmt.Fprintf(out, "\nCapacity: %.0f %s, %s\n\n", r.Capacity, unit, word)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range r.Knees {
		if k.Bad == 0 {
			fmt.Fprintf(w, "%s\tnot reached\n", k.Knee)
		} else {
			fmt.Fprintf(w, "%s\tgood up to %.0f\tbad at %.0f\n", k.Knee, k.Good, k.Bad)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.Culprits) > 0 {
		fmt.Fprintf(out, "\nWhat gave out first: %s\n", r.Culprits[0].What)
		for _, c := range r.Culprits {
			fmt.Fprintf(out, "  %s = %g\n", c.Counter, c.Value)
		}
	} else if r.Capacity > 0 && len(r.Steps) > 0 {
		fmt.Fprintln(out, "\nNo counter shows what gave out first.")
	}
	if rec := r.Recovery; rec != nil {
		tellRecovery(out, r, rec)
	}
	if p := r.Preset; p != nil {
		fmt.Fprintf(out, "\nRFC 9411, section %s, objects of %d bytes; negotiated: %s\n", p.Section, p.Object, strings.Join(p.Suites, ", "))
		for _, d := range p.Departures {
			fmt.Fprintf(out, "  departs from the document: %s\n", d)
		}
	}
	return nil
}

// tellRecovery shows the way down beside the way up: where it is good on the way up and bad on the way down, the
// system remembers its overload.
func tellRecovery(out io.Writer, r *capacity.Result, rec *capacity.Recovery) {
	fmt.Fprintf(out, "\nAfter an overload of %.0f, down on the same fleet:\n", rec.Over)
	for _, d := range rec.Down {
		word := "good"
		if !d.Good {
			word = "not good"
		}
		fmt.Fprintf(out, "  %.0f\t%s, p99 %v\n", d.Load, word, d.P99.Round(10*time.Microsecond))
	}
	switch {
	case !rec.Recovered:
		fmt.Fprintln(out, "  not recovered by the end of the run")
	case rec.GoodFrom < r.Capacity:
		fmt.Fprintf(out, "  recovered after %v; hysteresis: good again from %.0f down, on the way up good up to %.0f\n", rec.After.Round(100*time.Millisecond), rec.GoodFrom, r.Capacity)
	default:
		fmt.Fprintf(out, "  recovered after %v; no hysteresis\n", rec.After.Round(100*time.Millisecond))
	}
}
