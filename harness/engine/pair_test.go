package engine

import (
	"bytes"
	"crypto"
	"crypto/tls"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// testNow is the clock of every test in this package.
var testNow = time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)

// seeded is a repeatable random source.
func seeded(n uint64) *mrand.ChaCha8 {
	var seed [32]byte
	for i := range 8 {
		seed[i] = byte(n >> (8 * i))
	}
	return mrand.NewChaCha8(seed)
}

// fileCerts loads the two key pairs that were made for the recordings, once per test binary.
var fileCerts = sync.OnceValue(func() map[string]*Certificate {
	out := map[string]*Certificate{}
	for _, kind := range []string{"rsa", "ecdsa"} {
		c, err := tls.LoadX509KeyPair("testdata/"+kind+".crt", "testdata/"+kind+".key")
		if err != nil {
			panic(err)
		}
		out[kind] = &Certificate{Chain: c.Certificate, Key: c.PrivateKey.(crypto.Signer)}
	}
	return out
})

// fileCert gives a copy of one of them, which the test may change.
func fileCert(kind string) *Certificate {
	c := *fileCerts()[kind]
	return &c
}

// mapStore is a SessionStore for tests.
type mapStore map[string]*Session

func (m mapStore) Get(_ time.Time, id []byte) *Session    { return m[string(id)] }
func (m mapStore) Put(_ time.Time, id []byte, s *Session) { m[string(id)] = s }
func (m mapStore) Delete(id []byte)                       { delete(m, string(id)) }

// basicHello offers the suites with the usual extensions of 2015.
func basicHello(v wire.Version, suites ...wire.CipherSuite) *hello.ClientHello {
	ch := &hello.ClientHello{RecordVersion: wire.TLS10, Version: v, Suites: suites, Compression: []byte{0}}
	seeded(7).Read(ch.Random[:])
	if v == wire.SSL30 {
		ch.RecordVersion = wire.SSL30
		return ch
	}
	ch.HasExtensions = true
	add := func(t wire.ExtensionType, data []byte) {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: t, Data: data})
	}
	name := []byte("www.example.test")
	sni := wire.AppendVec16(nil, append([]byte{0}, wire.AppendVec16(nil, name)...))
	add(wire.ExtServerName, sni)
	add(wire.ExtRenegotiationInfo, []byte{0})
	add(wire.ExtSupportedGroups, []byte{0, 6, 0, 0x1d, 0, 0x17, 0, 0x18})
	add(wire.ExtECPointFormats, []byte{1, 0})
	if v == wire.TLS12 {
		add(wire.ExtSignatureAlgorithms, []byte{0, 12, 4, 1, 4, 3, 5, 1, 5, 3, 2, 1, 2, 3})
	}
	return ch
}

func setExt(ch *hello.ClientHello, t wire.ExtensionType, data []byte) {
	for i := range ch.Extensions {
		if ch.Extensions[i].Type == t {
			ch.Extensions[i].Data = data
			return
		}
	}
	ch.HasExtensions = true
	ch.Extensions = append(ch.Extensions, hello.Extension{Type: t, Data: data})
}

func alpnExt(ps ...string) []byte {
	var l []byte
	for _, p := range ps {
		l = wire.AppendVec8(l, []byte(p))
	}
	return wire.AppendVec16(nil, l)
}

// basicServer takes every version and suite that the engine speaks.
func basicServer() *ServerConfig {
	return &ServerConfig{
		Certificates: []*Certificate{fileCert("rsa"), fileCert("ecdsa")},
		Versions:     Versions(wire.TLS10, wire.TLS11, wire.TLS12),
		Suites:       allSuites(), Groups: []wire.Group{wire.X25519, wire.Secp256r1, wire.Secp384r1},
		DH: keys.DHGroupOf(1024), Rand: seeded(1), SessionLifetime: 5 * time.Minute,
	}
}

// pair is a client and a server joined back to back.
type pair struct {
	t              testing.TB
	client, server *Conn
	clientEvents   []Event
	serverEvents   []Event
	chunk          int // bytes per Receive; 0: all at once
	fromClient     []byte
	fromServer     []byte
	// tamper may change bytes on their way; offset counts from the first byte of that direction.
	tamper func(fromServer bool, offset int, b []byte)
}

func newPair(t testing.TB, cc *ClientConfig, ch *hello.ClientHello, sc *ServerConfig) *pair {
	t.Helper()
	if cc.Rand == nil {
		cc.Rand = seeded(2)
	}
	c, err := NewClient(cc, ch)
	if err != nil {
		t.Fatalf("NewClient: %v", err)
	}
	return &pair{t: t, client: c, server: NewServer(sc)}
}

// run passes bytes to and fro until both are quiet.
func (p *pair) run() {
	for range 64 {
		a := p.client.AppendOutput(nil)
		if p.tamper != nil {
			p.tamper(false, len(p.fromClient), a)
		}
		p.fromClient = append(p.fromClient, a...)
		p.feed(p.server, a, &p.serverEvents)
		b := p.server.AppendOutput(nil)
		if p.tamper != nil {
			p.tamper(true, len(p.fromServer), b)
		}
		p.fromServer = append(p.fromServer, b...)
		p.feed(p.client, b, &p.clientEvents)
		if len(a) == 0 && len(b) == 0 {
			return
		}
	}
	p.t.Fatal("the two ends never fall quiet")
}

func (p *pair) feed(c *Conn, b []byte, events *[]Event) {
	for len(b) > 0 {
		n := len(b)
		if p.chunk > 0 {
			n = min(n, p.chunk)
		}
		_ = c.Receive(testNow, b[:n:n])
		b = b[n:]
		for e := c.Next(); e.Kind != EventNone; e = c.Next() {
			e.Data = bytes.Clone(e.Data)
			*events = append(*events, e)
		}
	}
}

// must runs the handshake and one message each way.
func (p *pair) must() {
	p.t.Helper()
	p.run()
	if err := p.client.Err(); err != nil {
		p.t.Fatalf("client: %v (server: %v)", err, p.server.Err())
	}
	if err := p.server.Err(); err != nil {
		p.t.Fatalf("server: %v", err)
	}
	if !p.client.HandshakeDone() || !p.server.HandshakeDone() {
		p.t.Fatalf("handshake stands still: client %s, server %s", p.client.State(), p.server.State())
	}
	p.exchange([]byte("GET / HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\n\r\n"))
}

func (p *pair) exchange(up, down []byte) {
	p.t.Helper()
	p.clientEvents, p.serverEvents = keepSessions(p.clientEvents), nil
	if err := p.client.Send(up); err != nil {
		p.t.Fatalf("client Send: %v", err)
	}
	p.run()
	if err := p.server.Send(down); err != nil {
		p.t.Fatalf("server Send: %v", err)
	}
	p.run()
	if got := data(p.serverEvents); !bytes.Equal(got, up) {
		p.t.Fatalf("server read %q, sent %q (%v)", got, up, p.server.Err())
	}
	if got := data(p.clientEvents); !bytes.Equal(got, down) {
		p.t.Fatalf("client read %q, sent %q (%v)", got, down, p.client.Err())
	}
}

func keepSessions(es []Event) (out []Event) {
	for _, e := range es {
		if e.Kind == EventSession {
			out = append(out, e)
		}
	}
	return out
}

func data(es []Event) (b []byte) {
	for _, e := range es {
		if e.Kind == EventData {
			b = append(b, e.Data...)
		}
	}
	return b
}

func (p *pair) session() *Session {
	for _, e := range p.clientEvents {
		if e.Kind == EventSession {
			return e.Session
		}
	}
	return nil
}
