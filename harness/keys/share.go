package keys

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"errors"
	"fmt"
	"io"
	"slices"

	"tlsurge/profiles/wire"
)

// The ways a key share can be refused. All of them are the peer's illegal_parameter.
var (
	ErrGroup      = errors.New("keys: group without an implementation")
	ErrShareSize  = errors.New("keys: key share has the wrong length")
	ErrSharePoint = errors.New("keys: key share is not a valid public key of its group")
)

// Sizes of X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem §4, Construction): the ML-KEM part comes first
// in both directions and in the shared secret.
const (
	hybridClientSize = mlkem.EncapsulationKeySize768 + 32 // 1216
	hybridServerSize = mlkem.CiphertextSize768 + 32       // 1120
)

var groups = []wire.Group{wire.X25519MLKEM768, wire.X25519, wire.Secp256r1, wire.Secp384r1, wire.Secp521r1}

// Groups lists what this package can agree on.
func Groups() []wire.Group { return slices.Clone(groups) }

// Supported says whether group has an implementation here.
func Supported(group wire.Group) bool {
	return slices.Contains(groups, group)
}

// Share is the private half of one key share, with its public half. It may be used for any number of
// agreements.
type Share struct {
	group  wire.Group
	ec     *ecdh.PrivateKey           // the curve, or the X25519 part of X25519MLKEM768
	kem    *mlkem.DecapsulationKey768 // X25519MLKEM768
	public []byte                     // the key_exchange field
}

// GenerateShare draws a key pair of group from rand: 32 bytes for X25519, 96 for X25519MLKEM768, the
// size of the field for a NIST curve, drawn again in the rare case that they are no valid scalar.
//
// The bytes are used directly, because crypto/ecdh ignores a caller's reader and a run must be
// repeatable from its seed.
func GenerateShare(group wire.Group, rand io.Reader) (*Share, error) {
	s := &Share{group: group}
	curve := curveOf(group)
	if curve == nil {
		return nil, fmt.Errorf("%w: 0x%04x", ErrGroup, uint16(group))
	}
	var err error
	if group == wire.X25519MLKEM768 {
		var seed [mlkem.SeedSize]byte
		if _, err := io.ReadFull(rand, seed[:]); err != nil {
			return nil, fmt.Errorf("keys: drawing an ML-KEM seed: %w", err)
		}
		if s.kem, err = mlkem.NewDecapsulationKey768(seed[:]); err != nil {
			return nil, fmt.Errorf("keys: expanding an ML-KEM seed: %w", err)
		}
		s.public = s.kem.EncapsulationKey().Bytes()
	}
	if s.ec, err = drawKey(curve, scalarSize(group), rand); err != nil {
		return nil, err
	}
	s.public = append(s.public, s.ec.PublicKey().Bytes()...)
	return s, nil
}

// NewShare makes the share of group from a known private scalar, for published vectors and for pools
// that keep scalars. X25519MLKEM768 has no scalar form.
func NewShare(group wire.Group, scalar []byte) (*Share, error) {
	curve := curveOf(group)
	if curve == nil || group == wire.X25519MLKEM768 {
		return nil, fmt.Errorf("%w: 0x%04x", ErrGroup, uint16(group))
	}
	ec, err := curve.NewPrivateKey(scalar)
	if err != nil {
		return nil, fmt.Errorf("keys: private scalar for group 0x%04x: %w", uint16(group), err)
	}
	return &Share{group: group, ec: ec, public: ec.PublicKey().Bytes()}, nil
}

// Group says which group the share is of.
func (s *Share) Group() wire.Group { return s.group }

// Public is the key_exchange field that a client sends for this share. It aliases s.
func (s *Share) Public() []byte { return s.public }

// Agree appends the shared secret with the peer's key_exchange field to dst. For X25519MLKEM768 the peer
// is a server: its field is a ciphertext and an X25519 key.
func (s *Share) Agree(dst, peer []byte) ([]byte, error) {
	if s.kem == nil {
		return agreeEC(dst, s.ec, peer)
	}
	if len(peer) != hybridServerSize {
		return nil, fmt.Errorf("%w: X25519MLKEM768 server share of %d bytes, not %d", ErrShareSize, len(peer), hybridServerSize)
	}
	secret, err := s.kem.Decapsulate(peer[:mlkem.CiphertextSize768])
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSharePoint, err)
	}
	return agreeEC(append(dst, secret...), s.ec, peer[mlkem.CiphertextSize768:])
}

// Respond is the server's side: it draws a key pair of group from rand, and gives the key_exchange
// field to send and the secret shared with the client's field peer.
func Respond(group wire.Group, peer []byte, rand io.Reader) (public, secret []byte, err error) {
	if group == wire.X25519MLKEM768 {
		return respondHybrid(peer, rand)
	}
	s, err := GenerateShare(group, rand)
	if err != nil {
		return nil, nil, err
	}
	if secret, err = s.Agree(nil, peer); err != nil {
		return nil, nil, err
	}
	return s.Public(), secret, nil
}

func respondHybrid(peer []byte, rand io.Reader) (public, secret []byte, err error) {
	if len(peer) != hybridClientSize {
		return nil, nil, fmt.Errorf("%w: X25519MLKEM768 client share of %d bytes, not %d", ErrShareSize, len(peer), hybridClientSize)
	}
	ek, err := mlkem.NewEncapsulationKey768(peer[:mlkem.EncapsulationKeySize768])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrSharePoint, err)
	}
	var coin [32]byte
	if _, err := io.ReadFull(rand, coin[:]); err != nil {
		return nil, nil, fmt.Errorf("keys: drawing ML-KEM randomness: %w", err)
	}
	// The derandomised form, because the run's seed must fix every byte; this package says aloud that
	// it protects nothing.
	secret, ciphertext, err := mlkemtest.Encapsulate768(ek, coin[:])
	if err != nil {
		return nil, nil, err
	}
	own, err := drawKey(ecdh.X25519(), 32, rand)
	if err != nil {
		return nil, nil, err
	}
	if secret, err = agreeEC(secret, own, peer[mlkem.EncapsulationKeySize768:]); err != nil {
		return nil, nil, err
	}
	return append(ciphertext, own.PublicKey().Bytes()...), secret, nil
}

// agreeEC refuses an uncompressed point that is not on the curve, and an X25519 point of low order: crypto/ecdh checks
// for a result of all zeroes (RFC 8446 §7.4.2, Elliptic Curve Diffie-Hellman).
func agreeEC(dst []byte, own *ecdh.PrivateKey, peer []byte) ([]byte, error) {
	pub, err := publicKey(own.Curve(), peer)
	if err != nil {
		return nil, err
	}
	secret, err := own.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSharePoint, err)
	}
	if dst == nil {
		return secret, nil
	}
	return append(dst, secret...), nil
}

// CheckPublic says whether peer, a client's key_exchange field, has the form of a public key of group, and
// for a NIST curve whether it is a point of it.
func CheckPublic(group wire.Group, peer []byte) error {
	curve := curveOf(group)
	switch {
	case curve == nil:
		return fmt.Errorf("%w: 0x%04x", ErrGroup, uint16(group))
	case group == wire.X25519MLKEM768:
		if len(peer) != hybridClientSize {
			return fmt.Errorf("%w: X25519MLKEM768 client share of %d bytes, not %d", ErrShareSize, len(peer), hybridClientSize)
		}
		return nil
	}
	_, err := publicKey(curve, peer)
	return err
}

func publicKey(curve ecdh.Curve, peer []byte) (*ecdh.PublicKey, error) {
	if want := publicSize(curve); len(peer) != want {
		return nil, fmt.Errorf("%w: %d bytes for %v, not %d", ErrShareSize, len(peer), curve, want)
	}
	pub, err := curve.NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSharePoint, err)
	}
	return pub, nil
}

// drawKey reads a scalar of size bytes. A random scalar is invalid with probability below 2^-32 for
// P-256, 2^-190 for P-384 and almost always for an unmasked P-521, whose top byte keeps one bit.
func drawKey(curve ecdh.Curve, size int, rand io.Reader) (*ecdh.PrivateKey, error) {
	const attempts = 16
	buf := make([]byte, size)
	var last error
	for range attempts {
		if _, err := io.ReadFull(rand, buf); err != nil {
			return nil, fmt.Errorf("keys: drawing a private scalar: %w", err)
		}
		if size == 66 {
			buf[0] &= 1
		}
		key, err := curve.NewPrivateKey(buf)
		if err == nil {
			return key, nil
		}
		last = err
	}
	return nil, fmt.Errorf("keys: %d draws gave no valid scalar for %v: %w", attempts, curve, last)
}

// curveOf is the curve of a group, X25519 for the hybrid.
func curveOf(group wire.Group) ecdh.Curve {
	switch group {
	case wire.X25519, wire.X25519MLKEM768:
		return ecdh.X25519()
	case wire.Secp256r1:
		return ecdh.P256()
	case wire.Secp384r1:
		return ecdh.P384()
	case wire.Secp521r1:
		return ecdh.P521()
	}
	return nil
}

func scalarSize(group wire.Group) int {
	switch group {
	case wire.Secp384r1:
		return 48
	case wire.Secp521r1:
		return 66
	}
	return 32
}

// publicSize is the size of a public value: u of X25519, an uncompressed point of a NIST curve.
func publicSize(curve ecdh.Curve) int {
	switch curve {
	case ecdh.X25519():
		return 32
	case ecdh.P256():
		return 65
	case ecdh.P384():
		return 97
	}
	return 133
}
