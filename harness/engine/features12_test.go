package engine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Both ends ask for, do and refuse a second handshake.
func TestRenegotiation(t *testing.T) {
	build := func(v wire.Version, suite wire.CipherSuite, client, server Renegotiate) *pair {
		sc := basicServer()
		sc.Versions |= Versions(wire.SSL30)
		sc.Renegotiate = server
		p := newPair(t, &ClientConfig{Renegotiate: client}, basicHello(v, suite), sc)
		p.must()
		return p
	}
	for _, row := range []struct {
		v     wire.Version
		suite wire.CipherSuite
	}{{wire.TLS10, aesSHA}, {wire.TLS12, ecdheGCM}, {wire.TLS11, dheSHA}} {
		for _, byServer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, asked by the server: %v", row.v, byServer), func(t *testing.T) {
				p := build(row.v, row.suite, RenegotiateSecure, RenegotiateSecure)
				before := bytes.Clone(p.client.lastFinished())
				asks := p.client
				if byServer {
					asks = p.server
				}
				for range 2 {
					if err := asks.Renegotiate(); err != nil {
						t.Fatal(err)
					}
					p.run()
					p.exchange([]byte("again"), []byte("and again"))
				}
				if bytes.Equal(before, p.client.lastFinished()) || !bytes.Equal(p.client.lastFinished(), p.server.lastFinished()) {
					t.Fatalf("verify_data before %x, now %x and %x", before, p.client.lastFinished(), p.server.lastFinished())
				}
			})
		}
	}
	t.Run("refused by the server with a warning, and the connection goes on", func(t *testing.T) {
		p := build(wire.TLS12, ecdheGCM, RenegotiateSecure, RenegotiateRefuse)
		if err := p.client.Renegotiate(); err != nil {
			t.Fatal(err)
		}
		p.clientEvents = nil
		p.run()
		if len(p.clientEvents) != 1 || p.clientEvents[0].Alert != wire.AlertNoRenegotiation || p.client.Err() != nil {
			t.Fatalf("events %v, %v", p.clientEvents, p.client.Err())
		}
	})
	t.Run("refused by the client with a warning, and the connection goes on", func(t *testing.T) {
		p := build(wire.TLS12, ecdheGCM, RenegotiateRefuse, RenegotiateSecure)
		if err := p.server.Renegotiate(); err != nil {
			t.Fatal(err)
		}
		p.serverEvents = nil
		p.run()
		if len(p.serverEvents) != 1 || p.serverEvents[0].Alert != wire.AlertNoRenegotiation {
			t.Fatalf("events %v", p.serverEvents)
		}
		p.exchange([]byte("still"), []byte("here"))
	})
	t.Run("refused by closing, as nginx does", func(t *testing.T) {
		p := build(wire.TLS12, ecdheGCM, RenegotiateSecure, RenegotiateClose)
		if err := p.client.Renegotiate(); err != nil {
			t.Fatal(err)
		}
		p.run()
		var la *LocalAlert
		if !errors.As(p.server.Err(), &la) || !la.Silent || !errors.Is(la, ErrNoRenegotiation) {
			t.Fatalf("%v", p.server.Err())
		}
	})
	t.Run("wrong verify_data is handshake_failure", func(t *testing.T) {
		p := build(wire.TLS12, ecdheGCM, RenegotiateSecure, RenegotiateSecure)
		p.client.lastFinished()[0] ^= 1
		if err := p.client.Renegotiate(); err != nil {
			t.Fatal(err)
		}
		p.run()
		var la *LocalAlert
		if !errors.As(p.server.Err(), &la) || la.Description != wire.AlertHandshakeFailure || !errors.Is(la, ErrRenegotiation) {
			t.Fatalf("%v", p.server.Err())
		}
	})
	t.Run("not allowed by the configuration", func(t *testing.T) {
		p := build(wire.TLS12, ecdheGCM, RenegotiateRefuse, RenegotiateRefuse)
		if err := p.client.Renegotiate(); !errors.Is(err, ErrNoRenegotiation) {
			t.Fatal(err)
		}
	})
}

// False start: data before the server's Finished, where RFC 7918 allows it and nowhere else.
func TestFalseStart(t *testing.T) {
	for _, row := range []struct {
		why   string
		suite wire.CipherSuite
		alpn  bool
		want  bool
	}{
		{"ECDHE and AEAD with ALPN", ecdheGCM, true, true},
		{"no ALPN or NPN", ecdheGCM, false, false},
		{"no forward secrecy", wire.TLS_RSA_WITH_AES_128_GCM_SHA256, true, false},
		{"CBC", wire.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, true, false},
	} {
		t.Run(row.why, func(t *testing.T) {
			sc := basicServer()
			sc.ALPN = []string{"http/1.1"}
			ch := basicHello(wire.TLS12, row.suite)
			if row.alpn {
				withALPN(ch)
			}
			p := newPair(t, &ClientConfig{FalseStart: true}, ch, sc)
			p.feed(p.server, p.client.AppendOutput(nil), &p.serverEvents)
			p.feed(p.client, p.server.AppendOutput(nil), &p.clientEvents)
			err := p.client.Send([]byte("early request"))
			if got := err == nil; got != row.want || p.client.HandshakeDone() {
				t.Fatalf("Send before the server's Finished: %v", err)
			}
			p.run()
			if got := string(data(p.serverEvents)); row.want && got != "early request" {
				t.Fatalf("server read %q (%v)", got, p.server.Err())
			}
			if !p.client.HandshakeDone() || p.client.Facts().FalseStart != row.want {
				t.Fatalf("done %v, facts %+v", p.client.HandshakeDone(), p.client.Facts())
			}
		})
	}
}

// Stapled responses, SCTs, server name and protocols reach the facts.
func TestExtensionsReachFacts(t *testing.T) {
	sc := basicServer()
	sc.ALPN = []string{"h2", "http/1.1"}
	sc.Certificates[0].OCSP = []byte("response")
	sc.Certificates[0].SCTs = [][]byte{[]byte("sct one"), []byte("sct two")}
	sc.Rules.AckServerName = true
	ch := basicHello(wire.TLS12, ecdheGCM)
	withALPN(ch)
	setExt(ch, wire.ExtStatusRequest, []byte{1, 0, 0, 0, 0})
	setExt(ch, wire.ExtSCT, nil)
	p := newPair(t, &ClientConfig{}, ch, sc)
	p.must()
	f := p.client.Facts()
	if string(f.Stapled) != "response" || f.ALPN != "http/1.1" || !f.RenegotiationInfo || p.server.Facts().ServerName != "www.example.test" {
		t.Fatalf("client %+v, server %+v", f, p.server.Facts())
	}
}

// The SSLv2-format ClientHello, from our client to our server, up to application data.
func TestSSLv2Hello(t *testing.T) {
	for _, v := range []wire.Version{wire.SSL30, wire.TLS10} {
		t.Run(v.String(), func(t *testing.T) {
			ch := &hello.ClientHello{Format: hello.FormatSSLv2, Version: v, ChallengeLen: 16, Suites: []wire.CipherSuite{aesSHA, 5},
				SSLv2Suites: []uint32{0x010080, uint32(aesSHA), 5}}
			seeded(8).Read(ch.Random[16:])
			sc := basicServer()
			sc.Versions = Versions(v)
			p := newPair(t, &ClientConfig{}, ch, sc)
			p.must()
			if got := p.server.Facts().Version; got != v {
				t.Fatalf("negotiated %v", got)
			}
		})
	}
}

// Records of any size: handshake messages are cut into them, and put together again.
func TestFragmentation(t *testing.T) {
	for _, s := range shapes {
		for _, n := range []int{1, 5, 100} {
			cc, ch, sc := s.build(t)
			cc.MaxFragment, sc.MaxFragment = n, n
			newPair(t, cc, ch, sc).must()
		}
	}
}

// 1/n-1 splitting is done under chained CBC and nowhere else.
func TestRecordSplitting(t *testing.T) {
	for _, row := range []struct {
		v     wire.Version
		suite wire.CipherSuite
		split Split
		want  []int // plaintext lengths
	}{
		{wire.TLS10, aesSHA, SplitOne, []int{1, 9}},
		{wire.TLS10, aesSHA, SplitEmpty, []int{0, 10}},
		{wire.TLS10, aesSHA, SplitNone, []int{10}},
		{wire.SSL30, wire.TLS_RSA_WITH_3DES_EDE_CBC_SHA, SplitOne, []int{1, 9}},
		{wire.TLS10, wire.TLS_RSA_WITH_RC4_128_SHA, SplitOne, []int{10}},
		{wire.TLS11, aesSHA, SplitOne, []int{10}},
	} {
		t.Run(fmt.Sprintf("%v %v %v", row.v, row.suite, row.split), func(t *testing.T) {
			sc := basicServer()
			sc.Versions = Versions(row.v)
			p := newPair(t, &ClientConfig{Split: row.split}, basicHello(row.v, row.suite), sc)
			p.must()
			if err := p.client.Send([]byte("ten bytes.")); err != nil {
				t.Fatal(err)
			}
			var got []int
			for out := p.client.AppendOutput(nil); len(out) > 0; {
				h, _ := wire.ParseRecordHeader(out)
				_, plain, err := p.server.read.Open(out[:5+h.Length])
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, len(plain))
				out = out[5+h.Length:]
			}
			if fmt.Sprint(got) != fmt.Sprint(row.want) {
				t.Fatalf("records of %v bytes, want %v", got, row.want)
			}
		})
	}
}

// SSLKEYLOGFILE: one CLIENT_RANDOM line per handshake, full and resumed, the same secret on both sides.
func TestKeyLog(t *testing.T) {
	for _, s := range shapes {
		cc, ch, sc := s.build(t)
		lines := map[string]int{}
		log := func(label string, random, secret []byte) { lines[fmt.Sprintf("%s %x %x", label, random, secret)]++ }
		cc.KeyLog, sc.KeyLog = log, log
		newPair(t, cc, ch, sc).must()
		if len(lines) != 1 {
			t.Fatalf("%s: lines %v", s.name, lines)
		}
		for line, n := range lines {
			if n != 2 || len(line) != len("CLIENT_RANDOM ")+64+1+96 {
				t.Fatalf("%s: %d times %s", s.name, n, line)
			}
		}
	}
}

// Extended master secret and resumption (RFC 7627 §5.3).
func TestEMSResumption(t *testing.T) {
	for _, row := range []struct {
		first, second bool
		want          string
	}{
		{true, true, "resumed"}, {false, false, "resumed"}, {false, true, "full"}, {true, false, "refused"},
	} {
		t.Run(fmt.Sprintf("session %v, hello %v: %s", row.first, row.second, row.want), func(t *testing.T) {
			sc := basicServer()
			sc.Sessions = mapStore{}
			mk := func(ems bool) *hello.ClientHello {
				ch := basicHello(wire.TLS12, ecdheGCM)
				if ems {
					withEMS(ch)
				}
				return ch
			}
			p := newPair(t, &ClientConfig{}, mk(row.first), sc)
			p.must()
			ch := mk(row.second)
			s := p.session()
			ch.SessionID = s.ID
			q := newPair(t, &ClientConfig{Session: s}, ch, sc)
			q.run()
			got := "full"
			switch {
			case q.server.Err() != nil:
				got = "refused"
			case q.client.Facts().Resumed == ByID:
				got = "resumed"
			}
			if got != row.want {
				t.Fatalf("%s: client %v, server %v", got, q.client.Err(), q.server.Err())
			}
		})
	}
}

// A ticket that is damaged, foreign, of another version or too old means a full handshake, never an alert.
func TestBadTickets(t *testing.T) {
	sc := basicServer()
	sc.Tickets = FixedTicketKeys{{Name: [16]byte{1}}}
	mk := func(ticket []byte) *hello.ClientHello {
		ch := basicHello(wire.TLS12, ecdheGCM)
		setExt(ch, wire.ExtSessionTicket, ticket)
		ch.SessionID = bytes.Repeat([]byte{1}, 32)
		return ch
	}
	p := newPair(t, &ClientConfig{}, mk(nil), sc)
	p.must()
	s := p.session()
	for _, row := range []struct {
		why    string
		ticket func([]byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"one byte", func([]byte) []byte { return []byte{1} }},
		{"a bit turned in the name", func(b []byte) []byte { b[0] ^= 1; return b }},
		{"a bit turned in the IV", func(b []byte) []byte { b[16] ^= 1; return b }},
		{"a bit turned in the ciphertext", func(b []byte) []byte { b[40] ^= 1; return b }},
		{"a bit turned in the MAC", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"cut short", func(b []byte) []byte { return b[:len(b)-16] }},
		{"of another server", func(b []byte) []byte {
			other, err := sealTicket(&TicketKey{Name: [16]byte{9}}, s, seeded(1))
			if err != nil {
				t.Fatal(err)
			}
			return other
		}},
	} {
		t.Run(row.why, func(t *testing.T) {
			q := newPair(t, &ClientConfig{Session: s}, mk(row.ticket(bytes.Clone(s.Ticket))), sc)
			q.must()
			if q.client.Facts().Resumed != NotResumed || q.session() == nil {
				t.Fatalf("resumed %q, new ticket %v", q.client.Facts().Resumed, q.session() != nil)
			}
		})
	}
}

// Parking an established connection changes nothing that the peer can see.
func TestPark(t *testing.T) {
	for _, s := range shapes {
		p := s.pair(t)
		p.must()
		for range 3 {
			p.client.Park()
			p.server.Park()
			p.exchange([]byte("ping"), []byte("pong"))
		}
	}
}

// AppendData with room in its buffer allocates nothing, nor does opening what it made.
func TestAppendDataAllocates(t *testing.T) {
	for _, suite := range []wire.CipherSuite{ecdheGCM, aesSHA} {
		p := newPair(t, &ClientConfig{}, basicHello(wire.TLS12, suite), basicServer())
		p.must()
		msg, buf := bytes.Repeat([]byte("x"), 400), make([]byte, 0, 1024)
		run := func() {
			out, err := p.client.AppendData(buf[:0], msg)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.server.Receive(testNow, out); err != nil {
				t.Fatal(err)
			}
			if e := p.server.Next(); e.Kind != EventData || len(e.Data) != len(msg) {
				t.Fatalf("event %v", e.Kind)
			}
			p.server.Next()
		}
		run()
		if n := testing.AllocsPerRun(50, run); n != 0 {
			t.Errorf("%v: %v allocations for one message sent and read", suite, n)
		}
	}
}

// TestSmallGroups: a client with a limit refuses a DHE group below it with handshake_failure, and takes one at it.
func TestSmallGroups(t *testing.T) {
	small, err := hex.DecodeString("fddd9af9017bfa4b9f84e42af4d5dd9fef527ff03accafbd86c0887f63f35bef407f33612e2ce95a2361c256b7ff2bb804c6d676d0d9bce4220cca89b5d3e497")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		why     string
		group   *keys.DHGroup
		limit   int
		refused bool
	}{
		{"no limit", &keys.DHGroup{P: small, G: []byte{2}}, 0, false},
		{"below the limit", &keys.DHGroup{P: small, G: []byte{2}}, 1023, true},
		{"at the limit", keys.DHGroupOf(1024), 1024, false},
		{"one bit below", keys.DHGroupOf(1024), 1025, true},
	} {
		t.Run(row.why, func(t *testing.T) {
			sc := basicServer()
			sc.DH = row.group
			p := newPair(t, &ClientConfig{MinDHBits: row.limit}, basicHello(wire.TLS12, dheSHA), sc)
			if !row.refused {
				p.must()
				return
			}
			p.run()
			var la *LocalAlert
			var pa *PeerAlert
			if err := p.client.Err(); !errors.Is(err, ErrWeakDH) || !errors.As(err, &la) || la.Description != wire.AlertHandshakeFailure {
				t.Errorf("the client: %v", err)
			}
			if err := p.server.Err(); !errors.As(err, &pa) || pa.Description != wire.AlertHandshakeFailure {
				t.Errorf("the server: %v", err)
			}
		})
	}
}
