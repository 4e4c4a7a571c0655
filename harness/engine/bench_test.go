package engine

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"runtime"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// replayed is one side's work alone: the other side's bytes were recorded once, and everything that could
// differ (randoms, ephemeral keys) is fixed, so they fit again and again.
type replayed struct {
	cfg    *ClientConfig
	hello  *hello.ClientHello
	flight [][]byte // what the server sends, turn by turn
}

// record runs the handshake once against our own server and keeps the server's turns.
func record12(b testing.TB, cfg *ClientConfig, ch *hello.ClientHello, sc *ServerConfig) *replayed {
	r := &replayed{cfg: cfg, hello: ch}
	cfg.Rand = constant{}
	c, err := NewClient(cfg, ch)
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(sc)
	for !c.HandshakeDone() {
		if err := s.Receive(testNow, c.AppendOutput(nil)); err != nil {
			b.Fatal(err)
		}
		out := s.AppendOutput(nil)
		r.flight = append(r.flight, bytes.Clone(out))
		if err := c.Receive(testNow, out); err != nil {
			b.Fatal(err)
		}
	}
	return r
}

// constant gives the same bytes to every handshake.
type constant struct{}

func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i) | 1
	}
	return len(p), nil
}

func (r *replayed) run(b testing.TB, buf []byte) {
	c, err := NewClient(r.cfg, r.hello)
	if err != nil {
		b.Fatal(err)
	}
	out := c.AppendOutput(buf[:0])
	for _, f := range r.flight {
		in := buf[len(out) : len(out)+len(f)]
		copy(in, f)
		if err := c.Receive(testNow, in); err != nil {
			b.Fatal(err)
		}
		out = c.AppendOutput(buf[:0])
	}
	if !c.HandshakeDone() {
		b.Fatal("handshake not done")
	}
}

func verifierFor(t testing.TB, certs ...*Certificate) *Verifier {
	pool := x509.NewCertPool()
	for _, c := range certs {
		leaf, err := x509.ParseCertificate(c.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		pool.AddCert(leaf)
	}
	return &Verifier{Roots: pool}
}

// BenchmarkClient is a client's CPU per handshake without sockets: ECDSA P-256, X25519, the cost of each
// shortcut beside it.
func BenchmarkClient(b *testing.B) {
	for _, row := range []struct {
		name   string
		pool   int
		policy VerifyPolicy
		suite  wire.CipherSuite
	}{
		{"full/every signature, fresh share", 0, VerifyEvery, ecdsaGCM},
		{"full/every signature, pooled share", 1, VerifyEvery, ecdsaGCM},
		{"full/first per key, pooled share", 1, VerifyFirstPerKey, ecdsaGCM},
		{"full/RSA key exchange", 0, VerifyEvery, aesSHA},
	} {
		b.Run(row.name, func(b *testing.B) {
			sc := benchServer(b)
			cfg := &ClientConfig{ServerName: "www.example.test", Verifier: verifierFor(b, sc.Certificates...)}
			cfg.Verifier.Policy = row.policy
			if row.pool > 0 {
				cfg.KeyPool = NewKeyPool(row.pool, constant{})
				cfg.KeyPool.rotate = 1 << 62
			}
			r := record12(b, cfg, basicHello(wire.TLS12, row.suite), sc)
			benchReplay(b, r)
		})
	}
	for _, ticket := range []bool{false, true} {
		b.Run(fmt.Sprintf("resumed/ticket %v", ticket), func(b *testing.B) {
			cfg, ch, sc := resumedShape(b, wire.TLS12, ecdheGCM, ticket)
			benchReplay(b, record12(b, cfg, ch, sc))
		})
	}
}

func benchServer(b testing.TB) *ServerConfig {
	sc := basicServer()
	sc.Rand = constant{}
	return sc
}

func benchReplay(b *testing.B, r *replayed) {
	buf := make([]byte, 1<<16)
	r.run(b, buf)
	b.ReportAllocs()
	for b.Loop() {
		r.run(b, buf)
	}
}

// BenchmarkIdle reports what an established connection that was drained and parked holds on the heap, both
// record halves included.
func BenchmarkIdle(b *testing.B) {
	for _, suite := range []wire.CipherSuite{ecdheGCM, aesSHA, wire.TLS_RSA_WITH_RC4_128_SHA} {
		b.Run(suite.String(), func(b *testing.B) {
			client, server := idleBytes(b, suite)
			for b.Loop() {
			}
			b.ReportMetric(client, "client-bytes/conn")
			b.ReportMetric(server, "server-bytes/conn")
		})
	}
}

func idleBytes(t testing.TB, suite wire.CipherSuite) (client, server float64) {
	const n = 500
	sc := basicServer()
	cfg := &ClientConfig{Rand: seeded(2)}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	clients, servers := make([]*Conn, n), make([]*Conn, n)
	ch := basicHello(wire.TLS12, suite)
	before := heap()
	for i := range n {
		p := newPair(t, cfg, ch, sc)
		p.must()
		p.client.Park()
		p.server.Park()
		clients[i], servers[i] = p.client, p.server
	}
	both := heap()
	clear(servers)
	one := heap()
	runtime.KeepAlive(clients)
	return (one - before) / n, (both - one) / n
}

// An established idle connection costs the engine at most 1 KiB.
func TestIdleBytes(t *testing.T) {
	for _, suite := range []wire.CipherSuite{ecdheGCM, aesSHA, wire.TLS_RSA_WITH_RC4_128_SHA} {
		client, server := idleBytes(t, suite)
		if client > 1024 || server > 1024 {
			t.Errorf("%v: a client holds %.0f bytes, a server %.0f, at most 1024 allowed", suite, client, server)
		}
	}
}
