package browser

import (
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
)

func TestWhichSessionIsOffered(t *testing.T) {
	now := time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)
	session := func(v wire.Version, suite wire.CipherSuite, age time.Duration) *engine.Session {
		return &engine.Session{Version: v, Suite: suite, ID: []byte{1}, Secret: make([]byte, 48), Created: now.Add(-age)}
	}
	const common, odd = wire.TLS_RSA_WITH_AES_128_CBC_SHA, wire.CipherSuite(0x0041) // Camellia: not in Chrome
	for _, c := range []struct {
		why, profile string
		session      *engine.Session
		lowered      wire.Version // maximum of the plan; 0 is the profile's own
		offered      bool
	}{
		{"a fresh session is offered", "chrome-40-osx", session(wire.TLS12, common, time.Minute), 0, true},
		{"one that the browser would have dropped by now is not", "firefox-35-osx", session(wire.TLS12, common, 1000*time.Hour), 0, false},
		{"one above the hello's maximum is out of range", "safari-8-osx10.10", session(wire.TLS12, common, time.Minute), wire.TLS10, false},
		{"one within it is offered by a fallback too, by those who do so", "safari-8-osx10.10", session(wire.TLS10, common, time.Minute), wire.TLS10, true},
		{"one whose suite the hello does not have is left out", "chrome-40-osx", session(wire.TLS12, odd, time.Minute), 0, false},
	} {
		p := profile(t, c.profile)
		plan := p.NewMemory().First()
		if c.lowered != 0 {
			plan.Kind, plan.MaxVersion = profiles.KindFallback, c.lowered
		}
		var s sessionStore
		s.put(held{session: c.session, key: plan.SessionKey}, &p.Manners().Sessions)
		if got := s.get(&plan, p, now, false) != nil; got != c.offered {
			t.Errorf("%s: %s offers it: %v", c.why, c.profile, got)
		}
	}
}

// A store keeps the newest few, a replaced session leaves no copy, and a dropped one is gone.
func TestTheStoreIsBounded(t *testing.T) {
	p := profile(t, "chromium-156-linux")
	m := &p.Manners().Sessions
	var s sessionStore
	var last *engine.Session
	for i := range 10 {
		last = &engine.Session{Version: wire.TLS13, Suite: 0x1301, Ticket: []byte{byte(i)}, Secret: make([]byte, 32), Created: time.Now()}
		s.put(held{session: last}, m)
	}
	if len(s.held) != maxHeld || s.held[maxHeld-1].session != last {
		t.Errorf("%d sessions held", len(s.held))
	}
	plan := p.NewMemory().First()
	if h := s.get(&plan, p, time.Now(), false); h == nil || h.session != last {
		t.Error("the newest is not offered first")
	} else if m.Single && len(s.held) != maxHeld-1 {
		t.Error("a single-use session is still there")
	}
	n := len(s.held)
	s.drop(s.held[0].session)
	if len(s.held) != n-1 {
		t.Error("a dropped session is still there")
	}
}
