package engine

import (
	"bytes"

	"tlsurge/profiles/wire"
)

func (c *Conn) onClientCCS() (state, error) {
	next := stateWaitClientFin
	if c.hs.wantNPN {
		next = stateWaitNextProto
	}
	return next, c.setRead(c.hs.nextRead)
}

func (c *Conn) onNextProtocol(m wire.NextProtocol) (state, error) {
	c.facts.NPN = string(m.Protocol)
	return stateWaitClientFin, nil
}

// onClientFinished sends [NewSessionTicket] ChangeCipherSpec Finished, and keeps the session.
func (c *Conn) onClientFinished(vd wire.Opaque) (state, error) {
	if err := c.checkFinished(vd); err != nil {
		return 0, err
	}
	if c.hs.wantNST {
		if err := c.sendTicket12(); err != nil {
			return 0, err
		}
	}
	c.sendChangeAndFinished(nil)
	c.storeSession()
	return c.finishHandshake(), nil
}

func (c *Conn) onClientCCSResumed() (state, error) {
	next := stateWaitClientFinRes
	if c.hs.wantNPN {
		next = stateWaitNextProtoRes
	}
	return next, c.setRead(c.hs.nextRead)
}

func (c *Conn) onNextProtocolResumed(m wire.NextProtocol) (state, error) {
	c.facts.NPN = string(m.Protocol)
	return stateWaitClientFinRes, nil
}

func (c *Conn) onClientFinishedResumed(vd wire.Opaque) (state, error) {
	if err := c.checkFinished(vd); err != nil {
		return 0, err
	}
	return c.finishHandshake(), nil
}

// storeSession keeps a new session under the ID that the ServerHello gave.
func (c *Conn) storeSession() {
	hs := c.hs
	if c.server.Sessions == nil || len(hs.sessionID) == 0 {
		return
	}
	s := c.newSession()
	s.ID = bytes.Clone(hs.sessionID)
	c.server.Sessions.Put(c.now, s.ID, s)
	c.storedID = s.ID
}

func (c *Conn) newSession() *Session {
	return &Session{Version: c.facts.Version, Suite: c.facts.Suite, Secret: bytes.Clone(c.hs.master[:]), EMS: c.facts.EMS,
		ALPN: c.facts.ALPN, Created: c.now, Lifetime: c.server.SessionLifetime}
}
