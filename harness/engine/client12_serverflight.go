package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// onCertificate12 judges the server's chain and that its key fits the suite.
func (c *Conn) onCertificate12(m *wire.Certificate12) (state, error) {
	hs := c.hs
	hs.mayResume = false
	l, check, err := c.client.Verifier.chain(c.now.Add(c.client.Clock), c.client.ServerName, m.Chain)
	if err != nil {
		return 0, err
	}
	key, use := l.key, x509.KeyUsageDigitalSignature
	if hs.suite.Kx == keys.KxRSA {
		use = x509.KeyUsageKeyEncipherment
	}
	if auth, ok := authOf(key); !ok || auth != hs.suite.Auth {
		return 0, fmt.Errorf("%w: %T with %v", ErrWrongCertificate, key, hs.suite.ID)
	}
	if err := l.allows(use); err != nil {
		return 0, err
	}
	if k, ok := key.(*rsa.PublicKey); ok && k.N.BitLen() < 512 {
		return 0, fmt.Errorf("%w: RSA key of %d bits", ErrWeakKey, k.N.BitLen())
	}
	if k, ok := key.(*ecdsa.PublicKey); ok {
		if err := c.checkCurve(k); err != nil {
			return 0, err
		}
	}
	hs.peerKey, hs.skipCheck = key, !check
	switch {
	case hs.wantOCSP:
		return stateWaitStatusOrSKE, nil
	case hs.suite.Kx == keys.KxRSA:
		return stateWaitCRorSHD, nil
	}
	return stateWaitSKE, nil
}

// checkCurve: the curve of an ECDSA certificate must be one that the hello lists (RFC 8422 §5.1).
func (c *Conn) checkCurve(k *ecdsa.PublicKey) error {
	if ch := c.hs.hello; !ch.Has(wire.ExtSupportedGroups) || ch.OffersGroup(curveGroup(k)) {
		return nil
	}
	return fmt.Errorf("%w: curve %s was not offered", ErrWrongCertificate, k.Curve.Params().Name)
}

func (c *Conn) onCertificateStatus(m wire.CertificateStatus) (state, error) {
	c.facts.Stapled = bytes.Clone(m.Response)
	if c.hs.suite.Kx == keys.KxRSA {
		return stateWaitCRorSHD, nil
	}
	return stateWaitSKE, nil
}

// onServerKeyExchange takes the server's ephemeral key and checks who signed it.
func (c *Conn) onServerKeyExchange(body wire.Opaque) (state, error) {
	hs := c.hs
	tls12 := c.facts.Version >= wire.TLS12
	var signed wire.Signed
	switch hs.suite.Kx {
	case keys.KxECDHE:
		m, err := wire.ParseServerECDHE(body, tls12)
		if err != nil {
			return 0, err
		}
		if !c.offersGroup(m.Group) {
			return 0, fmt.Errorf("%w: %v", ErrWrongGroup, m.Group)
		}
		hs.group, hs.peerShare, signed = m.Group, append(hs.peerRoom[:0], m.Public...), m.Signed
		c.facts.Group = m.Group
	case keys.KxDHE:
		m, err := wire.ParseServerDHE(body, tls12)
		if err != nil {
			return 0, err
		}
		if n := new(big.Int).SetBytes(m.P).BitLen(); n < c.client.MinDHBits {
			return 0, fmt.Errorf("%w: a DHE group of %d bits, at least %d wanted", ErrWeakDH, n, c.client.MinDHBits)
		}
		hs.dhP, hs.dhG, hs.peerShare, signed = bytes.Clone(m.P), bytes.Clone(m.G), bytes.Clone(m.Y), m.Signed
	default:
		return 0, c.unexpected(wire.TypeServerKeyExchange)
	}
	if err := c.checkServerSignature(&signed); err != nil {
		return 0, err
	}
	hs.sawSKE = true
	return stateWaitCRorSHD, nil
}

func (c *Conn) offersGroup(g wire.Group) bool {
	ch := c.hs.hello
	// A hello without supported_groups offers all of them (RFC 8422 §4).
	return (!ch.Has(wire.ExtSupportedGroups) || ch.OffersGroup(g)) && keys.Supported(g) && g != wire.X25519MLKEM768
}

// checkServerSignature: the signature covers both randoms and the parameters (RFC 5246 §7.4.3).
func (c *Conn) checkServerSignature(m *wire.Signed) error {
	hs := c.hs
	if c.facts.Version >= wire.TLS12 {
		if !offersScheme(hs.hello, m.Scheme) || !fits(m.Scheme, hs.peerKey) {
			return fmt.Errorf("%w: %v", ErrWrongScheme, m.Scheme)
		}
		c.facts.Scheme = m.Scheme
	}
	h, digest, pss, err := c.signedDigest(hs.suite.Auth, m.Scheme, hs.clientRandom[:], hs.serverRandom[:], m.Params)
	if err != nil || hs.skipCheck {
		return err
	}
	return checkSignature(hs.peerKey, h, digest, m.Signature, pss)
}

func offersScheme(ch *hello.ClientHello, s wire.SignatureScheme) bool {
	if !ch.Has(wire.ExtSignatureAlgorithms) {
		return contains(schemesBefore, s)
	}
	return ch.OffersScheme(s)
}

func (c *Conn) onCertificateRequest12(body wire.Opaque) (state, error) {
	if c.hs.suite.Kx != keys.KxRSA && !c.hs.sawSKE {
		return 0, c.unexpected(wire.TypeCertificateRequest)
	}
	m, err := wire.ParseCertificateRequest12(bytes.Clone(body), c.facts.Version >= wire.TLS12)
	if err != nil {
		return 0, err
	}
	c.hs.request = m
	return stateWaitSHD, nil
}
