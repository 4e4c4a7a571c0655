package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"tlsurge/faults"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/trial"
	"tlsurge/profiles"
	"tlsurge/results"
)

// some plays Firefox 34 and 35 at the thread's two servers, with and without the cut.
func some(t *testing.T, change func(*Options)) []Row {
	t.Helper()
	o := Options{Seed: 3, Faults: Classes()[:2], Servers: Servers{Protocols: []string{"TLSv1", "TLSv1.1", "TLSv1.2"}}}
	for _, n := range []string{"firefox-35-osx", "firefox-34-osx"} {
		p, err := profiles.Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		o.Profiles = append(o.Profiles, p)
	}
	for _, n := range []string{"openssl-0.9.8zc", "openssl-1.0.1j"} {
		st, err := stack.Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		o.Stacks = append(o.Stacks, st)
	}
	if change != nil {
		change(&o)
	}
	rows, err := Play(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestTheThread: the table says what the thread's users saw, in an order that does not depend on who was done first.
func TestTheThread(t *testing.T) {
	rows := some(t, nil)
	want := []Row{
		{"firefox-34-osx", "openssl-0.9.8zc", "none", results.Fine, "", 1, ""},
		{"firefox-34-osx", "openssl-0.9.8zc", "reset at client_hello", results.SavedByRetry, "", 2, ""},
		{"firefox-35-osx", "openssl-0.9.8zc", "none", results.Fine, "", 1, ""},
		{"firefox-35-osx", "openssl-0.9.8zc", "reset at client_hello", results.SawError, "ssl_error_no_cypher_overlap", 2, "1408A0C1"},
		{"firefox-34-osx", "openssl-1.0.1j", "none", results.Fine, "", 1, ""},
		{"firefox-34-osx", "openssl-1.0.1j", "reset at client_hello", results.Downgraded, "", 2, ""},
		{"firefox-35-osx", "openssl-1.0.1j", "none", results.Fine, "", 1, ""},
		{"firefox-35-osx", "openssl-1.0.1j", "reset at client_hello", results.SawError, "ssl_error_inappropriate_fallback_alert", 2, "140A1175"},
	}
	for i := range rows {
		if rows[i].Attempts < want[i].Attempts {
			t.Errorf("%+v: want %d attempts or more", rows[i], want[i].Attempts)
		}
		rows[i].Attempts = want[i].Attempts // how often it tries in between is the profile's affair
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Error(d)
	}
	if again := some(t, nil); !slices.Equal(again, some(t, nil)) {
		t.Error("the same seed gives another table")
	}
}

// TestConfiguration: a configuration in nginx's syntax counts, whose certificates are not here; what is laid over
// it counts more, and of several server blocks that of the name.
func TestConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nginx.conf")
	text := `events {} http {
  server { listen 443 ssl http2 default_server; server_name other.test; ssl_certificate /nowhere/a.pem; ssl_certificate_key /nowhere/a.key; ssl_protocols TLSv1 TLSv1.1 TLSv1.2; }
  server { listen 443 ssl http2; server_name www.example.test; ssl_certificate /nowhere/b.pem; ssl_certificate_key /nowhere/b.key; ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers CAMELLIA128-SHA; }
}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := func(change func(*Options)) (n int) {
		for _, r := range some(t, func(o *Options) {
			o.Servers = Servers{Config: file}
			o.Faults, o.Stacks = Classes()[:1], o.Stacks[1:]
			o.Profiles = o.Profiles[:1]
			change(o)
		}) {
			if r.Verdict == results.Fine {
				n++
			}
		}
		return n
	}
	modern, err := Browsers("chromium-156-linux")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		why    string
		change func(*Options)
		fine   int
	}{
		{"as it stands: Firefox 35 has no Camellia", func(o *Options) {}, 0},
		{"the other name's block has all suites", func(o *Options) { o.Servers.Host = "other.test" }, 1},
		{"a directive laid over it", func(o *Options) { o.Servers.Set = map[string]string{"ssl_ciphers": "AES128-SHA"} }, 1},
		{"the flag", func(o *Options) { o.Servers.Ciphers = "AES128-SHA" }, 1},
		{"h2 is offered and allowed, and HTTP/1.1 spoken", func(o *Options) { o.Servers.Host, o.Profiles = "other.test", modern }, 1},
		{"a key that the suites do not go with", func(o *Options) { o.Servers.Ciphers, o.Servers.Key = "AES128-SHA", "ecdsa-p256" }, 0},
		{"two keys", func(o *Options) { o.Servers.Ciphers, o.Servers.Key = "AES128-SHA", "both" }, 1},
	} {
		if n := fine(tt.change); n != tt.fine {
			t.Errorf("%s: %d fine, want %d", tt.why, n, tt.fine)
		}
	}
	for _, s := range []Servers{{Config: "nowhere.conf"}, {Key: "dsa"}, {Config: file, Set: map[string]string{"ssl_cipher": "x"}}, {Protocols: []string{"TLSv9"}}, {Ciphers: "NOSUCH"}} {
		_, err := Play(context.Background(), Options{Servers: s, Stacks: Personalities()[:1], Profiles: modern})
		var ie *InputError
		if !errors.As(err, &ie) || strings.Contains(ie.Text, "\n") {
			t.Errorf("%+v: %v; want one line about the input", s, err)
		}
	}
}

func TestDiff(t *testing.T) {
	a := Row{"p", "s", "none", results.Fine, "", 1, ""}
	b := Row{"p", "s", "reset at client_hello", results.SawError, "x", 2, "140A1175"}
	worse, better, other := a, b, b
	worse.Verdict, better.Verdict, better.UserSees, other.UserSees = results.Downgraded, results.SavedByRetry, "", "y"
	for _, tt := range []struct {
		why         string
		before, now []Row
		kinds       []ChangeKind
		gone        int
		regressed   bool
		says        string
	}{
		{"equal", []Row{a, b}, []Row{b, a}, nil, 0, false, "nothing differs"},
		{"worse", []Row{a, b}, []Row{worse, b}, []ChangeKind{Worse}, 0, true, "fine -> downgraded"},
		{"better", []Row{b}, []Row{better}, []ChangeKind{Better}, 0, false, "saw error: x -> saved by retry"},
		{"other words", []Row{b}, []Row{other}, []ChangeKind{Other}, 0, false, "saw error: x -> saw error: y"},
		{"new and gone", []Row{a}, []Row{b}, []ChangeKind{New}, 1, false, "1 cells of the stored table"},
	} {
		changes, gone := Diff(tt.before, tt.now)
		var kinds []ChangeKind
		for _, c := range changes {
			kinds = append(kinds, c.Change)
		}
		var text bytes.Buffer
		if err := TextDiff(&text, changes, gone); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(kinds, tt.kinds) || gone != tt.gone || Regressed(changes) != tt.regressed || !strings.Contains(text.String(), tt.says) {
			t.Errorf("%s: %v, %d gone, regressed %v\n%s", tt.why, kinds, gone, Regressed(changes), &text)
		}
	}
}

func TestLoad(t *testing.T) {
	rows := []Row{{"p", "s", "none", results.Fine, "", 1, ""}}
	file := filepath.Join(t.TempDir(), "before.json")
	write := func(v any) {
		p, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rows)
	if got, err := Load(file); err != nil || !slices.Equal(got, rows) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []any{map[string]int{"schema": 1}, []Row{{Profile: "p"}}, "text"} {
		write(bad)
		if _, err := Load(file); err == nil {
			t.Errorf("%v passes for a table", bad)
		}
	}
}

func TestNaturalOrder(t *testing.T) {
	want := strings.Fields("chrome-39-osx chrome-101-win10 firefox-4 firefox-31esr-win7 firefox-35-osx firefox-100-win10 ie-6-xp ie-6-xp-tls10 ie-11-win7 safari-5.1.9-osx10.6 safari-6-ios6.0.1 safari-18.4-ios")
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, natural)
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// FuzzParseFault: what is accepted can be played, and its name is read as the same fault.
func FuzzParseFault(f *testing.F) {
	for _, c := range Classes() {
		f.Add(Name(c))
	}
	f.Add("reset@client_hello x3")
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := ParseFault(text)
		if err != nil {
			return
		}
		again, err := ParseFault(Name(fault))
		if err != nil || Name(again) != Name(fault) || !fault.Playable() {
			t.Errorf("%q is %+v, named %q, which is %+v (%v)", text, fault, Name(fault), again, err)
		}
	})
}

func TestEveryClassIsPlayable(t *testing.T) {
	for _, c := range Classes() {
		got, err := ParseFault(Name(c))
		if err != nil || Name(got) != Name(c) {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if (trial.Fault{Action: faults.Kill}).Playable() {
		t.Error("a killed edge passes for something that a trial can play")
	}
}

// TestPage: it needs nothing from elsewhere, no cell speaks by colour alone, and the words cannot become markup.
func TestPage(t *testing.T) {
	rows := some(t, nil)
	rows[3].UserSees = `<script>alert("x")</script>`
	before := slices.Clone(rows)
	before[0].Verdict = results.SavedByRetry
	before[1].Verdict = results.Fine
	changes, gone := Diff(before, rows)
	page, err := Page(PageInput{Rows: rows, Changes: changes, Against: "before.json", Gone: gone, Setting: "Setting: none.", Seed: 3, Made: time.Unix(0, 0), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	cells, framed := 0, 0
	for z := html.NewTokenizer(bytes.NewReader(page)); ; {
		if z.Next() == html.ErrorToken {
			break
		}
		tok := z.Token()
		if tok.Data == "script" || tok.Data == "link" || tok.Data == "img" {
			t.Errorf("the page has a <%s>", tok.Data)
		}
		for _, a := range tok.Attr {
			if a.Key == "src" || a.Key == "href" {
				t.Errorf("the page asks for %s", a.Val)
			}
			if tok.Type == html.StartTagToken && tok.Data == "td" && a.Key == "class" && strings.HasPrefix(a.Val, "v") {
				cells++
				if strings.Contains(a.Val, "changed") {
					framed++
				}
			}
		}
	}
	if cells != len(rows) || framed != 2 {
		t.Errorf("%d cells, %d framed; want %d and 2", cells, framed, len(rows))
	}
	for _, want := range []string{"ssl_error_inappropriate_fallback_alert", "the server logs 140A1175", "&lt;script&gt;", "saved by retry -&gt; fine", "1 browser worse off, 1 browser better off"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// BenchmarkPlay is the whole table.
func BenchmarkPlay(b *testing.B) {
	for b.Loop() {
		rows, err := Play(context.Background(), Options{Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(rows)), "cells")
	}
}
