package keys

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// Published vectors: RFC 2202 §2 and §3 (MD5, SHA-1), RFC 4231 §4 (SHA-256, SHA-384), test case 2 of each, and of RFC 4231 case 7,
// whose key is longer than a block.
func TestMACVectors(t *testing.T) {
	long := bytes.Repeat([]byte{0xaa}, 131)
	const case7 = "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm."
	for _, v := range []struct {
		h         crypto.Hash
		key       []byte
		data, sum string
	}{
		{crypto.MD5, []byte("Jefe"), "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"},
		{crypto.SHA1, []byte("Jefe"), "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
		{crypto.SHA256, []byte("Jefe"), "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{crypto.SHA384, []byte("Jefe"), "what do ya want for nothing?", "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
		{crypto.SHA256, long, case7, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
		{crypto.SHA384, long, case7, "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e"},
	} {
		m := newMAC(v.h, v.key)
		if got := hex.EncodeToString(m.sum(nil, []byte(v.data[:7]), []byte(v.data[7:]))); got != v.sum {
			t.Errorf("%v, key of %d bytes: %s, published %s", v.h, len(v.key), got, v.sum)
		}
	}
}

// TestMACIsHMAC holds it against crypto/hmac for keys and messages of any length, around its room on the stack too.
func TestMACIsHMAC(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		h := []crypto.Hash{crypto.MD5, crypto.SHA1, crypto.SHA256, crypto.SHA384}[r.IntN(4)]
		key, data := make([]byte, r.IntN(300)), make([]byte, r.IntN(600))
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		cut := r.IntN(len(data) + 1)
		m := newMAC(h, key)
		want := hmac.New(h.New, key)
		want.Write(data)
		if got := m.sum([]byte("x"), data[:cut], nil, data[cut:]); !bytes.Equal(got[1:], want.Sum(nil)) || got[0] != 'x' {
			t.Fatalf("%v, key of %d bytes, message of %d: %x, crypto/hmac has %x", h, len(key), len(data), got, want.Sum(nil))
		}
	}
}

// TestScheduleAllocates: deriving puts nothing on the heap.
func TestScheduleAllocates(t *testing.T) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		shared, transcript, out := make([]byte, 32), make([]byte, h.Size()), make([]byte, 104)
		n := testing.AllocsPerRun(100, func() {
			s := StartSchedule13(h, nil)
			s.Handshake(shared)
			secret := s.Derive(LabelClientHandshake, transcript)
			secret.Key(16)
			secret.Verify(transcript, transcript)
			p := NewPRF(h, shared)
			p.Expand(out, labelKeyExpansion, transcript, transcript)
		})
		if n != 0 {
			t.Errorf("%v: %v allocations", h, n)
		}
	}
}
