package browser

import "time"

// A draw is a number that belongs to (seed, phase, what it is for, who it is for): it does not depend on
// when, by which agent or in which order it is asked for.

// salts keep draws for different purposes apart.
type salt uint64

const (
	saltProfile salt = iota + 1
	saltConnections
	saltEdge
	saltReturning
	saltBirth
	saltLifetime
	saltSlow
	saltURL
	saltThink
	saltArrivals
	saltReload
	saltRandom
	saltClock
	saltResolve
)

type draws struct{ seed uint64 }

func newDraws(seed uint64, phase string) draws {
	h := uint64(0xcbf29ce484222325) // FNV-1a of the phase's name
	for i := range len(phase) {
		h = (h ^ uint64(phase[i])) * 0x100000001b3
	}
	return draws{mix64(mix64(seed) ^ h)}
}

// bits gives 64 of them.
func (d draws) bits(s salt, who uint64) uint64 { return mix64(mix64(d.seed^uint64(s)) ^ who) }

// unit gives a number in [0, 1).
func (d draws) unit(s salt, who uint64) float64 { return float64(d.bits(s, who)>>11) / (1 << 53) }

// between gives a duration in [r[0], r[1]], or r[0] where r[1] is not above it.
func (d draws) between(s salt, who uint64, r [2]time.Duration) time.Duration {
	if r[1] <= r[0] {
		return r[0]
	}
	return r[0] + time.Duration(d.unit(s, who)*float64(r[1]-r[0]+1))
}

// mix64 is the output function of SplitMix64 after one step, so that 0 does not stay 0.
func mix64(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
