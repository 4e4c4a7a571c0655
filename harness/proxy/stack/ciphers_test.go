package stack

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The thread's ssl_ciphers (Mozilla's recommendation of late 2014).
const threadCiphers = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:DHE-DSS-AES128-GCM-SHA256:kEDH+AESGCM:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:DHE-RSA-AES128-SHA256:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA256:DHE-RSA-AES256-SHA256:DHE-DSS-AES256-SHA:DHE-RSA-AES256-SHA:AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA:AES:CAMELLIA:DES-CBC3-SHA:!aNULL:!eNULL:!EXPORT:!DES:!RC4:!MD5:!PSK:!aECDH:!EDH-DSS-DES-CBC3-SHA:!EDH-RSA-DES-CBC3-SHA:!KRB5-DES-CBC3-SHA"

// Any cipher string must expand to the list that the installed OpenSSL 3.0 gives, in its order.
func TestExpandEqualsOpenSSL(t *testing.T) {
	needOpenSSL3(t)
	s, err := Lookup("openssl-3.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		threadCiphers + ":@SECLEVEL=0",
		nginxCiphers,
		"DEFAULT",
		"DEFAULT:@SECLEVEL=0",
		"ALL:@SECLEVEL=0",
		"ALL:COMPLEMENTOFALL:@SECLEVEL=0",
		"HIGH:!aNULL:!MD5:@SECLEVEL=1",
		"AES:CAMELLIA:@STRENGTH",
		"EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH",
		"ECDHE:-AES128:RSA+AES128:+ECDHE:@SECLEVEL=0",
		"kRSA:ECDHE-RSA-AES128-GCM-SHA256:!SHA1",
		"ALL:!ADH:!DSS:+SHA1:@STRENGTH:@SECLEVEL=0",
		"TLSv1.2:SSLv3:!PSK:!SRP:@SECLEVEL=0",
		"CHACHA20:ARIA:AESCCM:AES+SHA384:no-such-word",
	} {
		want, err := exec.Command("openssl", "ciphers", text).Output()
		if err != nil {
			t.Fatalf("openssl ciphers %q: %v", text, err)
		}
		wantNames := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(want)), ":"),
			func(n string) bool { return strings.HasPrefix(n, "TLS_") }) // the TLS 1.3 ones are a list apart
		list, err := s.Expand(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for _, id := range list.Listed {
			got = append(got, Name(id))
		}
		if !slices.Equal(got, wantNames) {
			t.Errorf("%.60q:\n got %v\nwant %v", text, got, wantNames)
		}
	}
}

func needOpenSSL3(t *testing.T) {
	t.Helper()
	out, err := exec.Command("openssl", "version").Output()
	if err == nil && strings.HasPrefix(string(out), "OpenSSL 3.0") {
		return
	}
	if strings.Contains(os.Getenv("TLSURGE_REQUIRE"), "openssl") {
		t.Fatalf("TLSURGE_REQUIRE names openssl; found %q, %v", out, err)
	}
	t.Skipf("needs OpenSSL 3.0; found %q, %v", out, err)
}

func TestExpandByEra(t *testing.T) {
	for _, tc := range []struct {
		why, stack, text string
		want             string
	}{
		{"the thread's string has no TLS 1.2 suite before 1.0.1", "openssl-0.9.8zc", "AES128-GCM-SHA256:AES128-SHA256:AES128-SHA", "AES128-SHA"},
		{"TLS 1.2 came with 1.0.1", "openssl-1.0.1j", "AES128-GCM-SHA256:AES128-SHA256:AES128-SHA", "AES128-GCM-SHA256 AES128-SHA256 AES128-SHA"},
		{"3DES is there until 1.0.2", "openssl-1.0.2", "DES-CBC3-SHA:AES128-SHA", "DES-CBC3-SHA AES128-SHA"},
		{"and left out of the builds of 1.1.0 and later", "openssl-3.0", "DES-CBC3-SHA:AES128-SHA", "AES128-SHA"},
		{"RC4 where the first state of the thread had it", "openssl-0.9.8e", "AES128-SHA:AES256-SHA:DES-CBC3-SHA:RC4-SHA:!aNULL:!eNULL:!EXPORT", "AES128-SHA AES256-SHA DES-CBC3-SHA RC4-SHA"},
	} {
		s, err := Lookup(tc.stack)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Expand(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.why, err)
			continue
		}
		var got []string
		for _, id := range list.Suites {
			got = append(got, Name(id))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %v, want %s", tc.why, got, tc.want)
		}
	}
	s, _ := Lookup("openssl-3.0")
	if _, err := s.Expand("RC4"); err == nil || !strings.Contains(err.Error(), "no cipher match") {
		t.Errorf("an empty list must be an error, got %v", err)
	}
}
