package engine

import (
	"fmt"
	"io"
	"time"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// onEndOfEarlyData: the client's handshake keys follow.
func (c *Conn) onEndOfEarlyData(*wire.EndOfEarlyData) (state, error) {
	h := c.hs.h13
	if err := c.setRead(h.half(h.clientHS)); err != nil {
		return 0, err
	}
	if h.certRequested {
		return stateWaitClientCert13, nil
	}
	return stateWaitClientFin13, nil
}

// onClientCertificate13: an empty list is a client without a certificate (RFC 8446 §4.4.2.4, Receiving a
// Certificate Message: "certificate_required").
func (c *Conn) onClientCertificate13(m *wire.Certificate13) (state, error) {
	cfg := c.hs.config
	if len(m.Context) != 0 {
		return 0, fmt.Errorf("%w: %d bytes, expected none", ErrCertContext, len(m.Context))
	}
	if len(m.Entries) == 0 {
		if cfg.ClientAuth == ClientAuthRequire {
			return 0, ErrClientCertificate
		}
		return stateWaitClientFin13, nil
	}
	for _, e := range m.Entries {
		if len(e.Extensions) > 0 { // our CertificateRequest asked for none
			return 0, fmt.Errorf("%w: %v in a client's Certificate", ErrUnofferedExtension, e.Extensions[0].Type)
		}
	}
	if err := c.acceptChain13(c.now, cfg.ClientVerifier, "", m); err != nil {
		return 0, err
	}
	return stateWaitClientCV13, nil
}

func (c *Conn) onClientCertificateVerify13(m wire.CertificateVerify13) (state, error) {
	if err := c.verifyPeer13(m, clientContext); err != nil {
		return 0, err
	}
	c.hs.transcript.add(c.msg)
	return stateWaitClientFin13, nil
}

// onClientFinished13 completes the handshake; tickets follow it.
func (c *Conn) onClientFinished13(m wire.Finished13) (state, error) {
	h := c.hs.h13
	if err := c.checkFinished13(&h.clientHS, m); err != nil {
		return 0, err
	}
	if err := c.setRead(h.lasting(h.clientApp)); err != nil {
		return 0, err
	}
	resumption := h.schedule.Derive(keys.LabelResumption, c.hs.transcript.sum(c.hs.digest[:0]))
	if err := c.sendTickets13(&resumption); err != nil {
		return 0, err
	}
	return c.finishHandshake(), nil
}

// statefulIDLen is the length of an identity that stands for an entry of the session store.
const statefulIDLen = 32

// sendTickets13 issues TicketCount tickets, one after a resumption; none to a client that could not use
// them: "the server MUST NOT send a NewSessionTicket [whose] key establishment modes [are] not offered"
// (RFC 8446 §4.2.9, Pre-Shared Key Exchange Modes).
func (c *Conn) sendTickets13(resumption *keys.Secret) error {
	h, cfg := c.hs.h13, c.hs.config
	n := cfg.TicketCount
	if h.resuming {
		n = min(n, 1)
	}
	if cfg.Tickets == nil && cfg.Sessions == nil || !c.hs.hello.OffersPSKMode(wire.PSKDHE) {
		return nil
	}
	life := cfg.SessionLifetime
	if life <= 0 || life > maxPSKAge {
		life = maxPSKAge
	}
	for i := range n {
		nonce := []byte{byte(i)}
		var random [4 + statefulIDLen]byte
		if _, err := io.ReadFull(c.rand(), random[:]); err != nil {
			return fmt.Errorf("%w: ticket_age_add: %v", ErrInternal, err)
		}
		s := &Session{
			Version: wire.TLS13, Suite: h.suite.ID, Secret: resumption.PSK(nonce), ALPN: c.facts.ALPN, Created: c.now,
			Lifetime: life, AgeAdd: uint32(random[0])<<24 | uint32(random[1])<<16 | uint32(random[2])<<8 | uint32(random[3]),
			MaxEarly: cfg.MaxEarlyData,
		}
		ticket, err := c.ticketFor(s, random[4:])
		if err != nil {
			return err
		}
		m := wire.NewSessionTicket13{Lifetime: uint32(life / time.Second), AgeAdd: s.AgeAdd, Nonce: nonce, Ticket: ticket}
		if s.MaxEarly > 0 {
			m.Extensions = []wire.Extension{{Type: wire.ExtEarlyData, Data: wire.AppendU32(nil, s.MaxEarly)}}
		}
		c.writeRecord(wire.RecordHandshake, m.AppendMessage(nil))
	}
	return nil
}

// ticketFor seals the session into a ticket, or stores it under a random identity.
func (c *Conn) ticketFor(s *Session, id []byte) ([]byte, error) {
	cfg := c.hs.config
	if cfg.Tickets != nil {
		return sealTicket(cfg.Tickets.Current(c.now), s, c.rand())
	}
	cfg.Sessions.Put(c.now, id, s)
	return id, nil
}
