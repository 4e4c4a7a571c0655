package cluster

import (
	"sync"
	"time"
)

// Clock relates a member's clock to the coordinator's.
//
// One exchange gives an estimate: the member reads t0, the coordinator reads h, the member reads t1,
// and h belongs to the middle of t0 and t1 within half the round trip. The exchange with the shortest
// round trip of the last window wins (RFC 5905, Section 10, "Clock Filter Algorithm", does the same).
// On one machine both read the same clock, and the offset is exactly zero.
type Clock struct {
	mu      sync.Mutex
	same    bool
	samples [16]clockSample
	n       int
}

type clockSample struct {
	offset time.Duration // coordinator's clock minus ours
	round  time.Duration
}

// sample takes one exchange.
func (c *Clock) sample(t0, hub, t1 time.Time) {
	round := t1.Sub(t0)
	middle := t0.Add(round / 2)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples[c.n%len(c.samples)] = clockSample{offset: hub.Sub(middle), round: round}
	c.n++
}

// Offset is the coordinator's clock minus this member's, and the bound of its error.
func (c *Clock) Offset() (offset, bound time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.same || c.n == 0 {
		return 0, 0
	}
	best := c.samples[0]
	for _, s := range c.samples[:min(c.n, len(c.samples))] {
		if s.round < best.round {
			best = s
		}
	}
	return best.offset, best.round / 2
}

// Local turns an instant of the coordinator's clock into this member's.
func (c *Clock) Local(hub time.Time) time.Time {
	offset, _ := c.Offset()
	return hub.Add(-offset)
}
