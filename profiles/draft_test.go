package profiles

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// again builds the hello of a profile for the kind of hello that raw is, with raw's own lengths.
func again(t testing.TB, p *Profile, ch *hello.ClientHello) *hello.ClientHello {
	t.Helper()
	hp := &HelloParams{ServerName: ch.ServerName(), Random: stream(5), Now: time.Unix(1421107200, 0)}
	hp.Shares = func(g wire.Group) []byte {
		for _, s := range ch.KeyShares() {
			if s.Group == g {
				return s.Public
			}
		}
		return nil
	}
	if psk, ok := ch.PSK(); ok {
		hp.Resume = &ResumeOffer{Identity: psk.Identities[0].Identity, BinderLen: len(psk.Binders[0])}
	} else if ticket, _ := ch.SessionTicket(); len(ticket) > 0 {
		hp.Resume = &ResumeOffer{Ticket: ticket}
	} else if len(ch.SessionID) > 0 && !ch.Has(wire.ExtSupportedVersions) {
		hp.Resume = &ResumeOffer{ID: ch.SessionID}
	}
	got, err := p.Hello(hp)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestImportReproduces: the profile that import makes of a hello sends that hello again, after a way
// through the file that a person may edit.
func TestImportReproduces(t *testing.T) {
	for _, r := range dataset(t) {
		if r.Second != "" || r.Fallback != "" {
			continue // a second hello or a fallback alone does not show the client's own hello
		}
		checkImport(t, r.Slug, r.build(t, 4).AppendRecords(nil), r.Profile, r.Variant)
	}
}

func checkImport(t *testing.T, name string, raw []byte, profile, variant string) {
	t.Helper()
	text, d, err := ImportTOML(raw, "a test")
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	file := filepath.Join(t.TempDir(), "imported.toml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadFile(file)
	if err != nil {
		t.Errorf("%s: what import wrote does not load: %v\n%s", name, err, text)
		return
	}
	ch := again(t, p, d.Hello)
	if got := ch.AppendRecords(nil); !p.spec.shuffle && (p.spec.ech == nil || len(p.spec.ech.Payloads) == 1) && len(got) != len(raw) {
		t.Errorf("%s: %d bytes, imported from %d\n%s", name, len(got), len(raw), text)
	}
	if a, b := ch.UnorderedIdentity(), d.Hello.UnorderedIdentity(); a != b {
		t.Errorf("%s: identity %s, imported from %s\n%s", name, a, b, text)
	}
	if !p.spec.shuffle && ch.Identity() != d.Hello.Identity() {
		t.Errorf("%s: another order\n%s", name, text)
	}
	if !d.Same || d.NearestVariant != variant || variant == "" && !slices.Contains(d.SameAs, profile) {
		t.Errorf("%s: nearest is %s %s, differing in %v; it is %s itself", name, d.Nearest, d.NearestVariant, d.Differences, profile)
	}
	if again := p.spec; again.clock != (p.file.Hello.Random == "clock") {
		t.Errorf("%s: clock", name)
	}
}

// TestImportNames: equal hellos find their profile or one that sends the same; others are told apart.
func TestImportNames(t *testing.T) {
	p, err := Lookup("firefox-35-osx")
	if err != nil {
		t.Fatal(err)
	}
	ch, err := p.Hello(&HelloParams{ServerName: "a.test", Random: stream(1)})
	if err != nil {
		t.Fatal(err)
	}
	ch = ch.Clone()
	ch.Suites = ch.Suites[1:]
	ch.Extensions = append(ch.Extensions[:3:3], ch.Extensions[4:]...)
	ds, err := Import([]byte(hex.EncodeToString(ch.AppendRecords(nil))), "a test")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(ds[0].Differences, "\n")
	if ds[0].Nearest != "firefox-35-osx" || got != "without cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\nwithout extension ec_point_formats" {
		t.Errorf("nearest %s, differing in\n%s", ds[0].Nearest, got)
	}
}

// TestImportLearns: several hellos of one client show its shuffling and the sizes that it draws.
func TestImportLearns(t *testing.T) {
	p, err := Lookup("chromium-156-linux")
	if err != nil {
		t.Fatal(err)
	}
	q, err := Lookup("safari-8-osx10.10")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for seed := range byte(8) {
		ch, err := p.Hello(&HelloParams{ServerName: "a.test", Random: stream(seed), Shares: fakeShare})
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(hex.EncodeToString(ch.AppendRecords(nil)) + "\n")
	}
	ch, err := q.Hello(&HelloParams{ServerName: "a.test", Random: stream(1), Now: time.Unix(1421107200, 0)})
	if err != nil {
		t.Fatal(err)
	}
	text.WriteString(hex.EncodeToString(ch.AppendRecords(nil)) + "\n")
	ds, err := Import(text.Bytes(), "a test")
	if err != nil {
		t.Fatal(err)
	}
	if len(ds) != 2 || ds[0].Count != 8 || ds[1].Count != 1 {
		t.Fatalf("%d clients, expected Chromium with 8 hellos and Safari with 1", len(ds))
	}
	if h := ds[0].File.Hello; !h.Shuffle || len(h.ECH.Payloads) != 4 {
		t.Errorf("shuffle %v, ECH payloads %v", h.Shuffle, h.ECH.Payloads)
	}
	if !ds[1].Same || !strings.HasPrefix(ds[1].Nearest, "safari-8-") || ds[1].File.Hello.Random != "clock" {
		t.Errorf("the second client is %s, random %q", ds[1].Nearest, ds[1].File.Hello.Random)
	}
}

// TestProfileFileRoundTrip: every built-in profile, written and read, is itself.
func TestProfileFileRoundTrip(t *testing.T) {
	for _, n := range Names() {
		p, err := Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		f := p.File()
		q, err := Parse(n, f.TOML())
		if err != nil {
			t.Errorf("%s: %v", n, err)
			continue
		}
		if string(f.TOML()) != string(q.File().TOML()) {
			t.Errorf("%s changed on its way", n)
		}
	}
}

// TestParseRefusesProfiles: one line that names the key, the value and what is allowed.
func TestParseRefusesProfiles(t *testing.T) {
	good, err := data.ReadFile("data/firefox-35-osx.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ why, old, new, says string }{
		{"a suite that does not exist", "TLS_RSA_WITH_AES_128_CBC_SHA\"", "TLS_RSA_WITH_AES_129_CBC_SHA\"", `hello.suites: unknown cipher suite "TLS_RSA_WITH_AES_129_CBC_SHA": allowed is`},
		{"a group that does not exist", "secp384r1", "secp385r1", `hello.groups: unknown group "secp385r1"`},
		{"an extension that does not exist", "\"status_request\"", "\"state_request\"", `hello.extensions: unknown extension "state_request"`},
		{"an unknown key", "[hello.lower]", "[hello.lowered]", `unknown key "hello.lowered`},
		{"a behaviour that does not exist", "firefox-35\"", "firefox-350\"", `no behaviour "firefox-350"; did you mean "firefox-35"?`},
		{"no behaviour", "behaviour = \"firefox-35\"", "", "behaviour is missing: name one of"},
		{"a random of another kind", "random = \"random\"", "random = \"dice\"", `hello.random is "dice", allowed are`},
		{"padding listed", "\"status_request\",", "\"status_request\", \"padding\",", "follows from its own rule"},
		{"a version that is none", "version = \"TLS 1.2\"", "version = \"TLS 2\"", `unknown version "TLS 2"`},
		{"not TOML", "[hello]", "[hello", "line"},
	} {
		text := strings.Replace(string(good), c.old, c.new, 1)
		if text == string(good) {
			t.Fatalf("%s: the text to change is not there", c.why)
		}
		_, err := Parse("mine", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(strings.TrimSpace(err.Error()), "\n") {
			t.Errorf("%s: got %v, expected one line that says %q", c.why, err, c.says)
		}
	}
}

// FuzzProfileTOML: no text panics, and what loads sends a hello that reads as itself.
func FuzzProfileTOML(f *testing.F) {
	for _, n := range []string{"firefox-35-osx", "chromium-156-linux", "ie-6-xp"} {
		raw, err := data.ReadFile("data/" + n + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("fuzzed", []byte(text))
		if err != nil {
			return
		}
		ch, err := p.Hello(&HelloParams{ServerName: "a.test", Random: stream(1), Shares: zeroShare})
		if err != nil || ch.MessageLen() > 1<<16 {
			return
		}
		raw := ch.AppendRecords(nil)
		if again, _, err := hello.Parse(raw); err != nil || !bytes.Equal(again.AppendRecords(nil), raw) {
			t.Fatalf("the profile's hello does not read: %v", err)
		}
	})
}
