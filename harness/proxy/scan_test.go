package proxy

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/wire"
)

// sslscan finds what the configuration says: protocols, and for each the suites in the order of preference.
func TestSSLScanAgreesWithTheConfiguration(t *testing.T) {
	scan := need(t, "sslscan")
	p := newPKI(t, "rsa")
	e := startEdge(t, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key})
	out, err := exec.Command(scan, "--no-colour", "--no-heartbleed", e.addr).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for _, want := range []string{"SSLv3     disabled", "TLSv1.0   enabled", "TLSv1.1   enabled", "TLSv1.2   enabled", "TLSv1.3   disabled",
		"Server supports TLS Fallback SCSV", "Secure session renegotiation supported"} {
		if !strings.Contains(text, want) {
			t.Errorf("sslscan does not say %q", want)
		}
	}
	st, err := stack.Lookup("openssl-1.0.1j")
	if err != nil {
		t.Fatal(err)
	}
	list, err := st.Expand(threadCiphers(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name    string
		version wire.Version
	}{{"TLSv1.2", wire.TLS12}, {"TLSv1.1", wire.TLS11}, {"TLSv1.0", wire.TLS10}} {
		var want, got []string
		for _, id := range list.Suites {
			name := id.String()
			if spoken(name) && (v.version == wire.TLS12 || !strings.Contains(name, "SHA256") && !strings.Contains(name, "SHA384")) {
				if id != wire.CipherSuite(0x000a) { // the OpenSSL 3 that sslscan has does not know 3DES by its own name
					name = stack.Name(id)
				}
				want = append(want, name)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			f := strings.Fields(line)
			if len(f) > 4 && (f[0] == "Accepted" || f[0] == "Preferred") && f[1] == v.name {
				got = append(got, f[4])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n scanned    %v\n configured %v", v.name, got, want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// spoken: what an RSA certificate serves and the engine has ciphers for; it has no Camellia.
func spoken(name string) bool {
	for _, word := range []string{"ECDSA", "DSS", "CAMELLIA", "PSK", "SRP", "_anon_", "NULL"} {
		if strings.Contains(name, word) {
			return false
		}
	}
	return true
}
