package symptom

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzWords: whatever people write, reading it is bounded and the same each time, and what is read can be compared.
func FuzzWords(f *testing.F) {
	for _, n := range []string{"ssl_error_no_cypher_overlap", "net::ERR_CONNECTION_RESET (101)", "curl: (35) error:0A000410:SSL routines::x", "alert 40",
		"javax.net.ssl.SSLException: Received fatal alert: internal_error", "-1200", "“Can’t” connect securely", "ERR_SSL_FOO_BAR", "0x80090326 TLS_error:|268435703:SSL routines:x:Y_Z"} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			return
		}
		found, mentioned, notes := Words(text)
		again, _, _ := Words(text)
		if told(found) != told(again) {
			t.Fatalf("%q is read as %q, then as %q", text, told(found), told(again))
		}
		if len(found)+len(mentioned)+len(notes) > len(text) {
			t.Fatalf("%q gives %d signatures, %d browsers, %d notes", text, len(found), len(mentioned), len(notes))
		}
		for _, s := range found {
			if s.Count < 0 || s.Alert < -1 || s.Alert > 255 || !utf8.ValidString(s.Text) {
				t.Fatalf("%q: %+v", text, s)
			}
			s.Matches(Observed{UserSees: "ERR_CONNECTION_RESET", Class: "reset", Alert: -1})
		}
	})
}

// FuzzSource: any bytes behind any name are read to their end, as a log, a capture or a configuration, or refused with
// a sentence.
func FuzzSource(f *testing.F) {
	f.Add([]byte(oneLine))
	f.Add(inUTF16(oneLine, true, true))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("server { listen 443; }"))
	f.Add([]byte("\xa1\xb2\xc3\xd4\x00\x02\x00\x04"))
	f.Add([]byte(`{"log":"` + strings.Repeat("{", 50) + `","time":1421151787}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &reader{report: &Report{}, log: newLogReader()}
		err := r.file(context.Background(), "x", bytes.NewReader(data), r.log.modified)
		if err != nil {
			if err.Error() == "" || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		p := r.finish()
		for _, s := range p.Signatures {
			if s.Count < 0 || s.Clients < 0 || s.First.After(s.Last) {
				t.Fatalf("%+v", s)
			}
		}
		if err := p.Table(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}
