package trial

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles"
	"tlsurge/results"
)

const host = "www.example.test"

var authority = sync.OnceValue(func() *Authority {
	a, err := NewAuthority(host)
	if err != nil {
		panic(err)
	}
	return a
})

func server(t *testing.T, name string, protocols ...string) *Server {
	t.Helper()
	st, err := stack.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(st, ServerOptions{Host: host, Protocols: protocols, Certificates: []*engine.Certificate{authority().RSA}, Expired: authority().Expired, Verifier: authority().Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var reset = Fault{Action: faults.Reset, At: stage.ClientHello}

// TestTheThread is the story of January 2015, a row a link: what a cut first handshake comes to.
func TestTheThread(t *testing.T) {
	fin, stall := Fault{Action: faults.FIN, At: stage.ClientHello}, Fault{Action: faults.Stall, At: stage.ServerHello}
	tests := []struct {
		why, profile, stack string
		fault               Fault
		returning           bool
		verdict             results.PageVerdict
		sees                string
		logs                string // code of the last line that a server logged
	}{
		{"nothing happens", "firefox-35-osx", "openssl-0.9.8zc", Fault{}, false, results.Fine, "", ""},
		{"SCSV first, every suite behind it is forgotten", "firefox-35-osx", "openssl-0.9.8zc", reset, false, results.SawError, "ssl_error_no_cypher_overlap", "1408A0C1"},
		{"the same of the ESR with the backport", "firefox-31esr-win7", "openssl-0.9.8zc", fin, false, results.SawError, "ssl_error_no_cypher_overlap", "1408A0C1"},
		{"after the upgrade the same retry meets the SCSV rule", "firefox-35-osx", "openssl-1.0.1j", reset, false, results.SawError, "ssl_error_inappropriate_fallback_alert", "140A1175"},
		{"without SCSV the retry is served", "firefox-34-osx", "openssl-0.9.8zc", reset, false, results.SavedByRetry, "", ""},
		{"and after the upgrade at a lower version", "firefox-34-osx", "openssl-1.0.1j", reset, false, results.Downgraded, "", ""},
		{"NSS in Chrome on Windows: SCSV first too", "chrome-39-win7", "openssl-0.9.8zc", reset, false, results.SawError, "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "1408A0C1"},
		{"Chrome shows the error that caused the fallback", "chrome-39-win7", "openssl-1.0.1j", reset, false, results.SawError, "ERR_CONNECTION_RESET", "140A1175"},
		{"BoringSSL puts SCSV last: served", "chrome-40-osx", "openssl-0.9.8zc", fin, false, results.SavedByRetry, "", ""},
		{"the original error, a close this time", "chrome-40-osx", "openssl-1.0.1j", fin, false, results.SawError, "ERR_CONNECTION_CLOSED", "140A1175"},
		{"a Firefox that has been here does not fall back", "firefox-35-osx", "openssl-1.0.1j", reset, true, results.SavedByRetry, "", ""},
		{"today's Chrome tries again once and is served", "chromium-156-linux", "openssl-3.0", reset, false, results.SavedByRetry, "", ""},
		{"silence makes nobody of 2015 fall back", "firefox-35-osx", "openssl-1.0.1j", stall, false, results.SawError, "", ""},
	}
	for _, tt := range tests {
		p, err := profiles.Lookup(tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Play(Setup{Profile: p, Server: server(t, tt.stack, "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), Fault: tt.fault, Returning: tt.returning, Seed: 3})
		if err != nil {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		logs := ""
		for _, a := range r.Attempts {
			if a.LogCode != "" {
				logs = a.LogCode
			}
			if tt.fault.Action == faults.Stall && a.Kind == results.KindFallback {
				t.Errorf("%s: a fallback: %+v", tt.why, r.Attempts)
			}
		}
		if r.Verdict != tt.verdict || logs != tt.logs || tt.sees != "" && r.UserSees != tt.sees {
			t.Errorf("%s: %s sees %q, server logs %q; want %s, %q, %q\n%+v", tt.why, r.Verdict, r.UserSees, logs, tt.verdict, tt.sees, tt.logs, r.Attempts)
		}
	}
}

// TestAppleShape: a session ID beside the SCSV is the one shape that logs "required cipher missing".
func TestAppleShape(t *testing.T) {
	p, err := profiles.Lookup("safari-8-osx10.10")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Play(Setup{Profile: p, Server: server(t, "openssl-0.9.8zc", "TLSv1"), Fault: reset, Returning: true, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Attempts {
		if a.LogCode == "1408A0D7" && a.Alert == 47 && a.LogLevel == "crit" {
			return
		}
	}
	t.Errorf("no 1408A0D7 with alert 47 at crit: %+v", r)
}

// TestEveryProfileAgainstEveryStack: every pair ends, and the same seed gives the same trial.
func TestEveryProfileAgainstEveryStack(t *testing.T) {
	for _, st := range stack.Names() {
		if s, err := stack.Lookup(st); err != nil || !s.Library {
			continue
		}
		s := server(t, st)
		for _, name := range profiles.Names() {
			p, err := profiles.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []Fault{{}, reset} {
				setup := Setup{Profile: p, Server: s, Fault: f, Seed: 11}
				a, err := Play(setup)
				if err != nil {
					t.Errorf("%s, %s, %v: %v", name, st, f, err)
					continue
				}
				b, err := Play(setup)
				if d := cmp.Diff(a, b); err != nil || d != "" {
					t.Errorf("%s, %s, %v: another trial with the same seed: %v %s", name, st, f, err, d)
				}
				if (a.Verdict == results.SawError) != (a.UserSees != "") {
					t.Errorf("%s, %s, %v: verdict %s with the words %q", name, st, f, a.Verdict, a.UserSees)
				}
			}
		}
	}
}

// BenchmarkPlay is one trial: a reference visit and a cut one with its retries.
func BenchmarkPlay(b *testing.B) {
	p, err := profiles.Lookup("firefox-35-osx")
	if err != nil {
		b.Fatal(err)
	}
	st, err := stack.Lookup("openssl-1.0.1j")
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer(st, ServerOptions{Host: host, Certificates: []*engine.Certificate{authority().RSA}, Expired: authority().Expired, Verifier: authority().Verifier()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := Play(Setup{Profile: p, Server: s, Fault: reset, Seed: uint64(i)}); err != nil {
			b.Fatal(err)
		}
	}
}
