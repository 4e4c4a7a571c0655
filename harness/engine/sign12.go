package engine

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// scheme12 is what a SignatureScheme means in TLS 1.2, where it is a pair of hash and signature and
// does not bind a curve (RFC 5246 §7.4.1.4.1). The rsa_pss_pss schemes are for keys of the RSASSA-PSS type,
// which crypto/x509 does not read.
func scheme12(s wire.SignatureScheme) (h crypto.Hash, auth keys.Auth, pss, ok bool) {
	switch s {
	case wire.RSAPSSRSAESHA256:
		return crypto.SHA256, keys.AuthRSA, true, true
	case wire.RSAPSSRSAESHA384:
		return crypto.SHA384, keys.AuthRSA, true, true
	case wire.RSAPSSRSAESHA512:
		return crypto.SHA512, keys.AuthRSA, true, true
	case wire.Ed25519:
		return 0, keys.AuthECDSA, false, true // signs the message itself (RFC 8422 §5.10)
	}
	switch s >> 8 {
	case 1:
		h = crypto.MD5
	case 2:
		h = crypto.SHA1
	case 3:
		h = crypto.SHA224
	case 4:
		h = crypto.SHA256
	case 5:
		h = crypto.SHA384
	case 6:
		h = crypto.SHA512
	default:
		return 0, 0, false, false
	}
	switch s & 0xff {
	case 1:
		return h, keys.AuthRSA, false, true
	case 3:
		return h, keys.AuthECDSA, false, true
	}
	return 0, 0, false, false
}

func authOf(key crypto.PublicKey) (keys.Auth, bool) {
	switch key.(type) {
	case *rsa.PublicKey:
		return keys.AuthRSA, true
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return keys.AuthECDSA, true
	}
	return 0, false
}

// fits says whether a scheme of TLS 1.2 is for this key.
func fits(s wire.SignatureScheme, key crypto.PublicKey) bool {
	_, a, _, ok := scheme12(s)
	auth, known := authOf(key)
	_, ed := key.(ed25519.PublicKey)
	return ok && known && a == auth && ed == (s == wire.Ed25519)
}

// digestBefore12 is what versions below TLS 1.2 sign: MD5 and SHA-1 one after the other for RSA, SHA-1
// for ECDSA (RFC 4346 §7.4.3, RFC 8422 §5.4).
func digestBefore12(auth keys.Auth, parts ...[]byte) (crypto.Hash, []byte) {
	s := sha1.New()
	m := md5.New()
	for _, p := range parts {
		s.Write(p)
		m.Write(p)
	}
	if auth == keys.AuthECDSA {
		return crypto.SHA1, s.Sum(nil)
	}
	return crypto.MD5SHA1, s.Sum(m.Sum(make([]byte, 0, 36)))
}

// signedDigest hashes parts as the version and scheme ask.
func (c *Conn) signedDigest(auth keys.Auth, scheme wire.SignatureScheme, parts ...[]byte) (h crypto.Hash, digest []byte, pss bool, err error) {
	if c.facts.Version < wire.TLS12 {
		h, digest = digestBefore12(auth, parts...)
		return h, digest, false, nil
	}
	h, a, pss, ok := scheme12(scheme)
	if !ok || a != auth {
		return 0, nil, false, fmt.Errorf("%w: %v with this key", ErrWrongScheme, scheme)
	}
	if h == 0 {
		return 0, bytes.Join(parts, nil), false, nil
	}
	d := h.New()
	for _, p := range parts {
		d.Write(p)
	}
	return h, d.Sum(nil), pss, nil
}

// checkSignature verifies sig over a digest with the peer's key.
func checkSignature(key crypto.PublicKey, h crypto.Hash, digest, sig []byte, pss bool) error {
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		if pss {
			ok = rsa.VerifyPSS(k, h, digest, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, h, digest, sig) == nil
		}
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, digest, sig)
	}
	if !ok {
		return fmt.Errorf("%w: %d bytes over %v", ErrBadSignature, len(sig), h)
	}
	return nil
}

// sign makes a signature over a digest. ECDSA is deterministic (RFC 6979), so that a run can be repeated.
func (c *Conn) sign(key crypto.Signer, h crypto.Hash, digest []byte, pss bool) ([]byte, error) {
	var opts crypto.SignerOpts = h
	var err error
	var sig []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if pss {
			sig, err = rsa.SignPSS(c.rand(), k, h, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(nil, k, h, digest)
		}
	default: // ECDSA, or a key behind somebody else's door
		if _, isRSA := key.Public().(*rsa.PublicKey); isRSA && pss {
			sig, err = key.Sign(c.rand(), digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h})
		} else {
			sig, err = key.Sign(nil, digest, opts)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: signing: %v", ErrInternal, err)
	}
	return sig, nil
}

// schemesBefore is what a TLS 1.2 hello without signature_algorithms stands for (RFC 5246 §7.4.1.4.1).
var schemesBefore = []wire.SignatureScheme{wire.RSAPKCS1SHA1, wire.ECDSASHA1}

// pickScheme takes the first of offered that the key can sign with.
func pickScheme(offered []wire.SignatureScheme, cert *Certificate, noSHA1 bool) (wire.SignatureScheme, bool) {
	if offered == nil {
		offered = schemesBefore
	}
	offered = cert.prefer(offered)
	for _, s := range offered {
		h, _, _, _ := scheme12(s)
		if fits(s, cert.Key.Public()) && h != crypto.MD5 && !(noSHA1 && h == crypto.SHA1) {
			return s, true
		}
	}
	return 0, false
}

// signTranscript signs every message so far for a CertificateVerify (RFC 5246 §7.4.8).
func (c *Conn) signTranscript(cert *Certificate) ([]byte, wire.SignatureScheme, error) {
	key := cert.Key
	auth, _ := authOf(key.Public())
	if c.facts.Version < wire.TLS12 {
		h, digest := c.transcriptDigest(auth)
		sig, err := c.sign(key, h, digest, false)
		return sig, 0, err
	}
	var offered []wire.SignatureScheme
	for r := wire.NewReader(c.hs.request.Schemes); r.Len() > 0; {
		offered = append(offered, wire.SignatureScheme(r.U16()))
	}
	scheme, ok := pickScheme(offered, cert, false)
	if !ok {
		return nil, 0, fmt.Errorf("%w: server asks for %v", ErrNoCommonScheme, offered)
	}
	c.facts.ClientScheme = scheme
	h, _, pss, _ := scheme12(scheme)
	sig, err := c.sign(key, h, c.hs.transcript.sumWith(h), pss)
	return sig, scheme, err
}

// transcriptDigest is what versions below TLS 1.2 sign. SSL 3.0 mixes the master secret in.
func (c *Conn) transcriptDigest(auth keys.Auth) (crypto.Hash, []byte) {
	t := &c.hs.transcript
	var sum []byte
	if c.facts.Version == wire.SSL30 {
		sum = keys.CertVerify30(nil, c.hs.master[:], cloneHash(t.md5), cloneHash(t.sha1))
	} else {
		sum = t.sum(nil)
	}
	if auth == keys.AuthECDSA {
		return crypto.SHA1, sum[md5.Size:]
	}
	return crypto.MD5SHA1, sum
}

// checkTranscriptSignature is the server's side of it.
func (c *Conn) checkTranscriptSignature(m wire.CertificateVerify12) error {
	auth, _ := authOf(c.hs.peerKey)
	if c.facts.Version < wire.TLS12 {
		h, digest := c.transcriptDigest(auth)
		return checkSignature(c.hs.peerKey, h, digest, m.Signature, false)
	}
	h, _, pss, _ := scheme12(m.Scheme)
	if !fits(m.Scheme, c.hs.peerKey) || !contains(c.server.clientSchemes(), m.Scheme) {
		return fmt.Errorf("%w: %v", ErrWrongScheme, m.Scheme)
	}
	c.facts.ClientScheme = m.Scheme
	return checkSignature(c.hs.peerKey, h, c.hs.transcript.sumWith(h), m.Signature, pss)
}
