package engine

import (
	"bytes"
	"fmt"
	"time"

	"tlsurge/harness/record"
	"tlsurge/profiles/wire"
)

// onNewSessionTicket13 turns a ticket into a Session (RFC 8446 §4.6.1, New Session Ticket Message).
func (c *Conn) onNewSessionTicket13(m *wire.NewSessionTicket13) (state, error) {
	if m.Lifetime > wire.MaxTicketLifetime {
		return 0, fmt.Errorf("%w: %d seconds", ErrTicketLifetime, m.Lifetime)
	}
	if t, twice := wire.DuplicateExtension(m.Extensions); twice {
		return 0, fmt.Errorf("%w: %v in NewSessionTicket", ErrExtensionTwice, t)
	}
	maxEarly, ok := m.MaxEarlyData()
	if !ok {
		return 0, &wire.DecodeError{What: "NewSessionTicket", Reason: "early_data is not four bytes"}
	}
	// "a value of zero indicates that the ticket should be discarded immediately"; and a client that sent
	// no psk_key_exchange_modes has no use for it, though OpenSSL gives it one.
	if m.Lifetime == 0 || c.k13.resumption.IsZero() {
		return stateConnected, nil
	}
	c.emit(Event{Kind: EventSession, Session: &Session{
		Version:  wire.TLS13,
		Suite:    c.facts.Suite,
		Ticket:   bytes.Clone(m.Ticket),
		Secret:   c.k13.resumption.PSK(m.Nonce),
		ALPN:     c.facts.ALPN,
		Created:  c.now,
		Lifetime: time.Duration(m.Lifetime) * time.Second,
		AgeAdd:   m.AgeAdd,
		MaxEarly: maxEarly,
	}})
	return stateConnected, nil
}

// onKeyUpdate moves the reading direction to its next keys, and ours if the peer asks for it (RFC 8446
// §4.6.3, Key and Initialization Vector Update).
func (c *Conn) onKeyUpdate(m *wire.KeyUpdate) (state, error) {
	if m.Request > wire.UpdateRequested {
		return 0, fmt.Errorf("%w: %d", ErrKeyUpdateRequest, m.Request)
	}
	half := c.read.(*record.Half13)
	if half.Used() > 1 { // something else came under these keys
		c.k13.updates = 0
	}
	if c.k13.updates++; c.k13.updates > maxKeyUpdates {
		return 0, fmt.Errorf("%w: more than %d", ErrTooManyKeyUpdates, maxKeyUpdates)
	}
	if err := c.setRead(half); err != nil { // "MUST verify that it ... does not precede a key change"
		return 0, err
	}
	half.Update()
	c.facts.KeyUpdates++
	// Several requests before our next data need one answer: "If an implementation receives ... multiple
	// KeyUpdates while it is silent ... it MAY respond with a single update".
	answered := c.k13.answered && c.write.(*record.Half13).Used() == 0
	if m.Request == wire.UpdateRequested && !c.weClosed && !answered {
		c.updateKeys(wire.UpdateNotRequested)
		c.k13.answered = true
	}
	return stateConnected, nil
}

// UpdateKeys sends a KeyUpdate and seals what follows under the next keys; request asks the peer to do
// the same. It fails below TLS 1.3 and before the handshake is complete.
func (c *Conn) UpdateKeys(request bool) error {
	switch {
	case c.err != nil:
		return c.err
	case c.weClosed:
		return ErrClosed
	case !c.done || c.family != family13:
		return fmt.Errorf("%w: KeyUpdate in %v", ErrNotConnected, c.state)
	}
	r := wire.UpdateNotRequested
	if request {
		r = wire.UpdateRequested
	}
	c.updateKeys(r)
	return nil
}

// renewKeys13 changes our keys before they have protected more than RFC 8446 §5.5, Limits on Key Usage,
// allows: 2^24.5 full records for AES-GCM, some 380 GB.
func (c *Conn) renewKeys13() {
	if c.family != family13 || !c.done {
		return
	}
	if h, ok := c.write.(*record.Half13); ok && h.NeedsUpdate() {
		c.updateKeys(wire.UpdateNotRequested)
	}
}

func (c *Conn) updateKeys(r wire.KeyUpdateRequest) {
	c.writeRecord(wire.RecordHandshake, (&wire.KeyUpdate{Request: r}).AppendMessage(nil))
	c.write.(*record.Half13).Update()
}
