package interop

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
)

// browser is a real one, started without a window to fetch one page from our server.
type browser struct {
	name string
	// start gives the command that opens url, with a new profile in dir, and stays until it is killed.
	start func(dir, url, host, port string) *exec.Cmd
}

var browsers = []browser{
	{"chromium", func(dir, url, host, port string) *exec.Cmd {
		return exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
			"--host-resolver-rules=MAP "+host+" 127.0.0.1", "--user-data-dir="+dir, "--remote-debugging-port=0", url)
	}},
	{"firefox", func(dir, url, host, port string) *exec.Cmd {
		cmd := exec.Command("firefox-esr", "--headless", "--no-remote", "--profile", dir, url)
		cmd.Env = append(os.Environ(), "HOME="+dir, "MOZ_HEADLESS=1")
		return cmd
	}},
}

var withBrowsers = flag.Bool("browsers", false, "run the tests with real Chromium and Firefox ESR")

// firefoxPrefs keep a new profile off the network and let it find and trust our server.
func firefoxPrefs(t *testing.T, dir, host string) {
	t.Helper()
	prefs := map[string]string{
		"network.dns.localDomains": `"` + host + `"`, "network.captive-portal-service.enabled": "false",
		"network.connectivity-service.enabled": "false", "browser.safebrowsing.malware.enabled": "false",
		"browser.safebrowsing.phishing.enabled": "false", "datareporting.policy.dataSubmissionEnabled": "false",
		"app.normandy.enabled": "false", "app.update.auto": "false", "browser.shell.checkDefaultBrowser": "false",
		"services.settings.server": `"data:,"`, "toolkit.telemetry.server": `"data:,"`, "extensions.getAddons.cache.enabled": "false",
		"browser.aboutwelcome.enabled": "false", "dom.security.https_only_mode": "false", "network.proxy.type": "0",
		"network.trr.mode": "5",
	}
	var b strings.Builder
	for k, v := range prefs {
		fmt.Fprintf(&b, "user_pref(%q, %s);\n", k, v)
	}
	if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-N", "-d", "sql:" + dir, "--empty-password"},
		{"-A", "-d", "sql:" + dir, "-n", "ca", "-t", "CT,C,", "-i", pki().caFile},
	} {
		if out, err := exec.Command("certutil", args...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %v: %v\n%s", args, err, out)
		}
	}
}

// TestBrowsers lets real browsers fetch a page through our server: over TLS 1.2 and over 1.3, with RSA
// and ECDSA; over 1.3 with a post-quantum share, a HelloRetryRequest, and a compressed
// certificate; and resumed, by ticket and by PSK.
//
// It takes most of a minute, so it runs with -browsers (make test-browsers), or where TLSURGE_REQUIRE asks.
func TestBrowsers(t *testing.T) {
	if required := os.Getenv("TLSURGE_REQUIRE"); !*withBrowsers && !strings.Contains(required, "chromium") && !strings.Contains(required, "firefox") {
		t.Skip("run with -browsers")
	}
	for _, b := range browsers {
		for _, r := range []struct {
			why    string
			path   string // /again is fetched again and again
			change func(cfg *engine.ServerConfig)
			check  func(t *testing.T, f engine.Facts)
		}{
			{"TLS 1.2, RSA", "/page", func(cfg *engine.ServerConfig) { cfg.Versions = engine.Versions(wire.TLS12) },
				func(t *testing.T, f engine.Facts) { wantFact(t, f.Version == wire.TLS12, f) }},
			{"TLS 1.3, X25519MLKEM768, ECDSA", "/page", func(cfg *engine.ServerConfig) {
				cfg.Certificates = []*engine.Certificate{pki().ecdsa.engine}
			}, func(t *testing.T, f engine.Facts) {
				wantFact(t, f.Version == wire.TLS13 && f.Group == wire.X25519MLKEM768, f)
			}},
			{"TLS 1.3, HelloRetryRequest", "/page", func(cfg *engine.ServerConfig) { cfg.Groups = []wire.Group{wire.Secp384r1} },
				func(t *testing.T, f engine.Facts) {
					wantFact(t, f.Version == wire.TLS13 && f.Group == wire.Secp384r1, f)
				}},
			{"TLS 1.3, compressed certificate", "/page", func(cfg *engine.ServerConfig) { cfg.CertCompression = []wire.CertCompression{wire.CertZlib} },
				func(t *testing.T, f engine.Facts) {
					// Firefox offers zlib, Chromium brotli alone.
					wantFact(t, f.Version == wire.TLS13 && (f.CertCompression == wire.CertZlib) == (b.name == "firefox"), f)
				}},
			{"TLS 1.3, certificate compressed with brotli", "/page", func(cfg *engine.ServerConfig) { cfg.CertCompression = []wire.CertCompression{wire.CertBrotli} },
				func(t *testing.T, f engine.Facts) {
					wantFact(t, f.Version == wire.TLS13 && f.CertCompression == wire.CertBrotli, f)
				}},
			{"TLS 1.3, certificate compressed with zstd", "/page", func(cfg *engine.ServerConfig) { cfg.CertCompression = []wire.CertCompression{wire.CertZstd} },
				func(t *testing.T, f engine.Facts) {
					wantFact(t, f.Version == wire.TLS13 && (f.CertCompression == wire.CertZstd) == (b.name == "firefox"), f)
				}},
			{"TLS 1.3, resumed by PSK", "/again", func(*engine.ServerConfig) {},
				func(t *testing.T, f engine.Facts) { wantFact(t, f.Resumed == engine.ByPSK, f) }},
			{"TLS 1.2, resumed by ticket", "/again", func(cfg *engine.ServerConfig) { cfg.Versions = engine.Versions(wire.TLS12) },
				func(t *testing.T, f engine.Facts) { wantFact(t, f.Resumed == engine.ByTicket, f) }},
		} {
			t.Run(b.name+"/"+r.why, func(t *testing.T) {
				need(t, b.name)
				if b.name == "firefox" {
					need(t, "nss")
				}
				fetch(t, b, r.path, r.change, r.check)
			})
		}
	}
}

func wantFact(t *testing.T, ok bool, f engine.Facts) {
	t.Helper()
	if !ok {
		t.Errorf("the browser came to %s, certificate compression %v", describe(&f), f.CertCompression)
	}
}

// fetch starts a browser on a page of our server, and waits for the connection that asked for it; with
// /again for the first resumed one.
func fetch(t *testing.T, b browser, path string, change func(*engine.ServerConfig), checkFacts func(*testing.T, engine.Facts)) {
	cfg := &engine.ServerConfig{
		Certificates: []*engine.Certificate{pki().rsa.engine}, Versions: engine.Versions(wire.TLS12, wire.TLS13),
		Suites: []wire.CipherSuite{wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		Groups: []wire.Group{wire.X25519MLKEM768, wire.X25519, wire.Secp256r1}, ALPN: []string{"http/1.1"},
		Tickets: engine.FixedTicketKeys{{Name: [16]byte{1}}}, TicketCount: 2, SessionLifetime: time.Minute,
		Rand: &lockedRand{r: seeded(5)},
	}
	change(cfg)
	s, err := serve(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	_, port, _ := net.SplitHostPort(s.addr)
	dir := t.TempDir()
	if b.name == "firefox" {
		firefoxPrefs(t, dir, serverName)
	}
	p := start(t, b.start(dir, "https://"+serverName+":"+port+path, serverName, port), nil)
	deadline := time.After(60 * time.Second)
	for { // speculative connections come and go
		select {
		case r := <-s.asked:
			if strings.HasPrefix(r.request, "GET "+path+" ") && (path == "/page" || r.facts.Resumed != engine.NotResumed) {
				checkFacts(t, r.facts)
				t.Log(describe(&r.facts))
				p.stop()
				return
			}
		case <-deadline:
			t.Fatalf("no request came; the browser printed:\n%s", p.output())
		}
	}
}
