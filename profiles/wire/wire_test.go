package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestNamesAreInverse: every number of the tables comes back from its name, and numbers without one from
// their hex.
func TestNamesAreInverse(t *testing.T) {
	for v := range suiteNames {
		if got, err := ParseCipherSuite(v.String()); err != nil || got != v {
			t.Errorf("suite %v: %v, %v", v, got, err)
		}
	}
	for v := range groupNames {
		if got, err := ParseGroup(v.String()); err != nil || got != v {
			t.Errorf("group %v: %v, %v", v, got, err)
		}
	}
	for v := range schemeNames {
		if got, err := ParseSignatureScheme(v.String()); err != nil || got != v {
			t.Errorf("scheme %v: %v, %v", v, got, err)
		}
	}
	for v := range extensionNames {
		if got, err := ParseExtensionType(v.String()); err != nil || got != v {
			t.Errorf("extension %v: %v, %v", v, got, err)
		}
	}
	for v := range certCompressionNames {
		if got, err := ParseCertCompression(v.String()); err != nil || got != v {
			t.Errorf("certificate compression %v: %v, %v", v, got, err)
		}
	}
	for v := range specNames {
		if got, err := ParseSSLv2Spec(SSLv2SpecString(v)); err != nil || got != v {
			t.Errorf("SSLv2 spec %06x: %06x, %v", v, got, err)
		}
	}
	for _, v := range []Version{SSL20, SSL30, TLS10, TLS11, TLS12, TLS13, 0x7f17} {
		if got, err := ParseVersion(v.String()); err != nil || got != v {
			t.Errorf("version %v: %v, %v", v, got, err)
		}
	}
	for _, v := range []CipherSuite{0xfe01, 0x00fe} {
		if got, err := ParseCipherSuite(v.String()); err != nil || got != v {
			t.Errorf("suite without a name %v: %v, %v", v, got, err)
		}
	}
}

// TestNamesRefuse: the error says what was seen and what is allowed.
func TestNamesRefuse(t *testing.T) {
	for _, c := range []struct {
		parse func() error
		says  string
	}{
		{func() error { _, err := ParseCipherSuite("TLS_RSA_WITH_AES"); return err }, `unknown cipher suite "TLS_RSA_WITH_AES": allowed is`},
		{func() error { _, err := ParseGroup("p256"); return err }, `unknown group "p256"`},
		{func() error { _, err := ParseSignatureScheme(""); return err }, `unknown signature scheme ""`},
		{func() error { _, err := ParseExtensionType("sni"); return err }, `unknown extension "sni"`},
		{func() error { _, err := ParseVersion("TLS 1.4"); return err }, `unknown version "TLS 1.4"`},
		{func() error { _, err := ParseCipherSuite("0x13"); return err }, `four hex digits`},
		{func() error { _, err := ParseSSLv2Spec("SSL_CK_ROT13"); return err }, `unknown cipher suite "SSL_CK_ROT13"`},
	} {
		if err := c.parse(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, expected it to say %q", err, c.says)
		}
	}
}

func TestGREASE(t *testing.T) {
	n := 0
	for v := range 1 << 16 {
		if IsGREASE(uint16(v)) {
			n++
			if CipherSuite(v).String() != GREASEName || Group(v).String() != GREASEName || ExtensionType(v).String() != GREASEName {
				t.Errorf("%04x is not named as GREASE", v)
			}
		}
	}
	if n != 16 {
		t.Errorf("%d reserved values, RFC 8701 §2 has 16", n)
	}
	if v, err := ParseGroup(GREASEName); err != nil || !IsGREASE(uint16(v)) {
		t.Errorf("GREASE parses to %v, %v", v, err)
	}
}

func TestRecords(t *testing.T) {
	fragment := bytes.Repeat([]byte("x"), MaxPlaintext+10)
	p := AppendRecord(nil, RecordHandshake, TLS10, fragment)
	var got []byte
	for _, want := range []int{MaxPlaintext, 10} {
		h, err := ParseRecordHeader(p)
		if err != nil || h != (RecordHeader{RecordHandshake, TLS10, want}) {
			t.Fatalf("%+v, %v; expected a fragment of %d", h, err, want)
		}
		got = append(got, p[RecordHeaderLen:][:want]...)
		p = p[RecordHeaderLen+want:]
	}
	if len(p) > 0 || !bytes.Equal(got, fragment) {
		t.Error("the records do not hold the fragment")
	}
	if p := AppendRecord(nil, RecordApplicationData, TLS12, nil); len(p) != RecordHeaderLen {
		t.Errorf("an empty fragment gives %x", p)
	}
	if _, err := ParseRecordHeader([]byte{22, 3, 1, 0}); !errors.Is(err, ErrShort) {
		t.Errorf("four bytes of a header give %v", err)
	}
	if got := AppendAlert(nil, TLS12, LevelFatal, AlertInappropriateFallback); !bytes.Equal(got, []byte{21, 3, 3, 0, 2, 2, 86}) {
		t.Errorf("alert record %x", got)
	}
}

func TestSplitMessage(t *testing.T) {
	p := []byte{14, 0, 0, 0, 20, 0, 0, 2, 7, 7, 99}
	msg, rest, err := SplitMessage(p)
	if err != nil || !bytes.Equal(msg, p[:4]) {
		t.Fatalf("%x, %v", msg, err)
	}
	msg, rest, err = SplitMessage(rest)
	if err != nil || !bytes.Equal(msg, p[4:10]) {
		t.Fatalf("%x, %v", msg, err)
	}
	if _, left, err := SplitMessage(rest); !errors.Is(err, ErrShort) || !bytes.Equal(left, rest) {
		t.Errorf("one byte of a message gives %v", err)
	}
	mark := 1
	dst := append([]byte{0xff}, BeginMessage(nil, TypeFinished)...)
	dst = EndMessage(append(dst, 1, 2, 3), mark)
	if !bytes.Equal(dst, []byte{0xff, 20, 0, 0, 3, 1, 2, 3}) {
		t.Errorf("message %x", dst)
	}
}

// TestReader: a read past the end fails for good, and nothing after it succeeds.
func TestReader(t *testing.T) {
	r := NewReader([]byte{1, 0, 2, 0xaa, 0xbb, 3})
	if r.U8() != 1 || string(r.Vec16()) != "\xaa\xbb" || r.U8() != 3 || !r.Done() {
		t.Error("the fields do not come back")
	}
	r = NewReader([]byte{5, 1, 2})
	if v := r.Vec8(); v != nil || r.OK() || r.U8() != 0 || r.Len() != 0 || r.Done() {
		t.Errorf("a vector that runs over gives %x", v)
	}
}

func TestServerHello(t *testing.T) {
	m := &ServerHello{Version: TLS12, SessionID: bytes.Repeat([]byte{9}, 32), Suite: TLS_RSA_WITH_AES_128_CBC_SHA, HasExtensions: true,
		Extensions: []Extension{{ExtRenegotiationInfo, []byte{0}}, {ExtSessionTicket, []byte{}}}}
	msg := m.AppendMessage(nil)
	h, err := ParseMessageHeader(msg)
	if err != nil || h.Type != TypeServerHello || h.Length != len(msg)-MessageHeaderLen {
		t.Fatalf("%+v, %v", h, err)
	}
	got, err := ParseServerHello(msg[MessageHeaderLen:])
	if err != nil || !bytes.Equal(got.AppendMessage(nil), msg) || got.IsHelloRetryRequest() {
		t.Fatalf("%+v, %v", got, err)
	}
	if d, ok := got.Extension(ExtRenegotiationInfo); !ok || !bytes.Equal(d, []byte{0}) {
		t.Errorf("renegotiation_info %x, %v", d, ok)
	}
	for n := range len(msg) - MessageHeaderLen {
		_, err := ParseServerHello(msg[MessageHeaderLen:][:n])
		var de *DecodeError
		// Cut right before the extensions it is a whole ServerHello of an older kind.
		if n == 2+32+1+32+2+1 {
			if err != nil {
				t.Errorf("without extensions: %v", err)
			}
		} else if !errors.As(err, &de) || de.What != "ServerHello" {
			t.Errorf("cut to %d bytes gives %v", n, err)
		}
	}
	m.Random = HelloRetryRandom
	if !m.IsHelloRetryRequest() {
		t.Error("a HelloRetryRequest is not known by its random")
	}
}

// FuzzServerHello: whatever parses comes back byte for byte.
func FuzzServerHello(f *testing.F) {
	m := &ServerHello{Version: TLS12, Suite: TLS_AES_128_GCM_SHA256, HasExtensions: true, Extensions: []Extension{{ExtSupportedVersions, []byte{3, 4}}, {ExtKeyShare, make([]byte, 36)}}}
	f.Add(m.AppendMessage(nil)[MessageHeaderLen:])
	f.Add((&ServerHello{Version: SSL30, Suite: TLS_RSA_WITH_RC4_128_SHA}).AppendMessage(nil)[MessageHeaderLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseServerHello(body)
		if err != nil {
			return
		}
		if got := m.AppendMessage(nil)[MessageHeaderLen:]; !bytes.Equal(got, body) {
			t.Fatalf("parse and append are not inverse:\n%x\n%x", body, got)
		}
	})
}
