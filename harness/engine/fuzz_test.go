package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tlsurge/profiles/wire"
)

// seedsFrom gives the peer's bytes of the recorded sessions whose file names begin with prefix.
func seedsFrom(f *testing.F, prefix string) (seeds [][]byte) {
	files, _ := filepath.Glob("testdata/openssl/" + prefix + "*.txt")
	if len(files) == 0 {
		f.Fatal("no recorded sessions")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var in []byte
		for line := range bytes.Lines(b) {
			if bytes.HasPrefix(line, []byte("< ")) {
				p := make([]byte, (len(line)-3)/2)
				fmt.Sscanf(string(line[2:]), "%x", &p)
				in = append(in, p...)
			}
		}
		seeds = append(seeds, in)
	}
	return seeds
}

// lawful feeds in to a connection made anew by mk, whole and cut at cuts, and checks the laws that hold for
// any bytes: no panic, bounded memory, failure sticky and answered by one alert or by silence, the same
// outcome for any split.
func lawful(t *testing.T, mk func() *Conn, in, cuts []byte) {
	run := func(cuts []byte) (out []byte, err error, events int) {
		c := mk()
		out = c.AppendOutput(nil)
		rest := bytes.Clone(in)
		for i := 0; len(rest) > 0 && err == nil; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[i%len(cuts)]))
			}
			err = c.Receive(testNow, rest[:n:n])
			rest = rest[n:]
			for e := c.Next(); e.Kind != EventNone; e = c.Next() {
				events++
			}
			if len(c.in) > wire.RecordHeaderLen+wire.MaxCiphertext12+1<<15 || len(c.msgs) > maxMessage+wire.MessageHeaderLen {
				t.Fatalf("holds %d bytes of a record and %d of a message", len(c.in), len(c.msgs))
			}
			out = c.AppendOutput(out)
		}
		if err == nil {
			return out, nil, events
		}
		if again := c.Receive(testNow, []byte{22, 3, 1, 0, 1, 0}); again != err {
			t.Fatalf("failed with %v, then with %v", err, again)
		}
		var la *LocalAlert
		var pa *PeerAlert
		switch {
		case errors.As(err, &la):
			if la.Description == wire.AlertInternalError {
				t.Fatalf("a peer's bytes are no internal fault: %v", err)
			}
			if la.Silent == bytes.HasSuffix(out, []byte{2, byte(la.Description)}) && c.write == nil {
				t.Fatalf("silent %v, output ends %x", la.Silent, out[max(0, len(out)-7):])
			}
		case !errors.As(err, &pa):
			t.Fatalf("an error that is neither side's alert: %v", err)
		}
		return out, err, events
	}
	out1, err1, n1 := run(nil)
	out2, err2, n2 := run(cuts)
	if !bytes.Equal(out1, out2) || fmt.Sprint(err1) != fmt.Sprint(err2) || n1 != n2 {
		t.Fatalf("whole: %d bytes out, %d events, %v\nsplit: %d bytes out, %d events, %v", len(out1), n1, err1, len(out2), n2, err2)
	}
}

// FuzzClient12: any bytes from a server.
func FuzzClient12(f *testing.F) {
	for _, s := range seedsFrom(f, "server-tls12-ecdhe") {
		f.Add(s, []byte{200, 3})
	}
	for _, s := range shapes {
		p := s.pair(f)
		p.must()
		f.Add(p.fromServer, []byte{7})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		lawful(t, func() *Conn {
			ch := basicHello(wire.TLS12, ecdheGCM, aesSHA, dheSHA, ecdsaGCM)
			withALPN(ch)
			withNPN(ch)
			withEMS(ch)
			withEtM(ch)
			setExt(ch, wire.ExtSessionTicket, nil)
			setExt(ch, wire.ExtStatusRequest, []byte{1, 0, 0, 0, 0})
			c, err := NewClient(&ClientConfig{Rand: seeded(2), Certificate: fileCert("rsa")}, ch)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}, in, cuts)
	})
}

// FuzzServer12: any bytes from a client, under each personality.
func FuzzServer12(f *testing.F) {
	for i, s := range seedsFrom(f, "client-") {
		f.Add(s, []byte{200, 3}, uint8(i))
	}
	for i, s := range shapes {
		p := s.pair(f)
		p.must()
		f.Add(p.fromClient, []byte{7}, uint8(i))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{1}, uint8(0))
	f.Add([]byte{0x80, 28, 1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 0x2f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, []byte{4}, uint8(1))
	rules := []Rules{{}, RulesOpenSSL098e(), RulesOpenSSL098zc(), RulesOpenSSL101j(), RulesOpenSSL102(), RulesOpenSSL111(), RulesOpenSSL30()}
	f.Fuzz(func(t *testing.T, in, cuts []byte, which uint8) {
		lawful(t, func() *Conn {
			sc := basicServer()
			sc.Versions |= Versions(wire.SSL30)
			sc.Rules = rules[int(which)%len(rules)]
			sc.Sessions, sc.Tickets = mapStore{}, FixedTicketKeys{{}}
			sc.ALPN, sc.NPN = []string{"http/1.1"}, []string{"http/1.1"}
			if which&0x80 != 0 {
				sc.ClientAuth = ClientAuthRequest
			}
			return NewServer(sc)
		}, in, cuts)
	})
}

// FuzzEstablished: any bytes on an established connection, sealed by the peer as any record type.
func FuzzEstablished(f *testing.F) {
	f.Add(uint8(21), []byte{1, 0})
	f.Add(uint8(22), []byte{0, 0, 0, 0})
	f.Add(uint8(22), []byte{1, 0, 0, 4, 3, 3, 0, 0})
	f.Add(uint8(23), []byte("data"))
	f.Fuzz(func(t *testing.T, typ uint8, payload []byte) {
		if len(payload) > wire.MaxPlaintext {
			return
		}
		for _, toClient := range []bool{true, false} {
			p := shapes[0].pair(t)
			p.run()
			from, to := p.client, p.server
			if toClient {
				from, to = p.server, p.client
			}
			from.out = from.write.AppendSeal(nil, wire.RecordType(typ), wire.TLS10, payload)
			err := to.Receive(testNow, from.AppendOutput(nil))
			var la *LocalAlert
			if errors.As(err, &la) && la.Description == wire.AlertInternalError {
				t.Fatal(err)
			}
		}
	})
}

// FuzzTicket: any bytes as a ticket give no session, unless they are the ticket.
func FuzzTicket(f *testing.F) {
	key := FixedTicketKeys{{Name: [16]byte{1}}}
	s := &Session{Version: wire.TLS12, Suite: ecdheGCM, Secret: make([]byte, 48), Created: testNow, ALPN: "h2", EMS: true}
	good, err := sealTicket(&key[0], s, seeded(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:64])
	f.Fuzz(func(t *testing.T, ticket []byte) {
		got, _ := openTicket(key, testNow, ticket)
		if (got != nil) != bytes.Equal(ticket, good) {
			t.Fatalf("%x opened: %v", ticket, got != nil)
		}
	})
}

// FuzzSession: parse, then serialise, gives the bytes back.
func FuzzSession(f *testing.F) {
	f.Add(appendSession(nil, &Session{Version: wire.TLS13, Suite: 0x1301, Secret: make([]byte, 32), Created: testNow, AgeAdd: 7, MaxEarly: 9}))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := parseSession(p)
		if err != nil {
			return
		}
		if p[4] <= 1 && !bytes.Equal(appendSession(nil, s), p) {
			t.Fatalf("%x became %x", p, appendSession(nil, s))
		}
	})
}
