package engine

import (
	"bytes"
	"compress/zlib"
	"errors"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// puppet is a server whose words a test chooses: a real one answered the client's hello, so its keys fit.
type puppet struct {
	t      *testing.T
	client *Conn
	server *Conn
	sh     *wire.ServerHello
	half   *record.Half13 // the server's handshake keys
	err    error          // of the client, sticky
}

func newPuppet(t *testing.T, build builder13) *puppet {
	t.Helper()
	cc, ch, sc := build(t)
	pr := newPair(t, cc, ch, sc)
	p := &puppet{t: t, client: pr.client, server: pr.server}
	p.ask()
	return p
}

// ask lets the real server answer what the client last said.
func (p *puppet) ask() {
	p.t.Helper()
	if err := p.server.Receive(testNow, p.client.AppendOutput(nil)); err != nil {
		p.t.Fatal(err)
	}
	out := p.server.AppendOutput(nil)
	h, err := wire.ParseRecordHeader(out)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.sh, err = wire.ParseServerHello(out[9 : 5+h.Length]); err != nil {
		p.t.Fatal(err)
	}
	if h13 := p.server.hs.h13; !h13.serverHS.IsZero() {
		p.half = h13.half(h13.serverHS)
	}
}

func (p *puppet) receive(b []byte) {
	if p.err == nil {
		p.err = p.client.Receive(testNow, b)
	}
}

func (p *puppet) clear(typ wire.RecordType, b []byte) {
	p.receive(wire.AppendRecord(nil, typ, wire.TLS12, b))
}

// hello sends the ServerHello after change, with tail in the same record.
func (p *puppet) hello(change func(m *wire.ServerHello), tail ...byte) {
	if change != nil {
		change(p.sh)
	}
	p.clear(wire.RecordHandshake, append(p.sh.AppendMessage(nil), tail...))
}

// sealed sends one record under the server's present keys.
func (p *puppet) sealed(typ wire.RecordType, b []byte) {
	p.receive(p.half.AppendSeal(nil, typ, 0, b))
}

type messages interface{ AppendMessage([]byte) []byte }

func (p *puppet) say(ms ...messages) {
	for _, m := range ms {
		p.sealed(wire.RecordHandshake, m.AppendMessage(nil))
	}
}

// done completes the handshake for real; the puppet then speaks under the application keys.
func (p *puppet) done() {
	p.t.Helper()
	pr := newPair(p.t, p.client.client, p.client.hs.hello, p.server.server)
	pr.must()
	p.client, p.server = pr.client, pr.server
	p.half = pr.server.write.(*record.Half13)
}

func setSH(t wire.ExtensionType, data ...byte) func(*wire.ServerHello) {
	return func(m *wire.ServerHello) {
		for i := range m.Extensions {
			if m.Extensions[i].Type == t {
				m.Extensions[i].Data = data
				return
			}
		}
		m.Extensions = append(m.Extensions, wire.Extension{Type: t, Data: data})
	}
}

func retry(exts ...wire.Extension) func(*wire.ServerHello) {
	return func(m *wire.ServerHello) {
		m.Random = wire.HelloRetryRandom
		m.Extensions = append([]wire.Extension{{Type: wire.ExtSupportedVersions, Data: []byte{3, 4}}}, exts...)
	}
}

func ext(t wire.ExtensionType, data ...byte) wire.Extension {
	return wire.Extension{Type: t, Data: data}
}

var ee = &wire.EncryptedExtensions{}

// opaque is a handshake message of any type and body.
type opaque struct {
	typ  wire.HandshakeType
	body []byte
}

func (o opaque) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	return wire.EndMessage(append(wire.BeginMessage(dst, o.typ), o.body...), mark)
}

func rsaCert() *wire.Certificate13 {
	return &wire.Certificate13{Entries: []wire.CertificateEntry{{Data: fileCert("rsa").Chain[0]}}}
}

func zlibOf(b []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

var plain13 = full13(wire.TLS_AES_128_GCM_SHA256, only25519, nil)

// offering is plain13 with one more extension in the hello.
func offering(t wire.ExtensionType, data ...byte) builder13 {
	return full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, ch *hello.ClientHello, _ *ServerConfig) { setExt(ch, t, data) })
}

// TestClientAlerts13: what a server of TLS 1.3 can do wrong, and the alert that the RFC names for it.
func TestClientAlerts13(t *testing.T) {
	const (
		unexpected  = wire.AlertUnexpectedMessage
		illegal     = wire.AlertIllegalParameter
		decode      = wire.AlertDecodeError
		unsupported = wire.AlertUnsupportedExtension
	)
	zero32 := append([]byte{0, 0x1d, 0, 32}, make([]byte, 32)...)
	bigShare := append([]byte{0, 0x17, 0, 65}, make([]byte, 65)...)
	rows := []struct {
		why   string
		want  wire.AlertDescription
		cause error
		build builder13
		act   func(p *puppet)
	}{
		{"legacy_version must be TLS 1.2", illegal, ErrLegacyVersion, nil, func(p *puppet) { p.hello(func(m *wire.ServerHello) { m.Version = wire.TLS11 }) }},
		{"the session ID must come back", illegal, ErrSessionEcho, nil, func(p *puppet) { p.hello(func(m *wire.ServerHello) { m.SessionID = nil }) }},
		{"a suite that was not offered", illegal, ErrUnofferedSuite, nil, func(p *puppet) { p.hello(func(m *wire.ServerHello) { m.Suite = wire.TLS_AES_256_GCM_SHA384 }) }},
		{"a suite of TLS 1.2", illegal, ErrUnofferedSuite, nil, func(p *puppet) {
			p.hello(func(m *wire.ServerHello) { m.Suite = wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 })
		}},
		{"a GREASE suite", illegal, ErrUnofferedSuite, nil, func(p *puppet) { p.hello(func(m *wire.ServerHello) { m.Suite = 0x1a1a }) }},
		{"compression", illegal, ErrUnofferedCompression, nil, func(p *puppet) { p.hello(func(m *wire.ServerHello) { m.Compression = 1 }) }},
		{"supported_versions selects TLS 1.2", illegal, ErrSelectedVersion, nil, func(p *puppet) { p.hello(setSH(wire.ExtSupportedVersions, 3, 3)) }},
		{"supported_versions selects GREASE that was offered", illegal, ErrSelectedVersion, nil, func(p *puppet) { p.hello(setSH(wire.ExtSupportedVersions, 0x1a, 0x1a)) }},
		{"a draft that was not offered", illegal, ErrSelectedVersion, nil, func(p *puppet) { p.hello(setSH(wire.ExtSupportedVersions, 0x7f, 0x17)) }},
		{"a draft that was offered and is not spoken", wire.AlertProtocolVersion, ErrDraftVersion, nil, func(p *puppet) { p.hello(setSH(wire.ExtSupportedVersions, 0x7f, 0x1c)) }},
		{"supported_versions of three bytes", decode, nil, nil, func(p *puppet) { p.hello(setSH(wire.ExtSupportedVersions, 3, 4, 0)) }},
		{"no key_share", wire.AlertMissingExtension, ErrMissingExtension, nil, func(p *puppet) {
			p.hello(func(m *wire.ServerHello) { m.Extensions = m.Extensions[:1] })
		}},
		{"a share for a group that was listed without one", illegal, ErrWrongGroup, nil, func(p *puppet) { p.hello(setSH(wire.ExtKeyShare, bigShare...)) }},
		{"a share for the GREASE group", illegal, ErrWrongGroup, nil, func(p *puppet) { p.hello(setSH(wire.ExtKeyShare, 0x4a, 0x4a, 0, 1, 0)) }},
		{"a share of the wrong length", illegal, keys.ErrShareSize, nil, func(p *puppet) {
			p.hello(setSH(wire.ExtKeyShare, append([]byte{0, 0x1d, 0, 31}, make([]byte, 31)...)...))
		}},
		{"a share of zeroes", illegal, keys.ErrSharePoint, nil, func(p *puppet) { p.hello(setSH(wire.ExtKeyShare, zero32...)) }},
		{"a byte behind the share", decode, nil, nil, func(p *puppet) { p.hello(setSH(wire.ExtKeyShare, append(zero32[:36:36], 0)...)) }},
		{"pre_shared_key that was not offered", unsupported, ErrUnofferedExtension, nil, func(p *puppet) { p.hello(setSH(wire.ExtPreSharedKey, 0, 0)) }},
		{"an extension of another message", illegal, ErrForbiddenExtension, nil, func(p *puppet) { p.hello(setSH(wire.ExtSupportedGroups, 0, 2, 0, 0x1d)) }},
		{"an extension that nobody offered", unsupported, ErrUnofferedExtension, nil, func(p *puppet) { p.hello(setSH(0xabcd)) }},
		{"an extension twice", illegal, ErrExtensionTwice, nil, func(p *puppet) {
			p.hello(func(m *wire.ServerHello) { m.Extensions = append(m.Extensions, m.Extensions[0]) })
		}},
		{"a truncated ServerHello", decode, nil, nil, func(p *puppet) {
			p.clear(wire.RecordHandshake, opaque{wire.TypeServerHello, []byte{3, 3, 0}}.AppendMessage(nil))
		}},
		{"TLS 1.2 with the sentinel of a downgrade", illegal, ErrDowngrade, offering(wire.ExtSupportedVersions, 4, 3, 4, 3, 3), func(p *puppet) {
			p.hello(func(m *wire.ServerHello) {
				m.Extensions, m.Suite = nil, wire.TLS_AES_128_GCM_SHA256
				copy(m.Random[24:], "DOWNGRD\x01")
			})
		}},
		{"TLS 1.2 to a hello that offers 1.3 alone", wire.AlertProtocolVersion, ErrNoCommonVersion, nil, func(p *puppet) {
			p.hello(func(m *wire.ServerHello) { m.Extensions = nil })
		}},
		{"a request for a retry that changes nothing", illegal, ErrRetryNothing, nil, func(p *puppet) { p.hello(retry()) }},
		{"a retry for the group that has a share", illegal, ErrRetryGroup, nil, func(p *puppet) { p.hello(retry(ext(wire.ExtKeyShare, 0, 0x1d))) }},
		{"a retry for a group that was not listed", illegal, ErrRetryGroup, nil, func(p *puppet) { p.hello(retry(ext(wire.ExtKeyShare, 0, 0x19))) }},
		{"a retry for GREASE", illegal, ErrRetryGroup, nil, func(p *puppet) { p.hello(retry(ext(wire.ExtKeyShare, 0x4a, 0x4a))) }},
		{"a retry with an empty cookie", decode, nil, nil, func(p *puppet) { p.hello(retry(ext(wire.ExtCookie, 0, 0))) }},
		{"a retry with pre_shared_key", unsupported, ErrUnofferedExtension, nil, func(p *puppet) { p.hello(retry(ext(wire.ExtPreSharedKey, 0, 0))) }},
		{"a second retry", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) {
			p.hello(retry(ext(wire.ExtKeyShare, 0, 0x18)))
			p.hello(retry(ext(wire.ExtKeyShare, 0, 0x17)))
		}},
		{"another group than the retry asked for", illegal, ErrWrongGroup, nil, func(p *puppet) {
			first := *p.sh
			p.hello(retry(ext(wire.ExtKeyShare, 0, 0x18)))
			p.clear(wire.RecordHandshake, first.AppendMessage(nil))
		}},
		{"another suite than the retry's", illegal, ErrRetryChanged, full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, ch *hello.ClientHello, _ *ServerConfig) {
			ch.Suites = append(ch.Suites, wire.TLS_AES_256_GCM_SHA384)
		}), func(p *puppet) {
			first := *p.sh
			first.Suite = wire.TLS_AES_256_GCM_SHA384 ^ wire.TLS_AES_128_GCM_SHA256 ^ first.Suite
			p.hello(retry(ext(wire.ExtKeyShare, 0, 0x18)))
			p.clear(wire.RecordHandshake, first.AppendMessage(nil))
		}},
		{"handshake bytes behind the ServerHello, over a change of keys", unexpected, ErrExcessMessage, nil, func(p *puppet) { p.hello(nil, 8, 0, 0, 2, 0, 0) }},
		{"EncryptedExtensions in the clear", unexpected, record.ErrOuterType, nil, func(p *puppet) {
			p.hello(nil)
			p.clear(wire.RecordHandshake, ee.AppendMessage(nil))
		}},
		{"an alert in the clear under keys", unexpected, record.ErrOuterType, nil, func(p *puppet) {
			p.hello(nil)
			p.clear(wire.RecordAlert, []byte{2, 40})
		}},
		{"application data before the ServerHello", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.clear(wire.RecordApplicationData, []byte("x")) }},
		{"application data under handshake keys", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) {
			p.hello(nil)
			p.sealed(wire.RecordApplicationData, []byte("x"))
		}},
		{"ChangeCipherSpec of another value", unexpected, nil, nil, func(p *puppet) {
			p.hello(nil)
			p.clear(wire.RecordChangeCipherSpec, []byte{2})
		}},
		{"a flood of ChangeCipherSpec", unexpected, nil, nil, func(p *puppet) {
			p.hello(nil)
			for range maxCCS13 + 1 {
				p.clear(wire.RecordChangeCipherSpec, []byte{1})
			}
		}},
		{"a record that does not authenticate", wire.AlertBadRecordMAC, record.ErrMAC, nil, func(p *puppet) {
			p.hello(nil)
			p.clear(wire.RecordApplicationData, make([]byte, 40))
		}},
		{"a record too long", wire.AlertRecordOverflow, nil, nil, func(p *puppet) {
			p.hello(nil)
			p.receive([]byte{23, 3, 3, 0x41, 0x01})
		}},
		{"an inner plaintext of zeroes", unexpected, record.ErrInnerType, nil, func(p *puppet) {
			p.hello(nil)
			p.sealed(0, make([]byte, 8))
		}},
		{"an empty handshake record", unexpected, ErrEmptyRecord, nil, func(p *puppet) {
			p.hello(nil)
			p.sealed(wire.RecordHandshake, nil)
		}},
		{"an answer to nothing", unsupported, ErrUnofferedExtension, nil, func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtALPN, 0, 3, 2, 'h', '2')}})
		}},
		{"key_share in EncryptedExtensions", illegal, ErrForbiddenExtension, nil, func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtKeyShare, 0, 0x1d)}})
		}},
		{"a protocol that was not offered", illegal, ErrUnofferedProtocol, offering(wire.ExtALPN, alpnExt("http/1.1")...), func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtALPN, 0, 3, 2, 'h', '2')}})
		}},
		{"two protocols", decode, nil, offering(wire.ExtALPN, alpnExt("h2")...), func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtALPN, 0, 6, 2, 'h', '2', 2, 'h', '2')}})
		}},
		{"server_name with a body", decode, nil, nil, func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtServerName, 0)}})
		}},
		{"record_size_limit below 64", illegal, ErrForbiddenExtension, offering(wire.ExtRecordSizeLimit, 0x40, 1), func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtRecordSizeLimit, 0, 63)}})
		}},
		{"application_settings, offered and not spoken", unsupported, ErrUnspokenExtension, offering(17613, 0, 3, 2, 'h', '2'), func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(17613)}})
		}},
		{"an extension twice in EncryptedExtensions", decode, ErrDuplicateExtension, nil, func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtServerName), ext(wire.ExtServerName)}})
		}},
		{"EncryptedExtensions cut short", decode, nil, nil, func(p *puppet) { p.hello(nil); p.say(opaque{wire.TypeEncryptedExtensions, []byte{0}}) }},
		{"Certificate before EncryptedExtensions", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.hello(nil); p.say(rsaCert()) }},
		{"EncryptedExtensions twice", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.hello(nil); p.say(ee, ee) }},
		{"Finished in place of Certificate", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.Finished13{VerifyData: make([]byte, 32)}) }},
		{"CertificateVerify in place of Certificate", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.CertificateVerify13{}) }},
		{"NewSessionTicket in the handshake", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.NewSessionTicket13{Ticket: []byte("t")}) }},
		{"KeyUpdate in the handshake", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.KeyUpdate{}) }},
		{"CertificateRequest without signature_algorithms", wire.AlertMissingExtension, ErrMissingExtension, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.CertificateRequest13{}) }},
		{"CertificateRequest with a context", illegal, ErrCertContext, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.CertificateRequest13{Context: []byte{1}}) }},
		{"CertificateRequest twice", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, certificateRequest13(&ServerConfig{}), certificateRequest13(&ServerConfig{}))
		}},
		{"no certificate at all", decode, ErrEmptyCertificate, nil, func(p *puppet) { p.hello(nil); p.say(ee, &wire.Certificate13{}) }},
		{"Certificate with a context", illegal, ErrCertContext, nil, func(p *puppet) {
			p.hello(nil)
			m := rsaCert()
			m.Context = []byte{1}
			p.say(ee, m)
		}},
		{"an empty certificate in the list", decode, nil, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, opaque{wire.TypeCertificate, []byte{0, 0, 0, 5, 0, 0, 0, 0, 0}})
		}},
		{"a stapled response that was not asked for", unsupported, ErrUnofferedExtension, nil, func(p *puppet) {
			p.hello(nil)
			m := rsaCert()
			m.Entries[0].Extensions = []wire.Extension{ext(wire.ExtStatusRequest, 1, 0, 0, 1, 0)}
			p.say(ee, m)
		}},
		{"a certificate that is none", wire.AlertBadCertificate, ErrBadCertificate, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.Certificate13{Entries: []wire.CertificateEntry{{Data: []byte("not DER")}}})
		}},
		{"compression that was not offered", illegal, ErrCertCompression, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.CompressedCertificate{Algorithm: wire.CertZlib, Length: 9, Compressed: []byte("x")})
		}},
		{"an algorithm that nobody knows, though it was offered", illegal, ErrCertCompression, offering(wire.ExtCompressCertificate, 2, 0, 9), func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.CompressedCertificate{Algorithm: 9, Length: 9, Compressed: []byte("x")})
		}},
		{"brotli that is none", wire.AlertBadCertificate, ErrCertDecompress, offering(wire.ExtCompressCertificate, 2, 0, 2), func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.CompressedCertificate{Algorithm: wire.CertBrotli, Length: 9, Compressed: []byte("x")})
		}},
		{"zstd that is none", wire.AlertBadCertificate, ErrCertDecompress, offering(wire.ExtCompressCertificate, 2, 0, 3), func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.CompressedCertificate{Algorithm: wire.CertZstd, Length: 9, Compressed: []byte("x")})
		}},
		{"zlib that is none", wire.AlertBadCertificate, ErrCertDecompress, offering(wire.ExtCompressCertificate, 2, 0, 1), func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.CompressedCertificate{Algorithm: wire.CertZlib, Length: 9, Compressed: []byte("x")})
		}},
		{"more bytes than promised", wire.AlertBadCertificate, ErrCertDecompress, offering(wire.ExtCompressCertificate, 2, 0, 1), func(p *puppet) {
			p.hello(nil)
			p.say(ee, &wire.CompressedCertificate{Algorithm: wire.CertZlib, Length: 9, Compressed: zlibOf(make([]byte, 10))})
		}},
		{"a scheme that was not offered", illegal, ErrWrongScheme, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, rsaCert(), &wire.CertificateVerify13{Scheme: wire.RSAPSSRSAESHA512})
		}},
		{"PKCS #1, offered for certificates", illegal, ErrWrongScheme, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, rsaCert(), &wire.CertificateVerify13{Scheme: wire.RSAPKCS1SHA256})
		}},
		{"an ECDSA scheme for an RSA key", illegal, ErrWrongScheme, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, rsaCert(), &wire.CertificateVerify13{Scheme: wire.ECDSASecp256r1SHA256})
		}},
		{"a signature that does not verify", wire.AlertDecryptError, ErrBadSignature, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, rsaCert(), &wire.CertificateVerify13{Scheme: wire.RSAPSSRSAESHA256, Signature: make([]byte, 256)})
		}},
		{"CertificateVerify cut short", decode, nil, nil, func(p *puppet) {
			p.hello(nil)
			p.say(ee, rsaCert(), opaque{wire.TypeCertificateVerify, []byte{8, 4, 1}})
		}},
		{"Finished that is wrong", wire.AlertDecryptError, ErrBadFinished, pskBuild, func(p *puppet) { p.hello(nil); p.say(ee, &wire.Finished13{VerifyData: make([]byte, 32)}) }},
		{"Finished that is short", decode, ErrFinishedLength, pskBuild, func(p *puppet) { p.hello(nil); p.say(ee, &wire.Finished13{VerifyData: make([]byte, 12)}) }},
		{"Certificate in a resumed handshake", unexpected, ErrUnexpectedMessage, pskBuild, func(p *puppet) { p.hello(nil); p.say(ee, rsaCert()) }},
		{"an identity that was not offered", illegal, ErrSelectedIdentity, pskBuild, func(p *puppet) { p.hello(setSH(wire.ExtPreSharedKey, 0, 1)) }},
		{"early_data accepted without having been offered", unsupported, ErrUnofferedExtension, pskBuild, func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtEarlyData)}})
		}},
		{"early_data accepted without the PSK", illegal, ErrEarlyDataAnswer, earlyRefused, func(p *puppet) {
			p.hello(nil)
			p.say(&wire.EncryptedExtensions{Extensions: []wire.Extension{ext(wire.ExtEarlyData)}})
		}},
		{"KeyUpdate with a request of 2", illegal, ErrKeyUpdateRequest, nil, func(p *puppet) { p.done(); p.say(&wire.KeyUpdate{Request: 2}) }},
		{"KeyUpdate of two bytes", decode, nil, nil, func(p *puppet) { p.done(); p.say(opaque{wire.TypeKeyUpdate, []byte{0, 0}}) }},
		{"bytes behind a KeyUpdate", unexpected, ErrExcessMessage, nil, func(p *puppet) {
			p.done()
			p.sealed(wire.RecordHandshake, (&wire.KeyUpdate{}).AppendMessage((&wire.KeyUpdate{}).AppendMessage(nil)))
		}},
		{"KeyUpdates without end", unexpected, ErrTooManyKeyUpdates, nil, func(p *puppet) {
			p.done()
			for range maxKeyUpdates + 1 {
				p.say(&wire.KeyUpdate{})
				p.half.Update()
			}
		}},
		{"early_data twice in a ticket", illegal, ErrExtensionTwice, nil, func(p *puppet) {
			p.done()
			p.say(&wire.NewSessionTicket13{Lifetime: 1, Ticket: []byte("t"), Extensions: []wire.Extension{ext(wire.ExtEarlyData, 0, 0, 0, 1), ext(wire.ExtEarlyData, 0, 0, 0, 1)}})
		}},
		{"supported_versions twice in a retry", illegal, ErrExtensionTwice, nil, func(p *puppet) {
			p.hello(retry(ext(wire.ExtSupportedVersions, 3, 4), ext(wire.ExtKeyShare, 0, 0x18)))
		}},
		{"handshake bytes behind a retry", unexpected, ErrExcessMessage, nil, func(p *puppet) {
			p.hello(retry(ext(wire.ExtKeyShare, 0, 0x18)), 2)
		}},
		{"certificate_authorities that are none", decode, nil, nil, func(p *puppet) {
			p.hello(nil)
			m := certificateRequest13(&ServerConfig{})
			m.Extensions = append(m.Extensions, ext(extCertificateAuthorities, 0, 0))
			p.say(ee, m)
		}},
		{"a ticket for more than seven days", illegal, ErrTicketLifetime, nil, func(p *puppet) {
			p.done()
			p.say(&wire.NewSessionTicket13{Lifetime: wire.MaxTicketLifetime + 1, Ticket: []byte("t")})
		}},
		{"an empty ticket", decode, nil, nil, func(p *puppet) { p.done(); p.say(&wire.NewSessionTicket13{Lifetime: 1}) }},
		{"early_data of a ticket without a size", decode, nil, nil, func(p *puppet) {
			p.done()
			p.say(&wire.NewSessionTicket13{Lifetime: 1, Ticket: []byte("t"), Extensions: []wire.Extension{ext(wire.ExtEarlyData)}})
		}},
		{"CertificateRequest after the handshake, not offered", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.done(); p.say(certificateRequest13(&ServerConfig{})) }},
		{"HelloRequest", unexpected, ErrUnexpectedMessage, nil, func(p *puppet) { p.done(); p.say(opaque{wire.TypeHelloRequest, nil}) }},
		{"ChangeCipherSpec after the handshake", unexpected, record.ErrOuterType, nil, func(p *puppet) { p.done(); p.clear(wire.RecordChangeCipherSpec, []byte{1}) }},
	}
	for _, r := range rows {
		t.Run(r.why, func(t *testing.T) {
			build := r.build
			if build == nil {
				build = plain13
			}
			p := newPuppet(t, build)
			r.act(p)
			wantRefusal(t, p.client, p.err, r.want, r.cause)
		})
	}
	t.Logf("%d rows", len(rows))
}

// pskBuild resumes; earlyRefused offers 0-RTT to a server that does not know the ticket.
var (
	pskBuild     = resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "", nil)
	earlyRefused = resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "early", func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
		sc.Tickets = FixedTicketKeys{{Name: [16]byte{7}}}
	})
)

// wantRefusal checks error, cause and that the alert can be read out, once.
func wantRefusal(t *testing.T, c *Conn, err error, want wire.AlertDescription, cause error) {
	t.Helper()
	var la *LocalAlert
	if !errors.As(err, &la) {
		t.Fatalf("got %v, wanted a refusal with %v", err, want)
	}
	if la.Description != want || cause != nil && !errors.Is(err, cause) {
		t.Errorf("got %v, wanted %v because of %v", err, want, cause)
	}
	if !c.HasOutput() || len(c.AppendOutput(nil)) == 0 || c.HasOutput() {
		t.Error("the alert cannot be read out exactly once")
	}
}
