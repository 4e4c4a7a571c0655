package engine

import (
	"fmt"

	"tlsurge/profiles/wire"
)

// checkRenegotiationInfo compares the peer's renegotiation_info with what this connection's last
// handshake left (RFC 5746 §3.4 to §3.7): empty the first time; then the client's verify_data, and from a
// server both.
func (c *Conn) checkRenegotiationInfo(data []byte) error {
	r := wire.NewReader(data)
	got := r.Vec8()
	if !r.Done() {
		return fmt.Errorf("%w: renegotiation_info of %d bytes", ErrDecode, len(data))
	}
	var want []byte
	if c.hs.renegotiated {
		want = c.finished
		if !c.isClient {
			want = c.finished[:len(c.finished)/2]
		}
	}
	if string(got) != string(want) {
		return fmt.Errorf("%w: %x, expected %x", ErrRenegotiation, got, want)
	}
	c.facts.RenegotiationInfo = true
	return nil
}

// onHelloRequest: the server asks for a new handshake.
func (c *Conn) onHelloRequest(wire.Empty) (state, error) {
	c.writeAlert(wire.LevelWarning, wire.AlertNoRenegotiation)
	return stateConnected, nil
}

// onClientHelloAgain: the client asks for a new handshake.
func (c *Conn) onClientHelloAgain(wire.Opaque) (state, error) {
	if c.server.Renegotiate == RenegotiateClose {
		return 0, fmt.Errorf("%w: by this server", ErrNoRenegotiation)
	}
	c.writeAlert(wire.LevelWarning, wire.AlertNoRenegotiation)
	return stateConnected, nil
}
