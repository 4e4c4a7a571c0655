package engine

import (
	"bytes"
	"testing"

	"tlsurge/profiles/wire"
)

// FuzzClient13 gives a client any bytes in answer to a hello that offers TLS 1.3; FuzzServer13 gives any
// bytes to a server. The laws of lawful hold.
func FuzzClient13(f *testing.F) {
	for _, s := range shapes13 {
		p := s.pair(f)
		p.run()
		f.Add(p.fromServer, []byte{3, 50})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		lawful(t, func() *Conn {
			cc, ch, _ := plain13(t)
			c, err := NewClient(cc, ch)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}, in, cuts)
	})
}

func FuzzServer13(f *testing.F) {
	for _, s := range shapes13 {
		p := s.pair(f)
		p.run()
		f.Add(p.fromClient, []byte{5, 100})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		lawful(t, func() *Conn {
			sc := server13Config()
			sc.ClientAuth = ClientAuthRequest
			return NewServer(sc)
		}, in, cuts)
	})
}

// FuzzProtected13 puts any messages behind a real ServerHello, under the right keys: each byte of order
// takes one message of the pool or the fuzzer's own. No panic, and an error is a refusal of ours.
func FuzzProtected13(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, uint8(8), []byte{0, 0})
	f.Add([]byte{0, 5, 1, 4, 4}, uint8(25), []byte{0, 1, 0, 0, 9, 0, 0, 1, 'x'})
	f.Add([]byte{4}, uint8(11), []byte{0, 0, 0, 5, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, order []byte, typ uint8, body []byte) {
		if len(order) > 32 || len(body) > 1<<15 {
			return
		}
		p := newPuppet(t, offering(wire.ExtCompressCertificate, 6, 0, 1, 0, 2, 0, 3))
		p.hello(nil)
		own := opaque{wire.HandshakeType(typ), body}
		pool := []messages{ee, rsaCert(), &wire.CertificateVerify13{Scheme: wire.RSAPSSRSAESHA256, Signature: body},
			&wire.Finished13{VerifyData: bytes.Repeat([]byte{1}, 32)}, own, certificateRequest13(&ServerConfig{})}
		for _, i := range order {
			m := pool[int(i)%len(pool)].AppendMessage(nil)
			for len(m) > 0 && p.err == nil { // in records of a size that depends on the order, too
				n := min(len(m), 1+int(i)*64, wire.MaxPlaintext)
				p.sealed(wire.RecordHandshake, m[:n])
				m = m[n:]
			}
		}
		if p.err != nil {
			wantRefusalOfOurs(t, p)
		}
		if p.client.HandshakeDone() {
			t.Fatal("a handshake without the server's key is complete")
		}
	})
}

func wantRefusalOfOurs(t *testing.T, p *puppet) {
	t.Helper()
	if _, ok := p.err.(*LocalAlert); !ok || p.client.AppendOutput(nil) == nil {
		t.Fatalf("%v, and no alert", p.err)
	}
}
