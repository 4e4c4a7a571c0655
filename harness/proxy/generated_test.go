package proxy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Hellos that no browser sends, drawn from a seed: the edge and Debian's nginx with the same directives must
// say the same first thing. Rules pass this, answers keyed by hello would not.
func TestGeneratedHellosAsNginx(t *testing.T) {
	need(t, "nginx")
	p := newPKI(t, "rsa")
	for _, tc := range []struct{ name, directives string }{
		{"thread", "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_prefer_server_ciphers on; ssl_ciphers '" + threadCiphers(t) + ":@SECLEVEL=0';"},
		{"modern", "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:S:1m;"},
		{"old versions at level 1", "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers 'HIGH:!aNULL:@SECLEVEL=1';"},
		{"client's order", "ssl_protocols TLSv1.1 TLSv1.2; ssl_ciphers 'ALL:!aNULL:@SECLEVEL=0'; ssl_session_tickets off;"},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "-"), func(t *testing.T) {
			ours, theirs := helloTwins(t, p, tc.directives)
			const seed = 20150113
			r := rand.New(rand.NewPCG(seed, 1))
			differ := 0
			for i := range 250 {
				ch := drawHello(r)
				raw := ch.AppendRecords(nil)
				mine, _, err1 := ask(ours, raw)
				them, _, err2 := ask(theirs, raw)
				if fmt.Sprint(mine, err1) != fmt.Sprint(them, err2) {
					if differ++; differ <= 5 {
						t.Errorf("hello %d of seed %d: %v suites %04x extensions %v\n ours   %+v %v\n nginx  %+v %v\n %s", i, seed, ch.Version, ch.Suites, extensionTypes(ch), mine, err1, them, err2, hex.EncodeToString(raw))
					}
				}
			}
			if differ > 0 {
				t.Errorf("%d of 250 answers differ", differ)
			}
		})
	}
}

// helloTwins starts Debian's nginx and the edge with the same directives and gives their addresses.
func helloTwins(t *testing.T, p *pki, directives string) (ours, theirs string) {
	dir, theirs := t.TempDir(), freeAddr(t)
	text := func(addr string) string {
		return fmt.Sprintf("events {}\nerror_log %s/error.log info;\nhttp { %s access_log off; server { listen %s ssl; server_name www.example.test; ssl_certificate %s; ssl_certificate_key %s; %s } }",
			dir, "@temp@", addr, p.cert, p.key, directives)
	}
	realNginx(t, dir, strings.Replace("pid "+dir+"/nginx.pid;\n"+text(theirs), "@temp@", tempPaths(dir), 1), theirs)
	path := filepath.Join(t.TempDir(), "edge.conf")
	writeFile(t, path, []byte(strings.Replace(text("127.0.0.1:1"), "@temp@", "", 1)))
	return startEdge(t, Options{Source: path, Stack: "openssl-3.0", Listen: []string{"127.0.0.1:0"}}).addr, theirs
}

func extensionTypes(ch *hello.ClientHello) (out []uint16) {
	for _, x := range ch.Extensions {
		out = append(out, uint16(x.Type))
	}
	return out
}

// drawnSuites are those that hellos are drawn from: what both servers can speak, signals, and noise.
var drawnSuites = []wire.CipherSuite{0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d, 0xc013, 0xc014, 0xc027, 0xc028, 0xc02f, 0xc030, 0xcca8,
	0x0005, 0x000a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc009, 0x1a1a, 0xfefe, 0x0000}

// drawHello draws a hello. Groups are those that both servers have and GREASE: OpenSSL's X448 and finite fields
// of TLS 1.3 are not in the engine.
func drawHello(r *rand.Rand) *hello.ClientHello {
	ch := &hello.ClientHello{RecordVersion: wire.TLS10, Version: []wire.Version{wire.TLS10, wire.TLS11, wire.TLS12, wire.TLS12, wire.TLS12, wire.TLS13}[r.IntN(6)],
		Compression: []byte{0}}
	for i := range ch.Random {
		ch.Random[i] = byte(r.Uint32())
	}
	if r.IntN(2) == 0 {
		ch.SessionID = make([]byte, 32)
	}
	for range 1 + r.IntN(8) {
		if s := drawnSuites[r.IntN(len(drawnSuites))]; !slices.Contains(ch.Suites, s) {
			ch.Suites = append(ch.Suites, s)
		}
	}
	insert := func(s wire.CipherSuite) { ch.Suites = slices.Insert(ch.Suites, r.IntN(len(ch.Suites)+1), s) }
	if r.IntN(5) == 0 {
		insert(wire.FallbackSCSV)
	}
	if r.IntN(2) == 0 {
		insert(wire.EmptyRenegotiationInfoSCSV)
	}
	if r.IntN(8) == 0 {
		return ch
	}
	ch.HasExtensions = true
	add := func(typ wire.ExtensionType, data ...byte) {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: typ, Data: data})
	}
	maybe := func(n int) bool { return r.IntN(n) == 0 }
	if !maybe(3) {
		add(wire.ExtServerName, append([]byte{0, 19, 0, 0, 16}, "www.example.test"...)...)
	}
	groups := [][]byte{{0, 0x17}, {0, 0x1d}, {0, 0x18}, {0, 0x19}, {0x1a, 0x1a}, {0xaa, 0xaa}}
	r.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	chosen := groups[:1+r.IntN(4)]
	if !maybe(5) {
		flat := bytes.Join(chosen, nil)
		add(wire.ExtSupportedGroups, append([]byte{0, byte(len(flat))}, flat...)...)
	}
	if !maybe(3) {
		add(wire.ExtECPointFormats, 1, 0)
	}
	if maybe(2) {
		add(wire.ExtSessionTicket)
	}
	if maybe(2) {
		add(wire.ExtExtendedMasterSecret)
	}
	if maybe(3) {
		add(wire.ExtEncryptThenMAC)
	}
	if maybe(3) {
		add(wire.ExtRenegotiationInfo, 0)
	}
	if maybe(2) {
		add(wire.ExtALPN, append([]byte{0, 12, 2, 'h', '2', 8}, "http/1.1"...)...)
	}
	if maybe(4) {
		add(wire.ExtStatusRequest, 1, 0, 0, 0, 0)
	}
	if !maybe(5) {
		add(wire.ExtSignatureAlgorithms, 0, 10, 4, 3, 8, 4, 4, 1, 8, 5, 2, 1)
	}
	if ch.Version == wire.TLS12 && maybe(2) {
		add(wire.ExtSupportedVersions, 4, 3, 4, 3, 3)
		var shares []byte
		for _, g := range chosen[:1+r.IntN(len(chosen))] {
			group := wire.Group(g[0])<<8 | wire.Group(g[1])
			s, err := keys.GenerateShare(group, fixedReader{r})
			if err != nil {
				continue
			}
			pub := s.Public()
			shares = append(shares, g[0], g[1], byte(len(pub)>>8), byte(len(pub)))
			shares = append(shares, pub...)
		}
		add(wire.ExtKeyShare, append([]byte{byte(len(shares) >> 8), byte(len(shares))}, shares...)...)
		if !maybe(4) {
			add(wire.ExtPSKKeyExchangeModes, 1, 1)
		}
	}
	return ch
}

// fixedReader makes a seeded source a reader.
type fixedReader struct{ r *rand.Rand }

func (f fixedReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(f.r.Uint32())
	}
	return len(p), nil
}
