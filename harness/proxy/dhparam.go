package proxy

import (
	"encoding/asn1"
	"errors"
	"math/big"
)

// asn1DHBits gives the size of the prime in PKCS #3 DHParameter (section 9, Object identifier).
func asn1DHBits(der []byte) (int, error) {
	var params struct {
		P, G *big.Int
		L    int `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(der, &params); err != nil || len(rest) > 0 || params.P.Sign() <= 0 {
		return 0, errors.New("ssl_dhparam: not DER of a prime and a generator")
	}
	return params.P.BitLen(), nil
}
