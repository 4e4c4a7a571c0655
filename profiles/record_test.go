package profiles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

var (
	recordFile = flag.String("record", "", "add the first hello of this capture or dump to testdata/hellos.json, without its bytes")
	recordAs   = flag.String("as", "", "with -record: the profile that must send it; PROFILE or PROFILE/VARIANT")
)

// recordOf tells a real client's hello without its bytes.
func recordOf(slug, profile, variant string, ch *hello.ClientHello, shuffled bool) recorded {
	raw := ch.AppendRecords(nil)
	r := recorded{Slug: slug, Profile: profile, Variant: variant, Length: len(raw), HostLength: len(ch.ServerName()), Shuffled: shuffled, JA4: ch.JA4()}
	if psk, ok := ch.PSK(); ok {
		r.PSK, r.Binder = len(psk.Identities[0].Identity), len(psk.Binders[0])
	} else if t, _ := ch.SessionTicket(); len(t) > 0 {
		r.Ticket = len(t)
	} else if !ch.Has(wire.ExtSupportedVersions) {
		r.SessionID = len(ch.SessionID)
	}
	if ch.HasSuite(wire.FallbackSCSV) {
		r.Fallback = ch.Version.String()
	}
	if shuffled {
		r.Identity = ch.UnorderedIdentity()
		return r
	}
	r.Identity, r.JA3 = ch.Identity(), ch.JA3Hash()
	for _, v := range ch.Volatile() {
		clear(raw[v.Offset : v.Offset+v.Len])
		r.Volatile = append(r.Volatile, [2]int{v.Offset, v.Len})
	}
	sum := sha256.Sum256(raw)
	r.SHA256 = hex.EncodeToString(sum[:])
	return r
}

// TestRecordsAreWhatWeRecord: a record made of what a profile sends is the record that it was checked against.
func TestRecordsAreWhatWeRecord(t *testing.T) {
	for _, r := range dataset(t) {
		if r.Second != "" {
			continue // a second hello does not say that it is one
		}
		got := recordOf(r.Slug, r.Profile, r.Variant, r.build(t, 6), r.Shuffled)
		if r.Shuffled {
			got.Length = r.Length // ECH GREASE draws it
		}
		a, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(r); err != nil || string(a) != string(b) {
			t.Errorf("%s:\n%s\n%s", r.Slug, a, b)
		}
	}
}

// TestRecord adds a record: see docs/ADDING_A_PROFILE.md.
func TestRecord(t *testing.T) {
	if *recordFile == "" {
		t.Skip("with -record FILE -as PROFILE only")
	}
	data, err := os.ReadFile(*recordFile)
	if err != nil {
		t.Fatal(err)
	}
	found, err := hello.Import(data)
	if err != nil {
		t.Fatal(err)
	}
	profile, variant, _ := strings.Cut(*recordAs, "/")
	p, err := Lookup(profile)
	if err != nil {
		t.Fatal(err)
	}
	ch := found[0].Hello
	slug := profile
	for _, suffix := range []struct {
		on   bool
		name string
	}{{variant != "", variant}, {ch.Has(wire.ExtPreSharedKey), "psk"}, {ch.HasSuite(wire.FallbackSCSV), "fallback"}} {
		if suffix.on {
			slug += "-" + suffix.name
		}
	}
	rs := dataset(t)
	mine := recordOf(slug, profile, variant, ch, p.spec.shuffle)
	if i := slices.IndexFunc(rs, func(r recorded) bool { return r.Slug == slug }); i >= 0 {
		rs[i] = mine
	} else {
		rs = append(rs, mine)
	}
	var out strings.Builder
	for i, r := range rs {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString([]string{"[\n", ",\n"}[min(i, 1)] + string(line))
	}
	if err := os.WriteFile("testdata/hellos.json", []byte(out.String()+"\n]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s recorded; now TestDataset says whether the profile sends it", slug)
}
