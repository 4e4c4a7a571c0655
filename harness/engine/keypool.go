package engine

import (
	"io"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// KeyPool hands out private halves of ECDHE: a fixed number per group, drawn once and then used in turn.
// Reuse saves one of the two scalar multiplications of a handshake and is a shortcut that a browser does
// not take; its size is stated in every run. One loop owns a pool.
type KeyPool struct {
	size   int
	rotate int // see rotateAfter
	rand   io.Reader
	keys   map[wire.Group]*poolKeys
}

type poolKeys struct {
	shares []*keys.Share
	next   int
	uses   int
}

// NewKeyPool makes a pool of size shares per group; 0 draws each share anew, as browsers do. Every
// rotateAfter handshakes one share of the pool is replaced.
func NewKeyPool(size int, rand io.Reader) *KeyPool {
	return &KeyPool{size: size, rotate: rotateAfter, rand: rand, keys: make(map[wire.Group]*poolKeys)}
}

// rotateAfter is after how many handshakes of a group the share in turn is replaced.
const rotateAfter = 1024

// Size is how many shares per group the pool keeps.
func (p *KeyPool) Size() int { return p.size }

// Share gives the next share of group.
func (p *KeyPool) Share(group wire.Group) (*keys.Share, error) {
	if p.size == 0 {
		return keys.GenerateShare(group, p.rand)
	}
	k := p.keys[group]
	if k == nil {
		k = &poolKeys{}
		p.keys[group] = k
	}
	if len(k.shares) < p.size {
		s, err := keys.GenerateShare(group, p.rand)
		if err != nil {
			return nil, err
		}
		k.shares = append(k.shares, s)
		return s, nil
	}
	i := k.next
	k.next = (k.next + 1) % p.size
	if k.uses++; k.uses%p.rotate == 0 {
		s, err := keys.GenerateShare(group, p.rand)
		if err != nil {
			return nil, err
		}
		k.shares[i] = s
	}
	return k.shares[i], nil
}
