package engine

import (
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// liar is a client whose words a test chooses; where it needs keys, a real one got that far.
type liar struct {
	t      *testing.T
	ch     *hello.ClientHello
	server *Conn
	client *Conn
	err    error // of the server, sticky
}

func newLiar(t *testing.T, build builder13) *liar {
	t.Helper()
	cc, ch, sc := build(t)
	p := newPair(t, cc, ch, sc)
	return &liar{t: t, ch: ch, server: p.server, client: p.client}
}

func (l *liar) receive(b []byte) {
	if l.err == nil {
		l.err = l.server.Receive(testNow, b)
	}
}

// hello sends the hello after change; its binder, if it has one, is left as the client made it.
func (l *liar) hello(change func(ch *hello.ClientHello)) {
	l.client.AppendOutput(nil)
	ch := l.ch.Clone()
	if change != nil {
		change(ch)
	}
	l.receive(ch.AppendRecords(nil))
}

// flight lets the real client send its hello and read the server's answer up to, and without, its own
// Finished: it then holds its handshake keys.
func (l *liar) flight() {
	l.t.Helper()
	l.receive(l.client.AppendOutput(nil))
	if l.err != nil {
		l.t.Fatal(l.err)
	}
	if err := l.client.Receive(testNow, l.server.AppendOutput(nil)); err != nil {
		l.t.Fatal(err)
	}
	l.client.AppendOutput(nil)
	h := l.server.hs.h13
	l.client.write = h.half(h.clientHS)
}

func (l *liar) say(ms ...messages) {
	for _, m := range ms {
		l.client.writeRecord(wire.RecordHandshake, m.AppendMessage(nil))
	}
	l.receive(l.client.AppendOutput(nil))
}

func drop(t wire.ExtensionType) func(*hello.ClientHello) {
	return func(ch *hello.ClientHello) {
		kept := ch.Extensions[:0:0]
		for _, e := range ch.Extensions {
			if e.Type != t {
				kept = append(kept, e)
			}
		}
		ch.Extensions = kept
	}
}

func put(t wire.ExtensionType, data ...byte) func(*hello.ClientHello) {
	return func(ch *hello.ClientHello) { setExt(ch, t, data) }
}

// TestServerAlerts13: what a client of TLS 1.3 can do wrong, and the alert that the RFC names for it.
func TestServerAlerts13(t *testing.T) {
	const (
		unexpected = wire.AlertUnexpectedMessage
		illegal    = wire.AlertIllegalParameter
		decode     = wire.AlertDecodeError
		missing    = wire.AlertMissingExtension
		failure    = wire.AlertHandshakeFailure
	)
	retried := full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
		sc.Groups = []wire.Group{wire.Secp384r1}
	})
	auth := full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
		sc.ClientAuth = ClientAuthRequire
	})
	early := resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "early", nil)
	second := func(change func(ch *hello.ClientHello)) func(l *liar) {
		return func(l *liar) {
			l.receive(l.client.AppendOutput(nil))
			if err := l.client.Receive(testNow, l.server.AppendOutput(nil)); err != nil {
				l.t.Fatal(err)
			}
			ch := l.client.hs.hello.Clone()
			change(ch)
			l.receive(ch.AppendRecords(nil))
		}
	}
	rows := []struct {
		why   string
		want  wire.AlertDescription
		cause error
		build builder13
		act   func(l *liar)
	}{
		{"compression beside null", illegal, ErrMoreCompression, nil, func(l *liar) { l.hello(func(ch *hello.ClientHello) { ch.Compression = []uint8{0, 1} }) }},
		{"no key_share", missing, ErrMissingExtension, nil, func(l *liar) { l.hello(drop(wire.ExtKeyShare)) }},
		{"no supported_groups", missing, ErrMissingExtension, nil, func(l *liar) { l.hello(drop(wire.ExtSupportedGroups)) }},
		{"no signature_algorithms", missing, ErrMissingExtension, nil, func(l *liar) { l.hello(drop(wire.ExtSignatureAlgorithms)) }},
		{"pre_shared_key without psk_key_exchange_modes", missing, ErrMissingExtension, pskBuild, func(l *liar) { l.hello(drop(wire.ExtPSKKeyExchangeModes)) }},
		{"an extension behind pre_shared_key", illegal, ErrPSKNotLast, pskBuild, func(l *liar) { l.hello(put(0xabcd)) }},
		{"an empty name in certificate_authorities", decode, nil, nil, func(l *liar) { l.hello(put(extCertificateAuthorities, 0, 2, 0, 0)) }},
		{"a binder that is wrong", wire.AlertDecryptError, ErrBadBinder, pskBuild, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) { ch.Random[0] ^= 1 })
		}},
		{"no binders at all", decode, nil, pskBuild, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) {
				data, _ := ch.Extension(wire.ExtPreSharedKey)
				psk, _ := ch.PSK()
				setExt(ch, wire.ExtPreSharedKey, append(data[:len(data)-psk.BindersLen:len(data)-psk.BindersLen], 0, 0))
			})
		}},
		{"more binders than identities", illegal, ErrBinderCount, pskBuild, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) {
				data, _ := ch.Extension(wire.ExtPreSharedKey)
				psk, _ := ch.PSK()
				n := len(data) - psk.BindersLen
				list := wire.AppendVec8(wire.AppendVec8(nil, make([]byte, 32)), make([]byte, 32))
				setExt(ch, wire.ExtPreSharedKey, wire.AppendVec16(data[:n:n], list))
			})
		}},
		{"a binder of the wrong length", wire.AlertDecryptError, ErrBadBinder, pskBuild, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) {
				data, _ := ch.Extension(wire.ExtPreSharedKey)
				psk, _ := ch.PSK()
				n := len(data) - psk.BindersLen
				setExt(ch, wire.ExtPreSharedKey, append(data[:n:n], 0, 3, 2, 1, 1))
			})
		}},
		{"the PSK is gone from the second hello", missing, ErrMissingExtension, resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "", func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = []wire.Group{wire.Secp256r1}
		}), second(drop(wire.ExtPreSharedKey))},
		{"an extension on a client's certificate", wire.AlertUnsupportedExtension, ErrUnofferedExtension, auth, func(l *liar) {
			l.flight()
			m := rsaCert()
			m.Entries[0].Extensions = []wire.Extension{ext(wire.ExtSCT, 0, 3, 0, 1, 1)}
			l.say(m)
		}},
		{"no suite of TLS 1.3 and no groups either: the suite counts first", failure, ErrNoSharedCipher, nil, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) {
				ch.Suites = []wire.CipherSuite{wire.TLS_RSA_WITH_AES_128_CBC_SHA}
				drop(wire.ExtSupportedGroups)(ch)
			})
		}},
		{"two shares for one group", illegal, ErrWrongGroup, nil, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) {
				data, _ := ch.Extension(wire.ExtKeyShare)
				setExt(ch, wire.ExtKeyShare, wire.AppendVec16(nil, append(append([]byte{}, data[2:]...), data[2:]...)))
			})
		}},
		{"a share for a group that is not listed", illegal, ErrWrongGroup, nil, func(l *liar) { l.hello(put(wire.ExtSupportedGroups, 0, 2, 0, 0x17)) }},
		{"a share of the wrong length", illegal, keys.ErrShareSize, nil, func(l *liar) { l.hello(put(wire.ExtKeyShare, 0, 7, 0, 0x1d, 0, 3, 1, 2, 3)) }},
		{"a share of zeroes", illegal, keys.ErrSharePoint, nil, func(l *liar) {
			l.hello(put(wire.ExtKeyShare, append([]byte{0, 36, 0, 0x1d, 0, 32}, make([]byte, 32)...)...))
		}},
		{"key_share cut short", decode, nil, nil, func(l *liar) { l.hello(put(wire.ExtKeyShare, 0, 9, 0, 0x1d, 0, 3, 1, 2, 3)) }},
		{"supported_versions of odd length", decode, nil, nil, func(l *liar) { l.hello(put(wire.ExtSupportedVersions, 3, 3, 4, 0)) }},
		{"an extension twice", decode, nil, nil, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) { ch.Extensions = append(ch.Extensions, ch.Extensions[0]) })
		}},
		{"GREASE and drafts alone", wire.AlertProtocolVersion, ErrNoCommonVersion, nil, func(l *liar) { l.hello(put(wire.ExtSupportedVersions, 4, 0x1a, 0x1a, 0x7f, 0x1c)) }},
		{"no suite of TLS 1.3", failure, ErrNoSharedCipher, nil, func(l *liar) {
			l.hello(func(ch *hello.ClientHello) { ch.Suites = []wire.CipherSuite{wire.TLS_RSA_WITH_AES_128_CBC_SHA} })
		}},
		{"no common group", failure, ErrNoCommonGroup, full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = []wire.Group{wire.Secp521r1}
		}), func(l *liar) { l.hello(nil) }},
		{"no scheme that our keys can sign with", failure, ErrNoCommonScheme, nil, func(l *liar) { l.hello(put(wire.ExtSignatureAlgorithms, 0, 4, 4, 1, 8, 7)) }},
		{"no protocol in common, and the server is strict", wire.AlertNoApplicationProtocol, ErrNoCommonALPN, full13(wire.TLS_AES_128_GCM_SHA256, only25519, func(_ *ClientConfig, ch *hello.ClientHello, sc *ServerConfig) {
			sc.ALPN, sc.ALPNStrict = []string{"h2"}, true
			setExt(ch, wire.ExtALPN, alpnExt("spdy/3"))
		}), func(l *liar) { l.hello(nil) }},
		{"the second hello has another random", illegal, ErrSecondHello, retried, second(func(ch *hello.ClientHello) { ch.Random[5] ^= 1 })},
		{"the second hello has another session ID", illegal, ErrSecondHello, retried, second(func(ch *hello.ClientHello) { ch.SessionID = nil })},
		{"the second hello has other suites", illegal, ErrSecondHello, retried, second(func(ch *hello.ClientHello) { ch.Suites = append(ch.Suites, 0x1302) })},
		{"the second hello has the old share", illegal, ErrSecondHello, retried, second(func(ch *hello.ClientHello) {
			setExt(ch, wire.ExtKeyShare, append([]byte{0, 36, 0, 0x1d, 0, 32}, make([]byte, 32)...))
		})},
		{"the second hello has no share", illegal, ErrSecondHello, retried, second(func(ch *hello.ClientHello) { setExt(ch, wire.ExtKeyShare, []byte{0, 0}) })},
		{"the second hello still has early_data", illegal, ErrSecondHello, resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "", func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) {
			sc.Groups = []wire.Group{wire.Secp256r1}
		}), second(func(ch *hello.ClientHello) {
			ch.Extensions = append([]hello.Extension{{Type: wire.ExtEarlyData}}, ch.Extensions...)
		})},
		{"Finished after our HelloRetryRequest", unexpected, ErrUnexpectedMessage, retried, func(l *liar) {
			l.hello(nil)
			l.receive(wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS12, (&wire.Finished13{VerifyData: make([]byte, 32)}).AppendMessage(nil)))
		}},
		{"a second ClientHello without a retry", unexpected, nil, nil, func(l *liar) {
			l.hello(nil)
			l.receive(l.ch.AppendRecords(nil))
		}},
		{"handshake bytes behind the ClientHello", unexpected, ErrExcessMessage, nil, func(l *liar) {
			l.receive(wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS10, append(l.ch.AppendMessage(nil), 20, 0, 0, 0)))
		}},
		{"application data in the clear", unexpected, nil, nil, func(l *liar) { l.receive([]byte{23, 3, 3, 0, 1, 0}) }},
		{"application data before Finished", unexpected, ErrUnexpectedMessage, nil, func(l *liar) {
			l.flight()
			l.client.writeRecord(wire.RecordApplicationData, []byte("too soon"))
			l.receive(l.client.AppendOutput(nil))
		}},
		{"ChangeCipherSpec of two bytes", unexpected, record.ErrOuterType, nil, func(l *liar) { l.flight(); l.receive([]byte{20, 3, 3, 0, 2, 1, 1}) }},
		{"Finished that is wrong", wire.AlertDecryptError, ErrBadFinished, nil, func(l *liar) { l.flight(); l.say(&wire.Finished13{VerifyData: make([]byte, 32)}) }},
		{"Finished that is long", decode, ErrFinishedLength, nil, func(l *liar) { l.flight(); l.say(&wire.Finished13{VerifyData: make([]byte, 48)}) }},
		{"Certificate that nobody asked for", unexpected, ErrUnexpectedMessage, nil, func(l *liar) { l.flight(); l.say(rsaCert()) }},
		{"EndOfEarlyData without 0-RTT", unexpected, ErrUnexpectedMessage, nil, func(l *liar) { l.flight(); l.say(&wire.EndOfEarlyData{}) }},
		{"NewSessionTicket from a client", unexpected, ErrUnexpectedMessage, nil, func(l *liar) { l.flight(); l.say(&wire.NewSessionTicket13{Ticket: []byte("t")}) }},
		{"Finished in place of the certificate", unexpected, ErrUnexpectedMessage, auth, func(l *liar) { l.flight(); l.say(&wire.Finished13{VerifyData: make([]byte, 32)}) }},
		{"no certificate where one is required", wire.AlertCertificateRequired, ErrClientCertificate, auth, func(l *liar) { l.flight(); l.say(&wire.Certificate13{}) }},
		{"a certificate with a context", illegal, ErrCertContext, auth, func(l *liar) {
			l.flight()
			m := rsaCert()
			m.Context = []byte{1}
			l.say(m)
		}},
		{"a certificate without a signature", unexpected, ErrUnexpectedMessage, auth, func(l *liar) {
			l.flight()
			l.say(rsaCert(), &wire.Finished13{VerifyData: make([]byte, 32)})
		}},
		{"a signature that does not verify", wire.AlertDecryptError, ErrBadSignature, auth, func(l *liar) {
			l.flight()
			l.say(rsaCert(), &wire.CertificateVerify13{Scheme: wire.RSAPSSRSAESHA256, Signature: make([]byte, 256)})
		}},
		{"PKCS #1 in CertificateVerify", illegal, ErrWrongScheme, auth, func(l *liar) {
			l.flight()
			l.say(rsaCert(), &wire.CertificateVerify13{Scheme: wire.RSAPKCS1SHA256, Signature: make([]byte, 256)})
		}},
		{"more 0-RTT data than the ticket allows", unexpected, ErrTooMuchEarlyData, early, func(l *liar) {
			l.client.writeRecord(wire.RecordApplicationData, make([]byte, 1025))
			l.receive(l.client.AppendOutput(nil))
		}},
		{"Finished under the 0-RTT keys", unexpected, ErrUnexpectedMessage, early, func(l *liar) {
			l.client.writeRecord(wire.RecordHandshake, (&wire.Finished13{VerifyData: make([]byte, 32)}).AppendMessage(nil))
			l.receive(l.client.AppendOutput(nil))
		}},
		{"KeyUpdate with a request of 3", illegal, ErrKeyUpdateRequest, nil, func(l *liar) {
			p := newPair(l.t, l.client.client, l.ch, l.server.server)
			p.must()
			l.client, l.server = p.client, p.server
			l.say(&wire.KeyUpdate{Request: 3})
		}},
	}
	for _, r := range rows {
		t.Run(r.why, func(t *testing.T) {
			build := r.build
			if build == nil {
				build = plain13
			}
			l := newLiar(t, build)
			r.act(l)
			wantRefusal(t, l.server, l.err, r.want, r.cause)
		})
	}
	t.Logf("%d rows", len(rows))
}

// TestSkipsEarlyData: a server that rejected 0-RTT skips what it allowed, and no more.
func TestSkipsEarlyData(t *testing.T) {
	for _, r := range []struct {
		why     string
		records int
		ok      bool
	}{
		{"as much as a client may send", 15, true},
		{"more than that", 16, false},
	} {
		cc, ch, sc := resumed13(wire.TLS_AES_128_GCM_SHA256, only25519, "x", func(_ *ClientConfig, _ *hello.ClientHello, sc *ServerConfig) { sc.MaxEarlyData = 0 })(t)
		p := newPair(t, cc, ch, sc)
		for range r.records {
			p.client.writeRecord(wire.RecordApplicationData, make([]byte, 1024))
		}
		p.run()
		if got := p.client.Err() == nil && p.server.Err() == nil && p.server.HandshakeDone(); got != r.ok {
			t.Errorf("%s: client %v, server %v", r.why, p.client.Err(), p.server.Err())
		}
	}
}
