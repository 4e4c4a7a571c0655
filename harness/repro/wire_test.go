package repro

import (
	"slices"
	"testing"
	"time"

	"tlsurge/faults/stage"
	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// TestCaptureTellsCausesApart: servers answer a client that is too old and one that has no suite with one alert, and
// cut connections look alike but for what had passed: the capture knows.
func TestCaptureTellsCausesApart(t *testing.T) {
	refused := func(alert int, offered string) symptom.Signature {
		return symptom.Signature{Origin: symptom.Capture, Class: results.ClassPeerAlert, Alert: alert, Sender: "server", Stage: "client_hello", Offered: offered, Count: 1}
	}
	cut := func(at string) symptom.Signature {
		return symptom.Signature{Origin: symptom.Capture, Class: results.ClassReset, Alert: -1, Stage: at, Offered: "TLS 1.3", Count: 1}
	}
	for _, tt := range []struct {
		why   string
		s     symptom.Signature
		cause string
		at    stage.Stage
	}{
		{"an alert 40 to a client of TLS 1.2", refused(40, "TLS 1.2"), "no suite in common", 0},
		{"an alert 70 to a client of TLS 1.2: the server has TLS 1.3 alone", refused(70, "TLS 1.2"), "no version in common, the browser is too old", 0},
		{"a reset of the second hello", cut("hello_retry_request"), "HelloRetryRequest cut", stage.HelloRetryRequest},
		{"a reset of the first", cut("client_hello"), "every handshake cut", stage.ClientHello},
	} {
		c, r, _ := firstComplete(t, "", tt.s)
		name, _ := c.of(c.hits[slices.IndexFunc(c.hits, func(h hit) bool { return h.visitor == r.Visitors[0] })])
		var at stage.Stage
		if len(r.Faults) > 0 {
			at = r.Faults[0].At
		}
		if name != tt.cause || at != tt.at {
			t.Errorf("%s: %s, %s", tt.why, name, r.words())
		}
	}
}

// TestNoFallbackBeforeItsTime: in 2012 nobody marked a fallback, and a line about suites is about suites.
func TestNoFallbackBeforeItsTime(t *testing.T) {
	for year, marked := range map[int]bool{2012: false, 2015: true} {
		s := logged("1408A0C1", "no shared cipher", time.Date(year, 6, 11, 4, 11, 2, 0, time.UTC))
		s.Last = s.First
		list := targets(&symptom.Report{Signatures: []symptom.Signature{s, logged("", "peer closed connection in SSL handshake", s.First)}})
		k := &ranking{targets: list, era: eraOf(list)}
		got := slices.ContainsFunc(k.candidates(), func(c Candidate) bool { return c.Cause == "first handshake cut, fallback has no suite left" })
		if got != marked {
			t.Errorf("%d: a marked fallback among the candidates: %v", year, got)
		}
		if first := k.candidates()[0].Cause; first != "no suite in common" {
			t.Errorf("%d: the first candidate is %q", year, first)
		}
	}
}
