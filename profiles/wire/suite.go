package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// The suites that this program can negotiate, under their registry names. Every other number still
// has a name (String) and can be offered.
const (
	TLS_RSA_WITH_NULL_MD5                         CipherSuite = 0x0001
	TLS_RSA_WITH_NULL_SHA                         CipherSuite = 0x0002
	TLS_RSA_WITH_RC4_128_MD5                      CipherSuite = 0x0004
	TLS_RSA_WITH_RC4_128_SHA                      CipherSuite = 0x0005
	TLS_RSA_WITH_DES_CBC_SHA                      CipherSuite = 0x0009
	TLS_RSA_WITH_3DES_EDE_CBC_SHA                 CipherSuite = 0x000a
	TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA             CipherSuite = 0x0016
	TLS_RSA_WITH_AES_128_CBC_SHA                  CipherSuite = 0x002f
	TLS_DHE_RSA_WITH_AES_128_CBC_SHA              CipherSuite = 0x0033
	TLS_RSA_WITH_AES_256_CBC_SHA                  CipherSuite = 0x0035
	TLS_DHE_RSA_WITH_AES_256_CBC_SHA              CipherSuite = 0x0039
	TLS_RSA_WITH_AES_128_CBC_SHA256               CipherSuite = 0x003c
	TLS_RSA_WITH_AES_256_CBC_SHA256               CipherSuite = 0x003d
	TLS_RSA_WITH_CAMELLIA_128_CBC_SHA             CipherSuite = 0x0041
	TLS_DHE_RSA_WITH_AES_128_CBC_SHA256           CipherSuite = 0x0067
	TLS_DHE_RSA_WITH_AES_256_CBC_SHA256           CipherSuite = 0x006b
	TLS_RSA_WITH_CAMELLIA_256_CBC_SHA             CipherSuite = 0x0084
	TLS_RSA_WITH_AES_128_GCM_SHA256               CipherSuite = 0x009c
	TLS_RSA_WITH_AES_256_GCM_SHA384               CipherSuite = 0x009d
	TLS_DHE_RSA_WITH_AES_128_GCM_SHA256           CipherSuite = 0x009e
	TLS_DHE_RSA_WITH_AES_256_GCM_SHA384           CipherSuite = 0x009f
	TLS_AES_128_GCM_SHA256                        CipherSuite = 0x1301
	TLS_AES_256_GCM_SHA384                        CipherSuite = 0x1302
	TLS_CHACHA20_POLY1305_SHA256                  CipherSuite = 0x1303
	TLS_AES_128_CCM_SHA256                        CipherSuite = 0x1304
	TLS_ECDHE_ECDSA_WITH_RC4_128_SHA              CipherSuite = 0xc007
	TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA         CipherSuite = 0xc008
	TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA          CipherSuite = 0xc009
	TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA          CipherSuite = 0xc00a
	TLS_ECDHE_RSA_WITH_RC4_128_SHA                CipherSuite = 0xc011
	TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA           CipherSuite = 0xc012
	TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA            CipherSuite = 0xc013
	TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA            CipherSuite = 0xc014
	TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256       CipherSuite = 0xc023
	TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384       CipherSuite = 0xc024
	TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256         CipherSuite = 0xc027
	TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384         CipherSuite = 0xc028
	TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256       CipherSuite = 0xc02b
	TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384       CipherSuite = 0xc02c
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256         CipherSuite = 0xc02f
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384         CipherSuite = 0xc030
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256   CipherSuite = 0xcca8
	TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 CipherSuite = 0xcca9
	TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256     CipherSuite = 0xccaa
)

// String gives the registry's name; a reserved value of RFC 8701 reads "GREASE", an unknown number "0xfe01".
func (s CipherSuite) String() string { return numberName(suiteNames, s) }

// IsSCSV says whether s is a signal among the suites rather than a suite.
func (s CipherSuite) IsSCSV() bool { return s == EmptyRenegotiationInfoSCSV || s == FallbackSCSV }

// ParseCipherSuite is the reverse of String. It also takes "0x1301" for a number without a name.
func ParseCipherSuite(name string) (CipherSuite, error) {
	return parseNumber(suiteByName, "cipher suite", "a name of the IANA registry such as TLS_RSA_WITH_AES_128_CBC_SHA", name)
}

// SSLv2SpecString names a three-byte cipher spec of an SSLv2-format ClientHello: an SSL 2.0 kind
// ("SSL_CK_RC4_128_WITH_MD5") or, with a zero first byte, a cipher suite (RFC 5246 Appendix E.2).
func SSLv2SpecString(spec uint32) string {
	if s, ok := specNames[spec]; ok {
		return s
	}
	if spec <= 0xffff {
		return CipherSuite(spec).String()
	}
	return fmt.Sprintf("0x%06x", spec)
}

// ParseSSLv2Spec is the reverse of SSLv2SpecString.
func ParseSSLv2Spec(name string) (uint32, error) {
	if v, ok := specByName[name]; ok {
		return v, nil
	}
	if hex, ok := strings.CutPrefix(name, "0x"); ok && len(hex) == 6 {
		if v, err := strconv.ParseUint(hex, 16, 24); err == nil {
			return uint32(v), nil
		}
	}
	s, err := ParseCipherSuite(name)
	return uint32(s), err
}

var (
	suiteByName = reverse(suiteNames)
	specByName  = reverse(specNames)
)

// GREASEName stands for "one of the sixteen reserved values, drawn anew on each connection".
const GREASEName = "GREASE"

// GREASEPlaceholder is the number that GREASEName parses to; profiles replace it by their draw.
const GREASEPlaceholder = 0x0a0a

func numberName[K ~uint16](names map[K]string, v K) string {
	if s, ok := names[v]; ok {
		return s
	}
	if IsGREASE(uint16(v)) {
		return GREASEName
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

func parseNumber[K ~uint16](byName map[string]K, what, allowed, name string) (K, error) {
	if v, ok := byName[name]; ok {
		return v, nil
	}
	if name == GREASEName {
		return GREASEPlaceholder, nil
	}
	if hex, ok := strings.CutPrefix(name, "0x"); ok && len(hex) == 4 {
		if v, err := strconv.ParseUint(hex, 16, 16); err == nil {
			return K(v), nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q: allowed is %s, GREASE, or four hex digits like 0x1301", what, name, allowed)
}

func reverse[K comparable](names map[K]string) map[string]K {
	m := make(map[string]K, len(names))
	for k, s := range names {
		m[s] = k
	}
	return m
}
