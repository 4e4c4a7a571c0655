package relay_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/relay"
	"tlsurge/faults/stage"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// helloOf is a hello with so many bytes of padding, which offers versions and sends a share of a group.
func helloOf(padding int, versions []byte, group wire.Group) []byte {
	ch := &hello.ClientHello{RecordVersion: wire.TLS10, Version: wire.TLS12, Suites: []wire.CipherSuite{wire.TLS_RSA_WITH_AES_128_CBC_SHA},
		Compression: []uint8{0}, HasExtensions: true}
	if versions != nil {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtSupportedVersions, Data: append([]byte{byte(len(versions))}, versions...)})
	}
	if group != 0 {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtKeyShare, Data: []byte{0, 5, byte(group >> 8), byte(group), 0, 1, 7}})
	}
	ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtPadding, Data: make([]byte, padding)})
	return ch.AppendRecords(nil)
}

// TestHelloMatch: a rule that looks at hellos strikes those that match and spares the others, however the
// hello is cut into segments; all bytes of a connection that is spared arrive.
func TestHelloMatch(t *testing.T) {
	const front = 4 + 2 + 32 + 1 + 4 + 2 + 2 + 4 // of helloOf's message, without what varies
	tls13, tls12 := []byte{3, 4, 3, 3}, []byte{3, 3, 3, 2}
	tests := []struct {
		sentence string
		match    faults.HelloMatch
		hello    []byte
		struck   bool
	}{
		{"TLS 1.3 is offered", faults.HelloMatch{Offers: wire.TLS13}, helloOf(0, tls13, 0), true},
		{"it is not, in supported_versions", faults.HelloMatch{Offers: wire.TLS13}, helloOf(0, tls12, 0), false},
		{"it is not, without them", faults.HelloMatch{Offers: wire.TLS13}, helloOf(0, nil, 0), false},
		{"a newer version than the one named", faults.HelloMatch{Offers: wire.TLS11}, helloOf(0, tls12, 0), true},
		{"the smallest that is struck", faults.HelloMatch{MinBytes: 256, MaxBytes: 511}, helloOf(256-front, nil, 0), true},
		{"the largest that is struck", faults.HelloMatch{MinBytes: 256, MaxBytes: 511}, helloOf(511-front, nil, 0), true},
		{"one byte less", faults.HelloMatch{MinBytes: 256, MaxBytes: 511}, helloOf(255-front, nil, 0), false},
		{"one byte more", faults.HelloMatch{MinBytes: 256, MaxBytes: 511}, helloOf(512-front, nil, 0), false},
		{"a share of the group", faults.HelloMatch{Group: wire.X25519MLKEM768}, helloOf(0, tls13, wire.X25519MLKEM768), true},
		{"of another one", faults.HelloMatch{Group: wire.X25519MLKEM768}, helloOf(0, tls13, wire.X25519), false},
		{"one condition of two", faults.HelloMatch{Offers: wire.TLS13, MinBytes: 600}, helloOf(0, tls13, 0), false},
		{"no hello at all", faults.HelloMatch{MaxBytes: 9999}, []byte("GET / HTTP/1.0\r\n\r\n"), false},
		{"half a hello", faults.HelloMatch{MaxBytes: 9999}, helloOf(300, nil, 0)[:200], false},
	}
	target := echo(t, "127.0.0.1:0")
	for i, tt := range tests {
		t.Run(tt.sentence, func(t *testing.T) {
			var fired atomic.Int32
			r := start(t, relay.Config{Target: target, Ledger: func(faults.Firing) { fired.Add(1) }})
			rule := &faults.Rule{Name: "middlebox", Engine: faults.EngineRelay, Action: faults.Reset, At: stage.ClientHello,
				Direction: stage.ClientToServer, Probability: 1, Hello: tt.match}
			src := netip.AddrPortFrom(faults.SourceAddr(rule, uint32(i)), 0)
			for _, cut := range []int{len(tt.hello), 1, 7} {
				fired.Store(0)
				r.Arm(src, rule, faults.Key{})
				d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(src)}
				c, err := d.DialContext(context.Background(), "tcp", r.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(10 * time.Second))
				for rest := tt.hello; len(rest) > 0; rest = rest[min(cut, len(rest)):] {
					if _, err := c.Write(rest[:min(cut, len(rest))]); err != nil {
						break // it struck, and we have heard of it
					}
				}
				c.(*net.TCPConn).CloseWrite()
				got, err := io.ReadAll(c)
				c.Close()
				if tt.struck && (dialogue.End(err) != "reset" || fired.Load() != 1 || len(got) > 0) {
					t.Errorf("cut into %d: %d bytes came back, %v, %d firings; want a reset", cut, len(got), err, fired.Load())
				}
				if !tt.struck && (err != nil || fired.Load() != 0 || !bytes.Equal(got, tt.hello)) {
					t.Errorf("cut into %d: %d bytes of %d came back, %v, %d firings; want all of them and none", cut, len(got), len(tt.hello), err, fired.Load())
				}
			}
		})
	}
}

// TestWhichRequest: a rule may strike at one request of a connection; those before it pass.
func TestWhichRequest(t *testing.T) {
	server := dialogue.Serve(t, dialogue.ServerOptions{})
	for _, tt := range []struct {
		at               stage.Stage
		request, answers int
		end              string
	}{
		{stage.Request, 0, 0, "reset"}, {stage.Request, 1, 0, "reset"}, {stage.Request, 3, 2, "reset"}, {stage.Response, 2, 1, "reset"}, {stage.Request, 5, 4, "ok"},
	} {
		r := start(t, relay.Config{Target: server.Addr()})
		rule := &faults.Rule{Name: "r", Engine: faults.EngineRelay, Action: faults.Reset, At: tt.at, Direction: tt.at.Direction(), Request: tt.request, Probability: 1}
		r.Arm(netip.AddrPortFrom(faults.SourceAddr(rule, 1), 0), rule, faults.Key{})
		got := dialogue.Spec{Address: r.Addr().String(), Source: faults.SourceAddr(rule, 1), Requests: 4}.Run()
		if got.End() != tt.end || got.Answers != tt.answers {
			t.Errorf("%s %d: %v after %d answers, want %s after %d", tt.at, tt.request, got.Err, got.Answers, tt.end, tt.answers)
		}
	}
}
