package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Plant is a regression that the candidate is given on purpose, to see whether the bench catches it.
type Plant struct {
	Text string // as written; empty: none

	share   float64       // of a full handshake's processor time, to be burnt on top
	burn    time.Duration // per handshake
	memory  int           // bytes per connection
	browser bool          // TLS 1.0 is switched off: android-4.2.2 has nothing else
}

// plantWords are what ParsePlant takes.
const plantWords = "handshake+10%, handshake+200us, memory (64 KiB per connection), memory+BYTES, browser (android-4.2.2 cannot connect)"

// ParsePlant reads "handshake+10%", "handshake+200us", "memory", "memory+4096" or "browser".
func ParsePlant(text string) (Plant, error) {
	p := Plant{Text: text}
	what, amount, _ := strings.Cut(text, "+")
	var err error
	switch {
	case text == "":
	case text == "browser":
		p.browser = true
	case text == "memory":
		p.memory = 64 << 10
	case what == "memory":
		p.memory, err = strconv.Atoi(amount)
	case what == "handshake" && strings.HasSuffix(amount, "%"):
		p.share, err = strconv.ParseFloat(strings.TrimSuffix(amount, "%"), 64)
		p.share /= 100
	case what == "handshake":
		p.burn, err = time.ParseDuration(amount)
	default:
		err = fmt.Errorf("unknown")
	}
	if err != nil || p.share < 0 || p.share > 10 || p.burn < 0 || p.burn > time.Second || p.memory < 0 || p.memory > 16<<20 {
		return Plant{}, fmt.Errorf("plant %q; allowed: %s", text, plantWords)
	}
	return p, nil
}

// into gives the plant to a side. perHandshake is what 10 % is of.
func (p Plant) into(s *Side, perHandshake time.Duration) error {
	burn := p.burn
	if p.share > 0 {
		if perHandshake <= 0 {
			return fmt.Errorf("plant %q: the warm-up completed no handshake to measure", p.Text)
		}
		burn = time.Duration(p.share * float64(perHandshake))
	}
	var parts []string
	if burn > 0 {
		parts = append(parts, "handshake+"+burn.String())
	}
	if p.memory > 0 {
		parts = append(parts, fmt.Sprintf("connection+%dB", p.memory))
	}
	s.Plant = strings.Join(parts, ",")
	return nil
}

// Set gives the overrides of a side that carries the plant.
func (p Plant) Set(have []string) []string {
	if !p.browser {
		return have
	}
	return append(have[:len(have):len(have)], `fleet.set.ssl_protocols=TLSv1.1 TLSv1.2`)
}
