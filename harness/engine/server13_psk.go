package engine

import (
	"fmt"
	"time"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

const (
	maxIdentities = 8                // tried per hello; the rest is passed over
	freshness     = 10 * time.Second // how far a ticket's age may be off for 0-RTT (RFC 8446 §8.3, Freshness Checks)
	maxPSKAge     = 7 * 24 * time.Hour
)

// choosePSK looks for an identity that we know and starts the key schedule: from its PSK, or without
// one. A known identity whose binder is wrong ends the handshake.
//
//	"Prior to accepting PSK key establishment, the server MUST validate the corresponding binder value
//	... If this value is not present or does not validate, the server MUST abort the handshake"
//	(RFC 8446 §4.2.11, Pre-Shared Key Extension)
func (c *Conn) choosePSK(ch *hello.ClientHello, prefix []byte) error {
	h := c.hs.h13
	h.schedule = keys.StartSchedule13(h.suite.Hash, nil)
	psk, ok := ch.PSK()
	if !ok || !ch.OffersPSKMode(wire.PSKDHE) {
		return nil
	}
	for i, id := range psk.Identities[:min(len(psk.Identities), maxIdentities)] {
		s := c.takenPSK(id.Identity)
		if s == nil {
			continue
		}
		schedule := keys.StartSchedule13(h.suite.Hash, s.Secret)
		d := h.suite.Hash.New()
		d.Write(prefix)
		d.Write(c.msg[:len(c.msg)-psk.BindersLen])
		key := schedule.Derive(keys.LabelResumptionBinder, nil)
		if !key.Verify(d.Sum(nil), psk.Binders[i]) {
			return fmt.Errorf("%w: identity %d", ErrBadBinder, i)
		}
		h.schedule, h.psk, h.identity, h.age, h.resuming = schedule, s, uint16(i), id.ObfuscatedAge, true
		c.facts.Resumed = ByPSK
		return nil
	}
	return nil
}

// takenPSK finds a PSK that is alive and goes with the suite.
func (c *Conn) takenPSK(identity []byte) *Session {
	s := c.findPSK(identity)
	if s == nil || s.Version != wire.TLS13 || !c.usable(s) {
		return nil
	}
	if suite := keys.Lookup13(s.Suite); suite == nil || suite.Hash != c.hs.h13.suite.Hash {
		return nil
	}
	return s
}

// knowsPSK says whether choosePSK would find something in ch.
func (c *Conn) knowsPSK(ch *hello.ClientHello) bool {
	psk, ok := ch.PSK()
	if !ok || !ch.OffersPSKMode(wire.PSKDHE) {
		return false
	}
	for _, id := range psk.Identities[:min(len(psk.Identities), maxIdentities)] {
		if c.takenPSK(id.Identity) != nil {
			return true
		}
	}
	return false
}

// usable: a PSK lives as long as the server says, and never longer than seven days.
func (c *Conn) usable(s *Session) bool {
	life := c.hs.config.SessionLifetime
	if life <= 0 || life > maxPSKAge {
		life = maxPSKAge
	}
	age := c.now.Sub(s.Created)
	return age >= 0 && age < life
}

// findPSK opens a ticket, or looks a stateful identity up in the session store.
func (c *Conn) findPSK(identity []byte) *Session {
	cfg := c.hs.config
	if cfg.Tickets != nil {
		if s, _ := openTicket(cfg.Tickets, c.now, identity); s != nil {
			return s
		}
	}
	if cfg.Sessions != nil && len(identity) == statefulIDLen {
		return cfg.Sessions.Get(c.now, identity)
	}
	return nil
}

// settleEarlyData13 accepts 0-RTT data under the conditions of RFC 8446 §4.2.10, and gives its traffic
// secret: first identity, same suite and ALPN, and a ticket age that agrees with the server's own. There
// is no replay cache beyond what a stateful session store gives.
func (c *Conn) settleEarlyData13(ch *hello.ClientHello) (keys.Secret, error) {
	h := c.hs.h13
	if h.early != earlyOffered {
		return keys.Secret{}, nil
	}
	if !h.resuming || h.identity != 0 || c.hs.config.MaxEarlyData == 0 || h.psk.MaxEarly == 0 ||
		h.psk.Suite != h.suite.ID || h.psk.ALPN != c.facts.ALPN || !c.fresh() {
		c.rejectEarlyData()
		return keys.Secret{}, nil
	}
	h.early = earlyAccepted
	h.skip = int(h.psk.MaxEarly)
	c.facts.EarlyOK = true
	secret := h.schedule.Derive(keys.LabelClientEarly, c.hs.transcript.sum(c.hs.digest[:0]))
	c.logKey("CLIENT_EARLY_TRAFFIC_SECRET", secret.Bytes())
	return secret, nil
}

// fresh compares the age that the client says its ticket has with the age that it has here.
func (c *Conn) fresh() bool {
	h := c.hs.h13
	said := time.Duration(h.age-h.psk.AgeAdd) * time.Millisecond
	off := c.now.Sub(h.psk.Created) - said
	return off < freshness && off > -freshness
}
