package keys

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"math/rand/v2"
	"testing"

	"tlsurge/profiles/wire"
)

// TestX25519IsTheStandardLibrarys holds a share and its agreement against crypto/ecdh:
// random scalars, and as the peer's field random bytes, half of which are points of the twist and half of
// which have the top bit set that RFC 7748 §5 says to mask.
func TestX25519IsTheStandardLibrarys(t *testing.T) {
	random := rand.NewChaCha8([32]byte{25, 5, 19})
	var scalar, peer [32]byte
	for range 300 {
		random.Read(scalar[:])
		random.Read(peer[:])
		std, err := ecdh.X25519().NewPrivateKey(scalar[:])
		if err != nil {
			t.Fatal(err)
		}
		pub, err := ecdh.X25519().NewPublicKey(peer[:])
		if err != nil {
			t.Fatal(err)
		}
		want, err := std.ECDH(pub)
		if err != nil {
			t.Fatal(err)
		}
		s, err := GenerateShare(wire.X25519, bytes.NewReader(scalar[:]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Public(), std.PublicKey().Bytes()) {
			t.Fatalf("scalar %x: public %x, crypto/ecdh has %x", scalar, s.Public(), std.PublicKey().Bytes())
		}
		if got, err := s.Agree(nil, peer[:]); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("scalar %x with %x: %x (%v), crypto/ecdh has %x", scalar, peer, got, err, want)
		}
	}
}

// The iterated vectors of RFC 7748 §5.2.
func TestX25519Vectors(t *testing.T) {
	k := unhex(t, "0900000000000000000000000000000000000000000000000000000000000000")
	u := bytes.Clone(k)
	for i := range 1000 {
		s, err := NewShare(wire.X25519, k)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Agree(nil, u)
		if err != nil {
			t.Fatal(err)
		}
		u, k = k, r
		if want := unhex(t, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"); i == 0 && !bytes.Equal(k, want) {
			t.Errorf("after one iteration %x, want %x", k, want)
		}
	}
	if want := unhex(t, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"); !bytes.Equal(k, want) {
		t.Errorf("after a thousand iterations %x, want %x", k, want)
	}
}

// Points of low order give a secret of zeroes, which is refused, in every encoding (RFC 7748 §6.1).
func TestX25519LowOrder(t *testing.T) {
	s, err := NewShare(wire.X25519, bytes.Repeat([]byte{0x42}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		for _, top := range []byte{0, 0x80} {
			p := unhex(t, point)
			p[31] |= top
			if got, err := s.Agree(nil, p); !errors.Is(err, ErrSharePoint) {
				t.Errorf("%x: secret %x, error %v", p, got, err)
			}
		}
	}
}
