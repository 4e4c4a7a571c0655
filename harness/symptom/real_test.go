package symptom

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// needs skips where a real peer is not installed, unless TLSURGE_REQUIRE names it.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if strings.Contains(os.Getenv("TLSURGE_REQUIRE"), p) {
				t.Fatalf("TLSURGE_REQUIRE asks for %s, and it is not installed", p)
			}
			t.Skipf("%s is not installed", p)
		}
	}
}

// identity writes a certificate and its key, one file each and one with both.
func identity(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	k := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for name, text := range map[string][]byte{"cert.pem": c, "key.pem": k, "both.pem": append(slices.Clone(c), k...)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// start runs a server until the test ends, and waits until it accepts.
func start(t *testing.T, port string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return cmd
		}
	}
	t.Fatalf("%s does not accept on port %s", name, port)
	return nil
}

// abuse fails in five ways against a server of TLS 1.2 and 1.3: a fallback hello, a version too low, a client
// that refuses the certificate, plain HTTP, and a hello that is cut.
func abuse(t *testing.T, port string) {
	t.Helper()
	at := "127.0.0.1:" + port
	run := func(name string, args ...string) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = exec.CommandContext(ctx, name, args...).Run() // it is meant to fail
	}
	run("openssl", "s_client", "-connect", at, "-tls1_2", "-fallback_scsv")
	run("openssl", "s_client", "-connect", at, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
	run("curl", "-s", "-o", os.DevNull, "https://localhost:"+port+"/")
	run("curl", "-s", "-o", os.DevNull, "http://localhost:"+port+"/")
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3})
	_ = c.Close()
}

// wantReal checks that the log has each signature, and shows the whole table where it has not.
func wantReal(t *testing.T, path string, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := Read(context.Background(), []string{path}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got = lines(r)
		missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool {
			return slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, w) })
		})
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(path)
			t.Fatalf("no %q in %q; the log:\n%s", missing, got, text)
		}
	}
}

func TestRealNginxLog(t *testing.T) {
	needs(t, "nginx", "openssl", "curl")
	dir, port := identity(t), freePort(t)
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log info; events {}
http { access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
server { listen 127.0.0.1:%[2]s ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; } }`, dir, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, port, "nginx", "-e", filepath.Join(dir, "error.log"), "-c", conf)
	abuse(t, port)
	wantReal(t, filepath.Join(dir, "error.log"), "nginx info 0A000175 inappropriate fallback", "unsupported protocol",
		"(alert 48 from the client)", "client sent plain HTTP request to HTTPS port", "peer closed connection in SSL handshake")
	r, err := Read(context.Background(), []string{conf}, nil)
	if err != nil || r.Config != conf {
		t.Errorf("the configuration is not taken for one: %+v, %v", r, err)
	}
}

func TestRealHAProxyLog(t *testing.T) {
	needs(t, "haproxy", "openssl", "curl")
	dir, port := identity(t), freePort(t)
	conf, out := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "haproxy.log")
	text := fmt.Sprintf("global\n log stdout format raw daemon\n tune.ssl.default-dh-param 2048\ndefaults\n mode http\n log global\n option httplog\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"+
		"frontend fe\n bind 127.0.0.1:%s ssl crt %s/both.pem ssl-min-ver TLSv1.2\n default_backend be\nbackend be\n server s1 127.0.0.1:1\n", port, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("haproxy", "-db", "-f", conf)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitFor(t, port)
	abuse(t, port)
	wantReal(t, out, "haproxy SSL handshake failure", "haproxy Connection closed during SSL handshake")
}

func waitFor(t *testing.T, port string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nothing accepts on port %s", port)
}

func TestRealApacheLog(t *testing.T) {
	needs(t, "apache2", "openssl", "curl")
	dir, port := identity(t), freePort(t)
	conf := filepath.Join(dir, "apache.conf")
	modules := "/usr/lib/apache2/modules"
	if _, err := os.Stat(modules + "/mod_ssl.so"); err != nil {
		t.Skip("apache2 without mod_ssl")
	}
	var b strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "socache_shmcb", "ssl"} {
		fmt.Fprintf(&b, "LoadModule %s_module %s/mod_%s.so\n", m, modules, m)
	}
	fmt.Fprintf(&b, "ServerName localhost\nServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile %[1]s/pid\nErrorLog %[1]s/error.log\nLogLevel ssl:info\nListen 127.0.0.1:%[2]s\nDocumentRoot %[1]s\n"+
		"SSLEngine on\nSSLProtocol -all +TLSv1.2 +TLSv1.3\nSSLCertificateFile %[1]s/cert.pem\nSSLCertificateKeyFile %[1]s/key.pem\n", dir, port)
	if err := os.WriteFile(conf, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, port, "apache2", "-X", "-f", conf)
	abuse(t, port)
	wantReal(t, filepath.Join(dir, "error.log"), "apache info", "inappropriate fallback", "unsupported protocol", "(alert 48 from the client)")
}

func TestRealGoLog(t *testing.T) {
	needs(t, "openssl", "curl")
	dir := identity(t)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "go.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, ErrorLog: log.New(f, "", log.LstdFlags)}
	done := make(chan struct{})
	go func() { _ = s.ServeTLS(ln, "", ""); close(done) }()
	t.Cleanup(func() { s.Close(); <-done })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	abuse(t, port)
	wantReal(t, f.Name(), "go tls: client using inappropriate protocol fallback", "go tls: client offered only unsupported versions",
		"go local error: tls: bad record MAC", "go client sent an HTTP request to an HTTPS server", "go EOF")
}
