package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Plant is a regression put into an edge on purpose: `tlsurge bench --selftest` must catch it. The zero
// value plants nothing.
type Plant struct {
	PerHandshake  time.Duration // processor time burnt after each completed handshake
	PerConnection int           // bytes that each connection holds from its handshake until it is closed

	loops int // of burn, per handshake
}

// PlantVariable is the environment variable in which a bench hands an edge its plant.
const PlantVariable = "TLSURGE_PLANT"

// ParsePlant reads "handshake+190us,connection+65536B"; an empty text is no plant.
func ParsePlant(text string) (p Plant, err error) {
	for _, part := range strings.Split(text, ",") {
		if part == "" {
			continue
		}
		what, amount, ok := strings.Cut(part, "+")
		switch {
		case !ok:
			err = fmt.Errorf("plant %q: want handshake+DURATION or connection+BYTESB", part)
		case what == "handshake":
			p.PerHandshake, err = time.ParseDuration(amount)
		case what == "connection":
			p.PerConnection, err = strconv.Atoi(strings.TrimSuffix(amount, "B"))
		default:
			err = fmt.Errorf("plant %q: there are handshake and connection", what)
		}
		if err != nil {
			return Plant{}, err
		}
	}
	if p.PerHandshake < 0 || p.PerHandshake > time.Second || p.PerConnection < 0 || p.PerConnection > 16<<20 {
		return Plant{}, fmt.Errorf("plant %q: at most a second per handshake and 16777216B per connection", text)
	}
	p.loops = calibrate(p.PerHandshake)
	return p, nil
}

// calibrate finds how many loops of burn take d on a processor of one's own: the best of several tries,
// since on a busy machine a wall clock also counts the time that others had.
func calibrate(d time.Duration) int {
	if d == 0 {
		return 0
	}
	const loops = 200_000
	best := time.Hour
	for range 20 {
		start := time.Now()
		burn(loops)
		best = min(best, time.Since(start))
	}
	return int(float64(loops) * float64(d) / float64(best))
}

// burn is work that nothing can leave out: FNV-1a over a counter. It is not inlined, because a caller
// that ignores its result would then do less.
//
//go:noinline
func burn(loops int) uint64 {
	h := uint64(14695981039346656037)
	for i := range loops {
		h = (h ^ uint64(i&0xff)) * 1099511628211
	}
	return h
}

// planted makes a connection whose handshake is complete carry the plant.
func (c *conn) planted() {
	p := c.s.cfg.Load().Plant
	p.spin()
	c.ballast = p.hold()
}

// spin burns processor time: it does not sleep, because a sleep costs latency and no processor.
func (p Plant) spin() {
	if p.loops != 0 && burn(p.loops) == 0 {
		panic("proxy: the hash of a plant is zero") // it is not; the compiler cannot know
	}
}

// hold gives the memory that a connection keeps, written once so that the kernel has to find it; nil
// where nothing is planted.
func (p Plant) hold() []byte {
	if p.PerConnection == 0 {
		return nil
	}
	b := make([]byte, p.PerConnection)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return b
}
