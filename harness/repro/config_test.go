package repro

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWholeConfig: a site's file alone is a configuration, a whole one stays what it is, and what is wrong with a
// site's file is said with that file's name.
func TestWholeConfig(t *testing.T) {
	l, err := newLab(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	const site = "server {\n    listen 443 ssl;\n    server_name www.example.test;\n    ssl_certificate a.pem;\n    ssl_certificate_key a.key;\n    ssl_protocols TLSv1.2 TLSv1.3;\n}\n"
	for why, c := range map[string]struct {
		text    string
		wrapped bool
	}{
		"a site's file": {site, true},
		"a whole one":   {"events {}\nhttp {\n" + site + "}\n", false},
	} {
		dir := t.TempDir()
		file, whole := filepath.Join(dir, "site.conf"), filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := wholeConfig(file, whole)
		if err != nil || (got == whole) != c.wrapped {
			t.Errorf("%s: %s, %v", why, got, err)
		}
		if err := l.readable(got); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
}
