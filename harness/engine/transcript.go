package engine

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"hash"
)

// transcript is the running hash over every handshake message, both directions. Until the hash is
// known (a client learns it from the ServerHello) it keeps the messages themselves; it keeps them on
// where a CertificateVerify in TLS 1.2 may name another hash.
type transcript struct {
	raw  []byte
	keep bool
	h    hash.Hash // the suite's hash; nil until start, and for the MD5/SHA-1 pair
	md5  hash.Hash // SSL 3.0 to TLS 1.1: both
	sha1 hash.Hash
}

func (t *transcript) add(msg []byte) {
	if !t.started() || t.keep {
		t.raw = append(t.raw, msg...)
	}
	if t.h != nil {
		t.h.Write(msg)
	}
	if t.md5 != nil {
		t.md5.Write(msg)
		t.sha1.Write(msg)
	}
}

func (t *transcript) started() bool { return t.h != nil || t.md5 != nil }

// start fixes the hash; crypto.MD5SHA1 is the pair of TLS 1.1 and below.
func (t *transcript) start(h crypto.Hash) {
	if h == crypto.MD5SHA1 {
		t.md5, t.sha1 = md5.New(), sha1.New()
		t.md5.Write(t.raw)
		t.sha1.Write(t.raw)
	} else {
		t.h = h.New()
		t.h.Write(t.raw)
	}
	if !t.keep {
		t.raw = nil
	}
}

// sum appends the hash of the messages so far: 36 bytes for the pair.
func (t *transcript) sum(dst []byte) []byte {
	if t.md5 != nil {
		return t.sha1.Sum(t.md5.Sum(dst))
	}
	return t.h.Sum(dst)
}

// sumWith hashes the kept messages with another hash, for CertificateVerify in TLS 1.2.
func (t *transcript) sumWith(h crypto.Hash) []byte {
	if h == 0 {
		return t.raw // Ed25519 signs the messages themselves
	}
	d := h.New()
	d.Write(t.raw)
	return d.Sum(nil)
}

// forget stops keeping messages.
func (t *transcript) forget() {
	if t.keep = false; t.started() {
		t.raw = nil
	}
}

// replace puts one message in the place of all so far (RFC 8446 §4.4.1: message_hash after a
// HelloRetryRequest).
func (t *transcript) replace(msg []byte) {
	t.raw = append([]byte(nil), msg...)
	if t.h != nil {
		t.h.Reset()
		t.h.Write(msg)
	}
}
