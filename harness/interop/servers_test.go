package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// peerServer is one program that our client connects to.
type peerServer struct {
	name  string // as in the table: "openssl s_server"
	peer  string // as in TLSURGE_REQUIRE; empty: always there
	certs []string
	// start runs it with the identity; auth asks for a client certificate and refuses clients without one.
	start func(t testing.TB, id *identity, auth bool) (addr string)
	// start30 runs it with SSL 3.0, where it has that; nil: it has not.
	start30 func(t testing.TB, id *identity) (addr string)
}

// peerServers are set up to allow everything that they have, so that the client's hello alone decides.
var peerServers = []peerServer{
	{"openssl s_server", "openssl", both, startOpenSSL, nil},
	{"gnutls-serv", "gnutls", both, startGnuTLS, nil},
	{"nss selfserv", "nss", both, startNSS, startNSS30},
	{"nginx", "nginx", both, startNginx, nil},
	{"haproxy", "haproxy", both, startHAProxy, nil},
	{"crypto/tls", "", both, startGo, nil},
}

var both = []string{"rsa", "ecdsa"}

func (a *authority) identity(kind string) *identity {
	switch kind {
	case "rsa":
		return &a.rsa
	case "ecdsa":
		return &a.ecdsa
	}
	return &a.client
}

// everything is OpenSSL's cipher string for all it has, TLS 1.0 allowed.
const everything = "ALL:@SECLEVEL=0"

func startOpenSSL(t testing.TB, id *identity, auth bool) string {
	args := []string{"s_server", "-accept", "127.0.0.1:0", "-cert", id.certFile, "-cert_chain", id.certFile,
		"-key", id.keyFile, "-www", "-cipher", everything, "-min_protocol", "TLSv1", "-alpn", "http/1.1"}
	if auth {
		args = append(args, "-Verify", "2", "-CAfile", pki().caFile, "-verify_return_error")
	}
	cmd := exec.Command("openssl", args...)
	_, m := startReady(t, cmd, `^ACCEPT (\S+)`)
	return m[1]
}

func startGnuTLS(t testing.TB, id *identity, auth bool) string {
	port := freePort(t)
	who := []string{"--disable-client-cert"}
	if auth {
		who = []string{"--require-client-cert", "--verify-client-cert", "--x509cafile", pki().caFile}
	}
	cmd := exec.Command("gnutls-serv", append(who, "--http", "-p", port, "--earlydata", "--maxearlydata=4096",
		"--x509certfile", id.certFile, "--x509keyfile", id.keyFile, "--compress-cert=ZLIB",
		"--priority", "NORMAL:+VERS-TLS1.0:+VERS-TLS1.1:+3DES-CBC:+ARCFOUR-128:+MD5:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1:%VERIFY_ALLOW_SIGN_WITH_SHA1:+RSA:+DHE-RSA:+AES-128-CBC:+AES-256-CBC:+SHA256:+SHA384:+SHA1")...)
	startReady(t, cmd, `listening on IPv4`)
	return "127.0.0.1:" + port
}

func startNSS(t testing.TB, id *identity, auth bool) string {
	more := []string{"-Z"} // 0-RTT
	if auth {
		more = append(more, "-r", "-r")
	}
	return runSelfserv(t, id, "tls1.0:", more...)
}

// startNSS30: no range of NSS's reaches from SSL 3.0 to TLS 1.3.
func startNSS30(t testing.TB, id *identity) string { return runSelfserv(t, id, "ssl3:tls1.2") }

func runSelfserv(t testing.TB, id *identity, versions string, more ...string) string {
	dir := pki().nss(t)
	port := freePort(t)
	args := []string{"-d", dir, "-p", port, "-V", versions, "-v", "-u", "-G", "-H", "1",
		"-c", ":0005:0004:000A:002F:0035:003C:003D:009C:009D:0033:0039:0067:006B:009E:009F:0016:C009:C00A:C013:C014:C023:C027:" +
			"C024:C028:C02B:C02C:C02F:C030:CCA8:CCA9:CCAA:C011:C007:C008:C012:1301:1302:1303"}
	if id.kind == "rsa" {
		args = append(args, "-n", "rsa")
	} else {
		args = append(args, "-e", "ecdsa")
	}
	startReady(t, exec.Command("selfserv", append(args, more...)...), `About to call accept`)
	return "127.0.0.1:" + port
}

// nginxConf is a whole nginx configuration around one server block; protocols and ciphers as given.
func nginxConf(dir string, id *identity, server string) string {
	return fmt.Sprintf(`daemon off;
worker_processes 1;
user %[6]s;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log info;
events { worker_connections 512; }
http {
  access_log %[1]s/access.log;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server {
    server_name %[2]s;
    ssl_certificate %[3]s;
    ssl_certificate_key %[4]s;
    %[5]s
    location / { return 200 "version=$ssl_protocol suite=$ssl_cipher reused=$ssl_session_reused\n"; }
  }
}
`, dir, serverName, id.certFile, id.keyFile, server, whoami())
}

// whoami names the user who runs the tests: nginx's worker must be able to read what they wrote.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "nobody"
}

// startNginxWith starts nginx on a listener that it inherits; server is the inside of the server block.
func startNginxWith(t testing.TB, id *identity, server string) (addr, dir string) {
	need(t, "nginx")
	dir = t.TempDir()
	addr, f := listenFD(t, "127.0.0.1:0")
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConf(dir, id, "listen "+addr+" ssl;\n"+server)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log"))
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), "NGINX=3;")
	p := start(t, cmd, nil)
	p.gentle = true // the master ends its worker
	return addr, dir
}

func startNginx(t testing.TB, id *identity, auth bool) string {
	dh := filepath.Join(pki().dir, "dh2048.pem")
	if err := os.WriteFile(dh, []byte(ffdhe2048), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := ""
	if auth {
		verify = "ssl_verify_client on; ssl_client_certificate " + pki().caFile + ";\n"
	}
	addr, _ := startNginxWith(t, id, verify+`ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_ciphers `+everything+`;
    ssl_dhparam `+dh+`;
    ssl_session_cache shared:SSL:1m;
    ssl_session_timeout 5m;
    ssl_early_data on;`)
	return addr
}

func startHAProxy(t testing.TB, id *identity, auth bool) string {
	dir := t.TempDir()
	addr, f := listenFD(t, "127.0.0.1:0")
	conf := filepath.Join(dir, "haproxy.cfg")
	verify := ""
	if auth {
		verify = "verify required ca-file " + pki().caFile
	}
	text := fmt.Sprintf(`global
  ssl-default-bind-ciphers %s
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend f
  bind fd@3 ssl crt %s ssl-min-ver TLSv1.0 allow-0rtt alpn http/1.1 %s
  http-request return status 200 content-type text/plain lf-string "version=%%[ssl_fc_protocol] suite=%%[ssl_fc_cipher] reused=%%[ssl_fc_is_resumed]\n"
`, everything, id.pemFile, verify)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("haproxy", "-db", "-f", conf)
	cmd.ExtraFiles = []*os.File{f}
	start(t, cmd, nil)
	return addr
}

// startGo serves with crypto/tls and all suites that it has.
func startGo(t testing.TB, id *identity, auth bool) string {
	cert, err := tls.LoadX509KeyPair(id.certFile, id.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	require := tls.NoClientCert
	if auth {
		require = tls.RequireAndVerifyClientCert
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		ClientAuth: require, ClientCAs: pki().roots,
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, CipherSuites: suites,
		NextProtos: []string{"http/1.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go serveGo(nc.(*tls.Conn))
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func serveGo(nc *tls.Conn) {
	defer nc.Close()
	buf := make([]byte, 4096)
	var req []byte
	for !strings.Contains(string(req), "\r\n\r\n") {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		req = append(req, buf[:n]...)
	}
	s := nc.ConnectionState()
	fmt.Fprintf(nc, "HTTP/1.0 200 OK\r\n\r\nversion=%s suite=%s reused=%v\n", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.DidResume)
	nc.CloseWrite()
	io.Copy(io.Discard, net.Conn(nc))
}

// ffdhe2048 is the 2048-bit group of RFC 7919 Appendix A.1, as PKCS #3 parameters.
const ffdhe2048 = `-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
`
