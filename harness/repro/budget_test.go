package repro

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// slowFleet is a Runner in the bubble's time: a run takes its wall time, or after an interrupt its grace. It
// shows nothing.
type slowFleet struct {
	takes, grace time.Duration
	runs         int
	ended        []time.Duration // since the bubble began
	left         []time.Duration // of ctx, when each run began
}

func (f *slowFleet) run(ctx context.Context, _, _ string, _ uint64, _ []string) (*results.Run, error) {
	f.runs++
	deadline, _ := ctx.Deadline()
	f.left = append(f.left, time.Until(deadline))
	select {
	case <-time.After(f.takes):
		return &results.Run{Verdict: results.Verdict{State: results.Valid}}, nil
	case <-ctx.Done():
		time.Sleep(f.grace) // writes what it has, to the last moment
		return nil, ctx.Err()
	}
}

// ticking lets each candidate take a moment of the bubble's time.
type ticking struct{ quiet }

func (ticking) Tick(int, string, float64) { time.Sleep(400 * time.Millisecond) }

// TestBudgetIsKept: whatever the fleet does, a task ends within its budget; no run begins that what is left cannot
// hold; and what was found too late is said, with the budget that it needs.
func TestBudgetIsKept(t *testing.T) {
	refused := user("firefox", "ssl_error_inappropriate_fallback_alert")
	for _, tt := range []struct {
		why    string
		budget time.Duration
		takes  time.Duration // wall time of a run
		what   symptom.Signature
		late   bool // found, not confirmed
	}{
		{"a fleet that shows nothing, and a third recipe left", 10 * time.Second, 3500 * time.Millisecond, refused, true},
		{"too little for one run", 3 * time.Second, 3500 * time.Millisecond, refused, true},
		{"a machine on which runs take three times as long", 9 * time.Second, 20 * time.Second, refused, true},
		{"slow runs, and it learns from the first", 20 * time.Second, 8 * time.Second, refused, true},
		{"nothing is found", 10 * time.Second, 3500 * time.Millisecond, user("chrome", "ERR_NO_SUCH_ERROR_AT_ALL"), false},
	} {
		t.Run(tt.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fleet := &slowFleet{takes: tt.takes, grace: Grace(tt.budget)}
				cfg := config(t, fleet.run, tt.budget, tt.what)
				cfg.Progress = ticking{}
				began := time.Now()
				r, err := Do(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > tt.budget {
					t.Errorf("%v of a budget of %v", took, tt.budget)
				}
				for i, left := range fleet.left {
					if left < plain+usualOverhead {
						t.Errorf("run %d began with %v left", i, left)
					}
				}
				if tt.late != (r.Unconfirmed != nil) || r.Reproduced {
					t.Fatalf("after %d runs: unconfirmed %v", fleet.runs, r.Unconfirmed)
				}
				if u := r.Unconfirmed; u != nil {
					if u.Needs <= tt.budget {
						t.Errorf("%v had not been enough, and %v would be", tt.budget, u.Needs)
					}
					var page strings.Builder
					if err := r.WriteText(&page); err != nil || !strings.Contains(page.String(), fmt.Sprintf("--budget %v would do", u.Needs)) {
						t.Errorf("%v: %s", err, &page)
					}
					if _, err := os.Stat(u.Scenario); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestReadingIsPartOfTheBudget: a report that took all the time to read leaves none to search in.
func TestReadingIsPartOfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := &slowFleet{takes: time.Second}
		cfg := config(t, fleet.run, 10*time.Second, fallback)
		cfg.Began = time.Now().Add(-11 * time.Second)
		r, err := Do(t.Context(), cfg)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) || fleet.runs != 0 || r.Reproduced || !strings.Contains(strings.Join(r.Notes, " "), "reading the report took 11s") {
			t.Errorf("%v, %d runs, %v", err, fleet.runs, r)
		}
	})
}
