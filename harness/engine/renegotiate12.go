package engine

import (
	"bytes"
	"fmt"
	"io"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// again is what a connection keeps for another handshake.
type again struct {
	hello    *hello.ClientHello // client: the first one
	finished []byte             // verify_data of client and server, as the last handshake left them
}

// lastFinished is the verify_data of client and server, nil where there can be no other handshake.
func (c *Conn) lastFinished() []byte {
	if c.again == nil {
		return nil
	}
	return c.again.finished
}

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
		want = c.lastFinished()
		if !c.isClient {
			want = want[:len(want)/2]
		}
	}
	if string(got) != string(want) {
		return fmt.Errorf("%w: %x, expected %x", ErrRenegotiation, got, want)
	}
	c.facts.RenegotiationInfo = true
	return nil
}

// Renegotiate asks for a new handshake on an established connection of TLS 1.2 or below: a client sends
// a ClientHello, a server a HelloRequest. The configuration must allow it.
func (c *Conn) Renegotiate() error {
	switch {
	case c.err != nil:
		return c.err
	case c.state != stateConnected || c.family != family12:
		return ErrNotConnected
	case !c.mayRenegotiate():
		return ErrNoRenegotiation
	}
	if c.isClient {
		return c.sendHelloAgain()
	}
	c.writeRecord(wire.RecordHandshake, wire.AppendEmptyMessage(nil, wire.TypeHelloRequest))
	return nil
}

func (c *Conn) mayRenegotiate() bool {
	switch c.renegotiate() {
	case RenegotiateSecure:
		return c.facts.RenegotiationInfo
	case RenegotiateAlways:
		return true
	}
	return false
}

// refuseRenegotiation: "no_renegotiation ... This message is always a warning" (RFC 5246 §7.2.2). SSL 3.0 has
// no such alert.
func (c *Conn) refuseRenegotiation() {
	if c.facts.Version > wire.SSL30 {
		c.writeAlert(wire.LevelWarning, wire.AlertNoRenegotiation)
	}
}

// onHelloRequest: the server asks for a new handshake.
func (c *Conn) onHelloRequest(wire.Empty) (state, error) {
	if !c.mayRenegotiate() {
		if c.client.Renegotiate == RenegotiateClose {
			return 0, &silent{fmt.Errorf("%w: by this client", ErrNoRenegotiation)}
		}
		c.refuseRenegotiation()
		return stateConnected, nil
	}
	if err := c.sendHelloAgain(); err != nil {
		return 0, err
	}
	return stateWaitSH, nil
}

// not12 are the extensions of TLS 1.3 and of resumption, which a renegotiating hello leaves out.
var not12 = []wire.ExtensionType{
	wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtPreSharedKey, wire.ExtPSKKeyExchangeModes, wire.ExtEarlyData,
	wire.ExtCookie, wire.ExtPadding, wire.ExtSessionTicket,
}

// sendHelloAgain sends the first hello once more, with a new random, without a session, and with
// renegotiation_info in place of its SCSV (RFC 5746 §3.5, Client Behavior: Secure Renegotiation).
func (c *Conn) sendHelloAgain() error {
	ch := c.again.hello.Clone()
	if _, err := io.ReadFull(c.client.Rand, ch.Random[:]); err != nil {
		return fmt.Errorf("%w: drawing a random: %v", ErrInternal, err)
	}
	ch.Format, ch.Fragments, ch.SessionID, ch.HasExtensions = hello.FormatTLS, nil, nil, true
	if len(ch.Compression) == 0 {
		ch.Compression = []byte{0}
	}
	suites, exts := ch.Suites[:0], ch.Extensions[:0]
	for _, s := range ch.Suites {
		if !s.IsSCSV() {
			suites = append(suites, s)
		}
	}
	for _, e := range ch.Extensions {
		if e.Type != wire.ExtRenegotiationInfo && !contains(not12, e.Type) {
			exts = append(exts, e)
		}
	}
	ch.Suites, ch.Extensions = suites, exts
	if c.facts.RenegotiationInfo {
		last := c.lastFinished()
		info := wire.AppendVec8(nil, last[:len(last)/2])
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtRenegotiationInfo, Data: info})
	}
	c.hs = &handshake{hello: ch, clientRandom: ch.Random, renegotiated: true}
	c.hs.transcript.keep = c.client.Certificate != nil
	c.sendMessage(ch.AppendMessage(nil))
	c.state = stateWaitSH
	return nil
}

// onClientHelloAgain: the client asks for a new handshake.
func (c *Conn) onClientHelloAgain(wire.Opaque) (state, error) {
	if !c.mayRenegotiate() {
		if c.server.Renegotiate == RenegotiateClose {
			return 0, &silent{fmt.Errorf("%w: by this server", ErrNoRenegotiation)}
		}
		c.refuseRenegotiation()
		return stateConnected, nil
	}
	ch, err := hello.ParseMessage(bytes.Clone(c.msg))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	// "When a ClientHello is received, the server MUST verify that it does not contain the
	// TLS_EMPTY_RENEGOTIATION_INFO_SCSV SCSV" (RFC 5746 §3.7)
	if c.facts.RenegotiationInfo && ch.HasSuite(wire.EmptyRenegotiationInfoSCSV) {
		return 0, fmt.Errorf("%w: TLS_EMPTY_RENEGOTIATION_INFO_SCSV on renegotiation", ErrRenegotiation)
	}
	c.startServerHandshake()
	c.hs.renegotiated = true
	c.hs.transcript.add(c.msg)
	return c.onClientHello(ch)
}
