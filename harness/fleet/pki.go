package fleet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// KeyType of the certificates that a run makes for itself.
type KeyType string

const (
	RSA2048   KeyType = "rsa-2048" // the default: what a site of 2015 had, and what a full handshake costs most for
	ECDSAP256 KeyType = "ecdsa-p256"
)

// PKI is the run's own authority and the leaf that all edges present.
type PKI struct {
	// CAFile holds the authority's certificate; CertFile the leaf with what is behind it; KeyFile the leaf's key
	// (0600). All are PEM in the run's directory. The authorities' keys are never written.
	CAFile, CertFile, KeyFile string
	// ExpiredFile is the leaf once more, for the same key, whose time ended a day before the run: what rules
	// cert_expired present.
	ExpiredFile string
	// LeafFile and ExpiredLeafFile are the two without anything behind them.
	LeafFile, ExpiredLeafFile string
	CA                        *x509.Certificate
	// Issuers is the intermediate authority's certificate in DER, by the address that its leaves name.
	Issuers map[string][]byte
	// TicketFile is a session ticket key for all edges, 48 bytes as nginx reads them (0600).
	TicketFile string
	// Sites are the certificates of other sites on the same edges, by name.
	Sites map[string]SiteFiles
}

// SiteFiles is a certificate with its key, in PEM files.
type SiteFiles struct{ CertFile, KeyFile string }

// PKIConfig says what to make.
type PKIConfig struct {
	Dir   string    // made if missing, mode 0700
	Names []string  // DNS names or IP addresses of the leaf; the first is its common name
	Key   KeyType   // empty: RSA2048
	Now   time.Time // validity runs from an hour before to 30 days after
	// Intermediate: an authority under the authority signs the leaves, as with every public one. Servers then
	// send its certificate, and not the root's.
	Intermediate bool
	// Sites are names with a certificate and a key of their own.
	Sites []string
}

// issuerURL is where the intermediate authority's certificate is published. Nobody is asked there: agents know
// what they would find.
const issuerURL = "http://authority.example.test/intermediate.crt"

// authority signs leaves.
type authority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	behind []byte // PEM of what a server sends behind a leaf
	url    string // where cert is published; empty: nowhere
}

// MakePKI makes an authority and a leaf.
func MakePKI(cfg PKIConfig) (*PKI, error) {
	if len(cfg.Names) == 0 {
		return nil, fmt.Errorf("certificate: no server name")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	in := func(name string) string { return filepath.Join(cfg.Dir, name) }
	p := &PKI{CAFile: in("ca.pem"), CertFile: in("cert.pem"), KeyFile: in("key.pem"), ExpiredFile: in("expired.pem"),
		LeafFile: in("leaf.pem"), ExpiredLeafFile: in("expired-leaf.pem"), TicketFile: in("ticket.key"), Sites: map[string]SiteFiles{}}
	issuer, err := p.makeAuthority(&cfg)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	if err := issuer.leaf(&cfg, cfg.Names, p.CertFile, p.LeafFile, p.ExpiredFile, p.ExpiredLeafFile, p.KeyFile); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key := make([]byte, 48)
	rand.Read(key)
	if err := os.WriteFile(p.TicketFile, key, 0o600); err != nil {
		return nil, fmt.Errorf("session ticket key: %w", err)
	}
	for i, name := range cfg.Sites {
		f := SiteFiles{in(fmt.Sprintf("site-%d.pem", i+1)), in(fmt.Sprintf("site-%d-key.pem", i+1))}
		if err := issuer.leaf(&cfg, []string{name}, f.CertFile, "", "", "", f.KeyFile); err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", name, err)
		}
		p.Sites[name] = f
	}
	return p, nil
}

// makeAuthority makes the root and, where there is one, the intermediate, and gives what signs leaves.
func (p *PKI) makeAuthority(cfg *PKIConfig) (*authority, error) {
	key, err := newKey(cfg.Key) // of the leaf's kind: a client of 2015 may not know ECDSA signatures
	if err != nil {
		return nil, err
	}
	ca, der, err := sign(caTemplate(cfg.Now, "tlsurge run authority", !cfg.Intermediate), nil, key.Public(), key)
	if err != nil {
		return nil, err
	}
	p.CA = ca
	root := &authority{cert: ca, key: key, behind: pemOf(der)}
	if err := writeNew(p.CAFile, root.behind, 0o644); err != nil || !cfg.Intermediate {
		return root, err
	}
	if key, err = newKey(cfg.Key); err != nil {
		return nil, err
	}
	cert, der, err := sign(caTemplate(cfg.Now, "tlsurge intermediate authority", true), ca, key.Public(), root.key)
	if err != nil {
		return nil, err
	}
	p.Issuers = map[string][]byte{issuerURL: der}
	return &authority{cert: cert, key: key, behind: pemOf(der), url: issuerURL}, nil
}

// leaf makes a key and its certificate, with and without the chain, and once more as if from last year. Files
// without a name are not written.
func (a *authority) leaf(cfg *PKIConfig, names []string, full, alone, expired, expiredAlone, keyFile string) error {
	key, err := newKey(cfg.Key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeNew(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	for _, c := range []struct {
		full, alone string
		from, to    time.Time
	}{
		{full, alone, cfg.Now.Add(-time.Hour), cfg.Now.Add(30 * 24 * time.Hour)},
		{expired, expiredAlone, cfg.Now.AddDate(-1, 0, 0), cfg.Now.AddDate(0, 0, -1)},
	} {
		if c.full == "" {
			continue
		}
		t := leafTemplate(names, cfg.Key)
		t.NotBefore, t.NotAfter = c.from, c.to
		if a.url != "" {
			t.IssuingCertificateURL = []string{a.url}
		}
		_, der, err := sign(t, a.cert, key.Public(), a.key)
		if err != nil {
			return err
		}
		if err := writeNew(c.full, append(pemOf(der), a.behind...), 0o644); err != nil {
			return err
		}
		if c.alone != "" {
			if err := writeNew(c.alone, pemOf(der), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// writeNew writes a file with its final mode from its first moment, replacing an older one.
func writeNew(path string, data []byte, mode os.FileMode) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func newKey(kind KeyType) (crypto.Signer, error) {
	switch kind {
	case "", RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fmt.Errorf("certificate key %q: want %s or %s", kind, RSA2048, ECDSAP256)
}

// sign makes a certificate; a nil issuer signs itself.
func sign(template, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, []byte, error) {
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, der, err
}

// caTemplate is an authority; last: it signs leaves alone.
func caTemplate(now time.Time, name string, last bool) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"tlsurge"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(30 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        last,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func leafTemplate(names []string, key KeyType) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: names[0], Organization: []string{"tlsurge"}},
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if key != ECDSAP256 {
		// RSA key exchange encrypts to the key (RFC 5246, Section 7.4.2, Server Certificate).
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t
}

// serial draws 127 bits: positive and at most 20 octets (RFC 5280, Section 4.1.2.2, Serial Number).
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil { // crypto/rand does not fail
		panic(err)
	}
	return n.Add(n, big.NewInt(1))
}
