package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
)

// TestDHParam: the edge agrees keys in the group that ssl_dhparam names, whatever its size.
func TestDHParam(t *testing.T) {
	p := newPKI(t, "rsa")
	for file, bits := range map[string]int{"builtin:dh-512.pem": 512, "builtin:dh-768.pem": 768, "builtin:dh-2048.pem": 2048} {
		cfg, err := Load(Options{Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key, Dir: t.TempDir(), Set: map[string]string{"ssl_dhparam": file}})
		if err != nil {
			t.Fatal(err)
		}
		group := new(big.Int).SetBytes(cfg.Listeners[0].Servers[0].TLS.DH.P)
		if group.BitLen() != bits || !group.ProbablyPrime(8) || !new(big.Int).Rsh(group, 1).ProbablyPrime(8) {
			t.Errorf("%s: a group of %d bits; want a safe prime of %d", file, group.BitLen(), bits)
		}
		if len(cfg.Warnings) > 0 {
			t.Errorf("%s: %v", file, cfg.Warnings)
		}
	}
}

// TestSites: each site presents its own certificate, the first one to whoever names none or an unknown one, and
// the order of the sites is that of the server blocks, whatever "default_server" says.
func TestSites(t *testing.T) {
	www, shop := newPKI(t, "rsa"), newPKI(t, "ecdsa") // told apart by their keys
	own, other := Site{Name: "www.example.test"}, Site{Name: "shop.example.test", Certificate: shop.cert, Key: shop.key}
	conf := filepath.Join(t.TempDir(), "t.conf")
	writeFile(t, conf, []byte("events {}\nhttp { server { listen 443 ssl default_server backlog=64; server_name example.test; location / { return 200; } } }"))
	for _, tc := range []struct {
		why    string
		sites  []Site
		source string
		want   map[string]x509.PublicKeyAlgorithm
	}{
		{"another site first", []Site{other, own}, "builtin:fl-ssl.conf",
			map[string]x509.PublicKeyAlgorithm{"": x509.ECDSA, "www.example.test": x509.RSA, "shop.example.test": x509.ECDSA, "x.example.test": x509.ECDSA}},
		{"the site itself first", []Site{own, other}, "builtin:fl-ssl.conf",
			map[string]x509.PublicKeyAlgorithm{"": x509.RSA, "www.example.test": x509.RSA, "shop.example.test": x509.ECDSA}},
		{"the configuration's own default gives way", []Site{other, own}, conf, map[string]x509.PublicKeyAlgorithm{"": x509.ECDSA, "www.example.test": x509.RSA}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			e := startEdge(t, Options{Source: tc.source, Stack: "openssl-3.0", Listen: []string{"127.0.0.1:0"}, Certificate: www.cert, Key: www.key,
				Dir: t.TempDir(), Sites: tc.sites})
			for name, want := range tc.want {
				c, err := tls.Dial("tcp", e.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
				if err != nil {
					t.Errorf("%q: %v", name, err)
					continue
				}
				if got := c.ConnectionState().PeerCertificates[0].PublicKeyAlgorithm; got != want {
					t.Errorf("%q: a certificate with %v, want %v", name, got, want)
				}
				c.Close()
			}
		})
	}
	_, err := Load(Options{Source: filepath.Join(t.TempDir(), "none"), Sites: []Site{other, own}})
	if err == nil {
		t.Error("a configuration that is not there")
	}
	plain := filepath.Join(t.TempDir(), "plain.conf")
	writeFile(t, plain, []byte("events {}\nhttp { server { listen 80; } }"))
	if _, err := Load(Options{Source: plain, Sites: []Site{other, own}}); err == nil || !strings.Contains(err.Error(), "no server listens with TLS") {
		t.Errorf("a configuration without TLS: %v", err)
	}
}
