package loop

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// expirer notes the ticks at which its timer fired.
type expirer struct {
	l     *Loop
	fired []int64
	t     Timer
}

func (e *expirer) Expire(*Timer) { e.fired = append(e.fired, e.l.wheel.cur) }

const tick = time.Duration(1 << tickShift)

// sleep moves the wheel to a tick the way the loop does: waking only when next says so.
func (l *Loop) sleep(to int64) (wakes int) {
	for l.wheel.cur < to {
		next := min(l.wheel.next(), time.Duration(to)*tick)
		l.wheel.advance(next, l)
		wakes++
	}
	return wakes
}

// The law: a timer fires exactly once, in the first tick that is not before its time, whatever else is
// set, moved or cancelled, and however rarely the loop wakes.
func TestTimersFireInTheirTick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Loop{origin: time.Now()}
		l.wheel.init()
		delay := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(0, 20_000), rapid.Int64Range(0, 1_200_000))
		type set struct {
			e    *expirer
			want int64 // tick; -1 for cancelled
		}
		var all []*set
		schedule := func(s *set, ticks, ns int64) {
			at := time.Duration(l.wheel.cur+ticks)*tick + time.Duration(ns)
			s.want = l.wheel.cur + ticks
			if ns > 0 {
				s.want++
			}
			s.want = max(s.want, l.wheel.cur+1)
			l.Schedule(&s.e.t, at)
		}
		for range rapid.IntRange(1, 20).Draw(t, "timers") {
			s := &set{e: &expirer{l: l}}
			s.e.t.Owner = s.e
			schedule(s, delay.Draw(t, "ticks"), rapid.Int64Range(0, int64(tick)-1).Draw(t, "ns"))
			switch rapid.IntRange(0, 4).Draw(t, "then") {
			case 0:
				l.Cancel(&s.e.t)
				s.want = -1
			case 1:
				schedule(s, delay.Draw(t, "again"), 0)
			}
			all = append(all, s)
			if rapid.Bool().Draw(t, "move") {
				l.sleep(l.wheel.cur + rapid.Int64Range(0, 400).Draw(t, "by"))
			}
		}
		l.sleep(l.wheel.cur + 1_300_000)
		for i, s := range all {
			switch {
			case s.want < 0 && len(s.e.fired) > 0:
				t.Fatalf("timer %d was cancelled and fired", i)
			case s.want >= 0 && (len(s.e.fired) != 1 || s.e.fired[0] != s.want):
				t.Fatalf("timer %d for tick %d fired in %v", i, s.want, s.e.fired)
			}
		}
		if l.wheel.count != 0 {
			t.Fatalf("%d timers left", l.wheel.count)
		}
	})
}

// An idle wheel lets the loop sleep: a far timer costs a wake per lap of the near level, no more.
func TestFarTimersCostFewWakes(t *testing.T) {
	l := &Loop{origin: time.Now()}
	l.wheel.init()
	if l.wheel.next() != Never {
		t.Error("an empty wheel wants to be woken")
	}
	e := &expirer{l: l}
	e.t.Owner = e
	l.Schedule(&e.t, 60_000*tick)
	if n := l.sleep(60_000); n > 60_000/slots0+2 {
		t.Errorf("%d wakes for one timer in a minute", n)
	}
	if len(e.fired) != 1 {
		t.Errorf("fired %d times", len(e.fired))
	}
}

// A deadline beyond the wheel's horizon is kept all the same.
func TestBeyondTheHorizon(t *testing.T) {
	l := &Loop{origin: time.Now()}
	l.wheel.init()
	l.sleep(12_345)
	e := &expirer{l: l}
	e.t.Owner = e
	want := horizon + 500_000
	l.Schedule(&e.t, time.Duration(want)*tick)
	l.sleep(want + 10)
	if len(e.fired) != 1 || e.fired[0] != want {
		t.Errorf("fired in %v, want %d", e.fired, want)
	}
}

func BenchmarkSchedule(b *testing.B) {
	l := &Loop{origin: time.Now()}
	l.wheel.init()
	timers := make([]Timer, 100_000)
	for i := range timers {
		l.Schedule(&timers[i], time.Duration(i)*tick)
	}
	b.ReportAllocs()
	for i := range b.N {
		l.Schedule(&timers[i%len(timers)], time.Duration(i%60_000)*tick)
	}
}
