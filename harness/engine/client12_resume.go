package engine

import (
	"bytes"
	"fmt"
	"time"

	"tlsurge/profiles/wire"
)

// serverHelloDecides says whether the server resumes, as far as its ServerHello tells.
func (c *Conn) serverHelloDecides(sh *wire.ServerHello) (state, error) {
	hs := c.hs
	s, ch := hs.session, hs.hello
	ticket, _ := ch.SessionTicket()
	echoed := len(ch.SessionID) > 0 && bytes.Equal(sh.SessionID, ch.SessionID)
	known := s != nil && s.Version <= wire.TLS12 &&
		(len(s.ID) > 0 && bytes.Equal(s.ID, ch.SessionID) || len(s.Ticket) > 0 && bytes.Equal(s.Ticket, ticket))
	switch {
	case echoed && !known:
		return 0, fmt.Errorf("%w: it echoed the hello's session_id", ErrUnofferedSession)
	case echoed:
		if err := c.resume(); err != nil {
			return 0, err
		}
		if hs.wantNST {
			return stateWaitTicketRes, nil
		}
		return stateWaitServerCCSRes, nil
	}
	hs.mayResume = known && len(ticket) > 0 && len(ch.SessionID) == 0
	return stateWaitCert12, nil
}

// resume takes up the offered session: "the server MUST ... use the same cipher suite" (RFC 5246 §F.1.4
// and §7.4.1.3), and extended_master_secret must not change (RFC 7627 §5.3).
func (c *Conn) resume() error {
	hs, s := c.hs, c.hs.session
	switch {
	case s.Version != c.facts.Version:
		return fmt.Errorf("%w: %v, the session is %v", ErrSessionMismatch, c.facts.Version, s.Version)
	case s.Suite != hs.suite.ID:
		return fmt.Errorf("%w: %v, the session has %v", ErrSessionMismatch, hs.suite.ID, s.Suite)
	case s.EMS != c.facts.EMS && (s.EMS || hs.hello.Has(wire.ExtExtendedMasterSecret)):
		return fmt.Errorf("%w: session %v, now %v", ErrInconsistentEMS, s.EMS, c.facts.EMS)
	}
	hs.resumed = true
	c.facts.Resumed = ByID
	if ticket, _ := hs.hello.SessionTicket(); len(ticket) > 0 {
		c.facts.Resumed = ByTicket
	}
	copy(hs.master[:], s.Secret)
	c.logKey("CLIENT_RANDOM", hs.master[:])
	c.deriveKeys()
	return nil
}

// onTicketResumes and onCCSResumes: a message of resumption where a Certificate could have come.
func (c *Conn) onTicketResumes(m wire.NewSessionTicket12) (state, error) {
	if !c.hs.mayResume || !c.hs.wantNST {
		return 0, c.unexpected(wire.TypeNewSessionTicket)
	}
	if err := c.resume(); err != nil {
		return 0, err
	}
	return c.onTicketResumed(m)
}

func (c *Conn) onCCSResumes() (state, error) {
	if !c.hs.mayResume || c.hs.wantNST {
		return 0, c.unexpected(inputCCS)
	}
	if err := c.resume(); err != nil {
		return 0, err
	}
	return c.onServerCCSResumed()
}

func (c *Conn) onTicketResumed(m wire.NewSessionTicket12) (state, error) {
	c.hs.ticket, c.hs.hint = bytes.Clone(m.Ticket), m.LifetimeHint
	return stateWaitServerCCSRes, nil
}

func (c *Conn) onServerCCSResumed() (state, error) {
	return stateWaitServerFinRes, c.setRead(c.hs.nextRead)
}

// onServerFinishedResumed: the server's flight is over, ours follows.
func (c *Conn) onServerFinishedResumed(vd wire.Opaque) (state, error) {
	if err := c.checkFinished(vd); err != nil {
		return 0, err
	}
	c.sendChangeAndFinished(c.sendNextProtocol)
	if len(c.hs.ticket) > 0 {
		c.emitSession()
	}
	return c.finishHandshake(), nil
}

// emitSession gives the caller what it may offer next time: the ticket, or else the session ID.
func (c *Conn) emitSession() {
	hs := c.hs
	s := &Session{Version: c.facts.Version, Suite: c.facts.Suite, Secret: bytes.Clone(hs.master[:]), EMS: c.facts.EMS,
		ALPN: c.facts.ALPN, Created: c.now}
	switch {
	case len(hs.ticket) > 0:
		s.Ticket, s.Lifetime = hs.ticket, time.Duration(hs.hint)*time.Second
	case len(hs.sessionID) > 0:
		s.ID = hs.sessionID
	default:
		return
	}
	c.emit(Event{Kind: EventSession, Session: s})
}
