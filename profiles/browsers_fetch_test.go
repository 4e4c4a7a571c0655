package profiles

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/profiles/hello"
)

// TestRealBrowsersFetch lets each real browser load a page through a bundled edge, and takes its hellos from
// a packet capture of that visit: the profile must send the same.
func TestRealBrowsersFetch(t *testing.T) {
	if !*browsers {
		t.Skip("with -browsers (make test-browsers) only")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "tlsurge")
	if out, err := exec.Command("go", "build", "-o", binary, "tlsurge/cmd/tlsurge").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ca := certificate(t, dir)
	for _, b := range realBrowsers {
		t.Run(b.name, func(t *testing.T) {
			b.present(t)
			p, err := Lookup(b.profile)
			if err != nil {
				t.Fatal(err)
			}
			edge := startEdge(t, binary, dir, b.name)
			file := filepath.Join(t.TempDir(), "visit.pcap")
			stop := capture(t, file, int(edge.addr.Port()))
			home := t.TempDir()
			if b.prepare != nil {
				if err := b.prepare(home); err != nil {
					t.Fatal(err)
				}
			}
			if b.trust != nil {
				b.trust(t, home, ca)
			}
			b.run(t, home, fmt.Sprintf("https://example.test:%d/", edge.addr.Port()), func(ctx context.Context) {
				edge.await(ctx, t, `"GET / HTTP/1.1" 200`)
			})
			stop()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found, err := hello.Import(data)
			if err != nil {
				t.Fatal(err)
			}
			if !b.sameMajor(t, p) {
				t.Logf("another version is installed: %d hellos, not compared", len(found))
				return
			}
			for i, c := range found {
				if d := p.distance(c.Hello, ""); d != 0 && !c.Second {
					t.Errorf("hello %d of the visit differs: %s", i+1, strings.Join(differences(p, "", c.Hello), "; "))
				}
			}
			t.Logf("a page of the edge's application was loaded over %d connections, each with the profile's hello", len(found))
		})
	}
}

// edgeProcess is a bundled edge that runs for one test.
type edgeProcess struct {
	addr netip.AddrPort
	log  string
}

// startEdge starts `tlsurge edge` and waits for its ready line.
func startEdge(t *testing.T, binary, dir, name string) *edgeProcess {
	t.Helper()
	e := &edgeProcess{log: filepath.Join(dir, name+".access.log")}
	cmd := exec.Command(binary, "edge", "--listen", "127.0.0.1:0", "--stack", "openssl-3.0",
		"--cert", filepath.Join(dir, "leaf.pem"), "--key", filepath.Join(dir, "leaf.key"), "--access-log", e.log)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		t.Fatalf("the edge says %q (%v), expected its ready line", line, err)
	}
	if e.addr, err = netip.ParseAddrPort(addr); err != nil {
		t.Fatal(err)
	}
	return e
}

// await waits until the access log has a line with text in it.
func (e *edgeProcess) await(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		log, err := os.ReadFile(e.log)
		if err == nil && strings.Contains(string(log), text) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("the edge logged no %s in time:\n%s", text, log)
			return
		}
	}
}

// run starts the browser on url in its own process group, does what the test wants, and ends the group.
func (b *realBrowser) run(t *testing.T, home, url string, do func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	cmd := exec.Command(b.program, b.args(home, url)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "HOME="+home, "MOZ_DISABLE_AUTO_SAFE_MODE=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	}()
	do(ctx)
}

// present skips the test without the browser, or fails it if TLSURGE_REQUIRE names it.
func (b *realBrowser) present(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(b.program); err != nil {
		if slices.Contains(strings.Split(os.Getenv("TLSURGE_REQUIRE"), ","), b.name) {
			t.Fatalf("%s is required and absent", b.program)
		}
		t.Skipf("%s is not installed", b.program)
	}
}

// certificate writes a CA and a leaf for example.test, and gives the CA's file.
func certificate(t *testing.T, dir string) string {
	t.Helper()
	make := func(name string, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	now := time.Now()
	ca, caKey := make("ca", &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tlsurge test CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	make("leaf", &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "example.test"}, DNSNames: []string{"example.test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, caKey)
	return filepath.Join(dir, "ca.pem")
}

// trustNSS puts the CA into a Firefox profile's certificate store.
func trustNSS(t *testing.T, home, ca string) {
	t.Helper()
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "tlsurge", "-t", "C,,", "-i", ca}} {
		if out, err := exec.Command("certutil", append(args, "-d", "sql:"+home)...).CombinedOutput(); err != nil {
			t.Skipf("certutil (libnss3-tools): %v %s", err, out)
		}
	}
}
