package symptom

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// noises are ways in which people and programs hand on an error's name.
var noises = []func(name string) string{
	strings.ToLower,
	strings.ToUpper,
	func(n string) string { return "  " + n + "\r\n" },
	func(n string) string { return "“" + n + "”" },
	func(n string) string { return "(Error code: " + n + ")." },
	func(n string) string {
		return "Since Monday several customers tell us that they see " + n + " now and then, mostly in the evening."
	},
	func(n string) string { return "> > On Tue, somebody wrote:\n> > We get " + n + "\n> > all day" },
	func(n string) string { return "<b>" + n + "</b>&nbsp;again" },
	func(n string) string { return strings.ReplaceAll(n, "_", " ") },
	func(n string) string { return strings.ReplaceAll(n, "_", "-") },
	func(n string) string { return "[" + n + "]: please help!!!" },
	func(n string) string { return "{\"error\":\"" + n + "\"}" },
}

// TestNamesInNoise: a known name means the same in whatever it is wrapped.
func TestNamesInNoise(t *testing.T) {
	for _, name := range words().names {
		plain, _, plainNotes := Words(name)
		for i, noise := range noises {
			if strings.ContainsAny(name, " (") && (i == 8 || i == 9) || name == strings.ReplaceAll(name, "_", "") && i == 9 {
				continue
			}
			found, _, notes := Words(noise(name))
			if told(found) != told(plain) || len(notes) != len(plainNotes) {
				t.Errorf("%q is read as %q %q, %q as %q %q", noise(name), told(found), notes, name, told(plain), plainNotes)
				break
			}
		}
	}
}

func told(list []Signature) string {
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprint(s.Origin, s.Software, fold(s.UserSees), s.Class, s.Alert, s.Sender, s.Code, s.Reason))
	}
	return strings.Join(out, "; ")
}

// envelopes are what stands around a line on its way to whoever reads it. The line's own time is inside.
var envelopes = map[string]func(line string) string{
	"syslog":     func(l string) string { return "Jan 13 12:23:07 web-7 daemon[4711]: " + l },
	"RFC 5424":   func(l string) string { return "<134>1 2015-01-13T12:23:07.003Z web-7 daemon 4711 - - " + l },
	"a priority": func(l string) string { return "<134>Jan 13 12:23:07 web-7 daemon[4711]: " + l },
	"CRI":        func(l string) string { return "2015-01-13T12:23:07.003456789Z stderr F " + l },
	"compose":    func(l string) string { return "web-7  | " + l },
	"docker": func(l string) string {
		return `{"log":` + quoted(l+"\n") + `,"stream":"stderr","time":"2015-01-13T12:23:07.1Z"}`
	},
	"a shipper": func(l string) string {
		return `{"@timestamp":"2015-01-13T12:23:07Z","host":{"name":"x"},"message":` + quoted(l) + `}`
	},
	"the journal": func(l string) string {
		return `{"__REALTIME_TIMESTAMP":"1421151787000000","_PID":"7","MESSAGE":` + quoted(l) + `}`
	},
	"Elastic": func(l string) string {
		return `{"_source":{"event":{"original":` + quoted(l) + `},"@timestamp":"2015-01-13T12:23:07Z"}}`
	},
	"colours": func(l string) string { return "\x1b[36m" + l + "\x1b[0m" },
	"CRLF":    func(l string) string { return l + "\r" },
	"a reply": func(l string) string { return "> " + l },
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestLinesInEnvelopes: a server's line tells the same, whoever carries it.
func TestLinesInEnvelopes(t *testing.T) {
	data, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.ContainsAny(line[:1], "#\t␛{<") || strings.HasPrefix(line, "Jan ") || strings.HasPrefix(line, "Jun ") || strings.Contains(line, " | ") {
			continue
		}
		plain := readText(t, line+"\n")
		if len(plain.Signatures) == 0 || plain.Signatures[0].Origin != ServerLog || plain.Signatures[0].First.IsZero() {
			continue
		}
		n++
		for i, why := range slices.Sorted(maps.Keys(envelopes)) {
			if (i+n)%3 != 0 { // each line in a third of them
				continue
			}
			wrap := envelopes[why]
			r := readText(t, wrap(line)+"\n")
			if told(r.Signatures) != told(plain.Signatures) || r.Signatures[0].Clients != plain.Signatures[0].Clients || r.Signatures[0].Level != plain.Signatures[0].Level {
				t.Errorf("in %s: %s\n got %s\nwant %s", why, wrap(line), told(r.Signatures), told(plain.Signatures))
			}
		}
	}
	if n < 50 {
		t.Errorf("%d lines", n)
	}
}

// TestAnyOrder: a log's lines in any order, with other text between them, make the same table.
func TestAnyOrder(t *testing.T) {
	data, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "20") || strings.HasPrefix(line, "10.0.0.1:") || strings.HasPrefix(line, "[Tue") {
			all = append(all, line, "2015/01/13 12:22:59 [notice] 1#0: nothing to see here", "10.9.9.9 - - [13/Jan/2015:12:22:59 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"")
		}
	}
	want := ""
	for seed := range uint64(20) {
		r := readText(t, strings.Join(all, "\n")+"\n")
		var got []string
		for _, s := range r.Signatures {
			got = append(got, fmt.Sprint(s.Count, s.Clients, s.First, s.Last, s.PeakPerS, s.Level, s.String()))
		}
		text := strings.Join(got, "\n")
		if want == "" {
			want = text
		}
		if text != want {
			t.Fatalf("seed %d:\n got %s\nwant %s", seed, text, want)
		}
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
}
