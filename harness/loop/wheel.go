package loop

import (
	"math/bits"
	"time"
)

// Timer is a deadline that its owner embeds; scheduling it allocates nothing. The zero value is ready.
type Timer struct {
	next, prev *Timer
	at         int64 // tick
	Owner      Expirer
}

// Expirer is told when a timer is due. The timer is no longer scheduled then and may be set again.
type Expirer interface{ Expire(t *Timer) }

// tick is the wheel's resolution: 2^20 ns, about a millisecond. A timer never fires early and at most
// one tick late while the loop keeps up.
const tickShift = 20

// The wheel has 256 slots of one tick (0.27 s), then three levels of 64 slots, each slot as long as the
// whole level below: 17 s, 18 min, 19.5 h. A longer deadline waits in the last slot and is sorted again.
const (
	slots0  = 256
	slotsN  = 64
	levels  = 4
	horizon = int64(slots0) << (6 * (levels - 1))
)

// wheel is a hierarchical timing wheel (Varghese and Lauck, 1987, scheme 7): setting and cancelling cost
// the same however many timers there are.
type wheel struct {
	cur   int64 // the tick that was expired last
	count int
	near  [slots0]Timer // heads of circular lists
	far   [levels - 1][slotsN]Timer
	used  [slots0 / 64]uint64 // which slots of near may hold timers
}

func (w *wheel) init() {
	for i := range w.near {
		w.near[i].next, w.near[i].prev = &w.near[i], &w.near[i]
	}
	for l := range w.far {
		for i := range w.far[l] {
			h := &w.far[l][i]
			h.next, h.prev = h, h
		}
	}
}

// Schedule sets t to expire at the given time of the loop, whether or not it was set before.
func (l *Loop) Schedule(t *Timer, at time.Duration) {
	l.Cancel(t)
	t.at = max(int64(at+1<<tickShift-1)>>tickShift, l.wheel.cur+1)
	l.wheel.count++
	l.wheel.place(t)
}

// Cancel unsets t; a timer that is not set stays so.
func (l *Loop) Cancel(t *Timer) {
	if t.next == nil {
		return
	}
	t.unlink()
	l.wheel.count--
}

// Scheduled says whether t is set.
func (t *Timer) Scheduled() bool { return t.next != nil }

func (t *Timer) unlink() {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
}

// place links t into the slot of its deadline.
func (w *wheel) place(t *Timer) {
	at, d := t.at, t.at-w.cur
	var head *Timer
	if d < slots0 {
		i := at & (slots0 - 1)
		head = &w.near[i]
		w.used[i>>6] |= 1 << (i & 63)
	} else {
		if d >= horizon {
			at = w.cur + horizon - 1
		}
		level, span := 0, int64(slots0)*slotsN
		for at-w.cur >= span {
			level++
			span *= slotsN
		}
		head = &w.far[level][at>>(8+6*level)&(slotsN-1)]
	}
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
}

// advance expires everything due by now.
func (w *wheel) advance(now time.Duration, l *Loop) {
	for target := int64(now) >> tickShift; w.cur < target; {
		if w.count == 0 {
			w.cur = target // every list is empty; nothing to cascade
			return
		}
		w.cur++
		if w.cur&(slots0-1) == 0 {
			w.cascade()
		}
		i := w.cur & (slots0 - 1)
		w.used[i>>6] &^= 1 << (i & 63)
		for head := &w.near[i]; head.next != head; {
			t := head.next
			t.unlink()
			w.count--
			l.refresh()
			t.Owner.Expire(t)
		}
	}
}

// cascade sorts the slots that have come within reach into the levels below.
func (w *wheel) cascade() {
	for level := range w.far {
		i := w.cur >> (8 + 6*level) & (slotsN - 1)
		for head := &w.far[level][i]; head.next != head; {
			t := head.next
			t.unlink()
			w.place(t)
		}
		if i != 0 {
			return
		}
	}
}

// next is the time at which the wheel next has something to do: a timer's deadline, or the end of the
// near level's lap, when farther timers are sorted.
func (w *wheel) next() time.Duration {
	if w.count == 0 {
		return Never
	}
	lap := w.cur | (slots0 - 1) // the last tick of this lap
	for at := w.cur + 1; at <= lap; {
		i := at & (slots0 - 1)
		if word := w.used[i>>6] >> (i & 63); word != 0 {
			return time.Duration(at+int64(bits.TrailingZeros64(word))) << tickShift
		}
		at += 64 - i&63
	}
	return time.Duration(lap+1) << tickShift
}
