package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// sevens is the random source of explicit IVs here.
type sevens struct{}

func (sevens) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func pair12(id wire.CipherSuite, v wire.Version, etm bool) (seal, open *Half12) {
	s := keys.Lookup12(id)
	k := keys.DirectionKeys{MAC: count(s.MACLen()), Key: count(s.KeyLen), IV: count(s.IVLen)}
	return New12(s, v, k, etm, true, sevens{}), New12(s, v, k, etm, false, nil)
}

// Records computed from the RFCs' formulas with another implementation's ciphers (openssl enc, Python's
// hmac and hashlib): keys and IVs count up from 0, explicit IVs are sevens.
func TestSealVectors(t *testing.T) {
	for _, v := range []struct {
		suite   wire.CipherSuite
		version wire.Version
		etm     bool
		want    string
	}{
		{wire.TLS_RSA_WITH_RC4_128_SHA, wire.TLS10, false, "170301002081f92c9528c26ba965b4e5a2b3d1703706a7c57561a0e06bb399ec47ccdedb0e"},
		{wire.TLS_RSA_WITH_RC4_128_MD5, wire.SSL30, false, "170300001c81f92c9528c26ba965b4e5a2fa814dc2019dbaa6e870a5247e456f0a"},
		{wire.TLS_RSA_WITH_AES_128_CBC_SHA, wire.TLS10, false, "1703010030a033c8f0cfba5532ed20ffb07b0bcb7fdf176fae641782b499af1e3c6196a160becb2d8b7d8fbb951555c268f0e143b9"},
		{wire.TLS_RSA_WITH_3DES_EDE_CBC_SHA, wire.TLS10, false, "170301002824d0b9c54b5ee33e906dc6583ab71292edcc839f00afe684ea40856766a61ed8173351ac7d0b67f0"},
		{wire.TLS_RSA_WITH_3DES_EDE_CBC_SHA, wire.SSL30, false, "170300002824d0b9c54b5ee33e6f0865920e2b4432a75b250f7de6f5da3d81e3ac81306e83ac6c5f4d1b116bef"},
		{wire.TLS_RSA_WITH_AES_256_CBC_SHA256, wire.TLS12, false, "170303004007070707070707070707070707070707f8471b2e3ffa04ce20268efa289f7c55d7358849f8d6067612b396f2d17dddaa7de89b3f37b682cec747d8bc7b45a70a"},
		{wire.TLS_RSA_WITH_AES_128_CBC_SHA, wire.TLS12, true, "17030300340707070707070707070707070707070734d187cb9c17d450e548b2b6bf6276787b2ae509b19fcb8fcaf62661680475c91d31f41e"},
	} {
		seal, open := pair12(v.suite, v.version, v.etm)
		got := seal.AppendSeal(nil, wire.RecordApplicationData, v.version, []byte("hello record"))
		if hex.EncodeToString(got) != v.want {
			t.Errorf("%v %v etm %v:\n got %x\nwant %s", v.version, v.suite, v.etm, got, v.want)
			continue
		}
		typ, plain, err := open.Open(got)
		if err != nil || typ != wire.RecordApplicationData || string(plain) != "hello record" {
			t.Errorf("%v %v: opened %v %q %v", v.version, v.suite, typ, plain, err)
		}
	}
}

func eachHalf(f func(id wire.CipherSuite, v wire.Version, etm bool)) {
	for _, id := range keys.Suites12() {
		s := keys.Lookup12(id)
		for v := wire.SSL30; v <= wire.TLS12; v++ {
			if s.Only12 && v < wire.TLS12 {
				continue
			}
			f(id, v, false)
			if s.CBC() && v > wire.SSL30 {
				f(id, v, true)
			}
		}
	}
}

// Sealed and opened again, with parking in between, for every suite, version and a range of lengths.
func TestRoundTrip(t *testing.T) {
	eachHalf(func(id wire.CipherSuite, v wire.Version, etm bool) {
		seal, open := pair12(id, v, etm)
		for _, n := range []int{0, 1, 11, 12, 15, 16, 17, 255, 256, 1000, wire.MaxPlaintext} {
			msg := bytes.Repeat([]byte{byte(n)}, n)
			rec := seal.AppendSeal(nil, wire.RecordApplicationData, v, msg)
			if len(rec)-n > seal.Overhead() {
				t.Fatalf("%v %v: %d bytes grew by %d, Overhead says %d", v, id, n, len(rec)-n, seal.Overhead())
			}
			if n%2 == 1 {
				seal.Park()
				open.Park()
			}
			typ, plain, err := open.Open(rec)
			if err != nil || typ != wire.RecordApplicationData || !bytes.Equal(plain, msg) {
				t.Fatalf("%v %v etm %v, %d bytes: %v", v, id, etm, n, err)
			}
		}
	})
}

// Every byte of a record counts: turning one bit anywhere is bad_record_mac.
func TestTamper(t *testing.T) {
	eachHalf(func(id wire.CipherSuite, v wire.Version, etm bool) {
		seal, _ := pair12(id, v, etm)
		rec := seal.AppendSeal(nil, wire.RecordApplicationData, v, []byte("some application data"))
		for i := range rec {
			if i == 1 || i == 2 || i == 3 || i == 4 {
				continue // the version is the caller's to check, and the length frames the record
			}
			if v == wire.SSL30 && keys.Lookup12(id).CBC() && i >= len(rec)-2*keys.Lookup12(id).IVLen {
				continue // SSL 3.0's padding is not under the MAC: POODLE
			}
			_, open := pair12(id, v, etm)
			bad := bytes.Clone(rec)
			bad[i] ^= 0x40
			if _, _, err := open.Open(bad); !errors.Is(err, ErrMAC) {
				t.Errorf("%v %v etm %v, byte %d of %d turned: %v", v, id, etm, i, len(rec), err)
			}
		}
	})
}

// Records that are too short, of no whole number of blocks, or hold too much.
func TestOpenRefuses(t *testing.T) {
	eachHalf(func(id wire.CipherSuite, v wire.Version, etm bool) {
		for n := range 40 {
			_, open := pair12(id, v, etm)
			rec := append([]byte{23, 3, byte(v), 0, byte(n)}, make([]byte, n)...)
			if _, _, err := open.Open(rec); !errors.Is(err, ErrMAC) {
				t.Errorf("%v %v: %d bytes of zero opened: %v", v, id, n, err)
			}
		}
	})
	seal, open := pair12(wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, wire.TLS12, false)
	rec := seal.AppendSeal(nil, wire.RecordApplicationData, wire.TLS12, make([]byte, wire.MaxPlaintext+1))
	if _, _, err := open.Open(rec); !errors.Is(err, ErrOverflow) {
		t.Errorf("16385 bytes: %v, want %v", err, ErrOverflow)
	}
}

// A replayed, dropped or reordered record does not open: the sequence number is authenticated.
func TestSequence(t *testing.T) {
	eachHalf(func(id wire.CipherSuite, v wire.Version, etm bool) {
		seal, open := pair12(id, v, etm)
		seal.AppendSeal(nil, wire.RecordApplicationData, v, []byte("the first, which is lost"))
		second := seal.AppendSeal(nil, wire.RecordApplicationData, v, []byte("the second"))
		if _, _, err := open.Open(second); !errors.Is(err, ErrMAC) {
			t.Errorf("%v %v: %v", v, id, err)
		}
	})
}

// Any bytes: no panic, and what opens is no longer than what came in.
func FuzzHalf12Open(f *testing.F) {
	f.Add(uint8(0), uint8(0), []byte("a record's fragment of some length"))
	f.Add(uint8(9), uint8(3), make([]byte, 64))
	suites := keys.Suites12()
	f.Fuzz(func(t *testing.T, suite, version uint8, body []byte) {
		s := keys.Lookup12(suites[int(suite)%len(suites)])
		v := wire.SSL30 + wire.Version(version%4)
		if s.Only12 {
			v = wire.TLS12
		}
		_, open := pair12(s.ID, v, version&0x80 != 0 && v > wire.SSL30)
		rec := append(wire.AppendRecordHeader(nil, wire.RecordHeader{Type: 23, Version: v, Length: len(body)}), body...)
		_, plain, err := open.Open(rec)
		if err == nil && len(plain) > len(body) {
			t.Fatalf("%d bytes out of %d", len(plain), len(body))
		}
		if err != nil && !errors.Is(err, ErrMAC) && !errors.Is(err, ErrOverflow) {
			t.Fatalf("failed with %v", err)
		}
	})
}

var benchSuites = []struct {
	id wire.CipherSuite
	v  wire.Version
}{
	{wire.TLS_RSA_WITH_RC4_128_SHA, wire.TLS10}, {wire.TLS_RSA_WITH_AES_128_CBC_SHA, wire.TLS10}, {wire.TLS_RSA_WITH_3DES_EDE_CBC_SHA, wire.TLS12},
	{wire.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, wire.TLS12}, {wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, wire.TLS12},
	{wire.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, wire.TLS12}, {wire.TLS_RSA_WITH_RC4_128_MD5, wire.SSL30},
}

// Sealing and opening allocate nothing.
func TestHalf12Allocates(t *testing.T) {
	eachHalf(func(id wire.CipherSuite, v wire.Version, etm bool) {
		seal, open := pair12(id, v, etm)
		msg, buf := make([]byte, 1000), make([]byte, 0, 2000)
		run := func() {
			rec := seal.AppendSeal(buf, wire.RecordApplicationData, v, msg)
			if _, _, err := open.Open(rec); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(10, run); n != 0 {
			t.Errorf("%v %v etm %v: %v allocations for one record sealed and opened", v, id, etm, n)
		}
	})
}

func BenchmarkSealOpen12(b *testing.B) {
	for _, s := range benchSuites {
		b.Run(fmt.Sprintf("%v/%v", s.v, s.id), func(b *testing.B) {
			seal, open := pair12(s.id, s.v, false)
			msg, buf := make([]byte, 1400), make([]byte, 0, 2000)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := open.Open(seal.AppendSeal(buf, wire.RecordApplicationData, s.v, msg)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
