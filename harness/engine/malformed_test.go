package engine

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// What a peer can send wrong, and the alert that the RFC names for it. The tables have a line each; the
// helpers below them put the damage where the line says.

const (
	aesSHA   = wire.TLS_RSA_WITH_AES_128_CBC_SHA
	ecdheGCM = wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	ecdsaGCM = wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	dheSHA   = wire.TLS_DHE_RSA_WITH_AES_128_CBC_SHA
)

// badHellos: what a server answers to a ClientHello.
var badHellos = []struct {
	why    string
	hello  func(*hello.ClientHello)
	server func(*ServerConfig)
	want   wire.AlertDescription
}{
	{"no suite that the server has", func(ch *hello.ClientHello) { ch.Suites = []wire.CipherSuite{0x0041, 0xfefe} }, nil, wire.AlertHandshakeFailure},
	{"no suite at all", func(ch *hello.ClientHello) { ch.Suites = nil }, nil, wire.AlertIllegalParameter},
	{"nothing but signals", func(ch *hello.ClientHello) { ch.Suites = []wire.CipherSuite{0x00ff} }, nil, wire.AlertHandshakeFailure},
	{"an AEAD suite alone in TLS 1.1", func(ch *hello.ClientHello) { ch.Version, ch.Suites = wire.TLS11, []wire.CipherSuite{ecdheGCM} }, nil, wire.AlertHandshakeFailure},
	{"a fallback below the server's best", func(ch *hello.ClientHello) { ch.Version, ch.Suites = wire.TLS10, append(ch.Suites, wire.FallbackSCSV) }, nil, wire.AlertInappropriateFallback},
	{"TLS 1.0 to a server of TLS 1.2 only", func(ch *hello.ClientHello) { ch.Version = wire.TLS10 }, func(sc *ServerConfig) { sc.Versions = Versions(wire.TLS12) }, wire.AlertProtocolVersion},
	{"SSL 3.0, switched off", func(ch *hello.ClientHello) { ch.Version, ch.Extensions, ch.HasExtensions = wire.SSL30, nil, false }, nil, wire.AlertHandshakeFailure},
	{"supported_versions with nothing known", func(ch *hello.ClientHello) { setExt(ch, wire.ExtSupportedVersions, []byte{2, 0x7f, 0x01}) }, nil, wire.AlertProtocolVersion},
	{"null compression is missing", func(ch *hello.ClientHello) { ch.Compression = []byte{1} }, nil, wire.AlertIllegalParameter},
	{"no common group for the only suite", func(ch *hello.ClientHello) {
		ch.Suites = []wire.CipherSuite{ecdheGCM}
		setExt(ch, wire.ExtSupportedGroups, []byte{0, 2, 0, 30})
	}, nil, wire.AlertHandshakeFailure},
	{"no common signature scheme for the only suite", func(ch *hello.ClientHello) {
		ch.Suites = []wire.CipherSuite{ecdheGCM}
		setExt(ch, wire.ExtSignatureAlgorithms, []byte{0, 2, 8, 7})
	}, nil, wire.AlertHandshakeFailure},
	{"an ECDSA suite without such a certificate", func(ch *hello.ClientHello) { ch.Suites = []wire.CipherSuite{ecdsaGCM} }, func(sc *ServerConfig) { sc.Certificates = sc.Certificates[:1] }, wire.AlertHandshakeFailure},
	{"no application protocol in common, and the server insists", func(ch *hello.ClientHello) { setExt(ch, wire.ExtALPN, alpnExt("gopher")) }, func(sc *ServerConfig) { sc.ALPN, sc.ALPNStrict = []string{"http/1.1"}, true }, wire.AlertNoApplicationProtocol},
	{"a server name that the server does not serve", nil, func(sc *ServerConfig) {
		sc.Select = func(*hello.ClientHello) (*ServerConfig, error) { return nil, errors.New("no such host") }
	}, wire.AlertUnrecognizedName},
	{"an extension twice", func(ch *hello.ClientHello) { ch.Extensions = append(ch.Extensions, ch.Extensions[0]) }, nil, wire.AlertDecodeError},
	{"server_name of no length", func(ch *hello.ClientHello) { setExt(ch, wire.ExtServerName, nil) }, nil, wire.AlertDecodeError},
	{"server_name whose list runs out", func(ch *hello.ClientHello) { setExt(ch, wire.ExtServerName, []byte{0, 9, 0, 0, 5, 'a'}) }, nil, wire.AlertDecodeError},
	{"supported_groups of odd length", func(ch *hello.ClientHello) { setExt(ch, wire.ExtSupportedGroups, []byte{0, 3, 0, 23, 0}) }, nil, wire.AlertDecodeError},
	{"supported_groups empty", func(ch *hello.ClientHello) { setExt(ch, wire.ExtSupportedGroups, []byte{0, 0}) }, nil, wire.AlertDecodeError},
	{"ec_point_formats empty", func(ch *hello.ClientHello) { setExt(ch, wire.ExtECPointFormats, []byte{0}) }, nil, wire.AlertDecodeError},
	{"signature_algorithms of odd length", func(ch *hello.ClientHello) { setExt(ch, wire.ExtSignatureAlgorithms, []byte{0, 1, 4}) }, nil, wire.AlertDecodeError},
	{"ALPN with an empty name", func(ch *hello.ClientHello) { setExt(ch, wire.ExtALPN, []byte{0, 1, 0}) }, nil, wire.AlertDecodeError},
	{"extended_master_secret with a body", func(ch *hello.ClientHello) { setExt(ch, wire.ExtExtendedMasterSecret, []byte{1}) }, nil, wire.AlertDecodeError},
	{"renegotiation_info that does not end", func(ch *hello.ClientHello) { setExt(ch, wire.ExtRenegotiationInfo, []byte{4, 1}) }, nil, wire.AlertDecodeError},
	{"renegotiation_info with verify_data in a first hello", func(ch *hello.ClientHello) { setExt(ch, wire.ExtRenegotiationInfo, []byte{2, 1, 2}) }, nil, wire.AlertHandshakeFailure},
	{"a session_id of 33 bytes", func(ch *hello.ClientHello) { ch.SessionID = make([]byte, 33) }, nil, wire.AlertDecodeError},
	{"DHE alone where the server has no parameters", func(ch *hello.ClientHello) { ch.Suites = []wire.CipherSuite{dheSHA} }, func(sc *ServerConfig) { sc.DH = nil }, wire.AlertHandshakeFailure},
}

func TestBadHellos(t *testing.T) {
	for _, b := range badHellos {
		t.Run(b.why, func(t *testing.T) {
			sc := basicServer()
			if b.server != nil {
				b.server(sc)
			}
			ch := basicHello(wire.TLS12, ecdheGCM, aesSHA)
			if b.hello != nil {
				b.hello(ch)
			}
			s := NewServer(sc)
			refuses(t, s, s.Receive(testNow, ch.AppendRecords(nil)), b.want)
		})
	}
}

// rawInputs: bytes that are no ClientHello, or one that is cut.
var rawInputs = []struct {
	why  string
	in   func(msg []byte) []byte
	want wire.AlertDescription
}{
	{"a record of an unknown type", func([]byte) []byte { return []byte{25, 3, 1, 0, 1, 0} }, wire.AlertProtocolVersion},
	{"a record of version 0x0401", func(m []byte) []byte { return wire.AppendRecord(nil, 22, 0x0401, m) }, wire.AlertProtocolVersion},
	{"a record of 16385 bytes in the clear", func([]byte) []byte { return []byte{22, 3, 1, 0x40, 0x01} }, wire.AlertRecordOverflow},
	{"an empty handshake record", func([]byte) []byte { return []byte{22, 3, 1, 0, 0} }, wire.AlertUnexpectedMessage},
	{"application data first", func([]byte) []byte { return []byte{23, 3, 1, 0, 1, 0} }, wire.AlertUnexpectedMessage},
	{"ChangeCipherSpec first", func([]byte) []byte { return []byte{20, 3, 1, 0, 1, 1} }, wire.AlertUnexpectedMessage},
	{"ChangeCipherSpec of another value", func([]byte) []byte { return []byte{20, 3, 1, 0, 1, 2} }, wire.AlertDecodeError},
	{"an alert of one byte", func([]byte) []byte { return []byte{21, 3, 1, 0, 1, 1} }, wire.AlertDecodeError},
	{"an alert of level 3", func([]byte) []byte { return []byte{21, 3, 1, 0, 2, 3, 90} }, wire.AlertIllegalParameter},
	{"a message of 16 MB", func([]byte) []byte { return []byte{22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff} }, wire.AlertIllegalParameter},
	{"a hello without its last byte, though the lengths say it is whole", func(m []byte) []byte {
		m = m[:len(m)-1]
		m[2], m[3] = byte((len(m)-4)>>8), byte(len(m)-4)
		return wire.AppendRecord(nil, 22, wire.TLS10, m)
	}, wire.AlertDecodeError},
	{"a hello with a byte too many", func(m []byte) []byte {
		m = append(m, 0)
		m[2], m[3] = byte((len(m)-4)>>8), byte(len(m)-4)
		return wire.AppendRecord(nil, 22, wire.TLS10, m)
	}, wire.AlertDecodeError},
	{"a hello of nothing", func([]byte) []byte { return wire.AppendRecord(nil, 22, wire.TLS10, []byte{1, 0, 0, 0}) }, wire.AlertDecodeError},
	{"a list of suites of odd length", func(m []byte) []byte {
		m[4+2+32+1+1]++ // the low byte of cipher_suites' length
		return wire.AppendRecord(nil, 22, wire.TLS10, m)
	}, wire.AlertDecodeError},
	{"a second hello behind the first in one record", func(m []byte) []byte {
		return wire.AppendRecord(nil, 22, wire.TLS10, append(bytes.Clone(m), m...))
	}, wire.AlertUnexpectedMessage},
	{"an SSLv2-format hello whose lengths do not add up", func([]byte) []byte {
		return append([]byte{0x80, 30, 1, 3, 1, 0, 3, 0, 0, 0, 16}, make([]byte, 30)...)
	}, wire.AlertDecodeError},
}

func TestRawInputs(t *testing.T) {
	for _, r := range rawInputs {
		t.Run(r.why, func(t *testing.T) {
			s := NewServer(basicServer())
			err := s.Receive(testNow, r.in(basicHello(wire.TLS12, ecdheGCM).AppendMessage(nil)))
			refuses(t, s, err, r.want)
		})
	}
}

// badServers: what a client answers when one message of the server's first flight is altered. The body
// begins at message[4].
var badServers = []struct {
	why   string
	suite wire.CipherSuite
	typ   wire.HandshakeType
	alter func(msg []byte) []byte
	want  wire.AlertDescription
}{
	{"a version above the hello's", aesSHA, 2, set(5, 4), wire.AlertProtocolVersion},
	{"SSL 3.0 where it was not asked for", aesSHA, 2, set(5, 0), wire.AlertProtocolVersion},
	{"a suite that was not offered", aesSHA, 2, suiteTo(0x0035), wire.AlertIllegalParameter},
	{"a signal as the suite", aesSHA, 2, suiteTo(0x5600), wire.AlertIllegalParameter},
	{"compression", aesSHA, 2, compress(1), wire.AlertIllegalParameter},
	{"an extension that was not offered", aesSHA, 2, addExt(wire.ExtHeartbeat, []byte{1}), wire.AlertUnsupportedExtension},
	{"an extension twice", aesSHA, 2, addExt(wire.ExtRenegotiationInfo, []byte{0}), wire.AlertDecodeError},
	{"extensions that run past the message", aesSHA, 2, func(m []byte) []byte { m[len(m)-6]++; return m }, wire.AlertDecodeError},
	{"ServerHello without compression", aesSHA, 2, cut(37), wire.AlertDecodeError},
	{"a session_id of 33 bytes", aesSHA, 2, set(38, 33), wire.AlertDecodeError},
	{"renegotiation_info that is not empty", aesSHA, 2, func(m []byte) []byte { return replaceExt(m, wire.ExtRenegotiationInfo, []byte{1, 0}) }, wire.AlertHandshakeFailure},
	{"server_name with a body", aesSHA, 2, addExt(wire.ExtServerName, []byte{0}), wire.AlertDecodeError},
	{"ec_point_formats without uncompressed", ecdheGCM, 2, func(m []byte) []byte { return replaceExt(m, wire.ExtECPointFormats, []byte{1, 1}) }, wire.AlertIllegalParameter},
	{"ALPN naming two protocols", aesSHA, 2, addExt(wire.ExtALPN, alpnExt("http/1.1", "h2")), wire.AlertDecodeError},
	{"ALPN naming what was not offered", aesSHA, 2, addExt(wire.ExtALPN, alpnExt("h2")), wire.AlertIllegalParameter},
	{"next_protocol_negotiation with an empty name", aesSHA, 2, addExt(wire.ExtNextProtoNegotiation, []byte{0}), wire.AlertDecodeError},
	{"record_size_limit below 64", aesSHA, 2, addExt(wire.ExtRecordSizeLimit, []byte{0, 63}), wire.AlertIllegalParameter},
	{"encrypt_then_mac with an AEAD", ecdheGCM, 2, addExt(wire.ExtEncryptThenMAC, nil), wire.AlertUnsupportedExtension},
	{"the hello's session_id back without a session", aesSHA, 2, echoID, wire.AlertIllegalParameter},
	{"a chain whose length is wrong", aesSHA, 11, func(m []byte) []byte { m[6]++; return m }, wire.AlertDecodeError},
	{"an empty chain", aesSHA, 11, func([]byte) []byte { return []byte{11, 0, 0, 3, 0, 0, 0} }, wire.AlertHandshakeFailure},
	{"a certificate that is no DER", aesSHA, 11, func([]byte) []byte { return []byte{11, 0, 0, 10, 0, 0, 7, 0, 0, 4, 1, 2, 3, 4} }, wire.AlertBadCertificate},
	{"an empty certificate in the list", aesSHA, 11, func([]byte) []byte { return []byte{11, 0, 0, 6, 0, 0, 3, 0, 0, 0} }, wire.AlertDecodeError},
	{"a curve by its parameters", ecdheGCM, 12, set(4, 1), wire.AlertDecodeError},
	{"a group that was not offered", ecdheGCM, 12, set(6, 25), wire.AlertIllegalParameter},
	{"a public key of the wrong length", ecdheGCM, 12, func(m []byte) []byte { return resign(t0, m, func(p []byte) []byte { p[3]--; return p[:len(p)-1] }) }, wire.AlertIllegalParameter},
	{"an X25519 key that gives nothing but zeros", ecdheGCM, 12, func(m []byte) []byte { return resign(t0, m, func(p []byte) []byte { clear(p[4:]); return p }) }, wire.AlertIllegalParameter},
	{"a signature scheme that was not offered", ecdheGCM, 12, set(4+4+32, 8), wire.AlertIllegalParameter},
	{"a signature scheme for another kind of key", ecdheGCM, 12, set(4+4+32+1, 3), wire.AlertIllegalParameter},
	{"a signature that does not verify", ecdheGCM, 12, func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, wire.AlertDecryptError},
	{"parameters that were not signed", ecdheGCM, 12, func(m []byte) []byte { m[10] ^= 1; return m }, wire.AlertDecryptError},
	{"a ServerKeyExchange that stops early", ecdheGCM, 12, cut(20), wire.AlertDecodeError},
	{"a signature with a byte too many behind it", ecdheGCM, 12, extend, wire.AlertDecodeError},
	{"an empty Diffie-Hellman value", dheSHA, 12, func([]byte) []byte { return []byte{12, 0, 0, 8, 0, 1, 5, 0, 1, 2, 0, 0} }, wire.AlertDecodeError},
	{"ServerKeyExchange where RSA needs none", aesSHA, 14, func([]byte) []byte { return []byte{12, 0, 0, 0} }, wire.AlertUnexpectedMessage},
	{"ServerHelloDone with a body", aesSHA, 14, func([]byte) []byte { return []byte{14, 0, 0, 1, 0} }, wire.AlertDecodeError},
	{"a CertificateRequest without types", aesSHA, 14, func([]byte) []byte { return []byte{13, 0, 0, 7, 0, 0, 2, 4, 1, 0, 0} }, wire.AlertDecodeError},
	{"a CertificateRequest whose names run out", aesSHA, 14, func([]byte) []byte { return []byte{13, 0, 0, 9, 1, 1, 0, 2, 4, 1, 0, 9, 0} }, wire.AlertDecodeError},
	{"ServerHelloDone before the key exchange", ecdheGCM, 12, func([]byte) []byte { return []byte{14, 0, 0, 0} }, wire.AlertUnexpectedMessage},
	{"HelloVerifyRequest, which is DTLS", aesSHA, 2, set(0, 3), wire.AlertUnexpectedMessage},
}

func TestBadServers(t *testing.T) {
	for _, b := range badServers {
		t.Run(b.why, func(t *testing.T) {
			ch := basicHello(wire.TLS12, b.suite)
			withALPN(ch)
			withNPN(ch)
			withEtM(ch)
			setExt(ch, wire.ExtRecordSizeLimit, []byte{0x40, 0})
			ch.SessionID = bytes.Repeat([]byte{7}, 32)
			sc := basicServer()
			s := NewServer(sc)
			c, err := NewClient(&ClientConfig{Rand: seeded(2)}, ch)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Receive(testNow, c.AppendOutput(nil)); err != nil {
				t.Fatal(err)
			}
			sessionHello, sessionServer = ch.SessionID, s
			flight := alterMessage(t, s.AppendOutput(nil), b.typ, b.alter)
			refuses(t, c, c.Receive(testNow, flight), b.want)
		})
	}
}

// badClients: what a server answers when one message of the client's second flight is altered.
var badClients = []struct {
	why   string
	suite wire.CipherSuite
	typ   wire.HandshakeType
	alter func(msg []byte) []byte
	want  wire.AlertDescription
}{
	{"ClientKeyExchange without its length", aesSHA, 16, func(m []byte) []byte { return append([]byte{16, 0, 1, 0}, m[6:]...) }, wire.AlertDecodeError},
	{"an RSA secret that does not decrypt: found out at Finished only", aesSHA, 16, func(m []byte) []byte { m[100] ^= 1; return m }, wire.AlertBadRecordMAC},
	{"an empty point", ecdheGCM, 16, func([]byte) []byte { return []byte{16, 0, 0, 1, 0} }, wire.AlertDecodeError},
	{"a point of the wrong length", ecdheGCM, 16, func([]byte) []byte { return []byte{16, 0, 0, 4, 3, 1, 2, 3} }, wire.AlertIllegalParameter},
	{"an X25519 key of zeros", ecdheGCM, 16, func(m []byte) []byte { clear(m[5:]); return m }, wire.AlertIllegalParameter},
	{"a point with bytes behind it", ecdheGCM, 16, extend, wire.AlertDecodeError},
	{"a Diffie-Hellman value of one", dheSHA, 16, func([]byte) []byte { return []byte{16, 0, 0, 3, 0, 1, 1} }, wire.AlertIllegalParameter},
	{"an empty Diffie-Hellman value", dheSHA, 16, func([]byte) []byte { return []byte{16, 0, 0, 2, 0, 0} }, wire.AlertDecodeError},
	{"a client certificate that is no DER", aesSHA, 11, func([]byte) []byte { return []byte{11, 0, 0, 10, 0, 0, 7, 0, 0, 4, 1, 2, 3, 4} }, wire.AlertBadCertificate},
	{"no client certificate where one is required", aesSHA, 11, func([]byte) []byte { return []byte{11, 0, 0, 3, 0, 0, 0} }, wire.AlertHandshakeFailure},
	{"a CertificateVerify that does not verify", aesSHA, 15, func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, wire.AlertDecryptError},
	{"a CertificateVerify with another kind's scheme", aesSHA, 15, set(5, 3), wire.AlertIllegalParameter},
	{"a CertificateVerify that stops early", aesSHA, 15, cut(3), wire.AlertDecodeError},
}

func TestBadClients(t *testing.T) {
	for _, b := range badClients {
		t.Run(b.why, func(t *testing.T) {
			sc := basicServer()
			cc := &ClientConfig{Rand: seeded(2)}
			if b.typ == wire.TypeCertificate || b.typ == wire.TypeCertificateVerify {
				sc.ClientAuth = ClientAuthRequire
				cc.Certificate = fileCert("rsa")
			}
			p := newPair(t, cc, basicHello(wire.TLS12, b.suite), sc)
			p.feed(p.server, p.client.AppendOutput(nil), &p.serverEvents)
			p.feed(p.client, p.server.AppendOutput(nil), &p.clientEvents)
			flight := alterMessage(t, p.client.AppendOutput(nil), b.typ, b.alter)
			refuses(t, p.server, p.server.Receive(testNow, flight), b.want)
		})
	}
}

// Finished, in both directions: too short, and with a wrong value.
func TestBadFinished(t *testing.T) {
	for _, client := range []bool{true, false} {
		for k := 0; ; k++ {
			victim, peer, more := prefix(t, shapes[0], client, k)
			if !more {
				t.Fatal("no state waits for Finished")
			}
			if victim.state != stateWaitServerFin && victim.state != stateWaitClientFin {
				continue
			}
			refuses(t, victim, victim.Receive(testNow, craft(victim, peer, wire.RecordHandshake, []byte{20, 0, 0, 3, 1, 2, 3})), wire.AlertDecodeError)
			victim, peer, _ = prefix(t, shapes[0], client, k)
			refuses(t, victim, victim.Receive(testNow, craft(victim, peer, wire.RecordHandshake, append([]byte{20, 0, 0, 12}, make([]byte, 12)...))), wire.AlertDecryptError)
			break
		}
	}
}

// At least sixty inputs are judged above.
func TestMalformedCount(t *testing.T) {
	if n := len(badHellos) + len(rawInputs) + len(badServers) + len(badClients); n < 90 {
		t.Fatalf("%d malformed inputs, expected at least 90", n)
	}
}

func refuses(t *testing.T, c *Conn, err error, want wire.AlertDescription) {
	t.Helper()
	var la *LocalAlert
	if !errors.As(err, &la) {
		t.Fatalf("%v, want a refusal with %v", err, want)
	}
	if la.Description != want {
		t.Fatalf("%v, want %v", la, want)
	}
	out := c.AppendOutput(nil)
	if len(out) < 7 || c.write == nil && (out[len(out)-7] != 21 || out[len(out)-2] != 2 || out[len(out)-1] != byte(want)) {
		t.Fatalf("output ends in %x, want the alert %v", out[max(0, len(out)-7):], want)
	}
}

// alterMessage changes the first message of one type in a flight of whole plaintext records.
func alterMessage(t *testing.T, flight []byte, typ wire.HandshakeType, alter func([]byte) []byte) (out []byte) {
	t.Helper()
	found := false
	for len(flight) > 0 {
		h, err := wire.ParseRecordHeader(flight)
		if err != nil {
			t.Fatal(err)
		}
		body := flight[wire.RecordHeaderLen : wire.RecordHeaderLen+h.Length]
		flight = flight[wire.RecordHeaderLen+h.Length:]
		if !found && h.Type == wire.RecordHandshake && wire.HandshakeType(body[0]) == typ {
			found = true
			body = alter(bytes.Clone(body))
		}
		out = wire.AppendRecord(out, h.Type, h.Version, body)
	}
	if !found {
		t.Fatalf("no %v in the flight", typ)
	}
	return out
}

func set(i int, b byte) func([]byte) []byte {
	return func(m []byte) []byte { m[i] = b; return m }
}

// cut leaves n bytes of the body and says so in the header.
func cut(n int) func([]byte) []byte {
	return func(m []byte) []byte {
		m = m[:4+n]
		m[1], m[2], m[3] = 0, 0, byte(n)
		return m
	}
}

func extend(m []byte) []byte {
	m = append(m, 0)
	n := len(m) - 4
	m[1], m[2], m[3] = byte(n>>16), byte(n>>8), byte(n)
	return m
}

func editHello(m []byte, f func(*wire.ServerHello)) []byte {
	sh, err := wire.ParseServerHello(m[4:])
	if err != nil {
		panic(err)
	}
	f(sh)
	return sh.AppendMessage(nil)
}

func suiteTo(s wire.CipherSuite) func([]byte) []byte {
	return func(m []byte) []byte { return editHello(m, func(sh *wire.ServerHello) { sh.Suite = s }) }
}

func compress(b byte) func([]byte) []byte {
	return func(m []byte) []byte { return editHello(m, func(sh *wire.ServerHello) { sh.Compression = b }) }
}

func addExt(t wire.ExtensionType, data []byte) func([]byte) []byte {
	return func(m []byte) []byte {
		return editHello(m, func(sh *wire.ServerHello) {
			sh.Extensions = append(slices.Clone(sh.Extensions), wire.Extension{Type: t, Data: data})
		})
	}
}

func replaceExt(m []byte, t wire.ExtensionType, data []byte) []byte {
	return editHello(m, func(sh *wire.ServerHello) {
		for i := range sh.Extensions {
			if sh.Extensions[i].Type == t {
				sh.Extensions[i].Data = data
			}
		}
	})
}

// sessionHello and sessionServer are what echoID and resign refer to: the hello's session ID, and the
// server whose key signs.
var (
	sessionHello  []byte
	sessionServer *Conn
	t0            = &sessionServer
)

func echoID(m []byte) []byte {
	return editHello(m, func(sh *wire.ServerHello) { sh.SessionID = sessionHello })
}

// resign changes the parameters of an ECDHE ServerKeyExchange and signs them again, so that only the
// change itself is wrong.
func resign(s **Conn, m []byte, change func([]byte) []byte) []byte {
	c := *s
	ske, err := wire.ParseServerECDHE(m[4:], true)
	if err != nil {
		panic(err)
	}
	signed := ske.Signed
	signed.Params = change(bytes.Clone(signed.Params))
	h, digest, pss, err := c.signedDigest(c.hs.suite.Auth, signed.Scheme, c.hs.clientRandom[:], c.hs.serverRandom[:], signed.Params)
	if err != nil {
		panic(err)
	}
	if signed.Signature, err = c.sign(c.hs.cert.Key, h, digest, pss); err != nil {
		panic(err)
	}
	return signed.AppendMessage(nil, true)
}
