package engine

import (
	"errors"
	"testing"
	"time"

	"tlsurge/profiles/wire"
)

// TestClientClock: a client judges the server's certificate by its own clock, in TLS 1.2 and 1.3, and one verifier
// serves clients whose clocks differ.
func TestClientClock(t *testing.T) {
	const years = 365 * 24 * time.Hour
	old, modern := basicServer(), server13Config()
	verifier := verifierFor(t, append(old.Certificates, modern.Certificates...)...)
	for _, version := range []wire.Version{wire.TLS12, wire.TLS13} {
		for _, row := range []struct {
			why   string
			clock time.Duration
			want  error
		}{
			{"a clock that is right", 0, nil},
			{"slow by decades, as after an empty battery", -40 * years, ErrCertificateNotYet},
			{"right again", 0, nil},
			{"fast by centuries", 200 * years, ErrCertificateExpired},
		} {
			cc := &ClientConfig{Verifier: verifier, ServerName: "www.example.test", Clock: row.clock, Rand: seeded(2)}
			sc, ch := old, basicHello(wire.TLS12, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
			if version == wire.TLS13 {
				sc, ch = modern, offer13(cc, wire.TLS_AES_128_GCM_SHA256, only25519...)
			}
			p := newPair(t, cc, ch, sc)
			p.run()
			var local *LocalAlert
			switch err := p.client.Err(); {
			case row.want == nil && err != nil:
				t.Errorf("%v, %s: %v", version, row.why, err)
			case row.want != nil && (!errors.Is(err, row.want) || !errors.As(err, &local) || local.Description != wire.AlertCertificateExpired):
				t.Errorf("%v, %s: %v, want %v", version, row.why, err, row.want)
			}
		}
	}
}
