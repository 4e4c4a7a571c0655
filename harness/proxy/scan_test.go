package proxy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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

// testssl.sh finds what the configuration says: protocols, whose order of suites counts, and that order.
func TestTestsslAgreesWithTheConfiguration(t *testing.T) {
	if testing.Short() {
		t.Skip("testssl.sh takes half a minute; the whole suite runs it")
	}
	t.Parallel()
	scan := need(t, "testssl")
	p := newPKI(t, "rsa")
	for _, c := range []struct {
		why       string
		options   Options
		protocols map[string]string
		npn, alpn string
		order     string // of TLS 1.2's suites, in OpenSSL's language
	}{
		{"the thread's configuration", Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j"},
			map[string]string{"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "offered", "TLS1_1": "offered", "TLS1_2": "offered", "TLS1_3": "not offered"},
			"http/1.1", "not offered", threadCiphers(t)},
		{"a modern one", Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2", "TLSv1.3"}, Ciphers: "ECDHE+CHACHA20:ECDHE+AESGCM",
			Set: map[string]string{"ssl_prefer_server_ciphers": "on"}},
			map[string]string{"SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered", "TLS1_2": "offered", "TLS1_3": "offered"},
			"not offered", "http/1.1", "ECDHE+CHACHA20:ECDHE+AESGCM"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			c.options.Certificate, c.options.Key = p.cert, p.key
			e := startEdge(t, c.options)
			file := filepath.Join(t.TempDir(), "scan.json")
			out, err := exec.Command(scan, "--warnings", "off", "--color", "0", "--quiet", "--nodns", "none", "-p", "-P", "--jsonfile", file, e.addr).CombinedOutput()
			text, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatalf("testssl.sh: %v, %v\n%s", err, readErr, out)
			}
			var rows []struct{ ID, Finding string }
			if err := json.Unmarshal(text, &rows); err != nil {
				t.Fatal(err)
			}
			found := map[string]string{}
			for _, r := range rows {
				found[r.ID] = r.Finding
			}
			for id, want := range c.protocols {
				if !strings.HasPrefix(found[id], want) {
					t.Errorf("%s: testssl.sh found %q, configured is %q", id, found[id], want)
				}
			}
			if !strings.HasPrefix(found["cipher_order"], "server") {
				t.Errorf("order: %q, want the server's", found["cipher_order"])
			}
			for id, want := range map[string]string{"NPN": c.npn, "ALPN": c.alpn} {
				if !strings.Contains(found[id], want) {
					t.Errorf("%s: testssl.sh found %q, want %q", id, found[id], want)
				}
			}
			st, err := stack.Lookup(c.options.Stack)
			if err != nil {
				t.Fatal(err)
			}
			list, err := st.Expand(c.order)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, id := range list.Suites {
				if spoken(id.String()) {
					want = append(want, stack.Name(id))
				}
			}
			if got := strings.Fields(found["cipherorder_TLSv1_2"]); !slices.Equal(got, want) {
				t.Errorf("TLS 1.2:\n scanned    %v\n configured %v", got, want)
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}
