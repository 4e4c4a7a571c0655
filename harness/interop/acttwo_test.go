package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy"
	"tlsurge/profiles"
)

// threadTLS is ssl_protocols, ssl_ciphers and ssl_prefer_server_ciphers of the thread's configuration,
// from the file that the bundled edge uses; OpenSSL 3 needs @SECLEVEL=0 for TLS 1.0 and 1.1.
func threadTLS(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../proxy/builtin/fl-ssl.conf")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range []string{"ssl_protocols", "ssl_ciphers", "ssl_prefer_server_ciphers"} {
		m := regexp.MustCompile(`(?m)^\s*` + d + `\s+([^;]+);`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("fl-ssl.conf has no %s", d)
		}
		value := string(m[1])
		if d == "ssl_ciphers" {
			value = strings.TrimSuffix(value, "'") + ":@SECLEVEL=0'"
		}
		out = append(out, d+" "+value+";")
	}
	return strings.Join(out, "\n    ") + "\n    ssl_session_cache shared:SSL:1m;\n    ssl_session_timeout 5m;"
}

// attempt is one hello of a browser: a plan, and whether a stored session is offered with it.
type attempt struct {
	plan    profiles.Plan
	session bool
}

// attempts walks the browser's retries down to the last, for a cut by RST and for one by FIN, from a
// fresh memory each.
func attempts(p *profiles.Profile) (out []attempt) {
	seen := map[string]bool{}
	for _, kind := range []profiles.FailureKind{profiles.FailReset, profiles.FailEOF} {
		m := p.NewMemory()
		plan := m.First()
		for range 8 { // no browser has that many steps
			for _, session := range []bool{false, true} {
				key := fmt.Sprint(plan.MaxVersion, plan.SCSV, plan.Variant, session)
				if !seen[key] {
					seen[key] = true
					out = append(out, attempt{plan, session})
				}
			}
			d := m.Failed(plan, profiles.Failure{Kind: kind, AwaitingServerHello: true, Version: plan.MaxVersion, Idempotent: true})
			if !d.Retry {
				break
			}
			plan = d.Next
		}
	}
	return out
}

// saw is what came of one attempt, in words that two servers can be compared by.
func saw(addr string, p *profiles.Profile, a attempt, s *engine.Session) (string, *engine.Session, error) {
	params := &profiles.HelloParams{ServerName: serverName, Random: seeded(11), Now: time.Now()}
	a.plan.Params(params)
	if s != nil {
		params.Resume = &profiles.ResumeOffer{ID: s.ID, Ticket: s.Ticket, Version: s.Version, Suite: s.Suite}
	}
	ch, err := p.Hello(params)
	if err != nil {
		return "", nil, err
	}
	cfg := &engine.ClientConfig{ServerName: serverName, Rand: seeded(12), Session: s}
	d := dial(addr, cfg, ch, offer{})
	var alert *engine.PeerAlert
	switch {
	case errors.As(d.err, &alert):
		return fmt.Sprintf("alert %d in a 0x%04x record", alert.Description, uint16(alert.RecordVer)), nil, nil
	case d.err != nil:
		return "", nil, d.err
	}
	var kept *engine.Session
	if len(d.sessions) > 0 {
		kept = d.sessions[0]
	}
	return fmt.Sprintf("served %v %v, resumed %q", d.facts.Version, d.facts.Suite, d.facts.Resumed), kept, nil
}

// TestActTwo holds the bundled edge of act two, OpenSSL 1.0.1j by our engine, against a real nginx on
// Debian's OpenSSL 3 with the thread's protocols and ciphers: every hello that a browser of January 2015
// sends on its way down, without and with a session, gets the same alert or the same version and suite.
func TestActTwo(t *testing.T) {
	need(t, "nginx")
	genuine, _ := startNginxWith(t, &pki().rsa, threadTLS(t))
	bundled := startEdge(t, proxy.Options{
		Name: "act-two", Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j",
		Certificate: pki().rsa.certFile, Key: pki().rsa.keyFile,
	})
	mix, err := profiles.LookupMix("january-2015")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"chrome-40-win7", "firefox-37-osx"} // beside the mix: the same weeks, other builds
	for _, b := range mix.Entries {
		names = append(names, b.Profile)
	}
	alerts := 0
	for _, name := range names {
		if name == "ie-8-xp" {
			continue
		}
		p, err := profiles.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		sessions := map[string]*engine.Session{}
		for _, addr := range []string{genuine, bundled} {
			if _, sessions[addr], err = saw(addr, p, attempts(p)[0], nil); err != nil {
				t.Fatalf("%s: the first visit: %v", name, err)
			}
		}
		for _, a := range attempts(p) {
			var got [2]string
			skip := false
			for i, addr := range []string{genuine, bundled} {
				var s *engine.Session
				if a.session {
					s = sessions[addr]
					if s == nil || !p.MayOffer(a.plan, s.Version, s.Suite) {
						skip = true
						break
					}
				}
				if got[i], _, err = saw(addr, p, a, s); err != nil {
					t.Errorf("%s, %v SCSV %v %q session %v: %v", name, a.plan.MaxVersion, a.plan.SCSV, a.plan.Variant, a.session, err)
					skip = true
				}
			}
			if skip {
				continue
			}
			if strings.HasPrefix(got[0], "alert") {
				alerts++
			}
			if got[0] != got[1] {
				t.Errorf("%s, %v SCSV %v %q session %v:\n nginx   %s\n bundled %s", name, a.plan.MaxVersion, a.plan.SCSV,
					a.plan.Variant, a.session, got[0], got[1])
			}
			t.Logf("%-22s %v SCSV %-5v session %-5v: %s", name, a.plan.MaxVersion, a.plan.SCSV, a.session, got[0])
		}
	}
	if alerts == 0 {
		t.Error("no attempt met an alert: the test shows nothing")
	}
}

// startEdge runs a bundled edge in this process.
func startEdge(t *testing.T, o proxy.Options) string {
	t.Helper()
	o.Dir, o.ErrorLog, o.Listen = t.TempDir(), "error.log", []string{"127.0.0.1:0"}
	cfg, err := proxy.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ls) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the edge: %v", err)
		}
	})
	return ls[0].Addr().String()
}
