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
			if plan.Kind != KindFirst || plan.MaxVersion != wire.TLS12 || plan.SCSV {
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
