package symptom

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBeyond: lines whose cause stands in them, and which nothing here plays, say so; a ClientHello on a plain port is
// told from what scanners send there.
func TestBeyond(t *testing.T) {
	const at = "2023/03/03 09:11:02 [info] 911#911: *5 "
	for _, c := range []struct{ line, want, beyond string }{
		{at + `client sent invalid method while reading client request line, client: 203.0.113.9, server: x, request: "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"`,
			"1 nginx info client sent invalid method while reading client request line", ""},
		{at + "client sent invalid method while reading client request line, client: 203.0.113.9, server: x",
			"1 nginx info client sent invalid method while reading client request line", ""},
		{at + `client sent invalid method while reading client request line, client: 203.0.113.9, server: x, request: "\x00\x0E8K\xA5\xAB"`, "", ""},
		{`[Tue Mar 04 11:10:10.123456 2025] [core:error] [pid 2222:tid 140] [client 203.0.113.5:51234] AH00126: Invalid method in request \x16\x03\x01`,
			"1 apache error Invalid method in request", ""},
		{`203.0.113.9 - - [03/Mar/2023:09:11:02 +0000] "\x16\x03\x01\x02" 400 157 "-" "-"`, "1 access log 400: TLS spoken to a plain port", ""},
		{at + `client sent plain HTTP request to HTTPS port while reading client request headers, client: 203.0.113.9, server: x, request: "GET / HTTP/1.1"`,
			"1 nginx info client sent plain HTTP request to HTTPS port", "http://"},
		{at + "SSL_do_handshake() failed (SSL: error:0A00009C:SSL routines::http request) while SSL handshaking, client: 203.0.113.9, server: 0.0.0.0:443",
			"1 nginx info 0A00009C http request", "http://"},
		{at + "client sent no required SSL certificate while reading client request headers, client: 203.0.113.9, server: x",
			"1 nginx info client sent no required SSL certificate", "certificate"},
		{at + "SSL_do_handshake() failed (SSL: error:0A0000C7:SSL routines::peer did not return a certificate) while SSL handshaking, client: 203.0.113.9",
			"1 nginx info 0A0000C7 peer did not return a certificate", "certificate"},
		{at + "SSL_do_handshake() failed (SSL: error:0A0000C1:SSL routines::no shared cipher) while SSL handshaking, client: 203.0.113.9",
			"1 nginx info 0A0000C1 no shared cipher", ""},
	} {
		file := filepath.Join(t.TempDir(), "error.log")
		if err := os.WriteFile(file, []byte(c.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Read(context.Background(), []string{file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(lines(r), " + "); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.line, got, c.want)
			continue
		}
		for _, s := range r.Signatures {
			if why := s.Beyond(); (why == "") != (c.beyond == "") || !strings.Contains(why, c.beyond) {
				t.Errorf("%s: beyond %q, want %q", c.line, why, c.beyond)
			}
		}
	}
}
