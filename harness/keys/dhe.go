package keys

import (
	"errors"
	"fmt"
	"io"
	"math/big"
)

// ErrDHValue is a Diffie-Hellman value or group that must not be used. It is the peer's illegal_parameter.
var ErrDHValue = errors.New("keys: Diffie-Hellman value out of range")

// DHGroup is a finite-field group for DHE.
type DHGroup struct {
	P, G []byte
}

// The groups a server of ours offers: the Oakley group 2 (RFC 2409 §6.2, Second Oakley Default Group) at
// 1024 bits, which is what servers of 2015 used, and the 2048-bit MODP group (RFC 3526 §3).
var (
	dh1024 = DHGroup{oakley(1024, 894, 129093), []byte{2}}
	dh2048 = DHGroup{oakley(2048, 1918, 124476), []byte{2}}
)

// DHGroupOf gives the group of so many bits; nil but for 1024 and 2048.
func DHGroupOf(bits int) *DHGroup {
	switch bits {
	case 1024:
		return &dh1024
	case 2048:
		return &dh2048
	}
	return nil
}

// oakley computes a prime from its published definition rather than from a table of digits:
//
//	2^n - 2^(n-64) - 1 + 2^64 * { [2^k pi] + c }
func oakley(n uint, k uint, c int64) []byte {
	one := big.NewInt(1)
	shift := func(s uint) *big.Int { return new(big.Int).Lsh(one, s) }
	p := shift(n)
	p.Sub(p, shift(n-64)).Sub(p, one)
	m := new(big.Int).Add(piShifted(k), big.NewInt(c))
	return p.Add(p, m.Lsh(m, 64)).Bytes()
}

// piShifted is floor(2^k pi) by Machin's formula, pi = 16 arctan(1/5) - 4 arctan(1/239).
func piShifted(k uint) *big.Int {
	const guard = 64
	arctan := func(x int64) *big.Int {
		d := big.NewInt(x)
		sq := big.NewInt(x * x)
		term := new(big.Int).Lsh(big.NewInt(1), k+guard)
		term.Quo(term, d)
		sum := new(big.Int).Set(term)
		var part big.Int
		for n := int64(3); term.Sign() != 0; n += 2 {
			term.Quo(term, sq)
			part.Quo(term, big.NewInt(n))
			if n%4 == 3 {
				sum.Sub(sum, &part)
			} else {
				sum.Add(sum, &part)
			}
		}
		return sum
	}
	pi := arctan(5)
	pi.Mul(pi, big.NewInt(4)).Sub(pi, arctan(239)).Mul(pi, big.NewInt(4))
	return pi.Rsh(pi, guard)
}

// Check says whether keys can be made in the group.
func (g *DHGroup) Check() error {
	_, _, err := dhNumbers(g.P, g.G)
	return err
}

func dhNumbers(p, g []byte) (P, G *big.Int, err error) {
	P, G = new(big.Int).SetBytes(p), new(big.Int).SetBytes(g)
	if P.BitLen() < 512 || P.BitLen() > 8192 || P.Bit(0) == 0 || G.Cmp(big.NewInt(1)) <= 0 || G.Cmp(P) >= 0 {
		return nil, nil, fmt.Errorf("%w: a group of %d bits", ErrDHValue, P.BitLen())
	}
	return P, G, nil
}

// DHKey is one side's private value.
type DHKey struct {
	p, x *big.Int
	Y    []byte // the public value, as long as p
}

// GenerateDH draws a private value of 256 bits, twice what the groups' strength needs (RFC 7919 §5.2),
// from rand.
func GenerateDH(p, g []byte, rand io.Reader) (*DHKey, error) {
	P, G, err := dhNumbers(p, g)
	if err != nil {
		return nil, err
	}
	var x [32]byte
	if _, err := io.ReadFull(rand, x[:]); err != nil {
		return nil, fmt.Errorf("keys: drawing a private value: %w", err)
	}
	x[0] |= 0x80
	k := &DHKey{p: P, x: new(big.Int).SetBytes(x[:])}
	k.Y = new(big.Int).Exp(G, k.x, P).FillBytes(make([]byte, len(P.Bytes())))
	return k, nil
}

// Agree computes the premaster secret.
//
//	"Leading bytes of Z that contain all zero bits are stripped before it is used as the pre_master_secret"
//	(RFC 5246 §8.1.2, Diffie-Hellman)
func (k *DHKey) Agree(peer []byte) ([]byte, error) {
	y := new(big.Int).SetBytes(peer)
	if y.Cmp(big.NewInt(1)) <= 0 || y.Cmp(new(big.Int).Sub(k.p, big.NewInt(1))) >= 0 {
		return nil, fmt.Errorf("%w: peer's value of %d bits in a group of %d", ErrDHValue, y.BitLen(), k.p.BitLen())
	}
	return y.Exp(y, k.x, k.p).Bytes(), nil
}
