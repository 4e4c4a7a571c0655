package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// mode is how a handshake is made.
type mode string

const (
	modeFull    mode = "full"
	modeID      mode = "session ID"
	modeTicket  mode = "ticket"
	modePSK     mode = "PSK"
	modeRetry   mode = "HRR"
	modePSKHRR  mode = "PSK after HRR"
	modeEarly   mode = "0-RTT"
	modeClient  mode = "client certificate"
	modeUpdate  mode = "KeyUpdate"
	modeComp    mode = "compressed certificate"
	modeRefused mode = "0-RTT rejected"
)

// letters is how the table writes a mode that worked.
var letters = map[mode]string{
	modeFull: "F", modeID: "I", modeTicket: "T", modePSK: "P", modeRetry: "H", modePSKHRR: "PH", modeEarly: "0",
	modeClient: "C", modeUpdate: "U", modeComp: "Z", modeRefused: "0-",
}

var modeOrder = []mode{modeFull, modeID, modeTicket, modePSK, modeRetry, modePSKHRR, modeEarly, modeRefused, modeClient, modeUpdate, modeComp}

// cell is one combination of one peer.
type cell struct {
	ours    string // "client" or "server": the side that is our engine
	peer    string
	version wire.Version
	suite   wire.CipherSuite
	group   wire.Group // 0: none
	cert    string
	mode    mode
}

func (c cell) String() string {
	s := fmt.Sprintf("%v/%v/%s/%s", c.version, c.suite, c.cert, c.mode)
	if c.group != 0 {
		s += "/" + c.group.String()
	}
	return strings.ReplaceAll(s, " ", "_")
}

// ledger collects what the matrix did, for the table.
type ledger struct {
	mu    sync.Mutex
	done  map[cell]bool
	notes map[cell]string
}

var matrix = &ledger{done: map[cell]bool{}, notes: map[cell]string{}}

// try runs one cell as a subtest, unless it is excluded: then its reason goes into the table.
func try(t *testing.T, c cell, run func(t *testing.T)) {
	if reason := excluded(c); reason != "" {
		matrix.mu.Lock()
		matrix.notes[c] = reason
		matrix.mu.Unlock()
		return
	}
	if t.Run(c.String(), run) {
		matrix.mu.Lock()
		matrix.done[c] = true
		matrix.mu.Unlock()
	}
}

// versions of the matrix; of Debian's peers only NSS still has SSL 3.0.
var versions = []wire.Version{wire.SSL30, wire.TLS10, wire.TLS11, wire.TLS12, wire.TLS13}

// suitesOf lists the suites of a version that go with a kind of certificate.
func suitesOf(v wire.Version, kind string) []wire.CipherSuite {
	if v == wire.TLS13 {
		return []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256, wire.TLS_AES_256_GCM_SHA384, wire.TLS_CHACHA20_POLY1305_SHA256}
	}
	var out []wire.CipherSuite
	for _, id := range keys.Suites12() {
		s := keys.Lookup12(id)
		if s.Only12 && v < wire.TLS12 || s.Cipher == keys.CipherNull || (s.Auth == keys.AuthECDSA) != (kind == "ecdsa") {
			continue
		}
		if v == wire.SSL30 && s.Kx == keys.KxECDHE { // elliptic curves came with TLS (RFC 4492)
			continue
		}
		out = append(out, id)
	}
	return out
}

func modesOf(v wire.Version) []mode {
	switch v {
	case wire.TLS13:
		return []mode{modeFull, modePSK}
	case wire.SSL30: // no extensions, so no tickets
		return []mode{modeFull, modeID}
	}
	return []mode{modeFull, modeID, modeTicket}
}

// groupOf is the group of a suite's row in the table: the key exchange has its own rows.
func groupOf(id wire.CipherSuite) wire.Group {
	if s := keys.Lookup12(id); s != nil && s.Kx != keys.KxECDHE {
		return 0
	}
	return wire.X25519
}

const doc = "../../docs/INTEROP.md"

// TestMatrixTable writes docs/INTEROP.md with -rewrite, and otherwise holds it against this run: a
// combination that the page claims must have worked, as far as its peer is installed. It must stand
// after the tests that fill the ledger, so it starts them.
func TestMatrixTable(t *testing.T) {
	t.Run("client", testClientMatrix)
	t.Run("server", testServerMatrix)
	if t.Failed() {
		return
	}
	page := renderMatrix(matrix)
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(doc), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(doc, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, peer := range append(slices.Clone(serverNames()), clientNames()...) {
		if !strings.Contains(page, peer) {
			return // a peer is absent: the page covers more than this run
		}
	}
	if string(have) != page {
		t.Errorf("%s differs from what this run did; run with -rewrite and read the difference", doc)
	}
}

// renderMatrix writes the page: no clock, no host, so that it changes only with what works.
func renderMatrix(l *ledger) string {
	var b strings.Builder
	b.WriteString("# Who our TLS engine has talked to\n\n")
	b.WriteString("Written by `go test ./harness/interop -run MatrixTable -rewrite`; the same test, without the flag, fails if\n")
	b.WriteString("this page and a run differ. Every cell is a handshake on loopback with a request and an answer through it.\n\n")
	var legend []string
	for _, m := range modeOrder {
		legend = append(legend, letters[m]+" "+string(m))
	}
	fmt.Fprintf(&b, "%s. A number is a footnote: why it was not tried.\n", strings.Join(legend, ", "))
	notes := &footnotes{index: map[string]int{}}
	for _, side := range []string{"client", "server"} {
		fmt.Fprintf(&b, "\n## Our %s\n", side)
		renderSide(&b, l, side, notes)
	}
	b.WriteString("\n## Footnotes\n\n")
	for i, n := range notes.texts {
		fmt.Fprintf(&b, "%d. %s\n", i+1, n)
	}
	fmt.Fprintf(&b, "\n%d handshake combinations in all.\n", len(l.done))
	b.WriteString(beside)
	return b.String()
}

// beside is what stands in tests of its own.
const beside = `
## Beside the tables

- ` + "`TestBrowsers`" + `: Chromium and Firefox ESR, as Debian ships them, fetch pages from our server: TLS 1.2, TLS 1.3 with
  X25519MLKEM768, after a HelloRetryRequest, with a certificate compressed (brotli by both,
  zlib and zstd by Firefox, which alone offers them), resumed by ticket and by PSK.
- ` + "`TestModernProfiles`" + `: today's browser profiles as our client, against nginx with its default TLS 1.2 and 1.3 and against one that
  knows P-384 alone: full and resumed.
- ` + "`TestActTwo`" + `: every hello that a browser of January 2015 sends on its way down, to a real nginx with the thread's protocols and
  ciphers and to the bundled edge of act two: the same alert in the same record version, or the same version and suite.
- ` + "`TestKeyUpdateTyped`" + `: s_client and gnutls-cli change their keys three times, asking for ours or not, and so does
  s_server.
- ` + "`TestTicketsAndEarlyDataOfSServer`" + `: none, one and five NewSessionTickets from s_server; 0-RTT data that it accepts once and rejects
  the second time.
- ` + "`TestRenegotiationByTheClient`, `TestRenegotiationByOurServer`, `TestRenegotiationWithServers`" + `: a second handshake asked for by s_client,
  by us of s_client and gnutls-cli, by s_server of us, and by us of s_server; refused by us, by s_server and by nginx, whose warning
  the bundled edge gives too.
- ` + "`TestStaplingAndTimestamps`, `TestNextProtocol`, `TestFalseStartWithServers`" + `: OCSP responses and SCTs in TLS 1.2 and 1.3, and NPN, with
  s_client and s_server; requests before the Finished of s_server and nginx.
- ` + "`TestSSLv2FormatHello`" + `: Java 6's hello, read by s_server.
- ` + "`TestMangledHellosAsNginx`" + ` in harness/proxy: hellos that are wrong in 34 ways, alone and among other records. The personality
  "openssl-3.0" and Debian's nginx give the same alert in the same record version, the same close or the same ServerHello. The suite
  tries 816; ` + "`go test ./harness/proxy -run Mangled -mangled 1000`" + ` tries 68,000. What differs:
  a signature_algorithms_cert that does not list the scheme by which the certificate itself is signed is no obstacle to ours (5 of the
  68,000); a record that says it is longer than nginx's buffer of 16,716 bytes leaves the rest of it unread there, so that a RST follows the
  alert where ours sends FIN; and supported_groups of EncryptedExtensions, where another group than the preferred one is used, lists no
  X448 and no finite fields, which the engine has not got.
- ` + "`bogoshim/README.md`" + `: BoringSSL's own suite.
`

type footnotes struct {
	index map[string]int
	texts []string
}

func (f *footnotes) number(text string) string {
	n, ok := f.index[text]
	if !ok {
		f.texts = append(f.texts, text)
		n = len(f.texts)
		f.index[text] = n
	}
	return fmt.Sprintf("[%d]", n)
}

func renderSide(b *strings.Builder, l *ledger, side string, notes *footnotes) {
	type rowKey struct {
		version wire.Version
		suite   wire.CipherSuite
		group   wire.Group
		cert    string
	}
	rows := map[rowKey]bool{}
	peers := map[string]bool{}
	all := map[cell]bool{}
	for c := range l.done {
		all[c] = true
	}
	for c := range l.notes {
		all[c] = true
	}
	for c := range all {
		if c.ours == side {
			rows[rowKey{c.version, c.suite, c.group, c.cert}] = true
			peers[c.peer] = true
		}
	}
	var names []string
	for _, n := range append(slices.Clone(serverNames()), clientNames()...) {
		if peers[n] && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	var order []rowKey
	for r := range rows {
		order = append(order, r)
	}
	sort.Slice(order, func(i, j int) bool {
		a, z := order[i], order[j]
		if a.version != z.version {
			return a.version < z.version
		}
		if a.suite != z.suite {
			return a.suite < z.suite
		}
		if a.group != z.group {
			return a.group < z.group
		}
		return a.cert < z.cert
	})
	fmt.Fprintf(b, "\n| version | suite | group | certificate | %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat(" --- |", 4+len(names)))
	for _, r := range order {
		group := "-"
		if r.group != 0 {
			group = r.group.String()
		}
		fmt.Fprintf(b, "| %v | %v | %s | %s |", r.version, r.suite, group, r.cert)
		for _, n := range names {
			var parts []string
			for _, m := range modeOrder {
				c := cell{side, n, r.version, r.suite, r.group, r.cert, m}
				if l.done[c] {
					parts = append(parts, letters[m])
				} else if why := l.notes[c]; why != "" {
					if s := notes.number(why); !slices.Contains(parts, s) {
						parts = append(parts, s)
					}
				}
			}
			fmt.Fprintf(b, " %s |", strings.Join(parts, " "))
		}
		b.WriteString("\n")
	}
}
