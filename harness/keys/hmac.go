package keys

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
)

// mac is HMAC (RFC 2104 §2) with MD5, SHA-1, SHA-256 or SHA-384 under one key, as a value.
//
// crypto/hmac puts three objects on the heap for each key and two more where one is used again, and a
// handshake of TLS 1.3 keys some twenty. Here a message is laid out behind the padded key and hashed in one
// call, on the stack: messages of a key schedule are two blocks long.
type mac struct {
	h            crypto.Hash
	inner, outer [maxBlock]byte // the key, padded: the first block counts
}

const (
	maxBlock = sha512.BlockSize
	maxSize  = sha512.Size384
	macRoom  = 192 // the longest message that needs no memory from the heap
)

var ipad, opad = filled(0x36), filled(0x5c)

func filled(v byte) (b [maxBlock]byte) {
	for i := range b {
		b[i] = v
	}
	return b
}

func newMAC(h crypto.Hash, key []byte) mac {
	m := mac{h: h}
	var hashed [maxSize]byte
	if len(key) > m.block() {
		key = appendHash(hashed[:0], h, key)
	}
	copy(m.inner[:], key)
	copy(m.outer[:], key)
	subtle.XORBytes(m.inner[:], m.inner[:], ipad[:m.block()])
	subtle.XORBytes(m.outer[:], m.outer[:], opad[:m.block()])
	return m
}

func (m *mac) block() int {
	if m.h == crypto.SHA384 {
		return sha512.BlockSize
	}
	return sha256.BlockSize // MD5's and SHA-1's too
}

// sum appends the MAC of the parts, in their order; dst may be the room of one of them.
func (m *mac) sum(dst []byte, parts ...[]byte) []byte {
	var room [maxBlock + macRoom]byte
	b := append(room[:0], m.inner[:m.block()]...)
	for _, p := range parts {
		b = append(b, p...)
	}
	var second [maxBlock + maxSize]byte
	return appendHash(dst, m.h, appendHash(append(second[:0], m.outer[:m.block()]...), m.h, b))
}

// appendHash appends the hash of b: crypto.Hash.New would put its state on the heap.
func appendHash(dst []byte, h crypto.Hash, b []byte) []byte {
	switch h {
	case crypto.MD5:
		d := md5.Sum(b)
		return append(dst, d[:]...)
	case crypto.SHA1:
		d := sha1.Sum(b)
		return append(dst, d[:]...)
	case crypto.SHA384:
		d := sha512.Sum384(b)
		return append(dst, d[:]...)
	}
	d := sha256.Sum256(b)
	return append(dst, d[:]...)
}
