package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
)

// TestKeyLog: our client and OpenSSL's server, each logging for itself, write the same SSLKEYLOGFILE lines
// of one handshake: full and resumed, TLS 1.0 to 1.3.
func TestKeyLog(t *testing.T) {
	need(t, "openssl")
	file := filepath.Join(t.TempDir(), "keys.log")
	id := &pki().rsa
	cmd := exec.Command("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", id.certFile, "-cert_chain", id.certFile, "-key", id.keyFile,
		"-www", "-cipher", everything, "-min_protocol", "TLSv1", "-keylogfile", file)
	_, m := startReady(t, cmd, `^ACCEPT (\S+)`)
	seen := 0
	for _, v := range versions[1:] { // s_server has no SSL 3.0
		o := offer{max: v, suites: []wire.CipherSuite{wire.TLS_AES_256_GCM_SHA384, wire.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
			groups: []wire.Group{wire.X25519}, ems: true, ticket: true}
		for i := range 2 {
			var ours []string
			cfg, ch, err := o.build(seeded(uint64(v)*2+uint64(i)), &engine.Verifier{Roots: pki().roots})
			if err != nil {
				t.Fatal(err)
			}
			cfg.KeyLog = func(label string, clientRandom, secret []byte) {
				ours = append(ours, fmt.Sprintf("%s %x %x", label, clientRandom, secret))
			}
			d := dial(m[1], cfg, ch, o)
			if d.err != nil || (d.facts.Resumed != engine.NotResumed) != (i == 1) {
				t.Fatalf("%v, connection %d: %v (%s)", v, i, d.err, describe(&d.facts))
			}
			theirs := linesOf(t, file)[seen:]
			seen += len(theirs)
			slices.Sort(ours)
			slices.Sort(theirs)
			if !slices.Equal(ours, theirs) {
				t.Errorf("%v, resumed %v:\n ours   %s\n theirs %s", v, i == 1, strings.Join(ours, "\n        "), strings.Join(theirs, "\n        "))
			}
			if want := map[bool]int{false: 1, true: 5}[v == wire.TLS13]; len(ours) != want {
				t.Errorf("%v: %d lines, wanted %d", v, len(ours), want)
			}
			if i == 0 {
				o.session = d.sessions[len(d.sessions)-1]
			}
		}
	}
}

// linesOf reads a key log: the lines that are not comments, in lower case but for the label.
func linesOf(t *testing.T, file string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] != "#" {
			out = append(out, f[0]+" "+strings.ToLower(f[1])+" "+strings.ToLower(f[2]))
		}
	}
	return out
}
