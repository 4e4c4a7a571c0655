package fleet

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestMakePKI(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		why  string
		key  KeyType
		want x509.PublicKeyAlgorithm
	}{
		{"the default is what a site of 2015 had", "", x509.RSA},
		{"ECDSA on request", ECDSAP256, x509.ECDSA},
	} {
		dir := t.TempDir() + "/pki"
		p, err := MakePKI(PKIConfig{Dir: dir, Names: []string{"www.example.test", "127.0.0.11"}, Key: tc.key, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
		if err != nil {
			t.Fatalf("%s: key and certificate: %v", tc.why, err)
		}
		leaf := pair.Leaf
		if leaf.PublicKeyAlgorithm != tc.want {
			t.Errorf("%s: %s, want %s", tc.why, leaf.PublicKeyAlgorithm, tc.want)
		}
		switch key := pair.PrivateKey.(type) {
		case *rsa.PrivateKey:
			if key.N.BitLen() != 2048 || leaf.KeyUsage&x509.KeyUsageKeyEncipherment == 0 {
				t.Errorf("%s: %d bits, usage %b: want 2048 and key encipherment", tc.why, key.N.BitLen(), leaf.KeyUsage)
			}
		case *ecdsa.PrivateKey:
			if key.Curve.Params().Name != "P-256" {
				t.Errorf("%s: curve %s", tc.why, key.Curve.Params().Name)
			}
		}
		ca, err := os.ReadFile(p.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		for name, good := range map[string]bool{"www.example.test": true, "127.0.0.11": true, "example.test": false} {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now})
			if (err == nil) != good {
				t.Errorf("%s: as %s: %v", tc.why, name, err)
			}
		}
		if info, err := os.Stat(p.TicketFile); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 48 {
			t.Errorf("%s: the ticket key: %v (%v), want 48 bytes and 0600", tc.why, info, err)
		}
		if info, err := os.Stat(p.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the key's mode is %v (%v), want 0600", tc.why, info.Mode(), err)
		}
		if _, err := MakePKI(PKIConfig{Dir: dir, Names: []string{"www.example.test"}, Key: tc.key, Now: now}); err != nil {
			t.Errorf("%s: a second time in the same place: %v", tc.why, err)
		}
	}
	if _, err := MakePKI(PKIConfig{Dir: t.TempDir(), Names: []string{"x.test"}, Key: "dsa", Now: now}); err == nil {
		t.Error("a key type that nobody makes was made")
	}
}

// TestIntermediate: with an intermediate authority the leaf alone leads nowhere, the whole chain to the root, and
// so does the leaf with what is found at the address in it. Sites have certificates of their own.
func TestIntermediate(t *testing.T) {
	now := time.Now()
	p, err := MakePKI(PKIConfig{Dir: t.TempDir(), Names: []string{"www.example.test"}, Key: ECDSAP256, Now: now, Intermediate: true,
		Sites: []string{"shop.example.test"}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.CA)
	verify := func(certFile, keyFile, name string, find bool) error {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		behind := x509.NewCertPool()
		for _, der := range pair.Certificate[1:] {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			behind.AddCert(c)
		}
		for _, url := range pair.Leaf.IssuingCertificateURL {
			if c, err := x509.ParseCertificate(p.Issuers[url]); find && err == nil {
				behind.AddCert(c)
			}
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: behind, DNSName: name, CurrentTime: now})
		return err
	}
	site := p.Sites["shop.example.test"]
	for _, tc := range []struct {
		why, cert, key, name string
		find                 bool
		want                 string // type of the error
	}{
		{"the whole chain", p.CertFile, p.KeyFile, "www.example.test", false, ""},
		{"the leaf alone", p.LeafFile, p.KeyFile, "www.example.test", false, "x509.UnknownAuthorityError"},
		{"the leaf alone, and the issuer is found", p.LeafFile, p.KeyFile, "www.example.test", true, ""},
		{"last year's", p.ExpiredFile, p.KeyFile, "www.example.test", false, "x509.CertificateInvalidError"},
		{"last year's alone", p.ExpiredLeafFile, p.KeyFile, "www.example.test", true, "x509.CertificateInvalidError"},
		{"the other site's", site.CertFile, site.KeyFile, "shop.example.test", false, ""},
		{"the other site's, for this one", site.CertFile, site.KeyFile, "www.example.test", false, "x509.HostnameError"},
	} {
		err := verify(tc.cert, tc.key, tc.name, tc.find)
		if got := fmt.Sprintf("%T", err); tc.want == "" && err != nil || tc.want != "" && got != tc.want {
			t.Errorf("%s: %v (%s), want %s", tc.why, err, got, tc.want)
		}
	}
}
