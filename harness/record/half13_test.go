package record

import (
	"bytes"
	"crypto"
	"errors"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

func pair13(id wire.CipherSuite) (seal, open *Half13) {
	suite := keys.Lookup13(id)
	secret := keys.NewSecret(suite.Hash, bytes.Repeat([]byte{0x42}, suite.Hash.Size()))
	return NewHalf13(suite, secret), NewHalf13(suite, secret)
}

var suites13 = []wire.CipherSuite{
	wire.TLS_AES_128_GCM_SHA256, wire.TLS_AES_256_GCM_SHA384, wire.TLS_CHACHA20_POLY1305_SHA256,
}

// TestRFC8448Record is a record of RFC 8448 §3: the server's close_notify, its third with that key.
func TestRFC8448Record(t *testing.T) {
	secret := []byte{0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
		0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43}
	want := []byte{0x17, 3, 3, 0, 0x13, 0xb5, 0x8f, 0xd6, 0x71, 0x66, 0xeb, 0xf5, 0x99, 0xd2, 0x47, 0x20, 0xcf, 0xbe, 0x7e, 0xfa, 0x7a, 0x88, 0x64, 0xa9}
	h := NewHalf13(keys.Lookup13(wire.TLS_AES_128_GCM_SHA256), keys.NewSecret(crypto.SHA256, secret))
	h.seq = 2 // after NewSessionTicket and one record of data
	if got := h.AppendSeal(nil, wire.RecordAlert, wire.TLS12, []byte{1, 0}); !bytes.Equal(got, want) {
		t.Errorf("sealed %x, the RFC has %x", got, want)
	}
}

// TestHalf13 seals and opens across parking, padding and key updates, in every suite.
func TestHalf13(t *testing.T) {
	for _, id := range suites13 {
		seal, open := pair13(id)
		for i, step := range []struct {
			why     string
			content int
			pad     int
			before  func()
		}{
			{"a first record", 100, 0, func() {}},
			{"padding is taken off", 100, 37, func() {}},
			{"an empty record carries padding alone", 0, 9, func() {}},
			{"a full record has no room for padding", wire.MaxPlaintext, 50, func() {}},
			{"parking loses nothing", 5, 0, func() { seal.Park(); open.Park() }},
			{"both sides move to the next keys", 5, 0, func() { seal.Update(); open.Update() }},
		} {
			step.before()
			seal.Pad = step.pad
			content := bytes.Repeat([]byte{byte(i + 1)}, step.content)
			rec := seal.AppendSeal([]byte("before"), wire.RecordHandshake, 0, content)[len("before"):]
			if len(rec) > len(content)+seal.Overhead() {
				t.Errorf("%v: %s: grew by %d, Overhead says %d", id, step.why, len(rec)-len(content), seal.Overhead())
			}
			h, err := wire.ParseRecordHeader(rec)
			if err != nil || h.Type != wire.RecordApplicationData || h.Version != wire.TLS12 || h.Length != len(rec)-5 {
				t.Errorf("%v: %s: header %+v of %d bytes", id, step.why, h, len(rec))
			}
			typ, got, err := open.Open(rec)
			if err != nil || typ != wire.RecordHandshake || !bytes.Equal(got, content) {
				t.Errorf("%v: %s: opened %v %d bytes: %v", id, step.why, typ, len(got), err)
			}
		}
	}
}

func TestHalf13Refuses(t *testing.T) {
	for _, r := range []struct {
		why  string
		rec  func(seal *Half13) []byte
		want error
	}{
		{"a flipped bit does not authenticate", func(s *Half13) []byte {
			rec := s.AppendSeal(nil, wire.RecordAlert, 0, []byte{1, 0})
			rec[7] ^= 1
			return rec
		}, ErrMAC},
		{"the header is authenticated too", func(s *Half13) []byte {
			rec := s.AppendSeal(nil, wire.RecordAlert, 0, []byte{1, 0})
			rec[2] = 1
			return rec
		}, ErrMAC},
		{"a record of another sequence number does not authenticate", func(s *Half13) []byte {
			s.AppendSeal(nil, wire.RecordAlert, 0, nil)
			return s.AppendSeal(nil, wire.RecordAlert, 0, []byte{1, 0})
		}, ErrMAC},
		{"less than a tag cannot authenticate", func(*Half13) []byte { return []byte{23, 3, 3, 0, 1, 0} }, ErrMAC},
		{"an inner plaintext of zeroes has no type", func(s *Half13) []byte {
			return s.AppendSeal(nil, 0, 0, make([]byte, 20))
		}, ErrInnerType},
		{"a handshake record in the clear is none of ours", func(*Half13) []byte { return append([]byte{22, 3, 3, 0, 40}, make([]byte, 40)...) }, ErrOuterType},
		{"16640 bytes of ciphertext are the most", func(*Half13) []byte { return append([]byte{23, 3, 3, 0x41, 1}, make([]byte, 16641)...) }, ErrOverflow},
		{"16385 bytes of content are too many", func(s *Half13) []byte {
			return s.AppendSeal(nil, wire.RecordApplicationData, 0, make([]byte, wire.MaxPlaintext+1))
		}, ErrOverflow},
	} {
		seal, open := pair13(wire.TLS_AES_128_GCM_SHA256)
		_, _, err := open.Open(r.rec(seal))
		if !errors.Is(err, r.want) {
			t.Errorf("%s: got %v", r.why, err)
		}
	}
}

// TestHalf13SkipsForeign: a record under other keys leaves the direction as it was (rejected 0-RTT).
func TestHalf13SkipsForeign(t *testing.T) {
	seal, open := pair13(wire.TLS_CHACHA20_POLY1305_SHA256)
	foreign, _ := pair13(wire.TLS_AES_128_GCM_SHA256)
	if _, _, err := open.Open(foreign.AppendSeal(nil, wire.RecordApplicationData, 0, []byte("early"))); !errors.Is(err, ErrMAC) {
		t.Fatalf("a foreign record: %v", err)
	}
	if _, got, err := open.Open(seal.AppendSeal(nil, wire.RecordApplicationData, 0, []byte("ours"))); err != nil || string(got) != "ours" {
		t.Errorf("after it: %q %v", got, err)
	}
}

// FuzzHalf13Open: any bytes are opened or refused, and what was sealed comes back.
func FuzzHalf13Open(f *testing.F) {
	seal, _ := pair13(wire.TLS_AES_256_GCM_SHA384)
	f.Add(seal.AppendSeal(nil, wire.RecordHandshake, 0, []byte("hello")), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, pad uint8) {
		seal, open := pair13(wire.TLS_AES_256_GCM_SHA384)
		if _, _, err := open.Open(bytes.Clone(b)); err == nil && !bytes.Equal(seal.AppendSeal(nil, wire.RecordHandshake, 0, []byte("hello")), b) {
			t.Errorf("%x authenticates", b)
		}
		if len(b) > wire.MaxPlaintext {
			return
		}
		seal, open = pair13(wire.TLS_AES_256_GCM_SHA384)
		seal.Pad = int(pad)
		if typ, got, err := open.Open(seal.AppendSeal(nil, wire.RecordApplicationData, 0, b)); err != nil || typ != wire.RecordApplicationData || !bytes.Equal(got, b) {
			t.Errorf("sealed %x, opened %x (%v)", b, got, err)
		}
	})
}

func BenchmarkHalf13(b *testing.B) {
	for _, id := range suites13 {
		seal, open := pair13(id)
		content := make([]byte, 1024)
		buf := make([]byte, 0, 2048)
		b.Run(id.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(1024)
			for b.Loop() {
				rec := seal.AppendSeal(buf[:0], wire.RecordApplicationData, 0, content)
				if _, _, err := open.Open(rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestHalf13Allocates nothing once the cipher exists.
func TestHalf13Allocates(t *testing.T) {
	for _, id := range suites13 {
		seal, open := pair13(id)
		content, buf := make([]byte, 1024), make([]byte, 0, 2048)
		n := testing.AllocsPerRun(100, func() {
			rec := seal.AppendSeal(buf[:0], wire.RecordApplicationData, 0, content)
			if _, _, err := open.Open(rec); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%v: %v allocations for one record each way", id, n)
		}
	}
}
