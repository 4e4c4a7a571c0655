package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"io"
	"math"

	"golang.org/x/crypto/chacha20poly1305"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// Half12 is one direction of SSL 3.0 to TLS 1.2. It keeps the keys, 112 bytes, and a MAC's key where there is one; the cipher objects
// made of them are in live and come and go.
type Half12 struct {
	suite   *keys.Suite12
	version wire.Version
	etm     bool // encrypt_then_mac (RFC 7366)
	seal    bool
	seq     uint64
	used    uint64 // RC4: bytes of key stream used, to find the place again after Park
	rand    io.Reader
	key     [32]byte
	mac     *[48]byte // nil where the cipher authenticates
	iv      [16]byte  // chained CBC: the next IV; AEAD: the fixed part of the nonce
	live    *live12
}

// live12 is what Park drops: for AES-GCM about a kilobyte.
type live12 struct {
	aead   cipher.AEAD
	cbc    cbcMode
	rc4    *rc4.Cipher
	mac    hash.Hash
	nonce  [12]byte
	header [13]byte // sequence number, type, version, length: what MAC and AEAD cover before the content
	sum    [64]byte
}

// New12 makes one direction from its part of the key block. seal says which direction: true to seal
// what we send. rand gives the explicit IVs of TLS 1.1 and 1.2 under CBC.
func New12(s *keys.Suite12, v wire.Version, k keys.DirectionKeys, etm, seal bool, rand io.Reader) *Half12 {
	h := &Half12{suite: s, version: v, etm: etm && s.CBC(), seal: seal, rand: rand}
	copy(h.key[:], k.Key)
	if len(k.MAC) > 0 {
		h.mac = new([48]byte)
		copy(h.mac[:], k.MAC)
	}
	copy(h.iv[:], k.IV)
	return h
}

// Park drops the cipher objects.
func (h *Half12) Park() { h.live = nil }

// SetRand changes the source of explicit IVs.
func (h *Half12) SetRand(rand io.Reader) { h.rand = rand }

// Overhead is the most that one record grows by.
func (h *Half12) Overhead() int {
	n := wire.RecordHeaderLen
	switch {
	case h.suite.AEAD():
		return n + h.explicitLen() + 16
	case h.suite.CBC():
		n += h.explicitLen() + h.suite.IVLen
	}
	return n + h.suite.MACLen()
}

// explicitLen is the length of what stands before the ciphertext: an IV under CBC from TLS 1.1 on
// (RFC 4346 §6.2.3.2), the explicit nonce of GCM (RFC 5288 §3), nothing else.
func (h *Half12) explicitLen() int {
	switch {
	case h.suite.Cipher == keys.CipherAESGCM:
		return 8
	case h.suite.CBC() && h.version >= wire.TLS11:
		return h.suite.IVLen
	}
	return 0
}

func (h *Half12) wake() *live12 {
	if h.live != nil {
		return h.live
	}
	l := &live12{}
	key := h.key[:h.suite.KeyLen]
	switch h.suite.Cipher {
	case keys.CipherAESGCM:
		block, err := aes.NewCipher(key)
		must(err)
		l.aead, err = cipher.NewGCM(block)
		must(err)
	case keys.CipherChaCha20:
		var err error
		l.aead, err = chacha20poly1305.New(key)
		must(err)
	case keys.CipherRC4:
		c, err := rc4.NewCipher(key)
		must(err)
		l.rc4 = c
		var skipped [256]byte
		for n := h.used; n > 0; {
			k := min(n, uint64(len(skipped)))
			c.XORKeyStream(skipped[:k], skipped[:k])
			n -= k
		}
	case keys.CipherAESCBC, keys.Cipher3DES, keys.CipherDES:
		l.cbc = h.newCBC(key)
	}
	if h.suite.MAC != 0 {
		if key := h.mac[:h.suite.MAC.Size()]; h.version == wire.SSL30 {
			l.mac = newMAC30(h.suite.MAC, key)
		} else {
			l.mac = hmac.New(h.suite.MAC.New, key)
		}
	}
	h.live = l
	return l
}

// must: key lengths come from the suite table, so the constructors cannot fail.
func must(err error) {
	if err != nil {
		panic("record: " + err.Error())
	}
}

// AppendSeal appends one protected record.
func (h *Half12) AppendSeal(dst []byte, typ wire.RecordType, ver wire.Version, fragment []byte) []byte {
	l := h.wake()
	mark := len(dst)
	dst = wire.AppendRecordHeader(dst, wire.RecordHeader{Type: typ, Version: ver})
	switch {
	case h.suite.AEAD():
		dst = h.sealAEAD(l, dst, typ, ver, fragment)
	case h.suite.CBC():
		dst = h.sealCBC(l, dst, typ, ver, fragment)
	default:
		body := len(dst)
		dst = append(dst, fragment...)
		dst = append(dst, h.macOf(l, typ, ver, fragment)...)
		if l.rc4 != nil {
			h.used += uint64(len(dst) - body)
			l.rc4.XORKeyStream(dst[body:], dst[body:])
		}
	}
	n := len(dst) - mark - wire.RecordHeaderLen
	dst[mark+3], dst[mark+4] = byte(n>>8), byte(n)
	h.seq++
	return dst
}

// sealAEAD: the additional data is seq_num + type + version + length of the plaintext (RFC 5246 §6.2.3.3).
func (h *Half12) sealAEAD(l *live12, dst []byte, typ wire.RecordType, ver wire.Version, fragment []byte) []byte {
	if h.suite.Cipher == keys.CipherAESGCM {
		dst = binary.BigEndian.AppendUint64(dst, h.seq)
	}
	h.setNonce(l, h.seq)
	return l.aead.Seal(dst, l.nonce[:], fragment, h.header(l, typ, ver, len(fragment)))
}

// setNonce: salt and explicit part for GCM, the IV exclusive-or the sequence number for ChaCha20 (RFC
// 7905 §2).
func (h *Half12) setNonce(l *live12, explicit uint64) {
	if h.suite.Cipher == keys.CipherAESGCM {
		copy(l.nonce[:4], h.iv[:4])
		binary.BigEndian.PutUint64(l.nonce[4:], explicit)
		return
	}
	copy(l.nonce[:], h.iv[:12])
	var s [8]byte
	binary.BigEndian.PutUint64(s[:], h.seq)
	subtle.XORBytes(l.nonce[4:], l.nonce[4:], s[:])
}

// header is what authentication covers before the content: seq_num 8 | type 1 | version 2 | length 2.
func (h *Half12) header(l *live12, typ wire.RecordType, ver wire.Version, n int) []byte {
	binary.BigEndian.PutUint64(l.header[:], h.seq)
	l.header[8], l.header[9], l.header[10] = byte(typ), byte(ver>>8), byte(ver)
	l.header[11], l.header[12] = byte(n>>8), byte(n)
	return l.header[:]
}

// macOf is the record's MAC (RFC 5246 §6.2.3.1); SSL 3.0's has no version in it (RFC 6101 §5.2.3.1).
// The result lives until the next call.
func (h *Half12) macOf(l *live12, typ wire.RecordType, ver wire.Version, content []byte) []byte {
	hdr := h.header(l, typ, ver, len(content))
	l.mac.Reset()
	if h.version == wire.SSL30 {
		l.mac.Write(hdr[:9])
		l.mac.Write(hdr[11:])
	} else {
		l.mac.Write(hdr)
	}
	l.mac.Write(content)
	return l.mac.Sum(l.sum[:0])
}

// Open removes protection in place.
func (h *Half12) Open(rec []byte) (typ wire.RecordType, plain []byte, err error) {
	if h.seq == math.MaxUint64 {
		return 0, nil, ErrSequence
	}
	l := h.wake()
	typ = wire.RecordType(rec[0])
	ver := wire.Version(uint16(rec[1])<<8 | uint16(rec[2]))
	body := rec[wire.RecordHeaderLen:]
	switch {
	case h.suite.AEAD():
		plain, err = h.openAEAD(l, typ, ver, body)
	case h.suite.CBC():
		plain, err = h.openCBC(l, typ, ver, body)
	default:
		if l.rc4 != nil {
			h.used += uint64(len(body))
			l.rc4.XORKeyStream(body, body)
		}
		plain, err = h.checkMAC(l, typ, ver, body, len(body)-h.suite.MACLen())
	}
	if err == nil && len(plain) > wire.MaxPlaintext {
		err = ErrOverflow
	}
	h.seq++
	return typ, plain, err
}

func (h *Half12) openAEAD(l *live12, typ wire.RecordType, ver wire.Version, body []byte) ([]byte, error) {
	n := h.explicitLen()
	if len(body) < n+16 {
		return nil, ErrMAC
	}
	var explicit uint64
	if n > 0 {
		explicit = binary.BigEndian.Uint64(body)
	}
	h.setNonce(l, explicit)
	body = body[n:]
	plain, err := l.aead.Open(body[:0], l.nonce[:], body, h.header(l, typ, ver, len(body)-16))
	if err != nil {
		return nil, ErrMAC
	}
	return plain, nil
}

// checkMAC compares the MAC that stands behind content[:n].
func (h *Half12) checkMAC(l *live12, typ wire.RecordType, ver wire.Version, body []byte, n int) ([]byte, error) {
	if n < 0 {
		return nil, ErrMAC
	}
	got := body[n : n+h.suite.MACLen()]
	if subtle.ConstantTimeCompare(h.macOf(l, typ, ver, body[:n]), got) != 1 {
		return nil, ErrMAC
	}
	return body[:n], nil
}
