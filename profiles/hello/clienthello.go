// Package hello is the lossless ClientHello: parse what a client sent, change a field, and give back
// the very bytes. It also owns GREASE, extension order, padding, the JA3 and JA4 fingerprints and the
// reading of hellos from hex and captures.
//
// It does not know browsers (package profiles does) nor keys (package engine does). It is pure.
package hello

import "tlsurge/profiles/wire"

// Format is how the ClientHello is framed.
type Format uint8

const (
	FormatTLS   Format = iota // TLS records with a ClientHello message
	FormatSSLv2               // the SSLv2-format CLIENT-HELLO of RFC 5246 Appendix E.2
)

// Extension is one extension as it stands in the hello: type, then the body without its length.
type Extension = wire.Extension

// ClientHello is one ClientHello with everything that reaches the wire: serialising a parsed hello
// gives its bytes back exactly.
type ClientHello struct {
	Format        Format
	RecordVersion wire.Version
	// Fragments gives the length of each record's fragment when the message spans several records;
	// nil is one record.
	Fragments []int

	Version       wire.Version // client_version (legacy_version in TLS 1.3)
	Random        [32]byte     // SSLv2 format: the challenge, right-aligned, ChallengeLen bytes of it
	ChallengeLen  int          // SSLv2 format only
	SessionID     []byte
	Suites        []wire.CipherSuite
	SSLv2Suites   []uint32 // SSLv2 format only: the 24-bit cipher specs in order
	Compression   []uint8
	HasExtensions bool // false: the extensions block itself is missing
	Extensions    []Extension

	Room Room // nothing of the hello's own
}

// Room is memory for those who build one hello after another into the same ClientHello: Suites and the
// bodies of Extensions may lie in it.
type Room struct {
	Bodies []byte
	Suites []wire.CipherSuite
}

// KeyShare is one public key share of a hello.
type KeyShare struct {
	Group  wire.Group
	Public []byte
}
