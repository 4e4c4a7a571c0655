package wire

import (
	"bytes"
	"testing"
)

// samples12 is one message of each kind, with and without its optional parts.
func samples12() map[HandshakeType][][]byte {
	return map[HandshakeType][][]byte{
		TypeCertificate:        {(&Certificate12{Chain: [][]byte{{1, 2}, {3}}}).AppendMessage(nil), (&Certificate12{}).AppendMessage(nil)},
		TypeCertificateStatus:  {CertificateStatus{Response: []byte{9, 9}}.AppendMessage(nil)},
		TypeServerHelloDone:    {AppendEmptyMessage(nil, TypeServerHelloDone)},
		TypeNewSessionTicket:   {NewSessionTicket12{LifetimeHint: 300, Ticket: []byte{1}}.AppendMessage(nil), NewSessionTicket12{}.AppendMessage(nil)},
		TypeNextProtocol:       {NextProtocol{Protocol: []byte("http/1.1")}.AppendMessage(nil)},
		TypeCertificateRequest: {(&CertificateRequest12{Types: []byte{1, 64}, HasSchemes: true, Schemes: []byte{4, 1}, Authorities: [][]byte{{7}}}).AppendMessage(nil)},
		TypeCertificateVerify:  {CertificateVerify12{Scheme: 0x0401, Signature: []byte{1, 2, 3}}.AppendMessage(nil, true)},
		TypeServerKeyExchange: {
			(&Signed{Params: AppendECDHEParams(nil, X25519, make([]byte, 32)), Scheme: 0x0403, Signature: []byte{5}}).AppendMessage(nil, true),
			(&Signed{Params: AppendDHEParams(nil, []byte{23}, []byte{2}, []byte{8}), Scheme: 0x0401, Signature: []byte{6}}).AppendMessage(nil, true),
		},
	}
}

// again parses a body as TLS 1.2 would, and serialises what came of it; ok is false if it does not parse.
func again(t HandshakeType, body []byte) (msgs [][]byte, ok bool) {
	add := func(err error, msg func() []byte) {
		if err == nil {
			msgs = append(msgs, msg())
		}
	}
	switch t {
	case TypeCertificate:
		m, err := ParseCertificate12(body)
		add(err, func() []byte { return m.AppendMessage(nil) })
	case TypeCertificateStatus:
		m, err := ParseCertificateStatus(body)
		add(err, func() []byte { return m.AppendMessage(nil) })
	case TypeServerHelloDone:
		_, err := ParseEmpty(body)
		add(err, func() []byte { return AppendEmptyMessage(nil, t) })
	case TypeNewSessionTicket:
		m, err := ParseNewSessionTicket12(body)
		add(err, func() []byte { return m.AppendMessage(nil) })
	case TypeCertificateRequest:
		m, err := ParseCertificateRequest12(body, true)
		add(err, func() []byte { return m.AppendMessage(nil) })
	case TypeCertificateVerify:
		m, err := ParseCertificateVerify12(body, true)
		add(err, func() []byte { return m.AppendMessage(nil, true) })
	case TypeServerKeyExchange:
		e, err := ParseServerECDHE(body, true)
		add(err, func() []byte { return e.AppendMessage(nil, true) })
		d, err := ParseServerDHE(body, true)
		add(err, func() []byte { return d.AppendMessage(nil, true) })
	}
	return msgs, len(msgs) > 0
}

func TestMessages12(t *testing.T) {
	for typ, msgs := range samples12() {
		for _, msg := range msgs {
			if typ == TypeNextProtocol {
				m, err := ParseNextProtocol(msg[4:])
				if err != nil || string(m.Protocol) != "http/1.1" || len(msg)%32 != 4 {
					t.Errorf("NextProtocol of %d bytes: %q, %v", len(msg), m.Protocol, err)
				}
				continue
			}
			got, ok := again(typ, msg[4:])
			if !ok || !bytes.Equal(got[0], msg) && !bytes.Equal(got[len(got)-1], msg) {
				t.Errorf("%v: %x became %x", typ, msg, got)
			}
			// One byte less, or more, is no message any more.
			if len(msg) > 4 {
				if _, ok := again(typ, msg[4:len(msg)-1]); ok {
					t.Errorf("%v: parsed without its last byte", typ)
				}
			}
			if _, ok := again(typ, append(bytes.Clone(msg[4:]), 0)); ok {
				t.Errorf("%v: parsed with a byte too many", typ)
			}
		}
	}
}

// Parse, then serialise, gives the bytes back, for every message of TLS 1.2 and any bytes.
func FuzzMessages12(f *testing.F) {
	for typ, msgs := range samples12() {
		for _, m := range msgs {
			f.Add(uint8(typ), m[4:])
		}
	}
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		msgs, _ := again(HandshakeType(typ), body)
		want := AppendOpaqueMessage(nil, HandshakeType(typ), body)
		for _, m := range msgs {
			if !bytes.Equal(m, want) {
				t.Fatalf("%v: %x became %x", HandshakeType(typ), want, m)
			}
		}
		ParseNextProtocol(body)
		ParseClientKeyRSA(body, false)
		ParseClientKeyDH(body)
		ParseClientKeyECDH(body)
		ParseCertificateRequest12(body, false)
		ParseCertificateVerify12(body, false)
	})
}
