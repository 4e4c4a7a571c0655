package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// offer13 makes a hello that offers TLS 1.3 alone, with shares for the groups given.
func offer13(cc *ClientConfig, suite wire.CipherSuite, groups ...wire.Group) *hello.ClientHello {
	ch := basicHello(wire.TLS12, suite)
	ch.SessionID = bytes.Repeat([]byte{9}, 32)
	setExt(ch, wire.ExtSupportedGroups, []byte{0, 10, 0x11, 0xec, 0, 0x1d, 0, 0x17, 0, 0x18, 0x4a, 0x4a})
	setExt(ch, wire.ExtSignatureAlgorithms, []byte{0, 10, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5})
	setExt(ch, wire.ExtSupportedVersions, []byte{6, 0x1a, 0x1a, 3, 4, 0x7f, 0x1c})
	setExt(ch, wire.ExtPSKKeyExchangeModes, []byte{1, 1})
	shares := []byte{0x4a, 0x4a, 0, 1, 0} // GREASE
	for _, g := range groups {
		s, err := keys.GenerateShare(g, cc.Rand)
		if err != nil {
			panic(err)
		}
		cc.Shares = append(cc.Shares, s)
		shares = wire.AppendVec16(wire.AppendU16(shares, uint16(g)), s.Public())
	}
	setExt(ch, wire.ExtKeyShare, wire.AppendVec16(nil, shares))
	return ch
}

// offerPSK adds the session to a hello; pre_shared_key is last.
func offerPSK(ch *hello.ClientHello, s *Session, early bool) {
	if early {
		setExt(ch, wire.ExtEarlyData, nil)
	}
	ids := wire.AppendU32(wire.AppendVec16(nil, s.Ticket), s.AgeAdd)
	binder := make([]byte, keys.Lookup13(s.Suite).Hash.Size())
	setExt(ch, wire.ExtPreSharedKey, append(wire.AppendVec16(nil, ids), wire.AppendVec16(nil, wire.AppendVec8(nil, binder))...))
}

// server13Config takes TLS 1.3 alone.
func server13Config() *ServerConfig {
	sc := basicServer()
	sc.Versions = Versions(wire.TLS13)
	sc.Tickets = FixedTicketKeys{{}}
	sc.TicketCount = 2
	sc.MaxEarlyData = 1024
	return sc
}

type builder13 = func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig)

func full13(suite wire.CipherSuite, groups []wire.Group, change func(*ClientConfig, *hello.ClientHello, *ServerConfig)) builder13 {
	return func(testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		cc := &ClientConfig{Rand: seeded(2)}
		ch, sc := offer13(cc, suite, groups...), server13Config()
		if change != nil {
			change(cc, ch, sc)
		}
		return cc, ch, sc
	}
}

// resumed13 makes a full handshake first, on a server that stays.
func resumed13(suite wire.CipherSuite, groups []wire.Group, early string, change func(*ClientConfig, *hello.ClientHello, *ServerConfig)) builder13 {
	return func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		cc, ch, sc := full13(suite, []wire.Group{wire.X25519}, nil)(t)
		p := newPair(t, cc, ch, sc)
		p.must()
		s := p.session()
		if s == nil {
			t.Fatal("no ticket came")
		}
		cc = &ClientConfig{Rand: seeded(3), Session: s, EarlyData: []byte(early)}
		ch = offer13(cc, suite, groups...)
		if change != nil {
			change(cc, ch, sc)
		}
		offerPSK(ch, s, early != "")
		sc.Rand = seeded(4)
		return cc, ch, sc
	}
}

var only25519 = []wire.Group{wire.X25519}

// shapes13 are the handshakes of TLS 1.3, with what each must come to.
var shapes13 = []struct {
	shape
	facts string
}{
	{shape{"full, AES-128, X25519, ECDSA", full13(wire.TLS_AES_128_GCM_SHA256, only25519, nil)},
		"x25519 resumed \"\" early false"},
	{shape{"full, AES-256, X25519MLKEM768, RSA, ALPN, stapled", full13(wire.TLS_AES_256_GCM_SHA384, []wire.Group{wire.X25519MLKEM768, wire.X25519},
		func(_ *ClientConfig, ch *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = append([]wire.Group{wire.X25519MLKEM768}, sc.Groups...)
			sc.Certificates = sc.Certificates[:1]
			sc.Certificates[0].OCSP = []byte("an OCSP response")
			sc.ALPN = []string{"h2", "http/1.1"}
			setExt(ch, wire.ExtALPN, alpnExt("http/1.1", "h2"))
			setExt(ch, wire.ExtStatusRequest, []byte{1, 0, 0, 0, 0})
		})}, "X25519MLKEM768 resumed \"\" early false"},
	{shape{"HelloRetryRequest, ChaCha20", full13(wire.TLS_CHACHA20_POLY1305_SHA256, only25519,
		func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = []wire.Group{wire.Secp384r1}
		})},
		"secp384r1 resumed \"\" early false"},
	{shape{"client certificate, compressed server certificate", full13(wire.TLS_AES_128_GCM_SHA256, only25519,
		func(cc *ClientConfig, ch *hello.ClientHello, sc *ServerConfig) {
			cc.Certificate = fileCert("rsa")
			sc.ClientAuth = ClientAuthRequire
			sc.CertCompression = []wire.CertCompression{wire.CertZlib}
			setExt(ch, wire.ExtCompressCertificate, []byte{4, 0, 2, 0, 1})
		})}, "x25519 resumed \"\" early false"},
	{shape{"client certificate asked for and not given", full13(wire.TLS_AES_128_GCM_SHA256, only25519,
		func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) { sc.ClientAuth = ClientAuthRequest })},
		"x25519 resumed \"\" early false"},
	{shape{"record_size_limit 512", full13(wire.TLS_AES_128_GCM_SHA256, only25519,
		func(_ *ClientConfig, ch *hello.ClientHello, _ *ServerConfig) {
			setExt(ch, wire.ExtRecordSizeLimit, []byte{2, 0})
		})}, "x25519 resumed \"\" early false"},
	{shape{"no middlebox compatibility", full13(wire.TLS_AES_128_GCM_SHA256, only25519,
		func(_ *ClientConfig, ch *hello.ClientHello, _ *ServerConfig) { ch.SessionID = nil })},
		"x25519 resumed \"\" early false"},
	{shape{"resumed by PSK", resumed13(wire.TLS_AES_256_GCM_SHA384, only25519, "", nil)}, "x25519 resumed \"psk\" early false"},
	{shape{"resumed by PSK from the session store", resumedStateful}, "x25519 resumed \"psk\" early false"},
	{shape{"resumed by PSK after HelloRetryRequest", resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "",
		func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = []wire.Group{wire.Secp256r1}
		})},
		"secp256r1 resumed \"psk\" early false"},
	{shape{"0-RTT accepted", resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "GET /early HTTP/1.1\r\n\r\n", nil)},
		"x25519 resumed \"psk\" early true"},
	{shape{"0-RTT rejected", resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "GET /early HTTP/1.1\r\n\r\n",
		func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) { sc.MaxEarlyData = 0 })},
		"x25519 resumed \"psk\" early false"},
	{shape{"0-RTT rejected by HelloRetryRequest", resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "GET /early HTTP/1.1\r\n\r\n",
		func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = []wire.Group{wire.Secp256r1}
		})},
		"secp256r1 resumed \"psk\" early false"},
	{shape{"ticket of another server: full handshake", resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "early",
		func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Tickets = FixedTicketKeys{{Name: [16]byte{7}}}
		})}, "x25519 resumed \"\" early false"},
}

func resumedStateful(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
	cc, ch, sc := full13(wire.TLS_AES_128_GCM_SHA256, only25519, nil)(t)
	sc.Tickets, sc.Sessions = nil, mapStore{}
	p := newPair(t, cc, ch, sc)
	p.must()
	cc = &ClientConfig{Rand: seeded(3), Session: p.session()}
	ch = offer13(cc, wire.TLS_AES_128_GCM_SHA256, only25519...)
	offerPSK(ch, p.session(), false)
	return cc, ch, sc
}

// TestShapes13: each handshake comes to what it must, the same for any split of the bytes and in every run.
func TestShapes13(t *testing.T) {
	for _, s := range shapes13 {
		t.Run(s.name, func(t *testing.T) {
			whole := s.pair(t)
			whole.must()
			f := whole.client.Facts()
			if got := fmt.Sprintf("%v resumed %q early %v", f.Group, f.Resumed, f.EarlyOK); got != s.facts || f.Version != wire.TLS13 {
				t.Errorf("the client came to %v %s, wanted %s", f.Version, got, s.facts)
			}
			if g := whole.server.Facts(); g.Group != f.Group || g.Resumed != f.Resumed || g.EarlyOK != f.EarlyOK || g.Suite != f.Suite || g.ALPN != f.ALPN {
				t.Errorf("the two ends disagree: client %+v, server %+v", *f, *g)
			}
			for _, chunk := range []int{1, 3, 5, 64, 1000} {
				p := s.pair(t)
				p.chunk = chunk
				p.must()
				if !bytes.Equal(p.fromClient, whole.fromClient) || !bytes.Equal(p.fromServer, whole.fromServer) {
					t.Fatalf("in pieces of %d the two ends said something else", chunk)
				}
			}
		})
	}
}

// TestEarlyData: accepted 0-RTT data reaches the server, rejected data does not, and the client is told.
func TestEarlyData(t *testing.T) {
	for _, s := range shapes13 {
		if !strings.HasPrefix(s.name, "0-RTT") {
			continue
		}
		p := s.pair(t)
		p.run()
		accepted := s.name == "0-RTT accepted"
		if got := string(data(p.serverEvents)); (got == "GET /early HTTP/1.1\r\n\r\n") != accepted || !accepted && got != "" {
			t.Errorf("%s: the server read %q", s.name, got)
		}
		rejected := false
		for _, e := range p.clientEvents {
			rejected = rejected || e.Kind == EventEarlyRejected
		}
		if rejected == accepted || p.client.Err() != nil {
			t.Errorf("%s: EarlyRejected %v, %v", s.name, rejected, p.client.Err())
		}
	}
}

// TestKeyUpdate: keys of both directions move any number of times, and data flows on.
func TestKeyUpdate(t *testing.T) {
	p := shapes13[0].pair(t)
	p.must()
	for i := range 5 {
		if err := p.client.UpdateKeys(i%2 == 0); err != nil {
			t.Fatal(err)
		}
		p.exchange([]byte("up"), []byte("down"))
		if err := p.server.UpdateKeys(true); err != nil {
			t.Fatal(err)
		}
		p.client.Park()
		p.server.Park()
		p.exchange([]byte("more"), []byte("and more"))
	}
	if a, b := p.client.Export("EXPORTER-test", []byte("context"), 40), p.server.Export("EXPORTER-test", []byte("context"), 40); !bytes.Equal(a, b) || len(a) != 40 {
		t.Errorf("exporters differ: %x and %x", a, b)
	}
}

// TestKeyLimit: keys that have protected as many records as their cipher allows are changed unasked.
func TestKeyLimit(t *testing.T) {
	p := shapes13[0].pair(t)
	p.must()
	small := *keys.Lookup13(wire.TLS_AES_128_GCM_SHA256)
	small.RecordLimit = 3
	secret := keys.NewSecret(small.Hash, bytes.Repeat([]byte{5}, 32))
	p.client.write, p.server.read = record.NewHalf13(&small, secret), record.NewHalf13(&small, secret)
	updates := 0
	for range 10 {
		p.exchange([]byte("up"), []byte("down"))
		if p.client.write.(*record.Half13).Used() == 1 {
			updates++
		}
	}
	// Records 1, 4, 7 and 10 are the first under their keys.
	if updates != 4 {
		t.Errorf("ten records under a limit of three went out under %d keys, wanted 4", updates)
	}
}

// TestEveryBitCounts13: a bit turned anywhere in either flight ends the handshake or the connection.
func TestEveryBitCounts13(t *testing.T) {
	for _, s := range []int{0, 2, 3, 9} {
		base := shapes13[s].pair(t)
		base.run()
		for _, fromServer := range []bool{true, false} {
			total := len(base.fromClient)
			if fromServer {
				total = len(base.fromServer)
			}
			for i := 0; i < total; i += 41 {
				if harmless(base, fromServer, i) {
					continue
				}
				p := shapes13[s].pair(t)
				p.tamper = func(server bool, offset int, b []byte) {
					if server == fromServer && offset <= i && i < offset+len(b) {
						b[i-offset] ^= 1
					}
				}
				p.run()
				if p.client.Err() == nil && p.server.Err() == nil && len(p.client.in)+len(p.server.in) == 0 {
					t.Errorf("%s: bit turned at %d of %d, from server %v, and nobody minds", shapes13[s].name, i, total, fromServer)
				}
			}
		}
	}
}

// harmless: the version of records in the clear means nothing in TLS 1.3, by the letter of the RFC.
func harmless(base *pair, fromServer bool, i int) bool {
	b := base.fromClient
	if fromServer {
		b = base.fromServer
	}
	for at := 0; at+5 <= len(b); {
		h, _ := wire.ParseRecordHeader(b[at:])
		if i == at+2 && h.Type != wire.RecordApplicationData {
			return true
		}
		at += 5 + h.Length
	}
	return false
}

// TestConversations13 are golden conversations as those of the older versions.
func TestConversations13(t *testing.T) {
	unfit := regexp.MustCompile(`[^a-z0-9]+`)
	for _, s := range shapes13 {
		t.Run(s.name, func(t *testing.T) {
			name := "tls13-" + strings.Trim(unfit.ReplaceAllString(strings.ToLower(s.name), "-"), "-") + ".txt"
			file := filepath.Join("testdata", "conversations", name)
			got := s.name + "\n\n" + converse(t, s.pair(t))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (-rewrite writes it anew):\n%s", file, got)
			}
		})
	}
}
