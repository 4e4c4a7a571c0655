package profiles

import (
	"testing"

	"tlsurge/profiles/wire"
)

// step is one failure thrown at a browser and the hello it answers with.
type policyStep struct {
	f    Failure
	kind string // "" ends with an error page
	max  wire.Version
	scsv bool
}

var (
	cutRST  = Failure{Kind: FailReset, AwaitingServerHello: true}
	cutFIN  = Failure{Kind: FailEOF, AwaitingServerHello: true}
	hello40 = alertOn(wire.AlertHandshakeFailure)
	hello86 = alertOn(wire.AlertInappropriateFallback)
)

func alertOn(a wire.AlertDescription) Failure {
	return Failure{Kind: FailAlert, Alert: a, AwaitingServerHello: true}
}

// TestJanuary2015 is the thread: a first handshake is cut, and the browser's dance meets a TLS-1.0-only
// server with the skipped-suites defect (act one: alert 40 to SCSV in front) or the same with TLS 1.0 to
// 1.2 (act two: alert 86 to any SCSV).
func TestJanuary2015(t *testing.T) {
	for _, c := range []struct {
		why     string
		profile string
		steps   []policyStep
		sees    string
	}{
		{"act one, Firefox 35: every lowered hello loses its suites to the defect", "firefox-35-osx",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, true}, {hello40, KindFallback, wire.TLS10, true}, {hello40, "", 0, false}},
			"ssl_error_no_cypher_overlap"},
		{"act two, Firefox 35: the server refuses the fallback", "firefox-35-osx",
			[]policyStep{{cutFIN, KindFallback, wire.TLS11, true}, {hello86, "", 0, false}},
			"ssl_error_inappropriate_fallback_alert"},
		{"act one, Firefox ESR 31.3", "firefox-31esr-win7",
			[]policyStep{{cutFIN, KindFallback, wire.TLS11, true}, {hello40, KindFallback, wire.TLS10, true}, {hello40, "", 0, false}},
			"ssl_error_no_cypher_overlap"},
		{"act two, Firefox ESR 31.3", "firefox-31esr-win7",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, true}, {hello86, "", 0, false}},
			"ssl_error_inappropriate_fallback_alert"},
		{"Firefox 34 has no SCSV: the lowered hello is served", "firefox-34-osx",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, false}}, ""},
		{"act one, Chrome 39 on NSS: SCSV in front, no suite left, shown as is", "chrome-39-win7",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, true}, {hello40, KindFallback, wire.TLS10, true}, {hello40, "", 0, false}},
			"ERR_SSL_VERSION_OR_CIPHER_MISMATCH"},
		{"act two, Chrome 39: the refusal is replaced by the reset that began it", "chrome-39-win7",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, true}, {hello86, "", 0, false}}, "ERR_CONNECTION_RESET"},
		{"act two, Chrome 39 after a close", "chrome-39-win7",
			[]policyStep{{cutFIN, KindFallback, wire.TLS11, true}, {hello86, "", 0, false}}, "ERR_CONNECTION_CLOSED"},
		{"act one, Chrome 40 on BoringSSL: SCSV last, so the lowered hello is served", "chrome-40-osx",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, true}}, ""},
		{"act two, Chrome 40", "chrome-40-osx",
			[]policyStep{{cutFIN, KindFallback, wire.TLS11, true}, {hello86, "", 0, false}}, "ERR_CONNECTION_CLOSED"},
		{"act one, Safari 8: TLS 1.0 with the SCSV in front, then SSL 3.0 with RC4 alone", "safari-8-osx10.10",
			[]policyStep{{cutRST, KindFallback, wire.TLS10, true}, {hello40, KindFallback, wire.SSL30, true}, {hello40, "", 0, false}},
			"errSSLPeerHandshakeFail (-9824)"},
		{"act two, Safari 8: an alert it does not know", "safari-8-ios8.4",
			[]policyStep{{cutFIN, KindFallback, wire.TLS10, true}, {hello86, "", 0, false}}, "errSSLFatalAlert (-9802)"},
		{"act one, Safari 8 with a session ID that hits the cache: alert 47 leads on to SSL 3.0", "safari-8-osx10.10",
			[]policyStep{{cutRST, KindFallback, wire.TLS10, true}, {alertOn(wire.AlertIllegalParameter), KindFallback, wire.SSL30, true}, {hello40, "", 0, false}},
			"errSSLPeerHandshakeFail (-9824)"},
		{"Safari 7.1 knows no SCSV", "safari-7.1-osx10.9",
			[]policyStep{{cutRST, KindFallback, wire.TLS10, false}}, ""},
		{"stock Android 4.2 does not fall back on a cut: only on an alert", "android-4.2.2",
			[]policyStep{{cutRST, "", 0, false}}, "Web page not available: ERR_CONNECTION_RESET"},
		{"stock Android 4.2 goes to SSL 3.0 on an alert", "android-4.2.2",
			[]policyStep{{hello40, KindFallback, wire.SSL30, false}, {hello40, "", 0, false}},
			"A secure connection could not be established: ERR_SSL_VERSION_OR_CIPHER_MISMATCH"},
		{"Android 4.4 walks Chromium's ladder without the SCSV", "android-4.4.2",
			[]policyStep{{cutFIN, KindFallback, wire.TLS11, false}, {cutFIN, KindFallback, wire.TLS10, false}, {cutFIN, KindFallback, wire.SSL30, false}, {cutFIN, "", 0, false}},
			"Web page not available: ERR_CONNECTION_CLOSED"},
		{"Chromium's ladder: a reset does not lead below TLS 1.0", "android-4.4.2",
			[]policyStep{{cutRST, KindFallback, wire.TLS11, false}, {cutRST, KindFallback, wire.TLS10, false}, {cutRST, "", 0, false}},
			"Web page not available: ERR_CONNECTION_RESET"},
		{"Internet Explorer 11 [K]", "ie-11-win7-unpatched",
			[]policyStep{{cutRST, KindFallback, wire.TLS10, false}, {cutRST, KindFallback, wire.SSL30, false}, {hello40, "", 0, false}},
			"This page can't be displayed"},
		{"loss alone ends in a timeout, which never leads to a fallback", "firefox-35-osx",
			[]policyStep{{Failure{Kind: FailTimeout, AwaitingServerHello: true}, "", 0, false}}, "The connection has timed out"},
	} {
		t.Run(c.why, func(t *testing.T) {
			p, err := Lookup(c.profile)
			if err != nil {
				t.Fatal(err)
			}
			m := p.NewMemory()
			plan := m.First()
			if plan.Kind != KindFirst || plan.MaxVersion != p.MaxVersion() || plan.SCSV {
				t.Fatalf("first plan is %+v", plan)
			}
			sees := ""
			for i, s := range c.steps {
				d := m.Failed(plan, s.f)
				if d.Retry != (s.kind != "") {
					t.Fatalf("step %d: retry is %v: %+v", i+1, d.Retry, d)
				}
				if !d.Retry {
					sees = d.UserSees
					continue
				}
				plan = d.Next
				if plan.Kind != s.kind || plan.MaxVersion != s.max || plan.SCSV != s.scsv {
					t.Fatalf("step %d: got %+v", i+1, plan)
				}
			}
			if sees != c.sees {
				t.Errorf("user sees %q, expected %q", sees, c.sees)
			}
		})
	}
}
