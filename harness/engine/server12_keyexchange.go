package engine

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// onClientCertificate12 takes the client's chain, which may be empty.
func (c *Conn) onClientCertificate12(m *wire.Certificate12) (state, error) {
	if len(m.Chain) == 0 {
		return c.onNoCertificate()
	}
	l, _, err := c.server.ClientVerifier.chain(c.now, "", m.Chain)
	if err != nil {
		return 0, err
	}
	if _, ok := authOf(l.key); !ok {
		return 0, fmt.Errorf("%w: %w: key of type %T", ErrCertificate, ErrUnsupportedKey, l.key)
	}
	if err := l.allows(x509.KeyUsageDigitalSignature); err != nil {
		return 0, err
	}
	c.hs.peerKey = l.key
	c.facts.ClientCert = true
	return stateWaitCKE, nil
}

// onNoCertificate: "If no suitable certificate is available, the client MUST send a certificate message
// containing no certificates ... the server MAY at its discretion either continue the handshake without
// client authentication, or respond with a fatal handshake_failure alert" (RFC 5246 §7.4.6).
func (c *Conn) onNoCertificate() (state, error) {
	if c.server.ClientAuth == ClientAuthRequire {
		return 0, fmt.Errorf("%w: one is required", ErrNoCertificate)
	}
	c.hs.transcript.forget()
	return stateWaitCKE, nil
}

// onClientKeyExchange derives the master secret.
func (c *Conn) onClientKeyExchange(body wire.Opaque) (state, error) {
	premaster, err := c.premaster(body)
	if err != nil {
		return 0, err
	}
	c.deriveMaster(premaster)
	c.deriveKeys()
	if c.hs.peerKey != nil {
		return stateWaitCV12, nil
	}
	return stateWaitClientCCS, nil
}

func (c *Conn) premaster(body []byte) ([]byte, error) {
	hs := c.hs
	switch hs.suite.Kx {
	case keys.KxECDHE:
		p, err := wire.ParseClientKeyECDH(body)
		if err != nil {
			return nil, err
		}
		return hs.share.Agree(nil, p)
	case keys.KxDHE:
		y, err := wire.ParseClientKeyDH(body)
		if err != nil {
			return nil, err
		}
		return hs.dh.Agree(y)
	}
	sealed, err := wire.ParseClientKeyRSA(body, c.facts.Version == wire.SSL30)
	if err != nil {
		return nil, err
	}
	return c.openPremaster(sealed)
}

// openPremaster decrypts as RFC 5246 §7.4.7.1 asks: whatever is wrong, the handshake goes on with a
// random secret and fails at Finished.
func (c *Conn) openPremaster(sealed []byte) ([]byte, error) {
	premaster := make([]byte, 48)
	if _, err := io.ReadFull(c.server.Rand, premaster); err != nil {
		return nil, fmt.Errorf("%w: drawing a premaster secret: %v", ErrInternal, err)
	}
	fallback := bytes.Clone(premaster)
	switch key := c.hs.cert.Key.(type) {
	case *rsa.PrivateKey:
		if err := rsa.DecryptPKCS1v15SessionKey(nil, key, sealed, premaster); err != nil {
			return fallback, nil
		}
	case crypto.Decrypter: // a key behind somebody else's door
		p, err := key.Decrypt(c.server.Rand, sealed, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: len(premaster)})
		if err != nil || len(p) != len(premaster) {
			return fallback, nil
		}
		premaster = p
	default:
		return nil, fmt.Errorf("%w: RSA key exchange with a key of type %T", ErrInternal, c.hs.cert.Key)
	}
	if v := c.hs.hello.Version; premaster[0] != byte(v>>8) || premaster[1] != byte(v) {
		return fallback, nil
	}
	return premaster, nil
}

// onCertificateVerify12 checks the client's proof over every message before it.
func (c *Conn) onCertificateVerify12(body wire.Opaque) (state, error) {
	m, err := wire.ParseCertificateVerify12(body, c.facts.Version >= wire.TLS12)
	if err != nil {
		return 0, err
	}
	if err := c.checkTranscriptSignature(m); err != nil {
		return 0, err
	}
	c.hs.transcript.add(c.msg)
	c.hs.transcript.forget()
	return stateWaitClientCCS, nil
}
