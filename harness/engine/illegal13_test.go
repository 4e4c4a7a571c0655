package engine

import (
	"errors"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// wellFormed has one message of every type whose grammar is right, so that only its place is wrong.
var wellFormed = []messages{
	opaque{wire.TypeHelloRequest, nil},
	opaque{wire.TypeClientHello, []byte{3, 3}}, opaque{wire.TypeServerHello, []byte{3, 3}}, // refused before they are parsed
	&wire.NewSessionTicket13{Lifetime: 1, Ticket: []byte("t")}, &wire.EndOfEarlyData{}, ee, rsaCert(),
	opaque{wire.TypeServerKeyExchange, []byte{0}}, certificateRequest13(&ServerConfig{}), opaque{wire.TypeServerHelloDone, nil},
	&wire.CertificateVerify13{Scheme: wire.RSAPSSRSAESHA256}, opaque{wire.TypeClientKeyExchange, []byte{0}},
	&wire.Finished13{VerifyData: make([]byte, 32)}, opaque{wire.TypeCertificateStatus, []byte{1, 0, 0, 0}}, &wire.KeyUpdate{},
	&wire.CompressedCertificate{Algorithm: wire.CertZlib, Length: 1, Compressed: []byte("x")}, opaque{wire.TypeNextProtocol, []byte{0, 0}},
	opaque{wire.TypeMessageHash, nil}, opaque{99, nil},
}

// TestIllegalMessageInEachState13: in every state of both tables, every message that the table does not
// list for it is unexpected_message, and every one that it lists is not.
func TestIllegalMessageInEachState13(t *testing.T) {
	auth := full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
		sc.ClientAuth = ClientAuthRequire
	})
	client := func(build builder13, say ...messages) func(t *testing.T) (*Conn, func(messages) error) {
		return func(t *testing.T) (*Conn, func(messages) error) {
			p := newPuppet(t, build)
			p.hello(nil)
			p.say(say...)
			return p.client, func(m messages) error { p.say(m); return p.err }
		}
	}
	server := func(build builder13, say ...messages) func(t *testing.T) (*Conn, func(messages) error) {
		return func(t *testing.T) (*Conn, func(messages) error) {
			l := newLiar(t, build)
			l.flight()
			l.say(say...)
			return l.server, func(m messages) error { l.say(m); return l.err }
		}
	}
	states := []struct {
		state state
		table *table
		reach func(t *testing.T) (*Conn, func(messages) error)
	}{
		{stateWaitSH2, &client13, func(t *testing.T) (*Conn, func(messages) error) {
			p := newPuppet(t, plain13)
			p.hello(retry(ext(wire.ExtKeyShare, 0, 0x18)))
			return p.client, func(m messages) error { p.clear(wire.RecordHandshake, m.AppendMessage(nil)); return p.err }
		}},
		{stateWaitEE, &client13, client(plain13)},
		{stateWaitCertCR, &client13, client(plain13, ee)},
		{stateWaitCert, &client13, client(plain13, ee, certificateRequest13(&ServerConfig{}))},
		{stateWaitCV, &client13, client(plain13, ee, rsaCert())},
		{stateWaitFinished, &client13, client(pskBuild, ee)},
		{stateConnected, &client13, func(t *testing.T) (*Conn, func(messages) error) {
			p := newPuppet(t, plain13)
			p.done()
			return p.client, func(m messages) error { p.say(m); return p.err }
		}},
		{stateWaitCH2, &server13, func(t *testing.T) (*Conn, func(messages) error) {
			l := newLiar(t, full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
				sc.Groups = []wire.Group{wire.Secp384r1}
			}))
			l.hello(nil)
			return l.server, func(m messages) error {
				l.receive(wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS12, m.AppendMessage(nil)))
				return l.err
			}
		}},
		{stateWaitEOED, &server13, func(t *testing.T) (*Conn, func(messages) error) {
			l := newLiar(t, resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "early", nil))
			l.receive(l.client.AppendOutput(nil))
			return l.server, func(m messages) error { l.say(m); return l.err }
		}},
		{stateWaitClientCert13, &server13, server(auth)},
		{stateWaitClientCV13, &server13, server(auth, rsaCert())},
		{stateWaitClientFin13, &server13, server(plain13)},
		{stateConnected, &server13, func(t *testing.T) (*Conn, func(messages) error) {
			cc, ch, sc := plain13(t)
			p := newPair(t, cc, ch, sc)
			p.must()
			l := &liar{t: t, client: p.client, server: p.server}
			return l.server, func(m messages) error { l.say(m); return l.err }
		}},
	}
	for _, s := range states {
		for _, m := range wellFormed {
			typ := wire.HandshakeType(m.AppendMessage(nil)[0])
			c, say := s.reach(t)
			if c.Err() != nil || c.state != s.state {
				t.Fatalf("%v was not reached: %v, %v", s.state, c.state, c.Err())
			}
			legal := false
			for _, r := range s.table[s.state] {
				legal = legal || r.on == input(typ)
			}
			err := say(m)
			var la *LocalAlert
			if unexpected := errors.As(err, &la) && errors.Is(err, ErrUnexpectedMessage) && la.Description == wire.AlertUnexpectedMessage; unexpected == legal {
				t.Errorf("%v in %v, in the table: %v; got %v", typ, s.state, legal, err)
			}
		}
	}
}
