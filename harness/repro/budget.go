package repro

import (
	"context"
	"fmt"
	"math"
	"time"
)

// budget is the time that a task may take, of which each part asks before it begins.
//
// A run on the fleet cannot be stopped at once: interrupted, it writes what it has. So the last tenth is kept for
// that (Grace), and nothing else may use it.
type budget struct {
	began time.Time
	total time.Duration
	now   func() time.Time
	// overhead is what a run takes besides its own duration: the most that was seen, so that a busy machine is
	// planned for as it is.
	overhead time.Duration
}

// usualOverhead is that of a run on a machine with something else to do: processes that start, keys that are made,
// a barrier, packets that are written.
const usualOverhead = 1500 * time.Millisecond

// Grace is how long a run may take to end after an interrupt, in a task of this budget.
func Grace(total time.Duration) time.Duration {
	return min(max(total/10, 200*time.Millisecond), time.Second)
}

func newBudget(began time.Time, total time.Duration, now func() time.Time) *budget {
	return &budget{began: began, total: total, now: now, overhead: usualOverhead}
}

// left is how much there is for work.
func (b *budget) left() time.Duration { return b.total - Grace(b.total) - b.used() }

func (b *budget) used() time.Duration { return b.now().Sub(b.began) }

// share is how much of it is used, 0 to 1.
func (b *budget) share() float64 { return min(1, float64(b.used())/float64(b.total-Grace(b.total))) }

// context ends when the time for work does.
func (b *budget) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.left())
}

// costs is what a run of a scenario of the duration takes.
func (b *budget) costs(duration time.Duration) time.Duration { return duration + b.overhead }

// learn notes what a run took.
func (b *budget) learn(duration, wall time.Duration) {
	b.overhead = max(b.overhead, wall-duration)
}

// enough is the budget that would have had room for need more, in round figures.
func (b *budget) enough(need time.Duration) time.Duration {
	seconds := (b.used() + need).Seconds() / 0.9 // Grace
	step := 1.0
	if seconds > 20 {
		step = 10
	}
	return time.Duration(math.Ceil((seconds+0.5)/step)*step) * time.Second
}

// Unconfirmed is a recipe that shows the report in memory and found no time on the fleet.
type Unconfirmed struct {
	Recipe   string        `json:"recipe"`
	Cause    string        `json:"cause"`
	Scenario string        `json:"scenario"`
	Needs    time.Duration `json:"needs_budget_ns"`
	More     int           `json:"more"` // further recipes like it
}

func (u *Unconfirmed) String() string {
	s := fmt.Sprintf("%s. It needs more time on the fleet than was left: --budget %v would do", u.Recipe, u.Needs)
	if u.More > 0 {
		s += fmt.Sprintf(" (%d more were found)", u.More)
	}
	return s + "."
}
