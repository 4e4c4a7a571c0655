package profiles

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// recorded is one hello of the dataset, told without its bytes: what the profile must produce.
type recorded struct {
	Slug       string   `json:"slug"`
	Profile    string   `json:"profile"`
	Variant    string   `json:"variant,omitempty"`
	Length     int      `json:"length"`
	HostLength int      `json:"host_length"`
	Ticket     int      `json:"ticket,omitempty"`
	SessionID  int      `json:"session_id,omitempty"`
	PSK        int      `json:"psk_identity,omitempty"`
	Binder     int      `json:"psk_binder,omitempty"`
	Second     string   `json:"second_group,omitempty"`
	Fallback   string   `json:"fallback,omitempty"`
	Shuffled   bool     `json:"shuffled,omitempty"`
	Volatile   [][2]int `json:"volatile,omitempty"` // offset and length of the bytes that were zeroed before hashing
	SHA256     string   `json:"masked_sha256,omitempty"`
	Identity   string   `json:"identity"`
	JA3        string   `json:"ja3_hash,omitempty"`
	JA4        string   `json:"ja4,omitempty"`
}

func dataset(t testing.TB) []recorded {
	t.Helper()
	raw, err := os.ReadFile("testdata/hellos.json")
	if err != nil {
		t.Fatal(err)
	}
	var rs []recorded
	if err := json.Unmarshal(raw, &rs); err != nil {
		t.Fatal(err)
	}
	return rs
}

// stream is a random source that depends on the seed alone.
func stream(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// shareLengths are the lengths of public key shares, for tests that need no key.
var shareLengths = map[wire.Group]int{wire.X25519: 32, wire.Secp256r1: 65, wire.Secp384r1: 97, wire.X25519MLKEM768: 1216}

func fakeShare(g wire.Group) []byte { return make([]byte, shareLengths[g]) }

// params asks for the hello that r is a record of.
func (r *recorded) params(t testing.TB, seed byte) *HelloParams {
	p := &HelloParams{ServerName: strings.Repeat("h", r.HostLength), Variant: r.Variant, Random: stream(seed), Now: time.Unix(1421107200, 0), Shares: fakeShare}
	switch {
	case r.Ticket > 0:
		p.Resume = &ResumeOffer{Ticket: make([]byte, r.Ticket), Version: wire.TLS12}
	case r.SessionID > 0:
		p.Resume = &ResumeOffer{ID: make([]byte, r.SessionID)}
	case r.PSK > 0:
		p.Resume = &ResumeOffer{Identity: make([]byte, r.PSK), BinderLen: r.Binder, Version: wire.TLS13}
	}
	if r.Fallback != "" {
		v, err := wire.ParseVersion(r.Fallback)
		if err != nil {
			t.Fatal(err)
		}
		p.MaxVersion, p.SCSV = v, true
	}
	return p
}

// build gives the hello that r is a record of.
func (r *recorded) build(t testing.TB, seed byte) *hello.ClientHello {
	t.Helper()
	p, err := Lookup(r.Profile)
	if err != nil {
		t.Fatal(err)
	}
	hp := r.params(t, seed)
	ch, err := p.Hello(hp)
	if err != nil {
		t.Fatal(err)
	}
	if r.Second != "" {
		g, err := wire.ParseGroup(r.Second)
		if err != nil {
			t.Fatal(err)
		}
		hp.Second = &SecondHello{First: ch, Group: g}
		if ch, err = p.Hello(hp); err != nil {
			t.Fatal(err)
		}
	}
	return ch
}

// TestDataset holds every profile, and every later hello that its data gives, against what the real
// client sent: byte for byte where the client does not shuffle, with only the volatile fields masked.
func TestDataset(t *testing.T) {
	rs := dataset(t)
	if len(rs) < 78 {
		t.Fatalf("%d records, expected at least 60 first hellos and 18 later ones", len(rs))
	}
	for _, r := range rs {
		t.Run(r.Slug, func(t *testing.T) {
			ch := r.build(t, 1)
			raw := ch.AppendRecords(nil)
			if err := r.matches(ch, raw); err != nil {
				t.Error(err)
			}
			if r.Shuffled {
				return
			}
			if got := ch.Identity(); got != r.Identity {
				t.Errorf("identity %s, the client's is %s", got, r.Identity)
			}
			for i, v := range ch.Volatile() {
				if i >= len(r.Volatile) || r.Volatile[i] != [2]int{v.Offset, v.Len} {
					t.Errorf("the %d. volatile stretch is at %d, %d bytes; recorded are %v", i+1, v.Offset, v.Len, r.Volatile)
				}
			}
		})
	}
}

// TestEveryProfileIsRecorded keeps the data and the records together.
func TestEveryProfileIsRecorded(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range dataset(t) {
		seen[r.Profile] = true
	}
	for _, n := range Names() {
		p, err := Lookup(n)
		if err != nil {
			t.Error(err)
			continue
		}
		if !seen[n] {
			t.Errorf("%s: no record of a real client's hello", n)
		}
		if len(p.Sources) == 0 || p.Sources[0].What == "" || p.Sources[0].Kind == "" {
			t.Errorf("%s: no source", n)
		}
	}
}

// TestVolatileOnly builds each hello twice with other draws: nothing but what is volatile may differ, and
// the same draws give the same bytes.
func TestVolatileOnly(t *testing.T) {
	for _, r := range dataset(t) {
		a, b, c := r.build(t, 1), r.build(t, 2), r.build(t, 1)
		if string(a.AppendRecords(nil)) != string(c.AppendRecords(nil)) {
			t.Errorf("%s: the same draws give two hellos", r.Slug)
		}
		if a.Random == b.Random {
			t.Errorf("%s: two connections with one random", r.Slug)
		}
		if a.UnorderedIdentity() != b.UnorderedIdentity() {
			t.Errorf("%s: two connections, two identities", r.Slug)
		}
		if err := a.Check(); err != nil {
			t.Errorf("%s: %v", r.Slug, err)
		}
		if again, rest, err := hello.Parse(a.AppendRecords(nil)); err != nil || len(rest) > 0 || again.Identity() != a.Identity() {
			t.Errorf("%s: its own bytes read otherwise: %v", r.Slug, err)
		}
	}
}

// TestClock: the four bytes of gmt_unix_time are the clock where the browser put it there, else random.
func TestClock(t *testing.T) {
	for name, clock := range map[string]bool{"safari-8-osx10.10": true, "ie-11-win7": true, "android-4.4.2": true, "firefox-35-osx": false, "chrome-40-osx": false} {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := p.Hello(&HelloParams{ServerName: "a.test", Random: stream(3), Now: time.Unix(0x54b5a1c0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(ch.Random[:4]) == "54b5a1c0"; got != clock {
			t.Errorf("%s: clock in the random is %v, expected %v", name, got, clock)
		}
	}
}

// TestShuffle: Chrome 110 and later send another order each time; GREASE stays first and last.
func TestShuffle(t *testing.T) {
	p, err := Lookup("chromium-156-linux")
	if err != nil {
		t.Fatal(err)
	}
	orders := make(map[string]bool)
	sizes := make(map[int]bool)
	for seed := range 60 {
		ch, err := p.Hello(&HelloParams{ServerName: "a.test", Random: stream(byte(seed)), Shares: fakeShare})
		if err != nil {
			t.Fatal(err)
		}
		var order strings.Builder
		n := len(ch.Extensions)
		for _, e := range ch.Extensions {
			order.WriteString(e.Type.String() + " ")
			if e.Type == wire.ExtEncryptedClientHello {
				sizes[len(e.Data)-10-32] = true
			}
		}
		orders[order.String()] = true
		first, last := uint16(ch.Extensions[0].Type), uint16(ch.Extensions[n-1].Type)
		if !wire.IsGREASE(first) || !wire.IsGREASE(last) || first == last {
			t.Errorf("GREASE extensions %04x and %04x, expected two different ones at the ends", first, last)
		}
		if g, s := ch.Groups()[0], ch.KeyShares()[0].Group; g != s || !wire.IsGREASE(uint16(g)) {
			t.Errorf("GREASE group %v and key share %v, expected one draw", g, s)
		}
	}
	if len(orders) != 60 {
		t.Errorf("%d orders in 60 hellos", len(orders))
	}
	if len(sizes) != 4 || !sizes[144] || !sizes[240] {
		t.Errorf("ECH payloads of %v bytes, expected 144, 176, 208 and 240", sizes)
	}
}

// TestResumedJA3 holds resumed hellos against captures of January 2016 of which only the fingerprints are
// known here (cloudflare/mitmengine): host fingerprint.zmap.io, tickets of 192 bytes.
func TestResumedJA3(t *testing.T) {
	for _, c := range []struct{ why, profile, variant, by, ja3 string }{
		{"Chrome 38 on OS X 10.6, whose NSS hello is that of Windows 7", "chrome-39-win7", "", "ticket", "8ff8f501ab4fa35f6c0a06e91fc8a8bf"},
		{"the same for Chrome 40", "chrome-40-win7", "", "ticket", "8ff8f501ab4fa35f6c0a06e91fc8a8bf"},
		{"Chrome 36 to 40 on XP", "chrome-40-xp", "", "ticket", "8ca01c116f7fa9e77c6e1800eac1bec2"},
		{"Chrome 40 on OS X 10.9", "chrome-40-osx", "", "ticket", "d6c15786c8b0a9ba459d481bd9d724ba"},
		{"Firefox 30 on XP", "firefox-31esr-win7", "firefox-30", "ticket", "0a81538cf247c104edb677bdb8902ed5"},
	} {
		p, err := Lookup(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := p.Hello(&HelloParams{ServerName: "fingerprint.zmap.io", Variant: c.variant, Random: stream(1), Resume: &ResumeOffer{Ticket: make([]byte, 192), Version: wire.TLS12}})
		if err != nil {
			t.Fatal(err)
		}
		if got := ch.JA3Hash(); got != c.ja3 {
			t.Errorf("%s: JA3 %s, captured was %s: %s", c.why, got, c.ja3, ch.JA3())
		}
	}
}
