package engine

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"

	"tlsurge/profiles/wire"
)

// The context strings of RFC 8446 §4.4.3, Certificate Verify.
const (
	serverContext = "TLS 1.3, server CertificateVerify"
	clientContext = "TLS 1.3, client CertificateVerify"
)

// scheme13 is what a SignatureScheme means in TLS 1.3: it binds hash, padding and curve. ok is false
// for schemes that TLS 1.3 does not allow in CertificateVerify, RSASSA-PKCS1-v1_5 and SHA-1 among them.
func scheme13(s wire.SignatureScheme) (h crypto.Hash, curve elliptic.Curve, ok bool) {
	switch s {
	case wire.RSAPSSRSAESHA256:
		return crypto.SHA256, nil, true
	case wire.RSAPSSRSAESHA384:
		return crypto.SHA384, nil, true
	case wire.RSAPSSRSAESHA512:
		return crypto.SHA512, nil, true
	case wire.ECDSASecp256r1SHA256:
		return crypto.SHA256, elliptic.P256(), true
	case wire.ECDSASecp384r1SHA384:
		return crypto.SHA384, elliptic.P384(), true
	case wire.ECDSASecp521r1SHA512:
		return crypto.SHA512, elliptic.P521(), true
	case wire.Ed25519:
		return 0, nil, true
	}
	return 0, nil, false
}

// schemeFits says whether key can make or check signatures of scheme s.
func schemeFits(s wire.SignatureScheme, key crypto.PublicKey) bool {
	h, curve, ok := scheme13(s)
	if !ok {
		return false
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		// emLen >= hLen + sLen + 2 (RFC 8017 §9.1.1): a 1024-bit key cannot sign with SHA-512.
		return curve == nil && h != 0 && k.Size() >= 2*h.Size()+2
	case *ecdsa.PublicKey:
		return curve != nil && k.Curve == curve
	case ed25519.PublicKey:
		return s == wire.Ed25519
	}
	return false
}

// chooseScheme13 takes the first scheme of the peer's list that key can sign with; 0 if there is none.
func chooseScheme13(cert *Certificate, offered []wire.SignatureScheme) wire.SignatureScheme {
	key := cert.Key
	offered = cert.prefer(offered)
	for _, s := range offered {
		if schemeFits(s, key.Public()) {
			return s
		}
	}
	return 0
}

// signedContent is what a CertificateVerify signs: 64 spaces, the context, a zero byte, the transcript.
func (c *Conn) signedContent(context string) []byte {
	b := make([]byte, 0, 64+len(context)+1+48)
	b = append(b, bytes.Repeat([]byte{' '}, 64)...)
	b = append(b, context...)
	b = append(b, 0)
	return c.hs.transcript.sum(b)
}

// sendCertificateVerify13 signs the transcript so far.
func (c *Conn) sendCertificateVerify13(key crypto.Signer, scheme wire.SignatureScheme, context string) error {
	h, _, _ := scheme13(scheme)
	content := c.signedContent(context)
	var sig []byte
	var err error
	if h == 0 { // Ed25519 signs the message itself
		sig, err = key.Sign(nil, content, crypto.Hash(0))
	} else {
		d := h.New()
		d.Write(content)
		_, isRSA := key.Public().(*rsa.PublicKey)
		sig, err = c.sign(key, h, d.Sum(nil), isRSA)
	}
	if err != nil {
		return fmt.Errorf("%w: signing with %v: %v", ErrInternal, scheme, err)
	}
	c.sendMessage((&wire.CertificateVerify13{Scheme: scheme, Signature: sig}).AppendMessage(nil))
	return nil
}

// verifyPeer13 checks the peer's CertificateVerify with the key of its certificate.
func (c *Conn) verifyPeer13(m wire.CertificateVerify13, context string) error {
	key := c.hs.peerKey
	if !schemeFits(m.Scheme, key) {
		return fmt.Errorf("%w: %v with a key of type %T in TLS 1.3", ErrWrongScheme, m.Scheme, key)
	}
	if c.isClient {
		c.facts.Scheme = m.Scheme
	} else {
		if !contains(c.server.clientSchemes13(), m.Scheme) {
			return fmt.Errorf("%w: %v was not asked for", ErrWrongScheme, m.Scheme)
		}
		c.facts.ClientScheme = m.Scheme
	}
	if c.hs.skipCheck {
		return nil
	}
	content := c.signedContent(context)
	if k, ok := key.(ed25519.PublicKey); ok {
		if !ed25519.Verify(k, content, m.Signature) {
			return fmt.Errorf("%w: %v", ErrBadSignature, m.Scheme)
		}
		return nil
	}
	h, _, _ := scheme13(m.Scheme)
	d := h.New()
	d.Write(content)
	_, isRSA := key.(*rsa.PublicKey)
	return checkSignature(key, h, d.Sum(nil), m.Signature, isRSA)
}

// acceptChain13 judges the peer's chain and keeps its key for the signature to come.
func (c *Conn) acceptChain13(now time.Time, v *Verifier, name string, m *wire.Certificate13) error {
	chain := c.hs.chain[:0]
	for i := range m.Entries {
		chain = append(chain, m.Entries[i].Data)
	}
	l, check, err := v.chain(now, name, chain)
	if err == nil {
		err = l.allows(x509.KeyUsageDigitalSignature)
	}
	if err != nil {
		return err
	}
	c.hs.peerKey, c.hs.skipCheck = l.key, !check
	return nil
}
