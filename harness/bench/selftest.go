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
	Parts     []string         `json:"parts,omitempty"` // in which it shows; none: all
	Got       compare.Decision `json:"got"`             // on Metric; of an A/A bench, on all
	Rounds    int              `json:"rounds"`
	Confirmed bool             `json:"confirmed"`
	Change    float64          `json:"change"` // of Metric
	Why       string           `json:"why"`
	Blamed    []string         `json:"blamed"`
	Outcome   Outcome          `json:"outcome"`
	TookNs    int64            `json:"took_ns"`
}

// Outcome is what a bench is worth, held against what was planted.
type Outcome string

const (
	Pass Outcome = "pass"
	Fail Outcome = "FAIL"
	// NotJudged: the bench said that it cannot tell a planted share of processor time on this machine, and
	// how many rounds would do. It is honest, and it is no catch.
	NotJudged Outcome = "not judged"
)

// Trials are what the self-test plants, and the metric that must be blamed for it.
func Trials() []Trial {
	return []Trial{
		{Plant: "", Metric: "cpu_per_full_handshake"},
		{Plant: "handshake+10%", Want: compare.Regressed, Metric: "cpu_per_full_handshake", Parts: []string{"full"}},
		{Plant: "memory", Want: compare.Regressed, Metric: "memory_per_connection", Parts: []string{"memory"}},
		{Plant: "browser", Want: compare.Regressed, Metric: "users.saw_error[android-4.2.2]", Parts: []string{"full"}},
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
// of a trial, for sides that may carry a plant; tell gets each trial as it ends, with what it rests on.
func SelfTest(ctx context.Context, cfg Config, trials []Trial, benches int, rig func(dir string, t Trial, base, candidate Side) (Rig, error), tell func(dir string, t Trial, r *Result) error) ([]Trial, error) {
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
			dir := fmt.Sprintf("trial-%03d", len(done)+1)
			r, err := rig(dir, t, c.Base, c.New)
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
			done = append(done, t)
			if err := tell(dir, t, got); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// judge holds a bench against what should have come of it.
func (t *Trial) judge(r *Result) {
	t.Got, t.Rounds, t.Confirmed, t.Blamed = r.Report.Decision, r.Rounds, r.Confirmed, []string{}
	for _, row := range r.Report.Rows {
		if row.Name == t.Metric {
			t.Change, t.Why = row.Effect.Estimate, row.Why
			if t.Plant != "" {
				t.Got = row.Decision
			}
		}
		if row.Decision == compare.Regressed {
			t.Blamed = append(t.Blamed, row.Name)
		}
	}
	t.Outcome = t.outcome()
}

// String is a trial that has ended, in a line.
func (t Trial) String() string {
	return fmt.Sprintf("%s: %s, %+.1f%%, %d rounds: %s", t.name(), t.Got, 100*t.Change, t.Rounds, t.Outcome)
}

func (t Trial) name() string {
	if t.Plant == "" {
		return "A/A"
	}
	return t.Plant
}

// outcome: an A/A bench blames nothing; a planted regression is blamed on the metric it was planted in.
// Whether a share of processor time can be told from noise depends on what else the machine does, so there
// an honest "unsure" is not a mistake; everything else that was planted towers above any noise.
func (t Trial) outcome() Outcome {
	switch {
	case t.Plant == "" && t.Got != compare.Regressed, t.Plant != "" && slices.Contains(t.Blamed, t.Metric):
		return Pass
	case strings.HasPrefix(t.Plant, "handshake") && t.Got == compare.Unsure:
		return NotJudged
	}
	return Fail
}

// WriteTrials writes the self-test as a table: each bench where there are few, and how many passed of
// each kind.
func WriteTrials(w io.Writer, list []Trial) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-15s %-10s %7s %8s %6s  %-10s %s\n", "planted", "decision", "rounds", "change", "took", "outcome", "blamed")
	for _, t := range list {
		blamed := strings.Join(t.Blamed, ", ")
		if t.Outcome == NotJudged {
			blamed = t.Why
		}
		fmt.Fprintf(&b, "%-15s %-10s %7d %+7.1f%% %5.0fs  %-10s %s\n", t.name(), t.Got, t.Rounds, 100*t.Change, time.Duration(t.TookNs).Seconds(), t.Outcome, blamed)
	}
	b.WriteByte('\n')
	for _, kind := range Trials() {
		n := map[Outcome]int{}
		for _, t := range list {
			if t.Plant == kind.Plant {
				n[t.Outcome]++
			}
		}
		made := n[Pass] + n[Fail] + n[NotJudged]
		switch {
		case made == 0:
		case kind.Plant == "":
			fmt.Fprintf(&b, "A/A: %d false alarms in %d benches\n", n[Fail], made)
		case n[NotJudged] > 0:
			fmt.Fprintf(&b, "%s: caught in %d of %d, not judged in %d\n", kind.Plant, n[Pass], made, n[NotJudged])
		default:
			fmt.Fprintf(&b, "%s: caught in %d of %d\n", kind.Plant, n[Pass], made)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// enough is from how many benches of a kind on they are held to a share.
const enough = 15

// Good says whether the benches are as good as promised: of thirty, one false alarm and two missed are
// chance (a planted browser is never missed), and one that was not judged is missed. Of fewer than fifteen
// every wrong one counts, and one that was not judged says something of the machine only.
func Good(list []Trial) bool {
	wrong, made := map[string]int{}, map[string]int{}
	for _, t := range list {
		made[t.Plant]++
	}
	for _, t := range list {
		if t.Outcome == Fail || t.Outcome == NotJudged && made[t.Plant] >= enough {
			wrong[t.Plant]++
		}
	}
	for plant, n := range wrong {
		allowed := made[plant] / enough
		switch plant {
		case "":
			allowed = made[plant] / (2 * enough)
		case "browser":
			allowed = 0
		}
		if n > allowed {
			return false
		}
	}
	return true
}
