package link

import (
	"math/rand/v2"
	"time"
)

// Impairment is what one direction of a path does to packets. The zero value does nothing.
type Impairment struct {
	Loss float64 // probability that a packet is lost
	// Burst is the mean length of a run of lost packets. 0 or 1: each packet is lost for itself. Above, losses
	// follow the Gilbert-Elliott model with a good state that loses nothing and a bad one that loses all.
	Burst     float64
	Delay     time.Duration // of each packet
	Jitter    time.Duration // evenly spread over Delay-Jitter .. Delay+Jitter; order is kept
	Duplicate float64       // probability that a packet arrives twice
	Reorder   float64       // probability that a packet is late by ReorderBy, so that later ones overtake it
	ReorderBy time.Duration
	Corrupt   float64       // probability that one bit of the packet is flipped
	Rate      int64         // bytes per second; 0: no limit
	Queue     time.Duration // with Rate: how long a packet may wait for its turn before it is dropped; default 1 s
}

// defaultQueue is a second's worth of packets: the deep buffers of access links.
const defaultQueue = time.Second

// Path is one direction of a path with its state: what the last packet left behind. It reads no clock; its
// choices are the random source's, one draw per question in a fixed order, so the same source, packets and
// times give the same fates.
type Path struct {
	Impairment
	random *rand.Rand
	bad    bool      // Gilbert-Elliott: in the state that loses
	free   time.Time // when the last packet has left the sender's interface
	last   time.Time // when the last packet arrives
}

// NewPath makes a path in its good state.
func NewPath(i Impairment, random *rand.Rand) *Path {
	if i.Queue == 0 {
		i.Queue = defaultQueue
	}
	return &Path{Impairment: i, random: random}
}

// Fate is what becomes of a packet.
type Fate struct {
	Lost     bool // by Loss
	Overflow bool // by a full queue
	At       time.Time
	Twice    bool
	Late     bool // by Reorder
	Flip     int  // the bit to flip, counted from the packet's first; -1: none
}

// Transit decides about a packet of size bytes that enters at now.
func (p *Path) Transit(now time.Time, size int) Fate {
	f := Fate{At: now, Flip: -1}
	if p.lose() {
		f.Lost = true
		return f
	}
	if p.Rate > 0 {
		start := now
		if p.free.After(now) {
			start = p.free
		}
		if start.Sub(now) > p.Queue {
			f.Overflow = true
			return f
		}
		p.free = start.Add(time.Duration(int64(size) * int64(time.Second) / p.Rate))
		f.At = p.free
	}
	f.At = f.At.Add(p.Delay)
	if p.Jitter > 0 {
		f.At = f.At.Add(time.Duration((2*p.random.Float64() - 1) * float64(p.Jitter)))
	}
	if f.At.Before(p.last) {
		f.At = p.last // jitter does not reorder
	}
	if p.chance(p.Reorder) {
		f.Late = true
		f.At = f.At.Add(p.ReorderBy)
	} else {
		p.last = f.At
	}
	f.Twice = p.chance(p.Duplicate)
	if p.chance(p.Corrupt) {
		f.Flip = p.random.IntN(size * 8)
	}
	return f
}

// lose draws the loss. In the Gilbert-Elliott model a run ends with probability 1/Burst after each packet;
// it begins so often that the share of lost packets is Loss: good to bad = Loss / (Burst (1 - Loss)).
func (p *Path) lose() bool {
	if p.Loss <= 0 || p.Loss >= 1 {
		return p.Loss >= 1
	}
	if p.Burst <= 1 {
		return p.chance(p.Loss)
	}
	if p.bad {
		p.bad = !p.chance(1 / p.Burst)
	} else {
		p.bad = p.chance(p.Loss / (p.Burst * (1 - p.Loss)))
	}
	return p.bad
}

func (p *Path) chance(probability float64) bool {
	return probability > 0 && p.random.Float64() < probability
}
