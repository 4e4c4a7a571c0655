package keys

import (
	"crypto/rsa"
	"fmt"
	"io"
	"math/big"
)

// EncryptRSA is RSAES-PKCS1-v1_5 (RFC 8017 §7.2.1) with padding bytes from rand, because crypto/rsa
// draws its own and a run must be repeatable from its seed.
func EncryptRSA(pub *rsa.PublicKey, msg []byte, rand io.Reader) ([]byte, error) {
	k := pub.Size()
	if len(msg) > k-11 {
		return nil, fmt.Errorf("keys: %d bytes do not fit an RSA key of %d", len(msg), k)
	}
	em := make([]byte, k)
	em[1] = 2
	ps := em[2 : k-len(msg)-1]
	if _, err := io.ReadFull(rand, ps); err != nil {
		return nil, fmt.Errorf("keys: drawing padding: %w", err)
	}
	for i := range ps {
		// Padding must be nonzero; any fixed replacement will do for a test instrument.
		if ps[i] == 0 {
			ps[i] = 0xa5
		}
	}
	copy(em[k-len(msg):], msg)
	m := new(big.Int).SetBytes(em)
	m.Exp(m, big.NewInt(int64(pub.E)), pub.N)
	return m.FillBytes(em), nil
}
