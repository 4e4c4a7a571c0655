package profiles

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

var browsers = flag.Bool("browsers", false, "start the real Chromium and Firefox of this machine and hold the profiles against them")

// realBrowser is a browser of this machine that a profile imitates.
type realBrowser struct {
	name    string // as TLSURGE_REQUIRE names it
	program string
	profile string
	args    func(dir, url string) []string
	prepare func(dir string) error
	trust   func(t *testing.T, dir, ca string) // nil: it is told to ignore certificate errors
}

var realBrowsers = []realBrowser{
	{"chromium", "chromium", "chromium-156-linux", func(dir, url string) []string {
		return []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-default-apps", "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors",
			"--host-resolver-rules=MAP * 127.0.0.1", "--user-data-dir=" + dir, url}
	}, nil, nil},
	{"firefox", "firefox-esr", "firefox-153esr-linux", func(dir, url string) []string {
		return []string{"--headless", "--no-remote", "--profile", dir, url}
	}, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "user.js"), []byte(strings.Join([]string{
			`user_pref("network.dns.localDomains", "example.test");`,
			`user_pref("network.dns.disableIPv6", true);`,
			`user_pref("network.http.http3.enable", false);`,
			`user_pref("network.captive-portal-service.enabled", false);`,
			`user_pref("network.connectivity-service.enabled", false);`,
			`user_pref("browser.shell.checkDefaultBrowser", false);`,
			`user_pref("browser.startup.homepage", "about:blank");`,
			`user_pref("app.update.enabled", false);`,
			`user_pref("datareporting.policy.dataSubmissionEnabled", false);`,
			`user_pref("toolkit.telemetry.enabled", false);`,
			`user_pref("browser.safebrowsing.malware.enabled", false);`,
			`user_pref("browser.safebrowsing.phishing.enabled", false);`,
			`user_pref("services.settings.server", "http://127.0.0.1:9/");`,
			``,
		}, "\n")), 0o600)
	}, trustNSS},
}

// arrival is one connection of a browser to our listener.
type arrival struct {
	at    time.Duration // after the first
	hello *hello.ClientHello
}

// visit starts the browser on a listener that resets every connection after its hello, and gives what came
// until nothing has for quiet.
func (b *realBrowser) visit(t *testing.T, quiet time.Duration) []arrival {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if b.prepare != nil {
		if err := b.prepare(dir); err != nil {
			t.Fatal(err)
		}
	}
	var (
		mu    sync.Mutex
		out   []arrival
		first time.Time
		wg    sync.WaitGroup
	)
	came := make(chan struct{}, 1000)
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			at := time.Now()
			wg.Go(func() {
				defer c.Close()
				h, err := readHello(c, 5*time.Second)
				c.(*net.TCPConn).SetLinger(0) // the close is a reset
				if err != nil || h.Hello.ServerName() != "example.test" {
					return
				}
				mu.Lock()
				if first.IsZero() {
					first = at
				}
				out = append(out, arrival{at.Sub(first), h.Hello})
				mu.Unlock()
				came <- struct{}{}
			})
		}
	})
	b.run(t, dir, fmt.Sprintf("https://example.test:%d/", ln.Addr().(*net.TCPAddr).Port), func(ctx context.Context) {
		timer := time.NewTimer(30 * time.Second)
		defer timer.Stop()
		for {
			select {
			case <-came:
				timer.Reset(quiet)
			case <-timer.C:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	ln.Close()
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(out, func(a, b arrival) int { return int(a.at - b.at) })
	return out
}

// major is the first number of a browser's --version.
func (b *realBrowser) major(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(b.program, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(out)) {
		if n, _, ok := strings.Cut(f, "."); ok && n[0] >= '0' && n[0] <= '9' {
			return n
		}
	}
	t.Fatalf("no version in %q", out)
	return ""
}

func (b *realBrowser) sameMajor(t *testing.T, p *Profile) bool {
	return strings.HasPrefix(p.Version, b.major(t))
}

// TestRealBrowsers holds the profiles of today's browsers against the real ones: the hello, field by field,
// and how often they come again when every connection is reset. The same major version must match; of
// another one the difference is printed, and import must take its hello.
func TestRealBrowsers(t *testing.T) {
	if !*browsers {
		t.Skip("with -browsers (make test-browsers) only")
	}
	for _, b := range realBrowsers {
		t.Run(b.name, func(t *testing.T) {
			b.present(t)
			p, err := Lookup(b.profile)
			if err != nil {
				t.Fatal(err)
			}
			got := b.visit(t, 9*time.Second)
			if len(got) == 0 {
				t.Fatal("the browser sent no hello")
			}
			for i, a := range got {
				t.Logf("%2d %8v JA4 %s, compress_certificate %v", i+1, a.at.Round(time.Millisecond), a.hello.JA4(), a.hello.Has(wire.ExtCompressCertificate))
			}
			same := b.sameMajor(t, p)
			raw := got[0].hello.AppendRecords(nil)
			_, d, err := ImportTOML(raw, b.name)
			if err != nil {
				t.Fatalf("import cannot take its hello: %v", err)
			}
			if !d.Same || !slices.Contains(d.SameAs, b.profile) {
				msg := fmt.Sprintf("%s %s: nearest is %s; %s", b.name, b.major(t), d.Nearest, strings.Join(d.Differences, "; "))
				if same {
					t.Error(msg)
				} else {
					t.Log(msg)
				}
			}
			if !same {
				return
			}
			compareStorm(t, p, got)
		})
	}
}

// compareStorm holds the number and spacing of what came against the profile's manners. Bursts are told apart
// by a pause of 0.7 s. A browser on a busy machine makes a few attempts less than on an idle one, never more.
func compareStorm(t *testing.T, p *Profile, got []arrival) {
	t.Helper()
	s := p.Manners().RetryStorm
	var bursts [][]arrival
	for i, a := range got {
		if i == 0 || a.at-got[i-1].at > 700*time.Millisecond {
			bursts = append(bursts, nil)
		}
		bursts[len(bursts)-1] = append(bursts[len(bursts)-1], a)
	}
	t.Logf("%d bursts, %d hellos; the profile says %d at first, %d in all, reloads after %v", len(bursts), len(got), s.Attempts, s.Total, s.Reloads)
	if len(bursts) < 1+len(s.Reloads) {
		t.Errorf("%d bursts, the profile reloads %d times", len(bursts), len(s.Reloads))
		return
	}
	for i, want := range s.Reloads {
		last := bursts[i][len(bursts[i])-1].at
		if pause := bursts[i+1][0].at - last; pause < want-want/5 || pause > 2*want {
			t.Errorf("load %d comes %v after the one before, the profile says %v", i+2, pause, want)
		}
	}
	for i, b := range bursts[:1+len(s.Reloads)] {
		usual := s.Attempts
		if i > 0 {
			usual = p.behaviour.Retry.ReloadAttempts
		}
		if len(b) > s.Attempts || len(b) < usual/2 {
			t.Errorf("load %d made %d connections, the profile says %d, at most %d", i+1, len(b), usual, s.Attempts)
		}
	}
	if r := p.behaviour.Retry; r.Variant != "" {
		for i, a := range got {
			want := ""
			if i >= r.VariantAfter {
				want = r.Variant
			}
			if p.distance(a.hello, want) != 0 {
				t.Errorf("hello %d is not the profile's variant %q", i+1, want)
			}
		}
	}
}
