package engine

import (
	"errors"
	"fmt"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

func allSuites() []wire.CipherSuite { return keys.Suites12() }

// Every suite at every version it exists in, full, by session ID and by ticket, with our client and our
// server joined.
func TestEverySuite(t *testing.T) {
	for _, id := range allSuites() {
		s := keys.Lookup12(id)
		for v := wire.SSL30; v <= wire.TLS12; v++ {
			if s.Only12 && v < wire.TLS12 {
				continue
			}
			t.Run(fmt.Sprintf("%v/%v", v, id), func(t *testing.T) {
				sc := basicServer()
				sc.Versions = Versions(v)
				store := mapStore{}
				sc.Sessions = store
				p := newPair(t, &ClientConfig{}, basicHello(v, id), sc)
				p.must()
				if f := p.client.Facts(); f.Version != v || f.Suite != id || f.Resumed != NotResumed {
					t.Fatalf("negotiated %+v", f)
				}
				sess := p.session()
				if sess == nil || len(sess.ID) != 32 {
					t.Fatalf("no session to resume: %+v", sess)
				}
				ch := basicHello(v, id)
				ch.SessionID = sess.ID
				p = newPair(t, &ClientConfig{Session: sess}, ch, sc)
				p.must()
				if p.client.Facts().Resumed != ByID || p.server.Facts().Resumed != ByID {
					t.Fatalf("resumed %q and %q, want by session ID", p.client.Facts().Resumed, p.server.Facts().Resumed)
				}
			})
		}
	}
}

func TestTicketResumption(t *testing.T) {
	for _, withID := range []bool{true, false} {
		t.Run(fmt.Sprintf("session_id in the hello: %v", withID), func(t *testing.T) {
			sc := basicServer()
			sc.Tickets = FixedTicketKeys{{Name: [16]byte{1}}}
			ch := basicHello(wire.TLS12, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
			setExt(ch, wire.ExtSessionTicket, nil)
			p := newPair(t, &ClientConfig{}, ch, sc)
			p.must()
			sess := p.session()
			if sess == nil || len(sess.Ticket) != 192 {
				t.Fatalf("ticket of %d bytes, want 192", len(sess.Ticket))
			}
			ch = basicHello(wire.TLS12, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
			setExt(ch, wire.ExtSessionTicket, sess.Ticket)
			if withID {
				ch.SessionID = make([]byte, 32)
			}
			p = newPair(t, &ClientConfig{Session: sess}, ch, sc)
			p.must()
			if p.client.Facts().Resumed != ByTicket || p.server.Facts().Resumed != ByTicket {
				t.Fatalf("resumed %q and %q, want by ticket", p.client.Facts().Resumed, p.server.Facts().Resumed)
			}
		})
	}
}

// The two errors of the thread, as alerts.
func TestThread(t *testing.T) {
	const aes = wire.TLS_RSA_WITH_AES_128_CBC_SHA
	oldServer := func() *ServerConfig {
		sc := basicServer()
		sc.Versions = Versions(wire.TLS10)
		sc.Rules = Rules{SCSV: SCSVSkipsRest, SessionFirst: true, AnyResumeVersion: true}
		sc.Sessions = mapStore{}
		return sc
	}
	t.Run("SCSV first on a TLS 1.0 server with the defect: no suite is left", func(t *testing.T) {
		p := newPair(t, &ClientConfig{}, basicHello(wire.TLS11, wire.FallbackSCSV, aes), oldServer())
		p.run()
		wantAlert(t, p, wire.AlertHandshakeFailure, ErrNoSharedCipher)
	})
	t.Run("SCSV last: served", func(t *testing.T) {
		newPair(t, &ClientConfig{}, basicHello(wire.TLS11, aes, wire.FallbackSCSV), oldServer()).must()
	})
	t.Run("SCSV first with a session ID that hits: required cipher missing, and the session is gone", func(t *testing.T) {
		sc := oldServer()
		p := newPair(t, &ClientConfig{}, basicHello(wire.TLS12, aes), sc)
		p.must()
		sess := p.session()
		ch := basicHello(wire.TLS11, wire.FallbackSCSV, aes)
		ch.SessionID = sess.ID
		q := newPair(t, &ClientConfig{Session: sess}, ch, sc)
		q.run()
		wantAlert(t, q, wire.AlertIllegalParameter, ErrRequiredCipherMissing)
		if n := len(sc.Sessions.(mapStore)); n != 0 {
			t.Fatalf("%d sessions left in the store, want none", n)
		}
	})
	t.Run("SCSV at TLS 1.1 on a server with TLS 1.2: inappropriate fallback", func(t *testing.T) {
		p := newPair(t, &ClientConfig{}, basicHello(wire.TLS11, wire.FallbackSCSV, aes), basicServer())
		p.run()
		wantAlert(t, p, wire.AlertInappropriateFallback, ErrInappropriateFallback)
	})
	t.Run("SSL 3.0 hello with SSL 3.0 off: alert 40 in a 0x0300 record", func(t *testing.T) {
		p := newPair(t, &ClientConfig{}, basicHello(wire.SSL30, aes), basicServer())
		p.run()
		wantAlert(t, p, wire.AlertHandshakeFailure, ErrVersionTooLow)
		if got := wire.Version(uint16(p.fromServer[1])<<8 | uint16(p.fromServer[2])); got != wire.SSL30 {
			t.Fatalf("alert in a %v record", got)
		}
	})
}

// wantAlert: the server refused with d because of cause, and the client was told so.
func wantAlert(t *testing.T, p *pair, d wire.AlertDescription, cause error) {
	t.Helper()
	var la *LocalAlert
	if !errors.As(p.server.Err(), &la) || la.Description != d || !errors.Is(la, cause) {
		t.Fatalf("server: %v, want %v because %v", p.server.Err(), d, cause)
	}
	var pa *PeerAlert
	if !errors.As(p.client.Err(), &pa) || pa.Description != d {
		t.Fatalf("client: %v, want the alert %v", p.client.Err(), d)
	}
}
