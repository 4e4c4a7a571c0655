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
	// CAFile holds the authority's certificate; CertFile the leaf with the authority behind it; KeyFile
	// the leaf's key (0600). All are PEM in the run's directory. The authority's key is never written.
	CAFile, CertFile, KeyFile string
	// ExpiredFile is the leaf once more, for the same key, whose time ended a day before the run: what rules
	// cert_expired present.
	ExpiredFile string
	CA          *x509.Certificate
}

// PKIConfig says what to make.
type PKIConfig struct {
	Dir   string    // made if missing, mode 0700
	Names []string  // DNS names or IP addresses of the leaf; the first is its common name
	Key   KeyType   // empty: RSA2048
	Now   time.Time // validity runs from an hour before to 30 days after
}

// MakePKI makes an authority and a leaf.
func MakePKI(cfg PKIConfig) (*PKI, error) {
	if len(cfg.Names) == 0 {
		return nil, fmt.Errorf("certificate: no server name")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	caKey, err := newKey(cfg.Key) // of the same kind: a client of 2015 may not know ECDSA signatures
	if err != nil {
		return nil, err
	}
	ca, caDER, err := sign(caTemplate(cfg.Now), nil, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	leafKey, err := newKey(cfg.Key)
	if err != nil {
		return nil, err
	}
	_, leafDER, err := sign(leafTemplate(cfg), ca, leafKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	past := leafTemplate(cfg)
	past.NotBefore, past.NotAfter = cfg.Now.AddDate(-1, 0, 0), cfg.Now.AddDate(0, 0, -1)
	_, pastDER, err := sign(past, ca, leafKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	p := &PKI{CA: ca, ExpiredFile: filepath.Join(cfg.Dir, "expired.pem"), CAFile: filepath.Join(cfg.Dir, "ca.pem"), CertFile: filepath.Join(cfg.Dir, "cert.pem"),
		KeyFile: filepath.Join(cfg.Dir, "key.pem")}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, fmt.Errorf("certificate key: %w", err)
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	pastPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pastDER})
	leafPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{p.CAFile, caPEM, 0o644},
		{p.CertFile, append(leafPEM, caPEM...), 0o644},
		{p.ExpiredFile, append(pastPEM, caPEM...), 0o644},
		{p.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600},
	} {
		if err := writeNew(f.path, f.data, f.mode); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	return p, nil
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

func caTemplate(now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "tlsurge run authority", Organization: []string{"tlsurge"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(30 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func leafTemplate(cfg PKIConfig) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: cfg.Names[0], Organization: []string{"tlsurge"}},
		NotBefore:             cfg.Now.Add(-time.Hour),
		NotAfter:              cfg.Now.Add(30 * 24 * time.Hour),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if cfg.Key != ECDSAP256 {
		// RSA key exchange encrypts to the key (RFC 5246, Section 7.4.2, Server Certificate).
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	for _, name := range cfg.Names {
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
