package hello

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"tlsurge/profiles/wire"
)

// captured gives the hellos of testdata/captured.txt by name.
func captured(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/captured.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string][]byte)
	for l := range strings.Lines(string(text)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(l), " ")
		if !ok || name == "#" {
			continue
		}
		if m[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// sslv2 is an SSLv2-format hello of the shape that IE 6 and Java 6 sent.
func sslv2() []byte {
	ch := &ClientHello{Format: FormatSSLv2, Version: wire.TLS10, SSLv2Suites: []uint32{0x010080, 0x0007c0, 0x00002f, 0x0000ff}, ChallengeLen: 16}
	for i := range 16 {
		ch.Random[16+i] = byte(i)
	}
	return ch.AppendRecords(nil)
}

func TestParseAndAppendAreInverse(t *testing.T) {
	all := captured(t)
	all["sslv2"] = sslv2()
	for name, raw := range all {
		ch, rest, err := Parse(raw)
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %v, %d bytes left", name, err, len(rest))
			continue
		}
		if got := ch.AppendRecords(nil); !bytes.Equal(got, raw) {
			t.Errorf("%s: other bytes came back", name)
		}
		if msg := ch.AppendMessage(nil); ch.Format == FormatTLS && len(msg) != ch.MessageLen() {
			t.Errorf("%s: MessageLen %d, message of %d", name, ch.MessageLen(), len(msg))
		}
		if !bytes.Equal(ch.Clone().AppendRecords(nil), raw) {
			t.Errorf("%s: the clone differs", name)
		}
		if err := ch.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// Every shorter input is "more bytes needed", so that a reader can wait.
		for n := range raw {
			if _, _, err := Parse(raw[:n]); !errors.Is(err, wire.ErrShort) {
				t.Errorf("%s: cut to %d bytes gives %v", name, n, err)
				break
			}
		}
	}
}

// TestFragments: a message over several records keeps its cuts, and reads the same.
func TestFragments(t *testing.T) {
	raw := captured(t)["chromium-156-linux"]
	whole, _, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	n := whole.MessageLen()
	for _, cuts := range [][]int{{1, n - 1}, {100, 1000, n - 1100}, {n - 1, 1}} {
		ch := whole.Clone()
		ch.Fragments = cuts
		cut := ch.AppendRecords(nil)
		again, rest, err := Parse(cut)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%v: %v", cuts, err)
		}
		if !bytes.Equal(again.AppendRecords(nil), cut) || !bytes.Equal(again.AppendMessage(nil), whole.AppendMessage(nil)) {
			t.Errorf("%v: other bytes came back", cuts)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	hello := captured(t)["go-1.26-nethttp"]
	serverHello := (&wire.ServerHello{Version: wire.TLS12, Suite: wire.TLS_RSA_WITH_AES_128_CBC_SHA}).AppendMessage(nil)
	patch := func(off int, v ...byte) []byte {
		p := bytes.Clone(hello)
		copy(p[off:], v)
		return p
	}
	for _, c := range []struct {
		why  string
		in   []byte
		says string
	}{
		{"a ServerHello is named", wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS12, serverHello), "a ServerHello message"},
		{"an alert is named", wire.AppendAlert(nil, wire.TLS12, wire.LevelFatal, wire.AlertHandshakeFailure), "record of type alert"},
		{"plain HTTP is named", []byte("GET / HTTP/1.1\r\n\r\n"), "plain text"},
		{"an answer in HTTP is named", []byte("HTTP/1.1 400 Bad Request\r\n"), "plain text"},
		{"another first byte is shown", []byte{0x05, 1, 2, 3, 4, 5}, "first byte 0x05"},
		{"a record version out of range", patch(1, 9, 9), "record version 0x0909"},
		{"an empty record", []byte{22, 3, 1, 0, 0, 0}, "a record of 0 bytes"},
		{"odd cipher_suites", patch(76, 0, 3), "cipher_suites of 3 bytes"},
		{"an SSLv2 header with another message", []byte{0x80, 3, 4, 0, 2, 0, 0}, "message type 4"},
	} {
		if _, _, err := Parse(c.in); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, expected it to say %q", c.why, err, c.says)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	raw := captured(t)["firefox-153esr-linux"]
	for _, c := range []struct {
		why    string
		change func(*ClientHello)
		says   string
	}{
		{"the same extension twice (RFC 8446 §4.2)", func(ch *ClientHello) { ch.Extensions = append(ch.Extensions, ch.Extensions[0]) }, "server_name twice"},
		{"pre_shared_key before the end (RFC 8446 §4.2.11)", func(ch *ClientHello) {
			ch.Extensions = append([]Extension{{Type: wire.ExtPreSharedKey, Data: make([]byte, 10)}}, ch.Extensions...)
		}, "not the last"},
		{"an empty ALPN name", func(ch *ClientHello) { set(ch, wire.ExtALPN, []byte{0, 1, 0}) }, "application_layer_protocol_negotiation"},
		{"supported_groups of odd length", func(ch *ClientHello) { set(ch, wire.ExtSupportedGroups, []byte{0, 3, 0, 23, 1}) }, "supported_groups"},
		{"a key share that runs over", func(ch *ClientHello) { set(ch, wire.ExtKeyShare, []byte{0, 4, 0, 23, 0, 9}) }, "key_share"},
	} {
		ch, _, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		ch = ch.Clone()
		c.change(ch)
		if err := ch.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, expected it to say %q", c.why, err, c.says)
		}
	}
}

func set(ch *ClientHello, t wire.ExtensionType, data []byte) {
	for i := range ch.Extensions {
		if ch.Extensions[i].Type == t {
			ch.Extensions[i].Data = data
		}
	}
}

// TestJA3Worked is the worked example of the JA3 authors' README.
func TestJA3Worked(t *testing.T) {
	ch := &ClientHello{Version: wire.TLS10, Suites: []wire.CipherSuite{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}, Compression: []uint8{0}}
	if got := ch.JA3(); got != "769,4-5-10-9-100-98-3-6-19-18-99,,," {
		t.Errorf("JA3 string %q", got)
	}
	if got := ch.JA3Hash(); got != "de350869b8c85de67a350c8d186f11e6" {
		t.Errorf("JA3 %s", got)
	}
}

func TestJA4ALPN(t *testing.T) {
	for _, c := range []struct{ alpn, want string }{{"h2", "h2"}, {"http/1.1", "h1"}, {"", "00"}, {"\xab\xcd", "ad"}, {"x", "xx"}} {
		got := ja4ALPN([]string{c.alpn})
		if got != c.want {
			t.Errorf("ALPN %q gives %q, expected %q", c.alpn, got, c.want)
		}
	}
}

func TestSetBinder(t *testing.T) {
	raw := captured(t)["chromium-156-linux-psk"]
	ch, _, err := Parse(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	psk, ok := ch.PSK()
	if !ok || len(psk.Identities) != 1 || psk.BindersLen != 35 {
		t.Fatalf("%+v", psk)
	}
	binder := bytes.Repeat([]byte{0x5a}, 32)
	if err := ch.SetBinder(0, binder); err != nil {
		t.Fatal(err)
	}
	if got := ch.AppendRecords(nil); !bytes.Equal(got[len(got)-32:], binder) || !bytes.Equal(got[:len(got)-32], raw[:len(raw)-32]) {
		t.Error("the binder is not where it belongs, or more than it changed")
	}
	if ch.SetBinder(0, binder[:31]) == nil || ch.SetBinder(1, binder) == nil {
		t.Error("a binder that does not fit was taken")
	}
}

// FuzzParse: whatever parses comes back byte for byte, and no accessor panics on it.
func FuzzParse(f *testing.F) {
	for _, raw := range captured(f) {
		f.Add(raw)
	}
	f.Add(sslv2())
	f.Fuzz(func(t *testing.T, p []byte) {
		ch, rest, err := Parse(p)
		if err != nil {
			return
		}
		if got := append(ch.AppendRecords(nil), rest...); !bytes.Equal(got, p) {
			t.Fatalf("parse and append are not inverse:\n%x\n%x", p, got)
		}
		ch.Check()
		ch.JA3Hash()
		ch.JA4()
		ch.ServerName()
		ch.PSK()
		ch.MaxVersion()
		if a, b := ch.UnorderedIdentity(), ch.Skeleton().UnorderedIdentity(); a != b {
			t.Fatalf("the skeleton of a skeleton is another: %s, %s", a, b)
		}
	})
}

// FuzzImport: no input panics, and what is found reads again as itself.
func FuzzImport(f *testing.F) {
	for name, raw := range captured(f) {
		f.Add(raw)
		if strings.HasPrefix(name, "openssl") {
			f.Add([]byte(hex.EncodeToString(raw)))
		}
	}
	f.Add(sslv2())
	f.Add(testCapture(f))
	f.Fuzz(func(t *testing.T, p []byte) {
		found, err := Import(p)
		if (err == nil) != (len(found) > 0) {
			t.Fatalf("%d hellos and error %v", len(found), err)
		}
		for _, c := range found {
			if again, _, err := Parse(c.Raw); err != nil || again.Identity() != c.Hello.Identity() {
				t.Fatalf("what was found reads otherwise: %v", err)
			}
		}
	})
}
