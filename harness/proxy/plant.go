package proxy

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Plant is a regression put into an edge on purpose: `tlsurge bench --selftest` must catch it. The zero
// value plants nothing.
type Plant struct {
	PerHandshake  time.Duration // processor time burnt after each completed handshake
	PerConnection int           // bytes that each connection holds from its handshake until it is closed
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
	return p, nil
}

// planted makes a connection whose handshake is complete carry the plant.
func (c *conn) planted() {
	p := c.s.cfg.Load().Plant
	p.spin()
	c.ballast = p.hold()
}

// spin burns processor time: it does not sleep, because a sleep costs latency and no processor. The thread's
// own clock says when it is enough: how long a loop takes depends on what the processor's other threads do.
func (p Plant) spin() {
	if p.PerHandshake == 0 {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for end := threadTime() + p.PerHandshake; threadTime() < end; {
		if burn(500) == 0 {
			panic("proxy: the hash of a plant is zero") // it is not; the compiler cannot know
		}
	}
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // Linux has it since 2.6.12
	}
	return time.Duration(ts.Nano())
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
