package record

import (
	"crypto"
	"hash"
)

// mac30 is the keyed hash that SSL 3.0 had before HMAC (RFC 6101 §5.2.3.1):
//
//	hash(MAC_write_secret + pad_2 + hash(MAC_write_secret + pad_1 + content))
type mac30 struct {
	inner, outer hash.Hash
	key          [20]byte
	n, pad       int
	sum          [20]byte
}

func newMAC30(h crypto.Hash, key []byte) *mac30 {
	m := &mac30{inner: h.New(), outer: h.New(), n: len(key), pad: 40}
	if h == crypto.MD5 {
		m.pad = 48
	}
	copy(m.key[:], key)
	m.Reset()
	return m
}

var pad1, pad2 = fill(0x36), fill(0x5c)

func fill(b byte) (p [48]byte) {
	for i := range p {
		p[i] = b
	}
	return p
}

func (m *mac30) Reset() {
	m.inner.Reset()
	m.inner.Write(m.key[:m.n])
	m.inner.Write(pad1[:m.pad])
}

func (m *mac30) Write(p []byte) (int, error) { return m.inner.Write(p) }

func (m *mac30) Sum(dst []byte) []byte {
	m.outer.Reset()
	m.outer.Write(m.key[:m.n])
	m.outer.Write(pad2[:m.pad])
	m.outer.Write(m.inner.Sum(m.sum[:0]))
	return m.outer.Sum(dst)
}

func (m *mac30) Size() int      { return m.inner.Size() }
func (m *mac30) BlockSize() int { return m.inner.BlockSize() }
