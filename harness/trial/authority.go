package trial

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"sync"
	"time"

	"tlsurge/harness/engine"
)

// Authority signs what servers in memory present, and is what browsers in memory trust.
type Authority struct {
	Roots *x509.CertPool
	RSA   *engine.Certificate // RSA-2048, as a site of 2015 had
	ECDSA *engine.Certificate // P-256
	// Expired is RSA's chain, out of its time.
	Expired *engine.Certificate

	key *rsa.PrivateKey
}

// NewAuthority makes the keys and certificates, all for the name host. Handshakes are signed by a key that
// remembers: trials repeat the same handshake, and the signature of the same bytes is the same.
func NewAuthority(host string) (*Authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from, to := began.AddDate(-1, 0, 0), began.AddDate(30, 0, 0)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tlsurge trial CA"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{Roots: x509.NewCertPool(), key: key}
	a.Roots.AddCert(ca)
	leaf := func(k crypto.Signer, to time.Time) (*engine.Certificate, error) {
		t := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: to,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		d, err := x509.CreateCertificate(rand.Reader, t, ca, k.Public(), key)
		return &engine.Certificate{Chain: [][]byte{d, der}, Key: &remembering{Signer: k, known: map[string][]byte{}}}, err
	}
	if a.RSA, err = leaf(key, to); err != nil {
		return nil, err
	}
	if a.ECDSA, err = leaf(ec, to); err != nil {
		return nil, err
	}
	a.Expired, err = leaf(key, began.AddDate(0, 0, -1))
	return a, err
}

// Verifier judges chains as a browser that trusts the authority; each server in memory needs its own.
func (a *Authority) Verifier() *engine.Verifier {
	return &engine.Verifier{Roots: a.Roots}
}

// remembering is a key that does not sign the same thing twice. It may be shared.
type remembering struct {
	crypto.Signer
	mu    sync.Mutex
	known map[string][]byte
}

const mostRemembered = 1 << 15

func (k *remembering) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	id := "sign " + string(digest)
	if opts != nil {
		id += opts.HashFunc().String()
		if _, pss := opts.(*rsa.PSSOptions); pss {
			id += " PSS"
		}
	}
	return k.once(id, func() ([]byte, error) { return k.Signer.Sign(random, digest, opts) })
}

// Decrypt opens the premaster secret of an RSA key exchange.
func (k *remembering) Decrypt(random io.Reader, sealed []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	d, ok := k.Signer.(crypto.Decrypter)
	if !ok {
		return nil, errors.New("a key that only signs")
	}
	return k.once("open "+string(sealed), func() ([]byte, error) { return d.Decrypt(random, sealed, opts) })
}

// once computes what is not known yet; callers get a copy.
func (k *remembering) once(id string, compute func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	have := k.known[id]
	k.mu.Unlock()
	if have != nil {
		return bytes.Clone(have), nil
	}
	made, err := compute()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= mostRemembered {
		clear(k.known)
	}
	k.known[id] = bytes.Clone(made)
	return made, nil
}

// Key is the private key behind RSA.
func (a *Authority) Key() *rsa.PrivateKey { return a.key }
