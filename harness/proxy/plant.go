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
	PerConnection int           // bytes that each accepted connection holds until it is closed
}

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

// spin burns processor time: it does not sleep, because a sleep costs latency and no processor.
func (p Plant) spin() {
	if p.PerHandshake == 0 {
		return
	}
	for end := time.Now().Add(p.PerHandshake); time.Now().Before(end); {
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
