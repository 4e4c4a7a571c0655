package engine

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// trace is one section of testdata/rfc8448.txt.
type trace struct {
	name  string
	moves []move // what was sent, in order
	other map[string][]byte
}

type move struct {
	fromServer bool
	what       string
	bytes      []byte
}

func traces(t *testing.T) (out []trace) {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc8448.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		switch {
		case len(f) < 2 || strings.HasPrefix(line, "# "):
			continue
		case f[0] == "##":
			out = append(out, trace{name: f[1], other: map[string][]byte{}})
			continue
		}
		b, err := hex.DecodeString(f[len(f)-1])
		if err != nil {
			t.Fatalf("%s: %v", f[0], err)
		}
		tr := &out[len(out)-1]
		if f[0] == "c>" || f[0] == "s>" {
			tr.moves = append(tr.moves, move{f[0] == "s>", f[1], b})
		} else {
			tr.other[f[0]] = b
		}
	}
	return out
}

// fifty is the application data of RFC 8448: 0x00 to 0x31.
var fifty = func() []byte {
	b := make([]byte, 50)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// TestRFC8448 replays the traces of RFC 8448 with our client: given its hello, its private keys and the
// server's bytes, it says byte for byte what the RFC says. Section 6 is left out: the private key of its
// client certificate is not published.
func TestRFC8448(t *testing.T) {
	var ticket *Session
	for _, tr := range traces(t) {
		if tr.name == "client-auth" {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			if s := replay(t, tr, ticket); s != nil {
				ticket = s
			}
		})
	}
	want, _ := hex.DecodeString("4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3")
	if ticket == nil || !bytes.Equal(ticket.Secret, want) || ticket.MaxEarly != 1024 || ticket.Lifetime != 30*time.Second {
		t.Errorf("the session of section 3 is %+v", ticket)
	}
}

func replay(t *testing.T, tr trace, ticket *Session) (session *Session) {
	pool := tr.other["client_pool"]
	at := 32 // the client random comes first, then a session ID if the hello has one
	ch, _, err := hello.Parse(bytes.Clone(tr.moves[0].bytes))
	if err != nil {
		t.Fatal(err)
	}
	at += len(ch.SessionID)
	share, err := keys.NewShare(wire.X25519, pool[at:at+32])
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ClientConfig{Shares: []*keys.Share{share}, Rand: bytes.NewReader(pool[at+32:])}
	if ch.Has(wire.ExtPreSharedKey) {
		cfg.Session, cfg.EarlyData = ticket, []byte("ABCDEF")
		if err := ch.SetBinder(0, make([]byte, 32)); err != nil { // the engine must find it again
			t.Fatal(err)
		}
	}
	cfg.Retry = func(r *HelloRetry) (*hello.ClientHello, error) {
		for _, m := range tr.moves {
			if m.what == "hello2" {
				second, _, err := hello.Parse(bytes.Clone(m.bytes))
				if err == nil && (len(second.KeyShares()) != 1 || second.KeyShares()[0].Group != r.Group ||
					!bytes.Equal(second.KeyShares()[0].Public, r.Public) || !bytes.Equal(second.Cookie(), r.Cookie)) {
					err = fmt.Errorf("the RFC's second hello answers another request than %+v", r)
				}
				return second, err
			}
		}
		return nil, fmt.Errorf("no second hello in this trace")
	}
	c, err := NewClient(cfg, ch)
	if err != nil {
		t.Fatal(err)
	}
	out := c.AppendOutput(nil)
	for _, m := range tr.moves {
		switch {
		case m.fromServer:
			if m.what == "close_notify" && !c.weClosed {
				c.CloseNotify()
				out = c.AppendOutput(out)
			}
			if err := c.Receive(testNow, bytes.Clone(m.bytes)); err != nil {
				t.Fatalf("the server's %s: %v", m.what, err)
			}
			for e := c.Next(); e.Kind != EventNone; e = c.Next() {
				switch e.Kind {
				case EventSession:
					session = e.Session
				case EventData:
					if !bytes.Equal(e.Data, fifty) {
						t.Errorf("application data %x", e.Data)
					}
				}
			}
			out = c.AppendOutput(out)
			continue
		case m.what == "data":
			if err := c.Send(fifty); err != nil {
				t.Fatal(err)
			}
			out = c.AppendOutput(out)
		case m.what == "close_notify":
			c.CloseNotify()
			out = c.AppendOutput(out)
		}
		n := min(len(out), len(m.bytes))
		if !bytes.Equal(out[:n], m.bytes) {
			t.Fatalf("%s:\n ours %x\n RFC  %x", m.what, out[:n], m.bytes)
		}
		out = out[n:]
	}
	if len(out) > 0 || !c.peerClosed {
		t.Errorf("%d bytes beyond the trace: %x; closed %v", len(out), out, c.peerClosed)
	}
	return session
}
