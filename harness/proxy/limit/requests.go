// Package limit counts what clients do by a key: requests a second (limit_req) and requests at a time (limit_conn), with
// nginx's arithmetic.
//
// It has no clock and writes no logs: the time is an argument, and what a refusal looks like is harness/proxy/site's.
package limit

import (
	"container/list"
	"sync"
	"time"
)

// Thousand is one request: excess is counted in thousandths of it.
const Thousand = 1000

// MaxRate is the highest rate, in requests a second.
const MaxRate = 1_000_000

// Requests is a zone of limit_req_zone: a leaky bucket for each key. The longest unused are forgotten when its memory is full.
type Requests struct {
	Name string
	Rate int64 // thousandths of a request a second
	*buckets
}

// buckets are a zone's memory, which outlives a reload.
type buckets struct {
	mu     sync.Mutex
	memory memory
	states map[string]*list.Element
	used   list.List // of *bucket, the last used first
}

type bucket struct {
	key    string
	excess int64
	last   int64 // milliseconds
	held   int   // requests that are between their two looks at it
}

// NewRequests makes a zone of so many bytes.
func NewRequests(name string, size, rate int64) *Requests {
	return &Requests{name, rate, &buckets{memory: memory{size: size, state: 128}, states: map[string]*list.Element{}}}
}

// RequestLimit is one limit_req.
type RequestLimit struct {
	Zone         *Requests
	Burst, Delay int64 // thousandths of a request; beyond Delay they wait
}

// Verdict is what the limits say of a request.
type Verdict struct {
	Busy   bool // too many: refuse it
	Wait   time.Duration
	Excess int64  // thousandths, of the zone that decided
	Zone   string // which that was
}

// Take asks every limit about one request, whose key for each is in keys; a limit with an empty key is passed over. A request
// that one refuses counts in none.
func Take(now time.Time, limits []RequestLimit, keys []string) (v Verdict, applied bool) {
	ms := now.UnixMilli()
	held := make([]*bucket, len(limits))
	var wait int64
	for i, l := range limits {
		if keys[i] == "" {
			continue
		}
		applied = true
		last := i == len(limits)-1
		b, excess, ok := l.Zone.look(ms, keys[i], l.Burst, last)
		if !ok {
			for j, b := range held {
				limits[j].Zone.letGo(b)
			}
			return Verdict{Busy: true, Excess: excess, Zone: l.Zone.Name}, true
		}
		held[i] = b
		if last && excess > l.Delay {
			wait = (excess - l.Delay) * 1000 / l.Zone.Rate
			v = Verdict{Excess: excess, Zone: l.Zone.Name}
		}
	}
	for i := len(limits) - 1; i >= 0; i-- {
		l := limits[i]
		excess := l.Zone.charge(ms, held[i])
		if w := (excess - l.Delay) * 1000 / l.Zone.Rate; excess > l.Delay && w > wait {
			wait, v = w, Verdict{Excess: excess, Zone: l.Zone.Name}
		}
	}
	v.Wait = time.Duration(wait) * time.Millisecond
	return v, applied
}

// look computes what a request would make of its bucket. charge: it counts at once; else the bucket is held until charge or
// letGo.
func (z *Requests) look(now int64, key string, burst int64, charge bool) (b *bucket, excess int64, ok bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	e := z.states[key]
	if e == nil {
		if e = z.add(now, key); e == nil {
			return nil, 0, false
		}
		if b = e.Value.(*bucket); charge {
			b.last = now
			return nil, 0, true
		}
		b.held++
		return b, 0, true
	}
	z.used.MoveToFront(e)
	b = e.Value.(*bucket)
	if excess = z.after(now, b); excess > burst {
		return nil, excess, false
	}
	if charge {
		b.pour(now, excess)
		return nil, excess, true
	}
	b.held++
	return b, excess, true
}

// after is the excess of one request more.
func (z *Requests) after(now int64, b *bucket) int64 {
	return max(0, b.excess-z.Rate*elapsed(now, b.last)/1000+Thousand)
}

// elapsed are the milliseconds since last, as far as they matter. A clock that was set back is taken for one that stands.
func elapsed(now, last int64) int64 {
	ms := min(now-last, 1e9)
	switch {
	case ms < -60_000:
		return 1
	case ms < 0:
		return 0
	}
	return ms
}

func (b *bucket) pour(now, excess int64) {
	if b.excess = excess; elapsed(now, b.last) > 0 {
		b.last = now
	}
}

func (z *Requests) charge(now int64, b *bucket) int64 {
	if b == nil {
		return 0
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	excess := z.after(now, b)
	b.pour(now, excess)
	b.held--
	return excess
}

func (z *Requests) letGo(b *bucket) {
	if b != nil {
		z.mu.Lock()
		b.held--
		z.mu.Unlock()
	}
}

// add makes a bucket, in the place of the longest unused one where memory is out; nil: all are held.
func (z *Requests) add(now int64, key string) *list.Element {
	for range 2 { // those that have long run empty go first, a few at a time
		e := z.used.Back()
		if e == nil || elapsed(now, e.Value.(*bucket).last) < 60_000 || z.after(now, e.Value.(*bucket)) > Thousand || !z.forget(e) {
			break
		}
	}
	for !z.memory.take(key) {
		if e := z.used.Back(); e == nil || !z.forget(e) {
			return nil
		}
	}
	e := z.used.PushFront(&bucket{key: key})
	z.states[key] = e
	return e
}

func (z *Requests) forget(e *list.Element) bool {
	b := e.Value.(*bucket)
	if b.held > 0 {
		return false
	}
	z.used.Remove(e)
	delete(z.states, b.key)
	z.memory.give(b.key)
	return true
}

// Len is the number of keys that are remembered.
func (z *Requests) Len() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.used.Len()
}

// Resume goes on with the states of the zone that a reload has replaced by this one, if their sizes are the same.
func (z *Requests) Resume(old *Requests) {
	if z.memory.size == old.memory.size {
		z.buckets = old.buckets
	}
}

// memory is a zone's size: a state takes a power of two, as nginx's allocator gives it.
type memory struct{ size, state, taken int64 }

func (m *memory) cost(key string) int64 {
	n := m.state
	for n < m.state/2+int64(len(key)) {
		n *= 2
	}
	return n
}

func (m *memory) take(key string) bool {
	if c := m.cost(key); m.taken+c <= m.size {
		m.taken += c
		return true
	}
	return false
}

func (m *memory) give(key string) { m.taken -= m.cost(key) }
