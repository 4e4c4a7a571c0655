package engine

import (
	"bytes"
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// findSession looks up what the hello offers: a ticket first (RFC 5077 §3.4), else the session ID. What
// does not match the version is no session, but for personalities that do not look.
func (c *Conn) findSession(v wire.Version) *Session {
	hs := c.hs
	if hs.renegotiated {
		return nil
	}
	s, kind := c.lookUp(), ByID
	if s == nil {
		return nil
	}
	if len(s.ID) == 0 {
		kind = ByTicket
	} else {
		c.storedID = s.ID
	}
	suite := keys.Lookup12(s.Suite)
	switch {
	case s.Version == wire.TLS13 || suite == nil || len(s.Secret) != keys.MasterLen:
		return nil
	case s.Version != v && !c.server.Rules.AnyResumeVersion:
		return nil
	case suite.Only12 && v < wire.TLS12:
		return nil
	}
	c.facts.Resumed = kind
	return s
}

func (c *Conn) lookUp() *Session {
	hs, cfg := c.hs, c.server
	if ticket, ok := c.offered(wire.ExtSessionTicket); ok && cfg.Tickets != nil && c.canAnswer(wire.ExtSessionTicket) {
		if len(ticket) > 0 {
			s, renew := openTicket(cfg.Tickets, c.now, ticket)
			if s != nil && (cfg.SessionLifetime <= 0 || c.now.Sub(s.Created) < cfg.SessionLifetime) {
				s.ID = nil
				hs.wantNST = renew
				return s
			}
			// A ticket that cannot be used asks for a new one, and no session ID is looked at.
			return nil
		}
	}
	if id := hs.hello.SessionID; len(id) > 0 && cfg.Sessions != nil {
		return cfg.Sessions.Get(c.now, id)
	}
	return nil
}

// checkSession: a session that was found must be usable with this hello. OpenSSL does not fall back to
// a full handshake when the session's suite is missing, and neither do we.
//
//	"If the session_id field is not empty (implying a session resumption request), this vector MUST
//	include at least the cipher_suite from that session" (RFC 5246 §7.4.1.2, Client Hello)
func (c *Conn) checkSession(list []wire.CipherSuite) error {
	s := c.hs.session
	if s == nil {
		return nil
	}
	if !contains(list, s.Suite) {
		return fmt.Errorf("%w: the session has %v, the hello names %d suites without it", ErrRequiredCipherMissing, s.Suite, len(list))
	}
	// "If the original session used the extended_master_secret extension but the new ClientHello does
	// not contain it, the server MUST abort the abbreviated handshake"; in the opposite case it "MUST NOT
	// perform the abbreviated handshake" (RFC 7627 §5.3).
	switch {
	case s.EMS && !c.facts.EMS:
		return fmt.Errorf("%w: the session has it, the hello does not", ErrInconsistentEMS)
	case !s.EMS && c.facts.EMS:
		c.hs.session = nil
		c.facts.Resumed = NotResumed
		c.hs.wantNST = false
	}
	return nil
}

// answerResumed sends ServerHello, [NewSessionTicket], ChangeCipherSpec, Finished.
func (c *Conn) answerResumed(v wire.Version) (state, error) {
	hs := c.hs
	s := hs.session
	hs.resumed = true
	hs.sessionID = bytes.Clone(hs.hello.SessionID)
	c.setVersion(v, keys.Lookup12(s.Suite))
	hs.transcript.start(c.suiteHash())
	copy(hs.master[:], s.Secret)
	_, etm := c.offered(wire.ExtEncryptThenMAC)
	c.facts.EtM = etm && hs.suite.CBC() && v > wire.SSL30 && c.canAnswer(wire.ExtEncryptThenMAC)
	c.chooseNPN()
	if err := c.sendServerHello(); err != nil {
		return 0, err
	}
	c.logKey("CLIENT_RANDOM", hs.master[:])
	c.deriveKeys()
	if hs.wantNST {
		if err := c.sendTicket12(); err != nil {
			return 0, err
		}
	}
	c.sendChangeAndFinished(nil)
	return stateWaitClientCCSRes, nil
}
