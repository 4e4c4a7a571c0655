package engine

import (
	"crypto/rsa"
	"fmt"
	"io"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// onServerHelloDone sends the client's second flight: [Certificate] ClientKeyExchange
// [CertificateVerify] ChangeCipherSpec [NextProtocol] Finished.
func (c *Conn) onServerHelloDone(wire.Empty) (state, error) {
	hs := c.hs
	if hs.suite.Kx != keys.KxRSA && !hs.sawSKE {
		return 0, c.unexpected(wire.TypeServerHelloDone)
	}
	if hs.request != nil {
		c.sendClientCertificate()
	}
	premaster, body, err := c.keyExchange()
	if err != nil {
		return 0, err
	}
	hs.scratch = wire.AppendOpaqueMessage(hs.scratch[:0], wire.TypeClientKeyExchange, body)
	c.sendMessage(hs.scratch)
	c.deriveMaster(premaster)
	if hs.cert != nil {
		if err := c.sendCertificateVerify(); err != nil {
			return 0, err
		}
	}
	c.deriveKeys()
	c.sendChangeAndFinished(c.sendNextProtocol)
	if c.mayFalseStart() {
		c.established = true
		c.facts.FalseStart = true
		c.emit(Event{Kind: EventFalseStart})
	}
	if hs.wantNST {
		return stateWaitTicket, nil
	}
	return stateWaitServerCCS, nil
}

// keyExchange gives the premaster secret and the body of ClientKeyExchange.
func (c *Conn) keyExchange() (premaster, body []byte, err error) {
	hs := c.hs
	switch hs.suite.Kx {
	case keys.KxECDHE:
		share, err := c.ecdheShare()
		if err != nil {
			return nil, nil, err
		}
		premaster, err = share.Agree(nil, hs.peerShare)
		return premaster, wire.AppendVec8(hs.kx[:0], share.Public()), err
	case keys.KxDHE:
		k, err := keys.GenerateDH(hs.dhP, hs.dhG, c.rand())
		if err != nil {
			return nil, nil, err
		}
		premaster, err = k.Agree(hs.peerShare)
		return premaster, wire.AppendVec16(nil, k.Y), err
	}
	return c.rsaExchange()
}

func (c *Conn) ecdheShare() (*keys.Share, error) {
	if pool := c.client.KeyPool; pool != nil {
		return pool.Share(c.hs.group)
	}
	return keys.GenerateShare(c.hs.group, c.rand())
}

// rsaExchange: "client_version: The version requested by the client in the ClientHello. This is used to
// detect version roll-back attacks" (RFC 5246 §7.4.7.1).
func (c *Conn) rsaExchange() (premaster, body []byte, err error) {
	premaster = make([]byte, 48)
	if _, err := io.ReadFull(c.rand(), premaster[2:]); err != nil {
		return nil, nil, fmt.Errorf("%w: drawing a premaster secret: %v", ErrInternal, err)
	}
	v := c.hs.hello.Version
	premaster[0], premaster[1] = byte(v>>8), byte(v)
	sealed, err := keys.EncryptRSA(c.hs.peerKey.(*rsa.PublicKey), premaster, c.rand())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrWeakKey, err)
	}
	if c.facts.Version == wire.SSL30 {
		return premaster, sealed, nil
	}
	return premaster, wire.AppendVec16(nil, sealed), nil
}

// sendClientCertificate answers a CertificateRequest; without a certificate that fits, with none: an
// empty list, or in SSL 3.0 a warning (RFC 6101 §5.6.6).
func (c *Conn) sendClientCertificate() {
	hs := c.hs
	m := wire.Certificate12{}
	if cert := c.client.Certificate; cert != nil && c.suitsRequest(cert) {
		hs.cert, m.Chain = cert, cert.Chain
		c.facts.ClientCert = true
	} else if c.facts.Version == wire.SSL30 {
		c.writeAlert(wire.LevelWarning, wire.AlertNoCertificate)
		return
	}
	hs.scratch = m.AppendMessage(hs.scratch[:0])
	c.sendMessage(hs.scratch)
}

func (c *Conn) suitsRequest(cert *Certificate) bool {
	auth, ok := authOf(cert.Key.Public())
	want := byte(wire.CertTypeRSASign)
	if auth == keys.AuthECDSA {
		want = wire.CertTypeECDSASign
	}
	for _, t := range c.hs.request.Types {
		if t == want {
			return ok
		}
	}
	return false
}

// sendCertificateVerify proves the key over every message so far.
func (c *Conn) sendCertificateVerify() error {
	hs := c.hs
	sig, scheme, err := c.signTranscript(hs.cert)
	if err != nil {
		return err
	}
	m := wire.CertificateVerify12{Scheme: scheme, Signature: sig}
	hs.scratch = m.AppendMessage(hs.scratch[:0], c.facts.Version >= wire.TLS12)
	c.sendMessage(hs.scratch)
	return nil
}

// sendNextProtocol answers next_protocol_negotiation: the first of ours that the server lists, else our
// first all the same (draft-agl-tls-nextprotoneg-04 §3).
func (c *Conn) sendNextProtocol() {
	if !c.hs.wantNPN {
		return
	}
	ours := c.client.NPN
	if len(ours) == 0 {
		ours = defaultNPN
	}
	c.facts.NPN = ours[0]
pick:
	for _, p := range c.hs.npn {
		for _, o := range ours {
			if o == string(p) {
				c.facts.NPN = o
				break pick
			}
		}
	}
	c.hs.scratch = wire.NextProtocol{Protocol: []byte(c.facts.NPN)}.AppendMessage(c.hs.scratch[:0])
	c.sendMessage(c.hs.scratch)
}

var defaultNPN = []string{"http/1.1"}

// mayFalseStart: forward-secret key exchange, a strong AEAD cipher, TLS 1.2 (RFC 7918 §4), and ALPN or NPN
// in force, as Chrome asked of servers.
func (c *Conn) mayFalseStart() bool {
	s := c.hs.suite
	return c.client.FalseStart && !c.done && c.facts.Version == wire.TLS12 && s.Kx == keys.KxECDHE && s.AEAD() &&
		(c.facts.ALPN != "" || c.facts.NPN != "")
}
