package bench

import (
	"context"
	"fmt"
	"io"
	"strings"

	"tlsurge/results/compare"
)

// Trial is one line of the self-test: what was planted, what should come of it, what did.
type Trial struct {
	Plant  string           `json:"plant"` // empty: A/A
	Want   compare.Decision `json:"want"`  // Regressed, or anything else for A/A
	Metric string           `json:"metric"`
	Got    compare.Decision `json:"got"`
	Rounds int              `json:"rounds"`
	Change float64          `json:"change"` // of Metric
	Blamed []string         `json:"blamed"`
	Pass   bool             `json:"pass"`
}

// trials are what the self-test plants, and the metric that must be blamed for it.
var trials = []Trial{
	{Plant: "", Metric: "cpu_per_full_handshake"},
	{Plant: "handshake+10%", Want: compare.Regressed, Metric: "cpu_per_full_handshake"},
	{Plant: "memory", Want: compare.Regressed, Metric: "memory_at_peak"},
	{Plant: "browser", Want: compare.Regressed, Metric: PartFull + ".users.saw_error[android-4.2.2]"},
}

// SelfTest benches the baseline against itself, and against itself with each regression planted. It
// proves the bench on the machine that it is about to judge on.
func SelfTest(ctx context.Context, cfg Config, run func(trial string) Runner) ([]Trial, error) {
	var done []Trial
	for i, t := range trials {
		plant, err := ParsePlant(t.Plant)
		if err != nil {
			return done, err
		}
		c := cfg
		c.Plant, c.Seed = plant, cfg.Seed+uint64(1000*i)
		c.New = Side{Name: "new", Binary: cfg.Base.Binary, Set: cfg.Base.Set}
		cfg.Log("self-test %d of %d: %s", i+1, len(trials), t.name())
		r, err := Run(ctx, c, run(fmt.Sprintf("trial-%d", i+1)))
		if err != nil {
			return done, err
		}
		t.Got, t.Rounds, t.Blamed = r.Report.Decision, r.Rounds, []string{}
		for _, row := range r.Report.Rows {
			if row.Name == t.Metric {
				t.Change = row.Effect.Estimate
			}
			if row.Decision == compare.Regressed {
				t.Blamed = append(t.Blamed, row.Name)
			}
		}
		t.Pass = t.passed()
		done = append(done, t)
	}
	return done, nil
}

func (t Trial) name() string {
	if t.Plant == "" {
		return "A/A"
	}
	return t.Plant
}

// passed: an A/A bench blames nothing; a planted regression is blamed on the metric it was planted in.
func (t Trial) passed() bool {
	if t.Want != compare.Regressed {
		return t.Got != compare.Regressed
	}
	for _, m := range t.Blamed {
		if m == t.Metric {
			return true
		}
	}
	return false
}

// WriteTrials writes the self-test as a table.
func WriteTrials(w io.Writer, list []Trial) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-15s %-10s %7s %8s  %-5s %s\n", "planted", "decision", "rounds", "change", "pass", "blamed")
	for _, t := range list {
		pass := "pass"
		if !t.Pass {
			pass = "FAIL"
		}
		fmt.Fprintf(&b, "%-15s %-10s %7d %+7.1f%%  %-5s %s\n", t.name(), t.Got, t.Rounds, 100*t.Change, pass, strings.Join(t.Blamed, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
