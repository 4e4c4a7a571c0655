package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA384.New
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"tlsurge/profiles/wire"
)

// Suite13 is what a TLS 1.3 suite names: one hash and one AEAD.
type Suite13 struct {
	ID     wire.CipherSuite
	Hash   crypto.Hash
	KeyLen int
	// RecordLimit is how many full records one key may protect (RFC 8446 §5.5, Limits on Key Usage);
	// 0 is no limit below the sequence number's own.
	RecordLimit uint64
	chacha      bool // else AES-GCM
}

// NewAEAD makes the suite's cipher from a traffic key of KeyLen bytes.
func (s *Suite13) NewAEAD(key []byte) (cipher.AEAD, error) {
	if s.chacha {
		return chacha20poly1305.New(key)
	}
	return newGCM(key)
}

// suites13 is in the order in which a server of ours prefers them.
var suites13 = [...]Suite13{
	// 2^24.5 records, rounded down.
	{wire.TLS_AES_128_GCM_SHA256, crypto.SHA256, 16, 23_726_566, false},
	{wire.TLS_AES_256_GCM_SHA384, crypto.SHA384, 32, 23_726_566, false},
	{wire.TLS_CHACHA20_POLY1305_SHA256, crypto.SHA256, 32, 0, true},
}

// Lookup13 finds a TLS 1.3 suite; nil if id is not one that this package implements.
func Lookup13(id wire.CipherSuite) *Suite13 {
	for i := range suites13 {
		if suites13[i].ID == id {
			return &suites13[i]
		}
	}
	return nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keys: AES traffic key: %w", err)
	}
	return cipher.NewGCM(block)
}
