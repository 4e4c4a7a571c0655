package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tlsurge/results/compare"
)

// Trial is one line of the self-test: what was planted, what should come of it, what did.
type Trial struct {
	Plant     string           `json:"plant"` // empty: A/A
	Want      compare.Decision `json:"want"`  // Regressed, or anything else for A/A
	Metric    string           `json:"metric"`
	Got       compare.Decision `json:"got"`
	Rounds    int              `json:"rounds"`
	Confirmed bool             `json:"confirmed"`
	Change    float64          `json:"change"` // of Metric
	Blamed    []string         `json:"blamed"`
	Pass      bool             `json:"pass"`
	TookNs    int64            `json:"took_ns"`
}

// Trials are what the self-test plants, and the metric that must be blamed for it.
func Trials() []Trial {
	return []Trial{
		{Plant: "", Metric: "cpu_per_full_handshake"},
		{Plant: "handshake+10%", Want: compare.Regressed, Metric: "cpu_per_full_handshake"},
		{Plant: "memory", Want: compare.Regressed, Metric: "memory_per_connection"},
		{Plant: "browser", Want: compare.Regressed, Metric: "users.saw_error[android-4.2.2]"},
	}
}

// ChooseTrials takes the trials of some kinds: "aa" or a plant. None is all.
func ChooseTrials(kinds []string) ([]Trial, error) {
	if len(kinds) == 0 {
		return Trials(), nil
	}
	var list []Trial
	for _, k := range kinds {
		i := slices.IndexFunc(Trials(), func(t Trial) bool { return t.Plant == k || t.Plant == "" && k == "aa" })
		if i < 0 {
			return nil, fmt.Errorf("%q; allowed: aa, handshake+10%%, memory, browser", k)
		}
		list = append(list, Trials()[i])
	}
	return list, nil
}

// SelfTest benches the baseline against itself, and against itself with each regression planted, in turn,
// so many times each. It proves the bench on the machine that it is about to judge on. rig makes the rig
// of a trial, for sides that may carry a plant.
func SelfTest(ctx context.Context, cfg Config, trials []Trial, benches int, rig func(trial string, base, candidate Side) (Rig, error)) ([]Trial, error) {
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	var done []Trial
	for range benches {
		for _, t := range trials {
			plant, err := ParsePlant(t.Plant)
			if err != nil {
				return done, err
			}
			c := cfg
			c.Plant = plant
			c.New = Side{Name: "new", Binary: cfg.Base.Binary, Set: plant.Set(cfg.Base.Set)}
			cfg.Log("bench %d of %d: %s", len(done)+1, benches*len(trials), t.name())
			r, err := rig(fmt.Sprintf("trial-%03d", len(done)+1), c.Base, c.New)
			if err != nil {
				return done, err
			}
			began := time.Now()
			got, err := Run(ctx, c, r)
			if err != nil {
				return done, err
			}
			t.judge(got)
			t.TookNs = int64(time.Since(began))
			cfg.Log("%s: %s, %+.1f%%, %d rounds", t.name(), t.Got, 100*t.Change, t.Rounds)
			done = append(done, t)
		}
	}
	return done, nil
}

// judge holds a bench against what should have come of it.
func (t *Trial) judge(r *Result) {
	t.Got, t.Rounds, t.Confirmed, t.Blamed = r.Report.Decision, r.Rounds, r.Confirmed, []string{}
	for _, row := range r.Report.Rows {
		if row.Name == t.Metric {
			t.Change = row.Effect.Estimate
		}
		if row.Decision == compare.Regressed {
			t.Blamed = append(t.Blamed, row.Name)
		}
	}
	t.Pass = t.passed()
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

// WriteTrials writes the self-test as a table: each bench where there are few, and how many passed of
// each kind.
func WriteTrials(w io.Writer, list []Trial) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-15s %-10s %7s %8s %6s  %-5s %s\n", "planted", "decision", "rounds", "change", "took", "pass", "blamed")
	for _, t := range list {
		pass := "pass"
		if !t.Pass {
			pass = "FAIL"
		}
		fmt.Fprintf(&b, "%-15s %-10s %7d %+7.1f%% %5.0fs  %-5s %s\n", t.name(), t.Got, t.Rounds, 100*t.Change, time.Duration(t.TookNs).Seconds(), pass, strings.Join(t.Blamed, ", "))
	}
	b.WriteByte('\n')
	for _, kind := range Trials() {
		made, passed := 0, 0
		for _, t := range list {
			if t.Plant == kind.Plant {
				made++
				if t.Pass {
					passed++
				}
			}
		}
		if made == 0 {
			continue
		}
		if kind.Plant == "" {
			fmt.Fprintf(&b, "A/A: %d false alarms in %d benches\n", made-passed, made)
		} else {
			fmt.Fprintf(&b, "%s: caught in %d of %d\n", kind.Plant, passed, made)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Good says whether the benches are as good as promised: of thirty, one false alarm and two missed are
// chance (a planted browser is never missed); of fewer than fifteen, every one counts.
func Good(list []Trial) bool {
	wrong, made := map[string]int{}, map[string]int{}
	for _, t := range list {
		made[t.Plant]++
		if !t.Pass {
			wrong[t.Plant]++
		}
	}
	for plant, n := range wrong {
		allowed := made[plant] / 15
		switch plant {
		case "":
			allowed = made[plant] / 30
		case "browser":
			allowed = 0
		}
		if n > allowed {
			return false
		}
	}
	return true
}
