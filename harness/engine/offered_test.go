package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// What is offered or ranked for the fingerprint's sake and never agreed on, and the marks of a downgrade.

// A server that could speak TLS 1.3 marks its random when it speaks less, and a client that offered TLS 1.3 minds
// (RFC 8446 §4.1.3, Server Hello).
func TestDowngradeSentinels(t *testing.T) {
	for _, row := range []struct {
		server VersionSet
		client wire.Version
		want   string // the end of the random
	}{
		{Versions(wire.TLS10, wire.TLS11, wire.TLS12, wire.TLS13), wire.TLS12, "DOWNGRD\x01"},
		{Versions(wire.TLS10, wire.TLS11, wire.TLS12, wire.TLS13), wire.TLS11, "DOWNGRD\x00"},
		{Versions(wire.TLS10, wire.TLS11, wire.TLS12, wire.TLS13), wire.TLS10, "DOWNGRD\x00"},
		{Versions(wire.TLS10, wire.TLS11, wire.TLS12), wire.TLS12, ""},
	} {
		t.Run(fmt.Sprintf("%v of %v", row.client, row.server), func(t *testing.T) {
			sc := basicServer()
			sc.Versions = row.server
			p := newPair(t, &ClientConfig{}, basicHello(row.client, aesSHA), sc)
			p.must()
			sh, err := wire.ParseServerHello(p.fromServer[9 : 9+int(p.fromServer[7])<<8+int(p.fromServer[8])])
			if err != nil {
				t.Fatal(err)
			}
			tail := string(sh.Random[24:])
			if row.want != "" && tail != row.want || row.want == "" && strings.HasPrefix(tail, sentinel) {
				t.Errorf("the random ends in %q, wanted %q", tail, row.want)
			}
			if row.want == "" {
				return
			}
			// The same answer, to a client that had offered TLS 1.3 and whose offer was cut away on its path.
			offered := basicHello(wire.TLS12, aesSHA)
			setExt(offered, wire.ExtSupportedVersions, []byte{8, 3, 4, 3, 3, 3, 2, 3, 1})
			c, err := NewClient(&ClientConfig{Rand: seeded(2)}, offered)
			if err != nil {
				t.Fatal(err)
			}
			c.AppendOutput(nil)
			err = c.Receive(testNow, wire.AppendRecord(nil, wire.RecordHandshake, row.client, sh.AppendMessage(nil)))
			refuses(t, c, err, wire.AlertIllegalParameter)
			if !errors.Is(err, ErrDowngrade) {
				t.Error(err)
			}
		})
	}
}

// Camellia and DSS are ranked and passed over, which the facts or the refusal say.
func TestPassedOver(t *testing.T) {
	const camellia, dss = wire.CipherSuite(0x0041), wire.CipherSuite(0x0032)
	for _, id := range []wire.CipherSuite{camellia, dss} {
		sc := basicServer()
		sc.PreferServer, sc.Suites = true, []wire.CipherSuite{id, aesSHA}
		p := newPair(t, &ClientConfig{}, basicHello(wire.TLS10, aesSHA, id), sc)
		p.must()
		if f := p.server.Facts(); f.PassedOver != id || f.Suite != aesSHA {
			t.Errorf("passed over %v for %v, wanted %v for %v", f.PassedOver, f.Suite, id, aesSHA)
		}
		s := NewServer(sc)
		err := s.Receive(testNow, basicHello(wire.TLS10, id).AppendRecords(nil))
		refuses(t, s, err, wire.AlertHandshakeFailure)
		if !errors.Is(err, ErrNoSharedCipher) || !strings.Contains(err.Error(), id.String()) {
			t.Errorf("the refusal does not name %v: %v", id, err)
		}
		c, err := NewClient(&ClientConfig{Rand: seeded(2)}, basicHello(wire.TLS10, aesSHA, id))
		if err != nil {
			t.Fatal(err)
		}
		c.AppendOutput(nil)
		sh := wire.ServerHello{Version: wire.TLS10, Suite: id}
		if err := c.Receive(testNow, wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS10, sh.AppendMessage(nil))); !errors.Is(err, ErrSuiteUnspoken) {
			t.Errorf("a server that chose %v: %v", id, err)
		}
	}
}

// Channel ID and heartbeat are offered: a server that knows neither goes on; one that takes up Channel ID is refused with a
// reason; heartbeats of one that takes up heartbeat are dropped.
func TestOfferedOnly12(t *testing.T) {
	offer := func() *hello.ClientHello {
		ch := basicHello(wire.TLS12, ecdheGCM)
		setExt(ch, wire.ExtChannelIDOld, nil)
		setExt(ch, wire.ExtChannelID, nil)
		setExt(ch, wire.ExtHeartbeat, []byte{1})
		return ch
	}
	newPair(t, &ClientConfig{}, offer(), basicServer()).must()
	for _, id := range []wire.ExtensionType{wire.ExtChannelID, wire.ExtChannelIDOld} {
		c, err := NewClient(&ClientConfig{Rand: seeded(2)}, offer())
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(basicServer())
		if err := s.Receive(testNow, c.AppendOutput(nil)); err != nil {
			t.Fatal(err)
		}
		err = c.Receive(testNow, alterMessage(t, s.AppendOutput(nil), wire.TypeServerHello, addExt(id, nil)))
		if refuses(t, c, err, wire.AlertUnsupportedExtension); !errors.Is(err, ErrUnspokenExtension) {
			t.Error(err)
		}
	}
	sc := basicServer()
	sc.Rules = RulesOpenSSL101j()
	p := newPair(t, &ClientConfig{}, offer(), sc)
	p.must()
	if !p.client.Facts().Heartbeat || !p.server.Facts().Heartbeat {
		t.Fatal("heartbeat was not agreed on")
	}
	p.client.writeRecord(wire.RecordHeartbeat, []byte{1, 0x40, 0, 'x'}) // Heartbleed: 16,384 bytes asked for, one sent
	if err := p.server.Receive(testNow, p.client.AppendOutput(nil)); err != nil || p.server.HasOutput() {
		t.Errorf("%v, answered %v", err, p.server.HasOutput())
	}
	p.exchange([]byte("still"), []byte("here"))
}

// A draft group is offered, with a share, and never agreed on: X25519 beside it is; a server that insists is refused.
func TestDraftGroupOffered(t *testing.T) {
	build := full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, ch *hello.ClientHello, _ *ServerConfig) {
		kyber := wire.AppendVec16(wire.AppendU16(nil, uint16(wire.X25519Kyber768)), make([]byte, 1216))
		data, _ := ch.Extension(wire.ExtKeyShare)
		setExt(ch, wire.ExtKeyShare, wire.AppendVec16(nil, append(kyber, data[2:]...)))
		setExt(ch, wire.ExtSupportedGroups, []byte{0, 6, 0x63, 0x99, 0, 0x1d, 0x4a, 0x4a})
	})
	cc, ch, sc := build(t)
	sc.Groups = append([]wire.Group{wire.X25519Kyber768}, sc.Groups...)
	p := newPair(t, cc, ch, sc)
	p.must()
	if g := p.client.Facts().Group; g != wire.X25519 {
		t.Errorf("agreed on %v", g)
	}
	for why, act := range map[string]func(*puppet){
		"chosen": func(p *puppet) {
			p.hello(setSH(wire.ExtKeyShare, append([]byte{0x63, 0x99, 4, 0x60}, make([]byte, 1120)...)...))
		},
		"asked for anew":   func(p *puppet) { p.hello(retry(ext(wire.ExtKeyShare, 0x63, 0x99))) },
		"chosen, no share": func(p *puppet) { p.hello(setSH(wire.ExtKeyShare, 0x63, 0x99, 0, 0)) },
	} {
		p := newPuppet(t, build)
		act(p)
		var la *LocalAlert
		if !errors.As(p.err, &la) || la.Description == wire.AlertInternalError {
			t.Errorf("%s: %v", why, p.err)
		}
	}
}
