package engine

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// VerifyPolicy says which handshakes check the peer's chain and handshake signature.
type VerifyPolicy uint8

const (
	// VerifyEvery checks the signature of every handshake. The chain is checked once per chain, name and
	// minute of the client's clock.
	VerifyEvery VerifyPolicy = iota
	// VerifyFirstPerKey checks the first handshake with each server key, and then one in Sample.
	VerifyFirstPerKey
)

// Verifier judges certificate chains and remembers its judgement. It is not safe for concurrent use:
// one loop owns it.
type Verifier struct {
	Roots  *x509.CertPool
	Policy VerifyPolicy
	Sample int  // VerifyFirstPerKey: one in so many later handshakes is checked too; 0: none
	Client bool // chains are of clients: no name is checked
	// Issuers are DER certificates by the address at which their owner publishes them: what a client that
	// follows authority information access (RFC 5280 §4.2.2.1, Authority Information Access) finds there.
	Issuers map[string][]byte

	known map[chainKey]*knownChain
}

// chainKey is what a judgement is about.
type chainKey struct {
	chain  [32]byte // SHA-256
	name   string
	minute int64
}

// knownChain is one leaf that was seen. The table is bounded: it is emptied when full.
type knownChain struct {
	leaf      leaf
	err       error
	seen      int
	validated bool // a signature by this key was checked
}

const maxKnownChains = 4096

// leaf is what a handshake needs of the peer's own certificate.
type leaf struct {
	key   crypto.PublicKey
	usage x509.KeyUsage // 0: the certificate does not say
}

// allows says whether the certificate may be used so (RFC 5280 §4.2.1.3, Key Usage).
func (l leaf) allows(u x509.KeyUsage) error {
	if l.usage == 0 || l.usage&u != 0 {
		return nil
	}
	return fmt.Errorf("%w: its key usage %#x does not allow %#x", ErrKeyUsage, int(l.usage), int(u))
}

// chain gives the peer's leaf, or the reason why the chain is refused. check says whether this
// handshake's signature must be verified. chain is not kept.
func (v *Verifier) chain(now time.Time, name string, chain [][]byte) (l leaf, check bool, err error) {
	if len(chain) == 0 {
		return leaf{}, false, fmt.Errorf("%w: %w", ErrCertificate, ErrNoCertificate)
	}
	if v == nil {
		c, err := x509.ParseCertificate(bytes.Clone(chain[0]))
		if err != nil {
			return leaf{}, false, fmt.Errorf("%w: %w: %v", ErrCertificate, ErrBadCertificate, err)
		}
		return leaf{c.PublicKey, c.KeyUsage}, true, nil
	}
	d := sha256.New()
	for _, der := range chain {
		d.Write(der)
	}
	id := chainKey{name: name, minute: now.Unix() / 60}
	d.Sum(id.chain[:0])
	k := v.known[id]
	if k == nil {
		k = &knownChain{}
		k.leaf, k.err = v.judge(now, name, chain)
		if v.known == nil || len(v.known) >= maxKnownChains {
			v.known = make(map[chainKey]*knownChain)
		}
		v.known[id] = k
	}
	if k.err != nil {
		return leaf{}, false, k.err
	}
	check = true
	if v.Policy == VerifyFirstPerKey && k.validated {
		k.seen++
		check = v.Sample > 0 && k.seen%v.Sample == 0
	}
	k.validated = true
	return k.leaf, check, nil
}

func (v *Verifier) judge(now time.Time, name string, chain [][]byte) (leaf, error) {
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		c, err := x509.ParseCertificate(bytes.Clone(der)) // which keeps it; chain is the record's memory
		if err != nil {
			return leaf{}, fmt.Errorf("%w: %w: certificate %d: %v", ErrCertificate, ErrBadCertificate, i, err)
		}
		certs[i] = c
	}
	opts := x509.VerifyOptions{Roots: v.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now, DNSName: name}
	if v.Client {
		opts.DNSName = ""
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	for _, c := range certs {
		for _, url := range c.IssuingCertificateURL {
			if issuer, err := x509.ParseCertificate(v.Issuers[url]); err == nil {
				opts.Intermediates.AddCert(issuer)
			}
		}
	}
	if _, err := certs[0].Verify(opts); err != nil {
		return leaf{}, fmt.Errorf("%w: %w: %v", ErrCertificate, certificateCause(now, err), err)
	}
	return leaf{certs[0].PublicKey, certs[0].KeyUsage}, nil
}

func certificateCause(now time.Time, err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return ErrUnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return ErrCertificateNotYet
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ErrCertificateExpired
	case errors.As(err, &host):
		return ErrCertificateHostname
	}
	return ErrBadCertificate
}
