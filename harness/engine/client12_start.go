package engine

import (
	"bytes"
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// startClient sends the hello as it stands.
func (c *Conn) startClient(ch *hello.ClientHello) error {
	hs := &handshake{hello: ch, clientRandom: ch.Random, session: c.client.Session}
	hs.scratch = hs.room[:0]
	c.hs = hs
	if c.client.Renegotiate == RenegotiateSecure || c.client.Renegotiate == RenegotiateAlways {
		c.again = &again{hello: ch}
	}
	if err := c.prepareClient13(ch); err != nil {
		return err
	}
	hs.transcript.keep = c.client.Certificate != nil
	// One piece of memory for the hello as it goes out and, behind it, as it is hashed, with room for the
	// ServerHello that chooses the hash.
	const serverHello = 160
	out := ch.AppendRecords(make([]byte, 0, 2*ch.MessageLen()+wire.RecordHeaderLen+serverHello))
	c.out = out[:len(out):len(out)]
	hs.transcript.raw = ch.AppendMessage(out[len(out):])
	c.sendEarlyData13()
	c.state = stateWaitSH
	return nil
}

// onServerHello is the version decision point of a client: it accepts the ServerHello of the 1.0-1.2
// family, or hands over.
func (c *Conn) onServerHello(sh *wire.ServerHello) (state, error) {
	_, has := sh.Extension(wire.ExtSupportedVersions)
	if (has || sh.IsHelloRetryRequest()) && c.hs.hello.Has(wire.ExtSupportedVersions) {
		return c.onServerHello13(sh)
	}
	suite, err := c.checkServerHello(sh)
	if err != nil {
		return 0, err
	}
	hs := c.hs
	hs.serverRandom = sh.Random
	hs.sessionID = bytes.Clone(sh.SessionID)
	hs.h13 = nil
	if hs.renegotiated && sh.Version != c.facts.Version {
		return 0, fmt.Errorf("%w: renegotiated %v, was %v", ErrNoCommonVersion, sh.Version, c.facts.Version)
	}
	c.setVersion(sh.Version, suite)
	if err := c.checkServerExtensions(sh); err != nil {
		return 0, err
	}
	hs.transcript.start(c.suiteHash())
	if !hs.renegotiated {
		c.emit(Event{Kind: EventServerHello})
	}
	return c.serverHelloDecides(sh)
}

// checkServerHello judges version, suite and compression against the hello.
func (c *Conn) checkServerHello(sh *wire.ServerHello) (*keys.Suite12, error) {
	ch := c.hs.hello
	if !c.takesVersion(sh.Version) {
		return nil, fmt.Errorf("%w: server chose %v, hello offered up to %v", ErrNoCommonVersion, sh.Version, ch.MaxVersion())
	}
	if err := downgraded(ch, sh); err != nil {
		return nil, err
	}
	if sh.Suite.IsSCSV() || !ch.HasSuite(sh.Suite) {
		return nil, fmt.Errorf("%w: %v", ErrUnofferedSuite, sh.Suite)
	}
	suite := keys.Lookup12(sh.Suite)
	if suite == nil {
		return nil, fmt.Errorf("%w: %v", ErrSuiteUnspoken, sh.Suite)
	}
	if suite.Only12 && sh.Version < wire.TLS12 {
		return nil, fmt.Errorf("%w: %v does not exist in %v", ErrUnofferedSuite, sh.Suite, sh.Version)
	}
	if sh.Compression != 0 {
		return nil, fmt.Errorf("%w: method %d, only null is spoken", ErrUnofferedCompression, sh.Compression)
	}
	return suite, nil
}

func (c *Conn) takesVersion(v wire.Version) bool {
	ch := c.hs.hello
	if v > wire.TLS12 || v < wire.SSL30 || v > ch.Version {
		return false
	}
	if c.client.Versions != 0 {
		return c.client.Versions.Has(v)
	}
	if ch.Has(wire.ExtSupportedVersions) {
		return ch.Offers(v)
	}
	return v >= wire.TLS10 || ch.Version == wire.SSL30
}

// downgraded looks for the sentinels of RFC 8446 §4.1.3, Server Hello, which a client that offers TLS
// 1.3 must check for.
func downgraded(ch *hello.ClientHello, sh *wire.ServerHello) error {
	if !ch.Offers(wire.TLS13) {
		return nil
	}
	if tail := sh.Random[24:]; string(tail[:7]) == sentinel && tail[7] <= 1 {
		return fmt.Errorf("%w: %v chosen where TLS 1.3 was offered", ErrDowngrade, sh.Version)
	}
	return nil
}

// sentinel begins the last eight bytes of a downgraded random; 0x01 follows for TLS 1.2, 0x00 for less.
const sentinel = "DOWNGRD"

// checkServerExtensions reads what the server answered. Only what was offered may be answered (RFC 5246
// §7.4.1.4), but for renegotiation_info, which the SCSV offers too (RFC 5746 §3.4).
func (c *Conn) checkServerExtensions(sh *wire.ServerHello) error {
	ch := c.hs.hello
	c.facts.EMS, c.facts.EtM = false, false
	sawReneg := false
	if t, twice := wire.DuplicateExtension(sh.Extensions); twice {
		return fmt.Errorf("%w: %v in ServerHello", ErrDuplicateExtension, t)
	}
	for _, e := range sh.Extensions {
		offered := ch.Has(e.Type) || e.Type == wire.ExtRenegotiationInfo && ch.HasSuite(wire.EmptyRenegotiationInfoSCSV)
		if !offered {
			return fmt.Errorf("%w: %v", ErrUnofferedExtension, e.Type)
		}
		if e.Type == wire.ExtRenegotiationInfo {
			sawReneg = true
		}
		if err := c.takeServerExtension(e); err != nil {
			return err
		}
	}
	if c.hs.renegotiated && c.facts.RenegotiationInfo && !sawReneg {
		return fmt.Errorf("%w: missing on renegotiation", ErrRenegotiation)
	}
	return nil
}

func (c *Conn) takeServerExtension(e wire.Extension) error {
	hs := c.hs
	switch e.Type {
	case wire.ExtRenegotiationInfo:
		return c.checkRenegotiationInfo(e.Data)
	case wire.ExtExtendedMasterSecret, wire.ExtEncryptThenMAC, wire.ExtSessionTicket, wire.ExtStatusRequest, wire.ExtServerName:
		if len(e.Data) != 0 {
			return fmt.Errorf("%w: %v of %d bytes in ServerHello, expected none", ErrDecode, e.Type, len(e.Data))
		}
	}
	switch e.Type {
	case wire.ExtExtendedMasterSecret:
		c.facts.EMS = c.facts.Version > wire.SSL30
	case wire.ExtEncryptThenMAC:
		if !hs.suite.CBC() {
			return fmt.Errorf("%w: encrypt_then_mac with %v", ErrUnofferedExtension, hs.suite.ID)
		}
		c.facts.EtM = true
	case wire.ExtSessionTicket:
		hs.wantNST = true
	case wire.ExtStatusRequest:
		hs.wantOCSP = true
	case wire.ExtNextProtoNegotiation:
		return c.takeNPN(e.Data)
	case wire.ExtALPN:
		return c.takeALPN(e.Data)
	case wire.ExtHeartbeat:
		c.facts.Heartbeat = true
	case wire.ExtChannelID, wire.ExtChannelIDOld:
		// Such a server waits for a signed EncryptedExtensions before our Finished (draft-balfanz-tls-channelid §4).
		return fmt.Errorf("%w: %v", ErrUnspokenExtension, e.Type)
	case wire.ExtRecordSizeLimit:
		r := wire.NewReader(e.Data)
		limit := r.U16()
		if !r.Done() {
			return fmt.Errorf("%w: record_size_limit of %d bytes", ErrDecode, len(e.Data))
		}
		if limit < 64 {
			// "Endpoints MUST NOT send a 'record_size_limit' extension with a value smaller than 64. An
			// endpoint MUST treat receipt of a smaller value as a fatal error" (RFC 8449 §4)
			return fmt.Errorf("%w: record_size_limit %d, at least 64 allowed", ErrForbiddenExtension, limit)
		}
		c.peerLimit = limit
	case wire.ExtSCT:
		return checkSCTs(e.Data)
	case wire.ExtECPointFormats:
		r := wire.NewReader(e.Data)
		if f := r.Vec8(); !r.Done() || bytes.IndexByte(f, 0) < 0 {
			return fmt.Errorf("%w: ec_point_formats %x without uncompressed", ErrBadKeyShare, e.Data)
		}
	}
	return nil
}

// checkSCTs: a SignedCertificateTimestampList holds at least one, and none is empty (RFC 6962 §3.3).
func checkSCTs(data []byte) error {
	r := wire.NewReader(data)
	list := wire.NewReader(r.Vec16())
	ok := r.Done() && list.Len() > 0
	for list.Len() > 0 {
		ok = len(list.Vec16()) > 0 && ok
	}
	if !ok || !list.OK() {
		return fmt.Errorf("%w: signed_certificate_timestamp of %d bytes", ErrDecode, len(data))
	}
	return nil
}

// takeNPN: the server lists its protocols; the client's answer comes behind ChangeCipherSpec.
func (c *Conn) takeNPN(data []byte) error {
	r := wire.NewReader(data)
	for r.Len() > 0 {
		p := r.Vec8()
		if !r.OK() || len(p) == 0 {
			return fmt.Errorf("%w: next_protocol_negotiation of %d bytes", ErrDecode, len(data))
		}
		c.hs.npn = append(c.hs.npn, bytes.Clone(p))
	}
	c.hs.wantNPN = true
	if c.facts.ALPN != "" {
		return fmt.Errorf("%w: next_protocol_negotiation beside ALPN", ErrUnofferedExtension)
	}
	return nil
}

// takeALPN: exactly one protocol, and one that was offered (RFC 7301 §3.1).
func (c *Conn) takeALPN(data []byte) error {
	r := wire.NewReader(data)
	l := wire.NewReader(r.Vec16())
	p := l.Vec8()
	if !r.Done() || !l.Done() || len(p) == 0 {
		return fmt.Errorf("%w: ALPN of %d bytes, expected one protocol", ErrDecode, len(data))
	}
	for _, offered := range c.hs.hello.ALPN() {
		if offered == string(p) {
			c.facts.ALPN = offered
			if c.hs.wantNPN {
				return fmt.Errorf("%w: ALPN beside next_protocol_negotiation", ErrUnofferedExtension)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: %q", ErrUnofferedProtocol, p)
}
