package engine

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// shape is one kind of handshake of the 1.0-1.2 family, for the laws below.
type shape struct {
	name  string
	build func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig)
}

var shapes = []shape{
	{"RSA, TLS 1.0", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		return &ClientConfig{Rand: seeded(2)}, basicHello(wire.TLS10, wire.TLS_RSA_WITH_AES_128_CBC_SHA), basicServer()
	}},
	{"SSL 3.0, RC4", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		sc := basicServer()
		sc.Versions |= Versions(wire.SSL30)
		return &ClientConfig{Rand: seeded(2)}, basicHello(wire.SSL30, wire.TLS_RSA_WITH_RC4_128_SHA), sc
	}},
	{"ECDHE-ECDSA, TLS 1.2, ALPN, EMS, stapled", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		sc := basicServer()
		sc.ALPN = []string{"http/1.1"}
		sc.Certificates[1].OCSP = []byte("an OCSP response")
		ch := basicHello(wire.TLS12, wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
		withALPN(ch)
		withEMS(ch)
		setExt(ch, wire.ExtStatusRequest, []byte{1, 0, 0, 0, 0})
		return &ClientConfig{Rand: seeded(2)}, ch, sc
	}},
	{"DHE-RSA, TLS 1.1, NPN, ticket", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		sc := basicServer()
		sc.NPN = []string{"spdy/3", "http/1.1"}
		sc.Tickets = FixedTicketKeys{{}}
		ch := basicHello(wire.TLS11, wire.TLS_DHE_RSA_WITH_AES_256_CBC_SHA)
		withNPN(ch)
		setExt(ch, wire.ExtSessionTicket, nil)
		return &ClientConfig{Rand: seeded(2)}, ch, sc
	}},
	{"client certificate, TLS 1.2", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		sc := basicServer()
		sc.ClientAuth = ClientAuthRequire
		return &ClientConfig{Rand: seeded(2), Certificate: fileCert("ecdsa")}, basicHello(wire.TLS12, wire.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384), sc
	}},
	{"resumed by session ID, TLS 1.0", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		return resumedShape(t, wire.TLS10, wire.TLS_RSA_WITH_AES_128_CBC_SHA, false)
	}},
	{"resumed by ticket that is renewed, NPN, TLS 1.1", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		cc, ch, sc := resumedShape(t, wire.TLS11, wire.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, true)
		sc.Tickets = FixedTicketKeys{{Name: [16]byte{1}}, {}}
		sc.NPN = []string{"http/1.1"}
		withNPN(ch)
		return cc, ch, sc
	}},
	{"resumed by ticket, TLS 1.2", func(t testing.TB) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
		return resumedShape(t, wire.TLS12, wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true)
	}},
}

func resumedShape(t testing.TB, v wire.Version, suite wire.CipherSuite, ticket bool) (*ClientConfig, *hello.ClientHello, *ServerConfig) {
	sc := basicServer()
	store := mapStore{}
	sc.Sessions = store
	ch := basicHello(v, suite)
	if ticket {
		sc.Tickets = FixedTicketKeys{{}}
		setExt(ch, wire.ExtSessionTicket, nil)
	}
	p := newPair(t, &ClientConfig{Rand: seeded(2)}, ch, sc)
	p.must()
	s := p.session()
	ch = basicHello(v, suite)
	ch.SessionID = s.ID
	if ticket {
		ch.SessionID = bytes.Repeat([]byte{5}, 32)
		setExt(ch, wire.ExtSessionTicket, s.Ticket)
	}
	sc.Rand = seeded(4)
	return &ClientConfig{Rand: seeded(3), Session: s}, ch, sc
}

func (s shape) pair(t testing.TB) *pair {
	cc, ch, sc := s.build(t)
	return newPair(t, cc, ch, sc)
}

// Any split of the input gives the same events and the same output.
func TestSplitLaw(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			whole := s.pair(t)
			whole.must()
			for _, chunk := range []int{1, 2, 3, 4, 5, 6, 7, 64, 1000} {
				p := s.pair(t)
				p.chunk = chunk
				p.must()
				if !bytes.Equal(p.fromClient, whole.fromClient) || !bytes.Equal(p.fromServer, whole.fromServer) {
					t.Fatalf("in pieces of %d the two ends said something else", chunk)
				}
				if a, b := fmt.Sprint(p.clientEvents), fmt.Sprint(whole.clientEvents); len(p.clientEvents) != len(whole.clientEvents) {
					t.Fatalf("in pieces of %d: events %s, whole %s", chunk, a, b)
				}
			}
		})
	}
}

// The same with splits and damage that rapid chooses: a split must not change how a connection fails.
func TestSplitLawOnDamage(t *testing.T) {
	base := shapes[2].pair(t)
	base.must()
	cut := len(base.fromServer)
	rapid.Check(t, func(r *rapid.T) {
		in := bytes.Clone(base.fromServer)
		i := rapid.IntRange(0, cut-1).Draw(r, "damaged byte")
		in[i] ^= byte(rapid.IntRange(1, 255).Draw(r, "damage"))
		run := func(pieces []int) (out []byte, err error, events int) {
			cc, ch, _ := shapes[2].build(t)
			c, _ := NewClient(cc, ch)
			rest := bytes.Clone(in)
			for k := 0; len(rest) > 0; k++ {
				n := len(rest)
				if k < len(pieces) {
					n = min(n, pieces[k])
				}
				err = c.Receive(testNow, rest[:n:n])
				rest = rest[n:]
				for c.Next().Kind != EventNone {
					events++
				}
			}
			return c.AppendOutput(nil), err, events
		}
		out1, err1, n1 := run(nil)
		out2, err2, n2 := run(rapid.SliceOfN(rapid.IntRange(1, 300), 0, 40).Draw(r, "pieces"))
		if !bytes.Equal(out1, out2) || fmt.Sprint(err1) != fmt.Sprint(err2) || n1 != n2 {
			r.Fatalf("whole: %d bytes out, %v; split: %d bytes out, %v", len(out1), err1, len(out2), err2)
		}
	})
}

// The same input, clock and random source give the same bytes.
func TestDeterminism(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			a, b := s.pair(t), s.pair(t)
			a.must()
			b.must()
			if !bytes.Equal(a.fromClient, b.fromClient) || !bytes.Equal(a.fromServer, b.fromServer) {
				t.Fatal("two runs from the same seeds differ")
			}
		})
	}
}

// A failure sticks: its alert can be read out once, and everything after gives the same error.
func TestFailureIsSticky(t *testing.T) {
	s := NewServer(basicServer())
	err := s.Receive(testNow, []byte{22, 3, 1, 0, 4, 2, 0, 0, 0})
	var la *LocalAlert
	if !errors.As(err, &la) || la.Description != wire.AlertUnexpectedMessage {
		t.Fatalf("a ServerHello to a server: %v", err)
	}
	if again := s.Receive(testNow, basicHello(wire.TLS12, 0x2f).AppendRecords(nil)); again != err {
		t.Fatalf("the next Receive: %v", again)
	}
	if again := s.ReceiveEOF(testNow); again != err {
		t.Fatalf("ReceiveEOF: %v", again)
	}
	if again := s.Send([]byte("x")); again != err {
		t.Fatalf("Send: %v", again)
	}
	s.CloseNotify()
	if out := s.AppendOutput(nil); !bytes.Equal(out, []byte{21, 3, 1, 0, 2, 2, 10}) {
		t.Fatalf("output %x, want one fatal unexpected_message", out)
	}
	if out := s.AppendOutput(nil); len(out) != 0 {
		t.Fatalf("the alert came twice: %x", out)
	}
}

// The bytes hashed are the bytes sent: a bit turned in any plaintext handshake message makes the
// handshake fail, at the latest at Finished.
func TestEveryHandshakeBitCounts(t *testing.T) {
	for _, s := range []shape{shapes[0], shapes[2]} {
		base := s.pair(t)
		base.must()
		flight := len(firstFlight(base.fromServer))
		for i := 0; i < flight; i += 37 {
			p := s.pair(t)
			i := i
			p.tamper = func(fromServer bool, offset int, b []byte) {
				if fromServer && offset <= i && i < offset+len(b) {
					b[i-offset] ^= 1
				}
			}
			p.run()
			if p.client.HandshakeDone() && p.server.HandshakeDone() {
				t.Fatalf("%s: bit turned at %d of the server's flight, and both ends are done", s.name, i)
			}
		}
	}
}

// firstFlight is what a server sends before it first reads again: everything up to ServerHelloDone.
func firstFlight(b []byte) []byte {
	for i := 0; i+5 <= len(b); {
		h, _ := wire.ParseRecordHeader(b[i:])
		end := i + 5 + h.Length
		if h.Type == wire.RecordHandshake && b[i+5] == byte(wire.TypeServerHelloDone) {
			return b[:end]
		}
		i = end
	}
	return b
}

// close_notify and truncation are told apart.
func TestClosing(t *testing.T) {
	t.Run("close_notify, then FIN: an orderly end", func(t *testing.T) {
		p := shapes[0].pair(t)
		p.must()
		p.client.CloseNotify()
		p.run()
		if n := len(p.serverEvents); n == 0 || p.serverEvents[n-1].Kind != EventCloseNotify {
			t.Fatalf("events %v, want close_notify last", p.serverEvents)
		}
		if err := p.server.ReceiveEOF(testNow); err != nil {
			t.Fatal(err)
		}
		if err := p.client.Send([]byte("late")); !errors.Is(err, ErrClosed) {
			t.Fatalf("Send after CloseNotify: %v", err)
		}
	})
	t.Run("FIN alone: truncation, and no alert", func(t *testing.T) {
		p := shapes[0].pair(t)
		p.must()
		err := p.server.ReceiveEOF(testNow)
		var eof *EOFError
		if !errors.As(err, &eof) || !errors.Is(err, ErrTruncated) || eof.State != "CONNECTED" || p.server.HasOutput() {
			t.Fatalf("%v, output %v", err, p.server.HasOutput())
		}
	})
	t.Run("FIN in the handshake names the state", func(t *testing.T) {
		p := shapes[0].pair(t)
		err := p.client.ReceiveEOF(testNow)
		var eof *EOFError
		if !errors.As(err, &eof) || eof.State != "WAIT_SH" || !p.client.AwaitingServerHello() {
			t.Fatalf("%v", err)
		}
	})
}
