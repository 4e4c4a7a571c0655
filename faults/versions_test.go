package faults_test

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// TestVersions cuts a conversation of every version at each stage that the version has: the rule strikes at
// that stage, and the client has come as far as the protocol lets it without what was cut.
func TestVersions(t *testing.T) {
	full := map[stage.Stage]stage.Stage{ // cut here: the client has reached this
		stage.ClientHello: stage.ClientHello, stage.ServerHello: stage.ClientHello, stage.ServerFlight: stage.ClientHello,
		stage.ClientKeyExchange: stage.ClientHello, stage.Finished: stage.ClientHello, stage.ServerFinished: stage.ClientHello,
		stage.Request: stage.Request, stage.Response: stage.Request,
	}
	resumed := map[stage.Stage]stage.Stage{ // the server finishes first: a client whose Finished is cut believes in its handshake
		stage.ClientHello: stage.ClientHello, stage.ServerHello: stage.ClientHello, stage.ServerFinished: stage.ClientHello,
		stage.Finished: stage.Request, stage.Request: stage.Request, stage.Response: stage.Request,
	}
	tls13 := map[stage.Stage]stage.Stage{
		stage.ClientHello: stage.ClientHello, stage.ServerHello: stage.ClientHello, stage.ServerFlight: stage.ClientHello,
		stage.Finished: stage.Request, stage.Request: stage.Request, stage.Response: stage.Request,
	}
	for _, tt := range []struct {
		name    string
		version uint16
		resume  bool
		reached map[stage.Stage]stage.Stage
	}{
		{"TLS 1.0", tls.VersionTLS10, false, full}, {"TLS 1.1", tls.VersionTLS11, false, full}, {"TLS 1.2", tls.VersionTLS12, false, full},
		{"TLS 1.2 resumed", tls.VersionTLS12, true, resumed}, {"TLS 1.3", tls.VersionTLS13, false, tls13}, {"TLS 1.3 resumed", tls.VersionTLS13, true, tls13},
	} {
		for at, reached := range tt.reached {
			t.Run(fmt.Sprintf("%s at %s", tt.name, at), func(t *testing.T) {
				d := before(t, faults.Rule{Name: "cut", Engine: faults.EngineRelay, Action: faults.Reset, At: at, Probability: 1})
				d.spec.Version = tt.version
				if tt.resume {
					d.spec.Resume = tls.NewLRUClientSessionCache(1)
				}
				if control := d.untouched(t); control.Version != tt.version {
					t.Fatalf("negotiated %#x", control.Version)
				}
				got, _, _ := d.armed(t, d.spec) // it looks at the stage in the ledger
				// A client that believes in its handshake may meet the reset while it writes its request or after.
				early := reached == stage.Request && got.Reached == stage.Finished
				if got.End() != "reset" || got.Reached != reached && !early {
					t.Errorf("%q (%v) at %q, want a reset at %q", got.End(), got.Err, got.Reached, reached)
				}
			})
		}
	}
	t.Run("a stage that the version has not is never struck", func(t *testing.T) {
		d := before(t, faults.Rule{Name: "cut", Engine: faults.EngineRelay, Action: faults.Reset, At: stage.ClientKeyExchange, Probability: 1})
		d.spec.Version = tls.VersionTLS13
		d.relay.Arm(armedFrom(d), d.rule, faults.Key{})
		spec := d.spec
		spec.Source = armedFrom(d).Addr()
		if r := spec.Run(); r.Err != nil || len(d.firings) != 0 {
			t.Errorf("%v, %d firings", r.Err, len(d.firings))
		}
	})
}

// armedFrom is the source that a conversation over the relay is armed by.
func armedFrom(d *relayed) netip.AddrPort { return netip.AddrPortFrom(faults.SourceAddr(d.rule, 5), 0) }
