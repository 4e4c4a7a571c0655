package harness

import (
	"os"
	"path/filepath"
	"testing"

	"tlsurge/harness/scenario"
)

// TestDigestsSeeEveryFile: a run of another text behind the same names is another run, and what does not change
// what a run does is not seen.
func TestDigestsSeeEveryFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conf := write("nginx.conf", "events {}\nhttp { include tls.conf; include sites/*.conf; server { listen 443 ssl; } }\n")
	if err := os.Mkdir(filepath.Join(dir, "sites"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("tls.conf", "ssl_protocols TLSv1.2;\n")
	write("sites/a.conf", "server { listen 444 ssl; }\n")
	ca := write("ca.pem", "one")
	of := func(sc *scenario.Scenario) map[string]string {
		t.Helper()
		d, err := digests(sc)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	fleet := &scenario.Scenario{Seed: 1, Fleet: scenario.Fleet{Config: conf}}
	target := &scenario.Scenario{Seed: 1, Target: &scenario.Target{CA: ca}}
	for _, row := range []struct {
		why, file, text string
		sc              *scenario.Scenario
		key             string
	}{
		{"an included file", "tls.conf", "ssl_protocols TLSv1.3;\n", fleet, "fleet.config"},
		{"one that a pattern finds", "sites/a.conf", "server { listen 445 ssl; }\n", fleet, "fleet.config"},
		{"one more that it finds", "sites/b.conf", "server { listen 446 ssl; }\n", fleet, "fleet.config"},
		{"the file itself, with an error in it", "nginx.conf", "http { nonsense", fleet, "fleet.config"},
		{"the CA of a target", "ca.pem", "two", target, "target.ca"},
	} {
		before := of(row.sc)
		if again := of(row.sc); before[row.key] == "" || again[row.key] != before[row.key] {
			t.Errorf("%s: %q, then %q", row.why, before[row.key], again[row.key])
		}
		write(row.file, row.text)
		after := of(row.sc)
		if after[row.key] == before[row.key] || after["scenario"] != before["scenario"] {
			t.Errorf("%s changed, and the digests say %v after %v", row.why, after, before)
		}
	}
	other := *fleet
	other.Seed, other.Tags = 2, map[string]string{"build": "7"}
	if of(&other)["scenario"] != of(fleet)["scenario"] {
		t.Error("seed and tags are in the digest of the scenario")
	}
}
