package stack

import (
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// vocabulary is OpenSSL 3.0's: ciphers(1), CIPHER STRINGS, with the aliases that only its source tells, names of suites
// (OpenSSL's and RFC's), and words that it does not know.
var vocabulary = strings.Fields(`ALL COMPLEMENTOFALL COMPLEMENTOFDEFAULT DEFAULT HIGH MEDIUM LOW EXP EXPORT eNULL NULL aNULL
	kRSA aRSA RSA kDHr kDHd kDH kDHE kEDH DH DHE EDH ADH AECDH kEECDH kECDHE ECDHE EECDH ECDH aDSS DSS aDH aECDH aECDSA ECDSA
	TLSv1.2 TLSv1.0 TLSv1 SSLv3 SSLv2 AES AES128 AES256 AESGCM AESCCM AESCCM8 ARIA ARIA128 ARIA256 ARIAGCM CAMELLIA CAMELLIA128 CAMELLIA256
	CHACHA20 3DES DES RC4 RC2 IDEA SEED MD5 SHA SHA1 SHA256 SHA384 GOST94 GOST89 GOST2001 PSK kPSK aPSK kECDHEPSK kDHEPSK kRSAPSK SRP kSRP aSRP aGOST
	CBC FIPS SUITEB128 SUITEB128ONLY SUITEB192 STRENGTH
	ECDHE-RSA-AES128-GCM-SHA256 AES128-SHA AES256-SHA256 DHE-RSA-CHACHA20-POLY1305 PSK-AES128-CBC-SHA NULL-SHA256 DHE-DSS-AES256-SHA
	TLS_RSA_WITH_AES_128_CBC_SHA TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 TLS_AES_128_GCM_SHA256 no-such-word aes128 Default`)

// randomCiphers writes a cipher string: elements with operators and joined words, levels and sorting in between.
func randomCiphers(r *rand.Rand) string {
	var b strings.Builder
	for i := range 1 + r.IntN(7) {
		if i > 0 {
			b.WriteByte(":, "[min(r.IntN(12), 2)])
		}
		if r.IntN(10) == 0 {
			b.WriteString([]string{"@STRENGTH", "@SECLEVEL=0", "@SECLEVEL=1", "@SECLEVEL=2", "@SECLEVEL=3", "@SECLEVEL=4"}[r.IntN(6)])
			continue
		}
		if op := r.IntN(8); op < 3 && i > 0 {
			b.WriteByte("!-+"[op])
		}
		b.WriteString(vocabulary[r.IntN(len(vocabulary))])
		for range max(0, r.IntN(5)-2) {
			b.WriteString("+" + vocabulary[r.IntN(len(vocabulary))])
		}
	}
	return b.String()
}

// Random strings of the whole language expand to what the installed OpenSSL 3.0 makes of them, and what it refuses
// is refused.
func TestRandomStringsEqualOpenSSL(t *testing.T) {
	needOpenSSL3(t)
	s, err := Lookup("openssl-3.0")
	if err != nil {
		t.Fatal(err)
	}
	n := 400
	if testing.Short() {
		n = 60
	}
	r := rand.New(rand.NewPCG(20150113, 3))
	for range n {
		text := randomCiphers(r)
		out, err := exec.Command("openssl", "ciphers", text).Output()
		list, ourErr := s.Expand(text)
		if err != nil != (ourErr != nil) {
			t.Errorf("%q: openssl says %q (%v), we %v", text, strings.TrimSpace(string(out)), err, ourErr)
			continue
		}
		if err != nil {
			continue
		}
		want := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(out)), ":"), func(n string) bool { return n == "" || strings.HasPrefix(n, "TLS_") })
		var got []string
		for _, id := range list.Listed {
			got = append(got, Name(id))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %v\nwant %v", text, got, want)
		}
	}
}
