package faults

import (
	"errors"
	"fmt"
	"strings"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// HelloMatch says which ClientHellos a rule strikes: what a middlebox or a load balancer looks at that
// cannot stand some of them. The zero value matches every hello. Of a connection the first hello counts.
type HelloMatch struct {
	// Offers: the hello offers this version or a newer one, in supported_versions or as client_version.
	Offers wire.Version
	// MinBytes and MaxBytes bound the ClientHello message, its header of four bytes included: for a hello in
	// one record that is the length in the record's header. MaxBytes 0: no upper bound.
	MinBytes, MaxBytes int
	// Group: the hello has a key share of this group.
	Group wire.Group
}

// maxHello is the longest ClientHello message there can be (RFC 8446, Section 4, Handshake Protocol).
const maxHello = 1<<24 - 1 + wire.MessageHeaderLen

// Any says that every hello matches.
func (m HelloMatch) Any() bool { return m == HelloMatch{} }

// Matches says whether the rule strikes a connection that begins with this hello.
func (m HelloMatch) Matches(ch *hello.ClientHello) bool {
	n := ch.MessageLen()
	if ch.Format == hello.FormatSSLv2 {
		n = len(ch.AppendMessage(nil))
	}
	if n < m.MinBytes || m.MaxBytes > 0 && n > m.MaxBytes || m.Offers != 0 && ch.MaxVersion() < m.Offers {
		return false
	}
	if m.Group == 0 {
		return true
	}
	for _, s := range ch.KeyShares() {
		if s.Group == m.Group {
			return true
		}
	}
	return false
}

// String is the match in words: "that offers TLS 1.3 or newer, of 256 to 511 bytes"; "" where every hello matches.
func (m HelloMatch) String() string {
	var parts []string
	if m.Offers != 0 {
		parts = append(parts, fmt.Sprintf("that offers %v or newer", m.Offers))
	}
	switch {
	case m.MinBytes > 0 && m.MaxBytes > 0:
		parts = append(parts, fmt.Sprintf("of %d to %d bytes", m.MinBytes, m.MaxBytes))
	case m.MinBytes > 0:
		parts = append(parts, fmt.Sprintf("of %d bytes or more", m.MinBytes))
	case m.MaxBytes > 0:
		parts = append(parts, fmt.Sprintf("of at most %d bytes", m.MaxBytes))
	}
	if m.Group != 0 {
		parts = append(parts, fmt.Sprintf("with a key share of %v", m.Group))
	}
	return strings.Join(parts, ", ")
}

func (m HelloMatch) check() (key string, value any, err error) {
	switch {
	case m.Offers != 0 && (m.Offers < wire.SSL30 || m.Offers > wire.TLS13):
		return "hello.offers", m.Offers.String(), fmt.Errorf("allowed: SSL 3.0 to TLS 1.3")
	case m.MinBytes < 0 || m.MaxBytes < 0 || m.MinBytes > maxHello || m.MaxBytes > 0 && m.MaxBytes < m.MinBytes:
		return "hello.bytes", fmt.Sprintf("%d..%d", m.MinBytes, m.MaxBytes), fmt.Errorf("allowed: 0 to %d, the smaller first", maxHello)
	}
	return "", nil, nil
}

// HelloGate holds the first bytes of a client until its ClientHello is whole and can be judged.
type HelloGate struct {
	Match HelloMatch
	held  []byte
}

// maxHeld bounds what a gate keeps. No client sends as much.
const maxHeld = 64 << 10

// Feed takes the client's next bytes and gives all of them back once it can judge. struck is then whether the rule
// strikes: what is no hello, or none within 64 KiB, it spares.
func (g *HelloGate) Feed(p []byte) (all []byte, struck, judged bool) {
	g.held = append(g.held, p...)
	ch, _, err := hello.Parse(g.held)
	if errors.Is(err, wire.ErrShort) && len(g.held) < maxHeld {
		return nil, false, false
	}
	all, g.held = g.held, nil
	return all, err == nil && g.Match.Matches(ch), true
}

// Held is what a hello that broke off has left.
func (g *HelloGate) Held() []byte { return g.held }
