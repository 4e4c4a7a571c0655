package keys

import (
	"crypto"

	"tlsurge/profiles/wire"
)

// KeyExchange is how a suite of TLS 1.2 and below agrees on the premaster secret.
type KeyExchange uint8

const (
	KxRSA KeyExchange = iota
	KxDHE
	KxECDHE
)

// Auth is the kind of certificate key that a suite asks for.
type Auth uint8

const (
	AuthRSA Auth = iota
	AuthECDSA
)

// Cipher is the bulk cipher of a suite.
type Cipher uint8

const (
	CipherNull Cipher = iota
	CipherRC4
	Cipher3DES
	CipherDES
	CipherAESCBC
	CipherAESGCM
	CipherChaCha20
)

// Suite12 is what a suite of SSL 3.0 to TLS 1.2 names. All that differs between suites is here.
type Suite12 struct {
	ID     wire.CipherSuite
	Kx     KeyExchange
	Auth   Auth
	Cipher Cipher
	KeyLen int
	// IVLen is the block size of a CBC cipher; the part of the nonce that comes from the key block for
	// an AEAD (RFC 5288 §3: salt, 4 bytes; RFC 7905 §2: 12); 0 for a stream cipher.
	IVLen int
	MAC   crypto.Hash // 0 for an AEAD
	// PRF is the hash of TLS 1.2's PRF and Finished; below TLS 1.2 it is MD5 and SHA-1 for all.
	PRF crypto.Hash
	// Only12: the suite does not exist below TLS 1.2 (RFC 5246 §A.5, RFC 5288 §2, RFC 5289 §2).
	Only12 bool
}

// CBC says whether the suite is a block cipher in CBC mode.
func (s *Suite12) CBC() bool {
	return s.Cipher == CipherAESCBC || s.Cipher == Cipher3DES || s.Cipher == CipherDES
}

// AEAD says whether the suite authenticates with its cipher.
func (s *Suite12) AEAD() bool { return s.Cipher == CipherAESGCM || s.Cipher == CipherChaCha20 }

// MACLen is the length of the MAC and of its key.
func (s *Suite12) MACLen() int {
	if s.MAC == 0 {
		return 0
	}
	return s.MAC.Size()
}

const (
	h1   = crypto.SHA1
	h256 = crypto.SHA256
	h384 = crypto.SHA384
)

// suites12 is sorted by number. Camellia, DSS, IDEA, SEED and export suites have no row: they can be
// offered and ranked, and are never selected, because the standard library has no such primitives.
var suites12 = [...]Suite12{
	{0x0001, KxRSA, AuthRSA, CipherNull, 0, 0, crypto.MD5, h256, false},
	{0x0002, KxRSA, AuthRSA, CipherNull, 0, 0, h1, h256, false},
	{0x0004, KxRSA, AuthRSA, CipherRC4, 16, 0, crypto.MD5, h256, false},
	{0x0005, KxRSA, AuthRSA, CipherRC4, 16, 0, h1, h256, false},
	{0x0009, KxRSA, AuthRSA, CipherDES, 8, 8, h1, h256, false},
	{0x000a, KxRSA, AuthRSA, Cipher3DES, 24, 8, h1, h256, false},
	{0x0015, KxDHE, AuthRSA, CipherDES, 8, 8, h1, h256, false},
	{0x0016, KxDHE, AuthRSA, Cipher3DES, 24, 8, h1, h256, false},
	{0x002f, KxRSA, AuthRSA, CipherAESCBC, 16, 16, h1, h256, false},
	{0x0033, KxDHE, AuthRSA, CipherAESCBC, 16, 16, h1, h256, false},
	{0x0035, KxRSA, AuthRSA, CipherAESCBC, 32, 16, h1, h256, false},
	{0x0039, KxDHE, AuthRSA, CipherAESCBC, 32, 16, h1, h256, false},
	{0x003c, KxRSA, AuthRSA, CipherAESCBC, 16, 16, h256, h256, true},
	{0x003d, KxRSA, AuthRSA, CipherAESCBC, 32, 16, h256, h256, true},
	{0x0067, KxDHE, AuthRSA, CipherAESCBC, 16, 16, h256, h256, true},
	{0x006b, KxDHE, AuthRSA, CipherAESCBC, 32, 16, h256, h256, true},
	{0x009c, KxRSA, AuthRSA, CipherAESGCM, 16, 4, 0, h256, true},
	{0x009d, KxRSA, AuthRSA, CipherAESGCM, 32, 4, 0, h384, true},
	{0x009e, KxDHE, AuthRSA, CipherAESGCM, 16, 4, 0, h256, true},
	{0x009f, KxDHE, AuthRSA, CipherAESGCM, 32, 4, 0, h384, true},
	{0xc006, KxECDHE, AuthECDSA, CipherNull, 0, 0, h1, h256, false},
	{0xc007, KxECDHE, AuthECDSA, CipherRC4, 16, 0, h1, h256, false},
	{0xc008, KxECDHE, AuthECDSA, Cipher3DES, 24, 8, h1, h256, false},
	{0xc009, KxECDHE, AuthECDSA, CipherAESCBC, 16, 16, h1, h256, false},
	{0xc00a, KxECDHE, AuthECDSA, CipherAESCBC, 32, 16, h1, h256, false},
	{0xc010, KxECDHE, AuthRSA, CipherNull, 0, 0, h1, h256, false},
	{0xc011, KxECDHE, AuthRSA, CipherRC4, 16, 0, h1, h256, false},
	{0xc012, KxECDHE, AuthRSA, Cipher3DES, 24, 8, h1, h256, false},
	{0xc013, KxECDHE, AuthRSA, CipherAESCBC, 16, 16, h1, h256, false},
	{0xc014, KxECDHE, AuthRSA, CipherAESCBC, 32, 16, h1, h256, false},
	{0xc023, KxECDHE, AuthECDSA, CipherAESCBC, 16, 16, h256, h256, true},
	{0xc024, KxECDHE, AuthECDSA, CipherAESCBC, 32, 16, h384, h384, true},
	{0xc027, KxECDHE, AuthRSA, CipherAESCBC, 16, 16, h256, h256, true},
	{0xc028, KxECDHE, AuthRSA, CipherAESCBC, 32, 16, h384, h384, true},
	{0xc02b, KxECDHE, AuthECDSA, CipherAESGCM, 16, 4, 0, h256, true},
	{0xc02c, KxECDHE, AuthECDSA, CipherAESGCM, 32, 4, 0, h384, true},
	{0xc02f, KxECDHE, AuthRSA, CipherAESGCM, 16, 4, 0, h256, true},
	{0xc030, KxECDHE, AuthRSA, CipherAESGCM, 32, 4, 0, h384, true},
	{0xcca8, KxECDHE, AuthRSA, CipherChaCha20, 32, 12, 0, h256, true},
	{0xcca9, KxECDHE, AuthECDSA, CipherChaCha20, 32, 12, 0, h256, true},
	{0xccaa, KxDHE, AuthRSA, CipherChaCha20, 32, 12, 0, h256, true},
}

// Lookup12 finds a suite of TLS 1.2 and below; nil if it is not one that can be spoken.
func Lookup12(id wire.CipherSuite) *Suite12 {
	lo, hi := 0, len(suites12)
	for lo < hi {
		if m := (lo + hi) / 2; suites12[m].ID < id {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(suites12) && suites12[lo].ID == id {
		return &suites12[lo]
	}
	return nil
}

// Suites12 lists what Lookup12 finds.
func Suites12() []wire.CipherSuite {
	ids := make([]wire.CipherSuite, len(suites12))
	for i := range suites12 {
		ids[i] = suites12[i].ID
	}
	return ids
}

// Hash is the hash of PRF and transcript at version v; crypto.MD5SHA1 stands for the pair.
func (s *Suite12) Hash(v wire.Version) crypto.Hash {
	if v < wire.TLS12 {
		return crypto.MD5SHA1
	}
	return s.PRF
}
