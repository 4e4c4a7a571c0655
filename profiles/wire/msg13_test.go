package wire

import (
	"bytes"
	"testing"
)

type message interface{ AppendMessage([]byte) []byte }

// codecs13 is every message of TLS 1.3 whose codec stands in this package.
var codecs13 = []struct {
	name  string
	typ   HandshakeType
	parse func([]byte) (message, error)
}{
	{"EncryptedExtensions", TypeEncryptedExtensions, as(ParseEncryptedExtensions)},
	{"Certificate", TypeCertificate, as(ParseCertificate13)},
	{"CompressedCertificate", TypeCompressedCertificate, as(ParseCompressedCertificate)},
	{"CertificateRequest", TypeCertificateRequest, as(ParseCertificateRequest13)},
	{"CertificateVerify", TypeCertificateVerify, as(ParseCertificateVerify13)},
	{"NewSessionTicket", TypeNewSessionTicket, as(ParseNewSessionTicket13)},
	{"KeyUpdate", TypeKeyUpdate, as(ParseKeyUpdate)},
	{"EndOfEarlyData", TypeEndOfEarlyData, as(ParseEndOfEarlyData)},
	{"Finished", TypeFinished, as(ParseFinished13)},
}

func as[M message](parse func([]byte) (M, error)) func([]byte) (message, error) {
	return func(b []byte) (message, error) { return parse(b) }
}

var ext13 = []Extension{{ExtALPN, []byte{0, 3, 2, 'h', '2'}}, {ExtEarlyData, []byte{}}}

func samples13() []message {
	return []message{
		&EncryptedExtensions{}, &EncryptedExtensions{Extensions: ext13},
		&Certificate13{Context: []byte{1, 2}, Entries: []CertificateEntry{{[]byte("leaf"), ext13}, {[]byte("ca"), nil}}},
		&Certificate13{},
		&CompressedCertificate{CertBrotli, 900, []byte("squeezed")},
		&CertificateRequest13{Extensions: []Extension{{ExtSignatureAlgorithms, []byte{0, 2, 4, 3}}}},
		&CertificateVerify13{ECDSASecp256r1SHA256, []byte("signature")},
		&NewSessionTicket13{7200, 0xdeadbeef, []byte{0}, []byte("ticket"), []Extension{{ExtEarlyData, []byte{0, 0, 4, 0}}}},
		&KeyUpdate{UpdateRequested}, &EndOfEarlyData{}, &Finished13{make([]byte, 32)},
	}
}

// FuzzMessages13: what a parser accepts it gives back byte for byte.
func FuzzMessages13(f *testing.F) {
	for _, m := range samples13() {
		raw := m.AppendMessage(nil)
		f.Add(raw[0], raw[MessageHeaderLen:])
	}
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		for _, c := range codecs13 {
			if c.typ != HandshakeType(typ) {
				continue
			}
			m, err := c.parse(body)
			if err != nil {
				return
			}
			got := m.AppendMessage(nil)
			if HandshakeType(got[0]) != c.typ || !bytes.Equal(got[MessageHeaderLen:], body) {
				t.Errorf("%s: parsed %x and gave back %x", c.name, body, got)
			}
		}
	})
}

// TestMessages13 parses each sample and every truncation and extension of it: only the whole message
// may be accepted.
func TestMessages13(t *testing.T) {
	for _, m := range samples13() {
		raw := m.AppendMessage(nil)
		h, err := ParseMessageHeader(raw)
		if err != nil || h.Length != len(raw)-MessageHeaderLen {
			t.Fatalf("%T: header %+v of %d bytes: %v", m, h, len(raw), err)
		}
		body := raw[MessageHeaderLen:]
		for _, c := range codecs13 {
			if c.typ != h.Type {
				continue
			}
			if _, err := c.parse(body); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if c.typ == TypeFinished { // the grammar has no length of its own
				continue
			}
			for n := range len(body) {
				if _, err := c.parse(body[:n]); err == nil {
					t.Errorf("%s: accepted %d of %d bytes", c.name, n, len(body))
				}
			}
			if _, err := c.parse(append(bytes.Clone(body), 0)); err == nil {
				t.Errorf("%s: accepted a trailing byte", c.name)
			}
		}
	}
}

func TestMaxEarlyData(t *testing.T) {
	rows := []struct {
		why  string
		exts []Extension
		size uint32
		ok   bool
	}{
		{"no extension: 0-RTT is not allowed", nil, 0, true},
		{"the size is four bytes", []Extension{{ExtEarlyData, []byte{0, 0, 0x40, 0}}}, 0x4000, true},
		{"three bytes are malformed", []Extension{{ExtEarlyData, []byte{0, 0, 0x40}}}, 0, false},
		{"GREASE before it is passed over", []Extension{{0x0a0a, nil}, {ExtEarlyData, []byte{0, 0, 0, 9}}}, 9, true},
	}
	for _, r := range rows {
		m := &NewSessionTicket13{Extensions: r.exts}
		if size, ok := m.MaxEarlyData(); size != r.size && ok || ok != r.ok {
			t.Errorf("%s: got %d %v", r.why, size, ok)
		}
	}
}

func TestDuplicateExtension(t *testing.T) {
	if _, found := DuplicateExtension(ext13); found {
		t.Error("two different types are no duplicate")
	}
	if typ, found := DuplicateExtension(append(ext13[:2:2], Extension{ExtALPN, nil})); !found || typ != ExtALPN {
		t.Errorf("got %d %v", typ, found)
	}
}
