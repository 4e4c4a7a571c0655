package profiles

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"tlsurge/profiles/wire"
)

func TestSamples(t *testing.T) {
	for _, c := range []struct {
		why, profile string
		s            Sample
		fails        string
	}{
		{"a first hello", "firefox-35-osx", Sample{}, ""},
		{"a fallback", "firefox-35-osx", Sample{Attempt: "fallback"}, ""},
		{"a ticket", "chrome-40-osx", Sample{Resume: "ticket"}, ""},
		{"a PSK", "chromium-156-linux", Sample{Resume: "psk"}, ""},
		{"a fallback with a session ID, as Apple sends it", "safari-8-osx10.10", Sample{Attempt: "fallback", Resume: "id"}, ""},
		{"no fallback in that browser", "chromium-156-linux", Sample{Attempt: "fallback"}, "never falls back"},
		{"no tickets in that browser", "safari-8-osx10.10", Sample{Resume: "ticket"}, "no session_ticket"},
		{"no extensions in an SSL 3.0 hello", "android-4.2.2", Sample{Attempt: "fallback", Resume: "ticket"}, "its SSL 3.0 hello has no session_ticket"},
		{"no TLS 1.3 in that browser", "firefox-35-osx", Sample{Resume: "psk"}, "needs TLS 1.3"},
		{"a word that is none", "firefox-35-osx", Sample{Attempt: "second"}, "allowed are first and fallback"},
		{"another", "firefox-35-osx", Sample{Resume: "cookie"}, "allowed are none, id, ticket and psk"},
	} {
		p, err := Lookup(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.Sample(c.s)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: got %v, expected it to say %q", c.why, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		b, err := p.Sample(c.s)
		if err != nil || !bytes.Equal(a.AppendRecords(nil), b.AppendRecords(nil)) {
			t.Errorf("%s: the same seed gives another hello (%v)", c.why, err)
		}
		if a.HasSuite(wire.FallbackSCSV) != (c.s.Attempt == "fallback") {
			t.Errorf("%s: TLS_FALLBACK_SCSV is %v", c.why, a.HasSuite(wire.FallbackSCSV))
		}
		if a.ServerName() != "www.example.test" {
			t.Errorf("%s: it names %q", c.why, a.ServerName())
		}
	}
}

// TestSamplesOfAll: every profile shows and lists itself.
func TestSamplesOfAll(t *testing.T) {
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(Names()) {
		t.Errorf("%d of %d profiles listed", len(list), len(Names()))
	}
	for _, s := range list {
		p, err := Lookup(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := p.Show(&out); err != nil {
			t.Error(err)
		}
		if !strings.Contains(out.String(), s.Source) || !strings.Contains(out.String(), p.Behaviour()) {
			t.Errorf("%s: shown without its source or behaviour", s.Name)
		}
	}
}

// TestListen takes a hello from a live connection in two pieces, and refuses plain HTTP.
func TestListen(t *testing.T) {
	p, err := Lookup("chromium-156-linux")
	if err != nil {
		t.Fatal(err)
	}
	ch, err := p.Sample(Sample{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	raw := ch.AppendRecords(nil)
	for _, c := range []struct {
		why    string
		pieces [][]byte
		fails  string
	}{
		{"a hello in two writes", [][]byte{raw[:1000], raw[1000:]}, ""},
		{"plain HTTP", [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, "plain text"},
		{"half a hello and a close", [][]byte{raw[:1000]}, "after 1000 bytes"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		done := make(chan error, 1)
		go func() {
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err == nil {
				for _, b := range c.pieces {
					if _, err = conn.Write(b); err != nil {
						break
					}
				}
				conn.(*net.TCPConn).CloseWrite()
				defer conn.Close()
				// The other end closes once it has what it wants.
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				conn.Read(make([]byte, 1))
			}
			done <- err
		}()
		found, err := Listen(ctx, ln, 1, 5*time.Second)
		cancel()
		ln.Close()
		if werr := <-done; werr != nil {
			t.Errorf("%s: %v", c.why, werr)
		}
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: got %v, expected it to say %q", c.why, err, c.fails)
			}
			continue
		}
		if err != nil || len(found) != 1 || !bytes.Equal(found[0].Raw, raw) {
			t.Errorf("%s: %d hellos, %v", c.why, len(found), err)
		}
	}
}
