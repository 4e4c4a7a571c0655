package engine

import (
	"bytes"

	"tlsurge/profiles/wire"
)

func (c *Conn) onNewSessionTicket12(m wire.NewSessionTicket12) (state, error) {
	c.hs.ticket, c.hs.hint = bytes.Clone(m.Ticket), m.LifetimeHint
	return stateWaitServerCCS, nil
}

func (c *Conn) onServerCCS() (state, error) {
	return stateWaitServerFin, c.setRead(c.hs.nextRead)
}

// onServerFinished ends a full handshake.
func (c *Conn) onServerFinished(vd wire.Opaque) (state, error) {
	if err := c.checkFinished(vd); err != nil {
		return 0, err
	}
	c.emitSession()
	return c.finishHandshake(), nil
}
