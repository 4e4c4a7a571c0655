package proxy

import (
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"

	"tlsurge/harness/keys"
)

// readDHParam reads what ssl_dhparam names: a PEM file "DH PARAMETERS", or one that is built in
// ("builtin:dh-768.pem").
func readDHParam(file string) (*keys.DHGroup, error) {
	text, err := dhParamText(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "DH PARAMETERS" && block.Type != "X9.42 DH PARAMETERS" {
		return nil, fmt.Errorf("ssl_dhparam %s: no PEM block DH PARAMETERS in it", file)
	}
	// PKCS #3, Section 9, Object Identifier: DHParameter.
	// X9.42 has the order of the group third, and what it was made from.
	var params struct {
		P, G *big.Int
		L    *big.Int `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(block.Bytes, &params); err != nil || len(rest) > 0 || params.P.Sign() <= 0 || params.G.Sign() <= 0 {
		return nil, fmt.Errorf("ssl_dhparam %s: not DER of a prime and a generator", file)
	}
	group := &keys.DHGroup{P: params.P.Bytes(), G: params.G.Bytes()}
	return group, dhUsable(file, group)
}

// dhUsable refuses here what a handshake would stumble over.
func dhUsable(file string, g *keys.DHGroup) error {
	if err := g.Check(); err != nil {
		return fmt.Errorf("ssl_dhparam %s: %w; 512 to 8192 bits are allowed", file, err)
	}
	return nil
}

func dhParamText(file string) ([]byte, error) {
	if strings.HasPrefix(file, BuiltinPrefix) {
		return BuiltinFile(file)
	}
	return os.ReadFile(file)
}
