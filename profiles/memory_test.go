package profiles

import (
	"testing"
	"time"

	"tlsurge/profiles/wire"
)

// The vectors of Firefox's own test of this memory (gecko-dev security/manager/ssl/tests/gtest/
// TLSIntoleranceTest.cpp), retold: the same steps and expectations on our Memory. A port is a Memory of its own.
func TestIntoleranceMemory(t *testing.T) {
	const lo, mid, hi = wire.TLS10, wire.TLS11, wire.TLS12
	type op struct {
		do   string // "intolerant", "tolerant", "forget", "max"
		v    wire.Version
		min  wire.Version
		want any // "intolerant": whether to retry; "max": the adjusted maximum of TLS 1.0 to 1.2
	}
	for _, c := range []struct {
		why   string
		limit wire.Version
		ops   []op
	}{
		{"FullFallbackProcess: 1.2 and 1.1 lead on, 1.0 is the end and clears the memory", lo, []op{
			{"max", 0, lo, hi},
			{"intolerant", hi, lo, true}, {"max", 0, lo, mid},
			{"intolerant", mid, lo, true}, {"max", 0, lo, lo},
			{"intolerant", lo, lo, false}, {"max", 0, lo, hi}}},
		{"DisableFallbackWithHighLimit: nothing is ever marked", hi, []op{
			{"intolerant", hi, lo, false}, {"intolerant", mid, lo, false}, {"intolerant", lo, lo, false}}},
		{"FallbackLimitBelowMin: the minimum holds where it is above the limit", lo, []op{
			{"intolerant", hi, mid, true}, {"max", 0, lo, mid}, {"intolerant", mid, mid, false}}},
		{"TolerantOverridesIntolerant1: tolerant at the marked version lifts the mark one up", lo, []op{
			{"intolerant", mid, lo, true}, {"tolerant", mid, 0, nil}, {"max", 0, lo, mid}}},
		{"TolerantOverridesIntolerant2: tolerant above it lifts it out of the way", lo, []op{
			{"intolerant", mid, lo, true}, {"tolerant", hi, 0, nil}, {"max", 0, lo, hi}}},
		{"IntolerantDoesNotOverrideTolerant", lo, []op{
			{"tolerant", mid, 0, nil}, {"intolerant", mid, lo, false}, {"max", 0, lo, hi}}},
		{"PortIsRelevant, port 1: known to work", lo, []op{
			{"tolerant", hi, 0, nil}, {"intolerant", hi, lo, false}, {"max", 0, lo, hi}}},
		{"PortIsRelevant, port 2: another memory", lo, []op{
			{"intolerant", hi, lo, true}, {"max", 0, lo, mid}}},
		{"TLSForgetIntolerance", lo, []op{
			{"intolerant", hi, lo, true}, {"max", 0, lo, mid}, {"forget", 0, 0, nil}, {"max", 0, lo, hi}}},
		{"TLSDontForgetTolerance: forgetting leaves what was tolerated", lo, []op{
			{"tolerant", mid, 0, nil}, {"max", 0, lo, hi},
			{"intolerant", hi, lo, true}, {"max", 0, lo, mid},
			{"forget", 0, 0, nil}, {"max", 0, lo, hi}, {"intolerant", mid, lo, false}}},
		{"TLSPerSiteFallbackLimit, limit 1.0: two steps", lo, []op{
			{"intolerant", hi, lo, true}, {"intolerant", mid, lo, true}, {"intolerant", lo, lo, false}}},
		{"a parallel connection that fails at 1.2 when 1.1 is already out: retry, and the mark stays", lo, []op{
			{"intolerant", mid, lo, true}, {"intolerant", hi, lo, true}, {"max", 0, lo, lo}}},
	} {
		m := &Memory{}
		for i, o := range c.ops {
			var got any
			switch o.do {
			case "intolerant":
				got = m.rememberIntolerant(o.v, o.min, c.limit)
			case "tolerant":
				m.rememberTolerant(o.v)
			case "forget":
				m.forget()
			case "max":
				got = m.adjust(hi, o.min)
			}
			if got != o.want {
				t.Errorf("%s: step %d, %s %v: got %v, expected %v", c.why, i+1, o.do, o.v, got, o.want)
			}
			if m.intolerant != 0 && m.tolerant >= m.intolerant {
				t.Errorf("%s: step %d: tolerant %v is not below intolerant %v", c.why, i+1, m.tolerant, m.intolerant)
			}
		}
	}
}

// TestFirefoxReload: what the next page load does after the server refused the fallback.
func TestFirefoxReload(t *testing.T) {
	for _, c := range []struct {
		why     string
		profile string
		sunk    int // how many versions the browser had sunk before the refusal
		reloads []wire.Version
	}{
		{"Firefox 35, refused at 1.1: one reload is back at 1.2", "firefox-35-osx", 1, []wire.Version{wire.TLS12}},
		{"Firefox 35, refused at 1.0: the first reload tries 1.1, the second 1.2", "firefox-35-osx", 2, []wire.Version{wire.TLS11, wire.TLS12}},
	} {
		p, err := Lookup(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		m := p.NewMemory()
		plan := m.First()
		for range c.sunk {
			plan = m.Failed(plan, cutFIN).Next
		}
		for i, want := range c.reloads {
			if d := m.Failed(plan, hello86); d.Retry || d.UserSees != "ssl_error_inappropriate_fallback_alert" {
				t.Errorf("%s: reload %d: %+v", c.why, i, d)
			}
			plan = m.First()
			if plan.MaxVersion != want || plan.SCSV != (want < wire.TLS12) {
				t.Errorf("%s: reload %d offers %v, SCSV %v", c.why, i+1, plan.MaxVersion, plan.SCSV)
			}
		}
	}
}

// TestFirefoxTolerance: once a handshake that offered 1.2 has completed, later cuts no longer lower the
// version: the request is restarted as it was, ten attempts in all.
func TestFirefoxTolerance(t *testing.T) {
	p, err := Lookup("firefox-35-osx")
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMemory()
	plan := m.First()
	m.Succeeded(plan, wire.TLS10) // what the server chose does not matter
	attempts := 1
	for {
		d := m.Failed(plan, cutRST)
		if !d.Retry {
			if d.UserSees != "The connection was reset" {
				t.Errorf("user sees %q", d.UserSees)
			}
			break
		}
		attempts++
		plan = d.Next
		if plan.MaxVersion != wire.TLS12 || plan.SCSV || plan.Kind != KindRetry {
			t.Fatalf("attempt %d: %+v", attempts, plan)
		}
	}
	if attempts != 10 {
		t.Errorf("%d attempts, expected network.http.request.max-attempts 10", attempts)
	}
}

// TestStaleSocket: a socket made while the host was marked keeps its lowered range, though a parallel
// connection has meanwhile succeeded at 1.2; its failure must not lower anything again.
func TestStaleSocket(t *testing.T) {
	p, err := Lookup("firefox-35-osx")
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMemory()
	a, b := m.First(), m.First()
	stale := m.Failed(a, cutFIN).Next
	if stale.MaxVersion != wire.TLS11 || !stale.SCSV {
		t.Fatalf("%+v", stale)
	}
	m.Succeeded(b, wire.TLS12)
	if next := m.First(); next.MaxVersion != wire.TLS12 || next.SCSV {
		t.Errorf("after a success at 1.2 a new socket offers %v", next.MaxVersion)
	}
	if d := m.Failed(stale, hello86); d.Retry || d.UserSees != "ssl_error_inappropriate_fallback_alert" {
		t.Errorf("the stale socket on a healthy server: %+v", d)
	}
}

// TestRetryStorm: what was measured of today's browsers when every handshake is reset: Chromium makes 8
// attempts within 0.13 s and 20 within 6.3 s as its error page loads again; Firefox makes 12 within 0.2 s,
// the last ones without compress_certificate.
func TestRetryStorm(t *testing.T) {
	for _, c := range []struct {
		profile string
		burst   int
		within  time.Duration
		total   int
		all     time.Duration
		changed bool
	}{
		{"chromium-156-linux", 8, 130 * time.Millisecond, 20, 6300 * time.Millisecond, false},
		{"firefox-153esr-linux", 12, 200 * time.Millisecond, 12, 200 * time.Millisecond, true},
	} {
		p, err := Lookup(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		m := p.NewMemory()
		var at time.Duration
		total, burst := 0, 0
		plan := m.First()
		for loading := true; loading; {
			total++
			if at <= c.within {
				burst++
			}
			d := m.Failed(plan, cutRST)
			switch {
			case d.Retry:
				at, plan = at+d.Delay, d.Next
			case d.Reload > 0:
				at, plan = at+d.Reload, m.First()
			default:
				loading = false
			}
			if total > 100 {
				t.Fatal("it never gives up")
			}
		}
		if burst != c.burst || total != c.total || at.Round(100*time.Millisecond) > c.all {
			t.Errorf("%s: %d attempts within %v and %d in %v, expected %d and %d in %v", c.profile, burst, c.within, total, at, c.burst, c.total, c.all)
		}
		if changed := plan.Variant != ""; changed != c.changed {
			t.Errorf("%s: the last attempt sends variant %q", c.profile, plan.Variant)
		}
		s := p.Manners().RetryStorm
		if s.Attempts != c.burst || s.Within != c.within {
			t.Errorf("%s: manners say %+v", c.profile, s)
		}
	}
}

// TestBeyondMinimum: Chrome 46 gets through with a lowered offer, and shows an error all the same.
func TestBeyondMinimum(t *testing.T) {
	for _, c := range []struct {
		profile string
		refused string
	}{{"chrome-46-osx", "ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION"}, {"chrome-42-osx", ""}} {
		p, err := Lookup(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		m := p.NewMemory()
		first := m.First()
		if w, ok := m.Refuses(first); ok {
			t.Errorf("%s refuses its own first offer: %v", c.profile, w)
		}
		lowered := m.Failed(first, cutFIN).Next
		m.Succeeded(lowered, wire.TLS11)
		if w, ok := m.Refuses(lowered); w.Shown != c.refused || ok != (c.refused != "") {
			t.Errorf("%s after a fallback to %v: %q, expected %q", c.profile, lowered.MaxVersion, w.Shown, c.refused)
		}
	}
}
