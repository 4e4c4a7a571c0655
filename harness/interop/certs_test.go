package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tlsurge/harness/engine"
)

const serverName = "www.example.test"

// identity is one leaf under the test's CA, as files and for the engine.
type identity struct {
	kind     string // "rsa" or "ecdsa"
	certFile string // leaf, then CA
	keyFile  string
	pemFile  string // certificate and key in one, for HAProxy
	engine   *engine.Certificate
}

// authority is the CA of one test run, with its identities; made once, in a folder that TestMain removes.
type authority struct {
	dir     string
	caFile  string
	ca      *x509.Certificate
	roots   *x509.CertPool
	rsa     identity
	ecdsa   identity
	client  identity // an ECDSA client certificate
	nssOnce sync.Once
	nssDir  string
}

var testDir string

var pki = sync.OnceValue(func() *authority {
	a, err := makeAuthority(testDir)
	if err != nil {
		panic(err)
	}
	return a
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tlsurge-interop-")
	if err != nil {
		panic(err)
	}
	testDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func makeAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tlsurge test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{dir: dir, ca: ca, roots: x509.NewCertPool(), caFile: filepath.Join(dir, "ca.pem")}
	a.roots.AddCert(ca)
	if err := writePEM(a.caFile, block("CERTIFICATE", der)); err != nil {
		return nil, err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	clientKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	for i, l := range []struct {
		id   *identity
		kind string
		key  crypto.Signer
	}{{&a.rsa, "rsa", rsaKey}, {&a.ecdsa, "ecdsa", ecKey}, {&a.client, "client", clientKey}} {
		if *l.id, err = a.leaf(key, l.kind, int64(i+2), l.key); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *authority) leaf(caKey crypto.Signer, kind string, serial int64, key crypto.Signer) (identity, error) {
	usage := x509.ExtKeyUsageServerAuth
	if kind == "client" {
		usage = x509.ExtKeyUsageClientAuth
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: kind + "." + serverName}, DNSNames: []string{serverName, "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.ca, key.Public(), caKey)
	if err != nil {
		return identity{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return identity{}, err
	}
	id := identity{
		kind: kind, certFile: filepath.Join(a.dir, kind+".crt"), keyFile: filepath.Join(a.dir, kind+".key"),
		pemFile: filepath.Join(a.dir, kind+".pem"),
		engine:  &engine.Certificate{Chain: [][]byte{der, a.ca.Raw}, Key: key},
	}
	certs := append(block("CERTIFICATE", der), block("CERTIFICATE", a.ca.Raw)...)
	private := block("PRIVATE KEY", keyDER)
	if err := writePEM(id.certFile, certs); err != nil {
		return id, err
	}
	if err := writePEM(id.keyFile, private); err != nil {
		return id, err
	}
	return id, writePEM(id.pemFile, append(certs, private...))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func writePEM(file string, data []byte) error { return os.WriteFile(file, data, 0o600) }

// nss makes an NSS database with the CA and both server identities (nicknames "rsa" and "ecdsa").
func (a *authority) nss(t testing.TB) string {
	t.Helper()
	need(t, "nss", "openssl")
	a.nssOnce.Do(func() {
		dir := filepath.Join(a.dir, "nss")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		run := func(name string, args ...string) {
			if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
				t.Fatalf("%s %v: %v\n%s", name, args, err, out)
			}
		}
		run("certutil", "-N", "-d", "sql:"+dir, "--empty-password")
		run("certutil", "-A", "-d", "sql:"+dir, "-n", "ca", "-t", "CT,C,", "-i", a.caFile)
		for _, id := range []identity{a.rsa, a.ecdsa, a.client} {
			p12 := filepath.Join(a.dir, id.kind+".p12")
			run("openssl", "pkcs12", "-export", "-in", id.certFile, "-inkey", id.keyFile, "-name", id.kind,
				"-passout", "pass:x", "-out", p12)
			run("pk12util", "-i", p12, "-d", "sql:"+dir, "-W", "x", "-K", "")
		}
		a.nssDir = "sql:" + dir
	})
	if a.nssDir == "" {
		t.Fatal("the NSS database could not be made")
	}
	return a.nssDir
}
