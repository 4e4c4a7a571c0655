// Package record protects and opens records: the TLSCiphertext of SSL 3.0 to TLS 1.2 (MAC-then-encrypt,
// encrypt-then-MAC, stream, AEAD) and of TLS 1.3.
//
// It owns keys in use, sequence numbers and the wording of a failed opening. It does not frame a byte
// stream, split messages or send alerts; package engine does. It is pure, and sealing or opening a
// record allocates nothing once the cipher objects exist.
package record

import (
	"errors"

	"tlsurge/profiles/wire"
)

// Half is one direction's protection. A nil Half is no protection, and the caller's business.
type Half interface {
	// AppendSeal appends one whole protected record, header included. fragment is at most
	// wire.MaxPlaintext bytes and must not overlap dst's free space.
	AppendSeal(dst []byte, typ wire.RecordType, ver wire.Version, fragment []byte) []byte

	// Open removes protection in place. rec is one whole record, header included. plain aliases rec and
	// lives as long as it. It fails with ErrMAC where authentication fails, whatever the reason (a
	// padding fault must not be told apart, RFC 5246 §6.2.3.2), and with ErrOverflow where more than
	// wire.MaxPlaintext bytes come out.
	Open(rec []byte) (typ wire.RecordType, plain []byte, err error)

	// Overhead is the most that a record grows by, header included.
	Overhead() int

	// Park drops what can be rebuilt from the keys; the next call rebuilds it. For idle connections.
	Park()
}

// The ways in which a record cannot be opened.
var (
	ErrMAC      = errors.New("record authentication failed")
	ErrOverflow = errors.New("plaintext longer than 16384 bytes")
	ErrSequence = errors.New("sequence number would wrap")
)
