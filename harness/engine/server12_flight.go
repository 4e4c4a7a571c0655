package engine

import (
	"fmt"
	"io"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// answerFull sends ServerHello, Certificate, [CertificateStatus], [ServerKeyExchange],
// [CertificateRequest], ServerHelloDone.
func (c *Conn) answerFull() (state, error) {
	hs, cfg := c.hs, c.server
	hs.transcript.start(c.suiteHash())
	_, ticketOffered := c.offered(wire.ExtSessionTicket)
	hs.wantNST = ticketOffered && cfg.Tickets != nil && c.canAnswer(wire.ExtSessionTicket)
	if !hs.wantNST && (cfg.Sessions != nil || cfg.IssueID) {
		id, err := c.newSessionID()
		if err != nil {
			return 0, err
		}
		hs.sessionID = id
	}
	_, status := c.offered(wire.ExtStatusRequest)
	hs.wantOCSP = status && len(hs.cert.OCSP) > 0 && c.canAnswer(wire.ExtStatusRequest)
	_, etm := c.offered(wire.ExtEncryptThenMAC)
	c.facts.EtM = etm && hs.suite.CBC() && c.facts.Version > wire.SSL30 && c.canAnswer(wire.ExtEncryptThenMAC)
	c.chooseNPN()
	if err := c.sendServerHello(); err != nil {
		return 0, err
	}
	cert := wire.Certificate12{Chain: hs.cert.Chain}
	hs.scratch = cert.AppendMessage(hs.scratch[:0])
	c.sendMessage(hs.scratch)
	if hs.wantOCSP {
		hs.scratch = wire.CertificateStatus{Response: hs.cert.OCSP}.AppendMessage(hs.scratch[:0])
		c.sendMessage(hs.scratch)
	}
	if err := c.sendServerKeyExchange(); err != nil {
		return 0, err
	}
	next := stateWaitCKE
	if cfg.ClientAuth != ClientAuthNone {
		c.sendCertificateRequest()
		next = stateWaitClientCert
	}
	hs.scratch = wire.AppendEmptyMessage(hs.scratch[:0], wire.TypeServerHelloDone)
	c.sendMessage(hs.scratch)
	return next, nil
}

func (c *Conn) newSessionID() ([]byte, error) {
	id := make([]byte, 32)
	if _, err := io.ReadFull(c.server.Rand, id); err != nil {
		return nil, fmt.Errorf("%w: drawing a session ID: %v", ErrInternal, err)
	}
	return id, nil
}

func (c *Conn) chooseNPN() {
	_, ok := c.offered(wire.ExtNextProtoNegotiation)
	c.hs.wantNPN = ok && len(c.server.NPN) > 0 && c.facts.ALPN == "" && c.canAnswer(wire.ExtNextProtoNegotiation)
}

// sendServerHello draws the random and lists the extensions in the personality's order.
func (c *Conn) sendServerHello() error {
	hs := c.hs
	if _, err := io.ReadFull(c.server.Rand, hs.serverRandom[:]); err != nil {
		return fmt.Errorf("%w: drawing a random: %v", ErrInternal, err)
	}
	// "TLS 1.3 servers which negotiate TLS 1.2 or below ... MUST set the last 8 bytes of their Random"
	// (RFC 8446 §4.1.3, Server Hello).
	if c.server.Versions.Has(wire.TLS13) {
		copy(hs.serverRandom[24:], sentinel)
		hs.serverRandom[31] = 0
		if c.facts.Version == wire.TLS12 {
			hs.serverRandom[31] = 1
		}
	}
	sh := wire.ServerHello{Version: c.facts.Version, Random: hs.serverRandom, SessionID: hs.sessionID, Suite: hs.suite.ID}
	sh.Extensions = c.serverExtensions()
	sh.HasExtensions = len(sh.Extensions) > 0
	hs.scratch = sh.AppendMessage(hs.scratch[:0])
	c.sendMessage(hs.scratch)
	return nil
}

// defaultOrder is used where the rules name none.
var defaultOrder = []wire.ExtensionType{
	wire.ExtRenegotiationInfo, wire.ExtServerName, wire.ExtECPointFormats, wire.ExtSessionTicket, wire.ExtStatusRequest,
	wire.ExtNextProtoNegotiation, wire.ExtALPN, wire.ExtEncryptThenMAC, wire.ExtSCT, wire.ExtExtendedMasterSecret,
}

func (c *Conn) serverExtensions() []wire.Extension {
	order := c.server.Rules.ExtensionOrder
	if order == nil {
		order = defaultOrder
	}
	exts := make([]wire.Extension, 0, len(order))
	for _, t := range order {
		if body, ok := c.serverExtension(t); ok {
			exts = append(exts, wire.Extension{Type: t, Data: body})
		}
	}
	return exts
}

var (
	emptyRenegotiation = []byte{0}
	uncompressedOnly   = []byte{1, 0}
	allPointFormats    = []byte{3, 0, 1, 2} // what OpenSSL says it can read
	heartbeatAllowed   = []byte{1}          // peer_allowed_to_send
)

// acksServerName: the state machine acknowledges a name of no length too.
func (c *Conn) acksServerName() bool {
	_, offered := c.offered(wire.ExtServerName)
	rules := &c.server.Rules
	return offered && rules.AckServerName && (rules.Statem || c.facts.ServerName != "")
}

// serverExtension is the answer to one extension, if this handshake has one.
func (c *Conn) serverExtension(t wire.ExtensionType) (body []byte, ok bool) {
	hs := c.hs
	_, offered := c.offered(t)
	switch t {
	case wire.ExtRenegotiationInfo:
		if c.server.Rules.NoRenegotiationInfo || !c.facts.RenegotiationInfo {
			return nil, false
		}
		if hs.renegotiated {
			return wire.AppendVec8(nil, c.lastFinished()), true
		}
		return emptyRenegotiation, true
	case wire.ExtServerName:
		return nil, offered && c.acksServerName() && !hs.resumed
	case wire.ExtMaxFragmentLength:
		body = c.limitFragments()
		return body, body != nil
	case wire.ExtECPointFormats:
		if c.server.Rules.OnlyUncompressed {
			body = uncompressedOnly
		} else {
			body = allPointFormats
		}
		return body, offered && (hs.suite.Kx == keys.KxECDHE || hs.suite.Auth == keys.AuthECDSA)
	case wire.ExtSessionTicket:
		return nil, hs.wantNST
	case wire.ExtStatusRequest:
		return nil, hs.wantOCSP
	case wire.ExtHeartbeat:
		c.facts.Heartbeat = c.facts.Heartbeat || offered && c.server.Rules.Heartbeat
		return heartbeatAllowed, offered && c.server.Rules.Heartbeat
	case wire.ExtNextProtoNegotiation:
		for _, p := range c.server.NPN {
			body = wire.AppendVec8(body, []byte(p))
		}
		return body, hs.wantNPN
	case wire.ExtALPN:
		return wire.AppendVec16(nil, wire.AppendVec8(nil, []byte(c.facts.ALPN))), c.facts.ALPN != ""
	case wire.ExtEncryptThenMAC:
		return nil, c.facts.EtM
	case wire.ExtSCT:
		return c.sctList(), offered && hs.cert != nil && len(hs.cert.SCTs) > 0 && !hs.resumed
	case wire.ExtExtendedMasterSecret:
		return nil, c.facts.EMS
	}
	return nil, false
}

// sctList is a SignedCertificateTimestampList (RFC 6962 §3.3).
func (c *Conn) sctList() []byte {
	if c.hs.cert == nil {
		return nil
	}
	var list []byte
	for _, s := range c.hs.cert.SCTs {
		list = wire.AppendVec16(list, s)
	}
	return wire.AppendVec16(nil, list)
}

// sendServerKeyExchange draws the ephemeral key and signs it.
func (c *Conn) sendServerKeyExchange() error {
	hs := c.hs
	var params []byte
	switch hs.suite.Kx {
	case keys.KxECDHE:
		share, err := keys.GenerateShare(hs.group, c.server.Rand)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInternal, err)
		}
		hs.share = share
		c.facts.Group = hs.group
		params = wire.AppendECDHEParams(nil, hs.group, share.Public())
	case keys.KxDHE:
		g := c.server.DH
		k, err := keys.GenerateDH(g.P, g.G, c.server.Rand)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInternal, err)
		}
		hs.dh = k
		params = wire.AppendDHEParams(nil, g.P, g.G, k.Y)
	default:
		return nil
	}
	m := wire.Signed{Params: params}
	if c.facts.Version >= wire.TLS12 {
		m.Scheme, _ = pickScheme(hs.hello.SignatureAlgorithms(), hs.cert, c.server.Rules.NoSHA1)
		c.facts.Scheme = m.Scheme
	}
	h, digest, pss, err := c.signedDigest(hs.suite.Auth, m.Scheme, hs.clientRandom[:], hs.serverRandom[:], params)
	if err != nil {
		return err
	}
	if m.Signature, err = c.sign(hs.cert.Key, h, digest, pss); err != nil {
		return err
	}
	hs.scratch = m.AppendMessage(hs.scratch[:0], c.facts.Version >= wire.TLS12)
	c.sendMessage(hs.scratch)
	return nil
}

// requestSchemes is what we verify client certificates with.
var requestSchemes = []wire.SignatureScheme{
	wire.ECDSASecp256r1SHA256, wire.RSAPSSRSAESHA256, wire.RSAPKCS1SHA256, wire.ECDSASecp384r1SHA384, wire.RSAPSSRSAESHA384,
	wire.RSAPKCS1SHA384, wire.RSAPSSRSAESHA512, wire.RSAPKCS1SHA512, wire.ECDSASHA1, wire.RSAPKCS1SHA1,
}

func (cfg *ServerConfig) clientSchemes() []wire.SignatureScheme {
	if cfg.ClientSchemes != nil {
		return cfg.ClientSchemes
	}
	return requestSchemes
}

func (c *Conn) sendCertificateRequest() {
	m := wire.CertificateRequest12{Types: []byte{wire.CertTypeRSASign, wire.CertTypeECDSASign}, Authorities: c.server.ClientCAs}
	if c.facts.Version >= wire.TLS12 {
		m.HasSchemes = true
		for _, s := range c.server.clientSchemes() {
			m.Schemes = wire.AppendU16(m.Schemes, uint16(s))
		}
	}
	c.hs.scratch = m.AppendMessage(c.hs.scratch[:0])
	c.sendMessage(c.hs.scratch)
}
