package fleet

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/harness/proxy"
)

// TestHAProxyTakesKeyExchangeAndTickets: curves, ticket keys, DH parameters and early data of the configuration reach a
// real HAProxy. Two of them with one ticket key resume each other's sessions, and a curve that is not named is refused.
func TestHAProxyTakesKeyExchangeAndTickets(t *testing.T) {
	needs(t, "haproxy")
	p, err := MakePKI(PKIConfig{Dir: t.TempDir(), Names: []string{"www.example.test"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		dir := t.TempDir()
		text, err := haproxyEdgeConfig(realOrder{Addr: netip.MustParseAddrPort(addr), Options: proxy.Options{Source: "builtin:fl-ssl.conf", Dir: dir, Certificate: p.CertFile, Key: p.KeyFile, Upstream: "127.0.0.1:1", Root: dir,
			Protocols: []string{"TLSv1.2"}, Stack: "openssl-3.0", Ciphers: "ECDHE:DHE", Set: map[string]string{"ssl_dhparam": "builtin:dh-2048.pem", "ssl_ecdh_curve": "secp384r1", "ssl_session_tickets": "on",
				"ssl_session_ticket_key": p.TicketFile, "ssl_early_data": "on", "ssl_session_cache": "off"}}}, 2000)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"ssl-dh-param-file " + filepath.Join(dir, "dh-2048.pem"), " curves secp384r1", " allow-0rtt", " tls-ticket-keys "} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		conf := filepath.Join(dir, "haproxy.cfg")
		if err := os.WriteFile(conf, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("haproxy", "-db", "-f", conf)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); <-ended })
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
				break
			}
			select {
			case <-ended:
				t.Fatalf("haproxy ended: %s\n%s", out.String(), text)
			default:
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		addrs = append(addrs, addr)
	}
	cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.test", ClientSessionCache: tls.NewLRUClientSessionCache(4), CurvePreferences: []tls.CurveID{tls.CurveP384}}
	for i, addr := range addrs {
		c, err := tls.Dial("tcp", addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if st := c.ConnectionState(); st.DidResume != (i == 1) || st.CurveID != tls.CurveP384 {
			t.Errorf("visit %d: resumed %v, curve %v", i, st.DidResume, st.CurveID)
		}
		io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		c.Close()
	}
	other := &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}, MaxVersion: tls.VersionTLS12}
	if c, err := tls.Dial("tcp", addrs[0], other); err == nil {
		c.Close()
		t.Error("a client with other curves was served")
	}
}
