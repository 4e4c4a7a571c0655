package engine

import (
	"runtime"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// BenchmarkClient13 is a client's CPU per handshake of TLS 1.3 without sockets, beside BenchmarkClient.
// A fresh share is drawn in each handshake, as a browser does; "pooled" is one that is there already.
func BenchmarkClient13(b *testing.B) {
	for _, row := range []struct {
		name   string
		policy VerifyPolicy
		fresh  bool
		psk    bool
	}{
		{"full/every signature, fresh share", VerifyEvery, true, false},
		{"full/every signature, pooled share", VerifyEvery, false, false},
		{"full/first per key, pooled share", VerifyFirstPerKey, false, false},
		{"resumed/PSK, pooled share", VerifyEvery, false, true},
	} {
		b.Run(row.name, func(b *testing.B) {
			build := plain13
			if row.psk {
				build = pskBuild
			}
			cfg, ch, sc := build(b)
			sc.Certificates = sc.Certificates[1:]
			cfg.ServerName = "www.example.test"
			cfg.Verifier = verifierFor(b, sc.Certificates...)
			cfg.Verifier.Policy = row.policy
			r := record12(b, cfg, ch, sc)
			buf := make([]byte, 1<<16)
			r.run(b, buf)
			b.ReportAllocs()
			for b.Loop() {
				if row.fresh {
					if _, err := keys.GenerateShare(wire.X25519, constant{}); err != nil {
						b.Fatal(err)
					}
				}
				r.run(b, buf)
			}
		})
	}
}

// TestIdleBytes13: an established connection that was parked holds 1 KiB at most.
func TestIdleBytes13(t *testing.T) {
	const n = 400
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	cc, ch, sc := full13(wire.TLS_AES_256_GCM_SHA384, only25519, nil)(t)
	shared := &ClientConfig{Rand: seeded(2)}
	clients, servers := make([]*Conn, n), make([]*Conn, n)
	before := heap()
	for i := range n {
		p := newPair(t, cc, cloneHello(ch), sc)
		p.must()
		p.client.Rebase(shared)
		p.client.Park()
		p.server.Park()
		clients[i], servers[i] = p.client, p.server
	}
	both := heap()
	clear(servers)
	one := heap()
	runtime.KeepAlive(clients)
	client, server := (one-before)/n, (both-one)/n
	t.Logf("client %.0f bytes, server %.0f bytes", client, server)
	if client > 1024 || server > 1024 {
		t.Errorf("an idle connection holds %.0f bytes on the client, %.0f on the server, at most 1024 are allowed", client, server)
	}
}

func cloneHello(ch *hello.ClientHello) *hello.ClientHello { return ch.Clone() }
