package record

import (
	"crypto/cipher"
	"errors"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// ErrInnerType is a protected record whose inner plaintext is all zeroes, so that it has no content
// type: unexpected_message (RFC 8446 §5.4, Record Padding).
var ErrInnerType = errors.New("protected record holds no content type")

// ErrOuterType is a record in the clear where only application_data may come: unexpected_message
// (RFC 8446 §5.2, Record Payload Protection: opaque_type is always 23).
var ErrOuterType = errors.New("unprotected record under TLS 1.3 keys")

// tagSize is the expansion of each AEAD of TLS 1.3; one byte of content type comes on top.
const tagSize = 16

// Half13 protects one direction of a TLS 1.3 connection (RFC 8446 §5.2, Record Payload Protection). It
// keeps the traffic secret, the IV and the sequence number; the expanded cipher is dropped by Park and
// built again at the next use, so that an idle connection pays for keys alone.
type Half13 struct {
	suite  *keys.Suite13
	secret keys.Secret
	aead   cipher.AEAD // nil while parked
	iv     [12]byte
	nonce  [12]byte // scratch of one call; here so that it does not escape to the heap each time
	seq    uint64

	// Pad is how many zero bytes each sealed record is padded with.
	Pad int
}

// NewHalf13 starts a direction at sequence number 0 under the given traffic secret.
func NewHalf13(suite *keys.Suite13, secret keys.Secret) *Half13 {
	h := new(Half13)
	h.Start(suite, secret)
	return h
}

// Start is NewHalf13 in memory of the caller's.
func (h *Half13) Start(suite *keys.Suite13, secret keys.Secret) {
	*h = Half13{suite: suite, secret: secret}
}

// Park drops what can be rebuilt from the traffic secret.
func (h *Half13) Park() { h.aead = nil }

// Update moves to the next generation of keys (RFC 8446 §7.2, Updating Traffic Secrets).
func (h *Half13) Update() {
	h.secret, h.aead, h.seq = h.secret.Next(), nil, 0
}

// Used says how many records the current keys have protected.
func (h *Half13) Used() uint64 { return h.seq }

// NeedsUpdate is true when the current keys have protected as many records as RFC 8446 §5.5, Limits on
// Key Usage, allows for the suite's cipher.
func (h *Half13) NeedsUpdate() bool { return h.suite.RecordLimit != 0 && h.seq >= h.suite.RecordLimit }

// Overhead is the header, the content type, the padding asked for and the tag.
func (h *Half13) Overhead() int { return wire.RecordHeaderLen + 1 + h.Pad + tagSize }

// AppendSeal appends one TLSCiphertext whose TLSInnerPlaintext is fragment, its type and h.Pad zero
// bytes, as far as 16384 bytes of fragment and padding allow. ver is not used: the outer version is
// always 0x0303. With room in dst nothing is allocated.
//
//	opaque_type 1 = 23 | legacy_record_version 2 | length 2 | fragment, type, zeros, tag
func (h *Half13) AppendSeal(dst []byte, typ wire.RecordType, _ wire.Version, fragment []byte) []byte {
	h.ready()
	pad := max(0, min(h.Pad, wire.MaxPlaintext-len(fragment)))
	start := len(dst)
	dst = wire.AppendRecordHeader(dst, wire.RecordHeader{
		Type: wire.RecordApplicationData, Version: wire.TLS12, Length: len(fragment) + 1 + pad + tagSize,
	})
	body := len(dst)
	dst = append(dst, fragment...)
	dst = append(dst, byte(typ))
	for range pad {
		dst = append(dst, 0)
	}
	h.step()
	return h.aead.Seal(dst[:body], h.nonce[:], dst[body:], dst[start:body])
}

// Open removes protection from one TLSCiphertext in place.
//
// rec is a whole record, header included: at most 5+16640 bytes (RFC 8446 §5.2). The content aliases
// rec. It fails with ErrMAC if authentication fails, ErrOuterType if the record is not of type 23, ErrOverflow if the content exceeds 16384 bytes,
// and ErrInnerType if the inner plaintext is all zeroes. A record that does not authenticate leaves the
// direction as it was, so a server may try and skip the records of 0-RTT data that it rejected.
func (h *Half13) Open(rec []byte) (typ wire.RecordType, content []byte, err error) {
	if len(rec) > wire.RecordHeaderLen+wire.MaxCiphertext13 {
		return 0, nil, ErrOverflow
	}
	if len(rec) > 0 && wire.RecordType(rec[0]) != wire.RecordApplicationData {
		return 0, nil, ErrOuterType
	}
	if len(rec) < wire.RecordHeaderLen+tagSize {
		return 0, nil, ErrMAC
	}
	h.ready()
	h.step()
	aad, ct := rec[:wire.RecordHeaderLen], rec[wire.RecordHeaderLen:]
	content, err = h.aead.Open(ct[:0], h.nonce[:], ct, aad)
	if err != nil {
		h.seq--
		return 0, nil, ErrMAC
	}
	if len(content) > wire.MaxPlaintext+1 {
		return 0, nil, ErrOverflow
	}
	for i := len(content) - 1; i >= 0; i-- {
		if content[i] != 0 {
			return wire.RecordType(content[i]), content[:i], nil
		}
	}
	return 0, nil, ErrInnerType
}

// ready expands the cipher where Park, Update or the start left none. A suite's own cipher refuses no
// key of the suite's own length.
func (h *Half13) ready() {
	if h.aead != nil {
		return
	}
	key, iv := h.secret.Key(h.suite.KeyLen)
	aead, err := h.suite.NewAEAD(key[:h.suite.KeyLen])
	if err != nil {
		panic("record: " + err.Error())
	}
	h.aead, h.iv = aead, iv
}

// step makes the nonce of this record and counts it (RFC 8446 §5.3, Per-Record Nonce): the sequence
// number, padded to the left, XORed with the IV. The number cannot wrap: keys change long before.
func (h *Half13) step() {
	h.nonce = h.iv
	for i := range 8 {
		h.nonce[11-i] ^= byte(h.seq >> (8 * i))
	}
	h.seq++
}
