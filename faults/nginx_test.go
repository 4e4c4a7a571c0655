package faults_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/relay"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

// nginx is a real one from the system, one process, three servers: TLS 1.2 and 1.3; one that asks for
// another key share; one that knows TLS 1.2 alone.
type nginx struct {
	addr, retry, only12 netip.AddrPort
	log                 string
}

// startNginx starts it; an absent one skips, and fails where TLSURGE_REQUIRE names it.
func startNginx(t *testing.T) *nginx {
	t.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		if strings.Contains(os.Getenv("TLSURGE_REQUIRE"), "nginx") {
			t.Fatal("nginx is required and not installed")
		}
		t.Skip("nginx is not installed")
	}
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"www.example.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	write("html/index.html", []byte(strings.Repeat("x", 100)))
	n := &nginx{log: filepath.Join(dir, "error.log")}
	for _, a := range []*netip.AddrPort{&n.addr, &n.retry, &n.only12} {
		*a = freePort(t)
	}
	conf := write("nginx.conf", fmt.Appendf(nil, `
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log info;
events { worker_connections 512; }
http {
  access_log off; root %[1]s/html; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
  uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; ssl_ciphers DEFAULT:@SECLEVEL=0;
  client_header_timeout 3s;
  server { listen %[2]s ssl; ssl_protocols TLSv1.2 TLSv1.3; }
  server { listen %[3]s ssl; ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve secp384r1; }
  server { listen %[4]s ssl; ssl_protocols TLSv1.2; }
}
`, dir, n.addr, n.retry, n.only12))
	cmd := exec.Command(bin, "-p", dir, "-e", n.log, "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", n.addr.String()); err == nil {
			c.Close()
			return n
		}
		time.Sleep(25 * time.Millisecond)
	}
	log, _ := os.ReadFile(n.log)
	t.Fatalf("nginx does not listen: %s", log)
	return nil
}

// freePort is a loopback address that nobody listens on at the moment.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// logged says whether nginx writes a line with all of these words within 5 s, after an offset of its log.
func (n *nginx) logged(after int, words ...string) bool {
	for range 100 {
		data, _ := os.ReadFile(n.log)
		for line := range strings.Lines(string(data[min(after, len(data)):])) {
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return true
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return false
}

// TestNginx: against a server that is not ours the same faults strike at the same stages, the client ends in the
// same way, and nginx 1.22 logs what it is known to log.
func TestNginx(t *testing.T) {
	n := startNginx(t)
	var mu sync.Mutex
	firings := map[faults.Key]faults.Firing{}
	relays := map[netip.AddrPort]*relay.Relay{}
	for _, target := range []netip.AddrPort{n.addr, n.retry, n.only12} {
		r, err := relay.Start(relay.Config{Target: target, Seed: 1, IdleAfter: 100 * time.Millisecond, Ledger: func(f faults.Firing) {
			mu.Lock()
			firings[f.Key] = f
			mu.Unlock()
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		relays[target] = r
	}
	browser := uint32(0)
	for _, at := range stage.All() {
		for action, end := range map[faults.Action]string{faults.Reset: "reset", faults.FIN: "fin", faults.Stall: "timeout"} {
			rule := faults.Rule{Name: "nginx", Engine: faults.EngineRelay, Action: action, At: at, Probability: 1}
			if faults.Validate(rule) != nil {
				continue
			}
			browser++
			key := faults.Key{Browser: browser}
			t.Run(fmt.Sprintf("%s at %s", action, at), func(t *testing.T) {
				t.Parallel()
				d := &relayed{rule: must(t, rule)}
				target := n.addr
				spec := dialogue.Spec{HTTP: true, Source: faults.SourceAddr(d.rule, key.Browser)}
				switch at {
				case stage.HelloRetryRequest:
					target, spec.Version = n.retry, tls.VersionTLS13
				case stage.Alert:
					target, spec.Version = n.only12, tls.VersionTLS11
				case stage.Idle:
					spec.Requests, spec.Pause = 2, 400*time.Millisecond
				}
				if action == faults.Stall {
					spec.Timeout = cutTimeout
				}
				r := relays[target]
				spec.Address = r.Addr().String()
				free := spec
				free.Source, free.Timeout = netip.Addr{}, 0
				if got, want := free.Run().End(), map[bool]string{false: "ok", true: "alert tls: protocol version not supported"}[at == stage.Alert]; got != want {
					t.Fatalf("unarmed: %q, want %q", got, want)
				}
				r.Arm(netip.AddrPortFrom(spec.Source, 0), d.rule, key)
				got := spec.Run()
				d.wantCut(t, got, end)
				mu.Lock()
				f, ok := firings[key]
				mu.Unlock()
				if !ok || f.Stage != at.String() || f.Tuple.Client != got.Client || f.Upstream == nil {
					t.Errorf("ledger has %+v", f)
				}
			})
		}
	}
	t.Run("what it logs", func(t *testing.T) {
		r := relays[n.addr]
		for _, tt := range []struct {
			rule  faults.Rule
			words []string
		}{
			{faults.Rule{Action: faults.FIN, At: stage.ServerHello}, []string{"peer closed connection in SSL handshake while SSL handshaking"}},
			{faults.Rule{Action: faults.Reset, At: stage.ServerHello}, []string{"peer closed connection in SSL handshake", "104: Connection reset by peer"}},
			{faults.Rule{Action: faults.Reset, At: stage.ClientHello}, []string{"recv() failed", "104: Connection reset by peer"}},
			{faults.Rule{Action: faults.Truncate, At: stage.ClientHello, Bytes: 20}, []string{"peer closed connection in SSL handshake while SSL handshaking"}},
			{faults.Rule{Action: faults.Stall, At: stage.ClientHello}, []string{"client timed out", "110: Connection timed out"}},
			{faults.Rule{Action: faults.Corrupt, At: stage.Finished, Part: faults.PartMAC}, []string{"[crit]", "SSL_do_handshake() failed", "decryption failed or bad record mac"}},
		} {
			tt.rule.Name, tt.rule.Probability, tt.rule.Engine = "log", 1, faults.EngineRelay
			rule := must(t, tt.rule)
			browser++
			source := faults.SourceAddr(rule, browser)
			before, _ := os.ReadFile(n.log)
			r.Arm(netip.AddrPortFrom(source, 0), rule, faults.Key{Browser: browser})
			dialogue.Spec{HTTP: true, Address: r.Addr().String(), Source: source, Timeout: 4 * time.Second}.Run()
			// The relay connects from the client's own address, so nginx names it.
			if words := append(tt.words, "client: "+source.String()); !n.logged(len(before), words...) {
				after, _ := os.ReadFile(n.log)
				t.Errorf("%s at %s: nginx did not log %q, but\n%s", rule.Action, rule.At, words, after[len(before):])
			}
		}
	})
	t.Run("dropped segments", func(t *testing.T) {
		if !possible(t, sockfilter.Probe()) {
			return
		}
		for _, at := range []stage.Stage{stage.SynAck, stage.ServerHello, stage.ServerFinished, stage.Response} {
			rule := must(t, faults.Rule{Name: "drop", Engine: faults.EngineSockfilter, Action: faults.Drop, At: at, Probability: 1, Times: 1})
			spec := dialogue.Spec{HTTP: true, Address: n.addr.String()}
			armed := arming(t, rule, &spec)
			got := spec.Run()
			f := armed().finish(t)
			if got.Err != nil || got.Answers != 1 || f.Packets < 1 {
				t.Errorf("at %s: %v, %d segments dropped; want an answer and 1 or more", at, got.Err, f.Packets)
			}
		}
	})
}
