package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Requests that are wrong, ambiguous or made to smuggle: our edge answers each with nginx's status, and closes
// where nginx closes. Differences are listed with a reason.
func TestMalformedRequestsAsNginx(t *testing.T) {
	w := startTwins(t, false)
	const host = "Host: example.test\r\n"
	for _, tc := range []struct {
		why, raw string
		differs  string // why we answer otherwise, with our status
		ours     string
	}{
		{why: "a good one", raw: "GET /plain.txt HTTP/1.1\r\n" + host + "\r\n"},
		{why: "two in a row", raw: "GET /plain.txt HTTP/1.1\r\n" + host + "\r\nGET /noext HTTP/1.1\r\n" + host + "\r\n"},
		{why: "empty lines first", raw: "\r\n\r\nGET /plain.txt HTTP/1.1\r\n" + host + "\r\n"},
		{why: "bare line feeds", raw: "GET /plain.txt HTTP/1.1\nHost: example.test\n\n"},
		{why: "no Host in HTTP/1.1", raw: "GET / HTTP/1.1\r\n\r\n"},
		{why: "no Host in HTTP/1.0", raw: "GET /plain.txt HTTP/1.0\r\n\r\n"},
		{why: "two Hosts", raw: "GET / HTTP/1.1\r\n" + host + "Host: other.test\r\n\r\n"},
		{why: "empty Host", raw: "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
		{why: "Host with a slash", raw: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
		{why: "both lengths", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{why: "two Content-Lengths", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
		{why: "the same Content-Length twice", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na"},
		{why: "Content-Length with a sign", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\na"},
		{why: "negative Content-Length", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\na"},
		{why: "huge Content-Length", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\na"},
		{why: "Content-Length above the limit", raw: "POST /upload HTTP/1.1\r\n" + host + "Content-Length: 500000000\r\n\r\na"},
		{why: "identity coding", raw: "POST /upload HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n"},
		{why: "gzip, chunked", raw: "POST /upload HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		{why: "chunked in capitals", raw: "POST /upload HTTP/1.1\r\n" + host + "Transfer-Encoding: CHUNKED\r\nConnection: close\r\n\r\n0\r\n\r\n"},
		{why: "coding in HTTP/1.0", raw: "POST /upload HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{why: "two codings", raw: "POST /upload HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{why: "space before the colon", raw: "GET / HTTP/1.1\r\nHost : example.test\r\n\r\n"},
		{why: "folded header", raw: "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n"},
		{why: "NUL in a header", raw: "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n"},
		{why: "header without a colon", raw: "GET / HTTP/1.1\r\n" + host + "Xab\r\n\r\n"},
		{why: "header with an empty name", raw: "GET / HTTP/1.1\r\n" + host + ": a\r\n\r\n"},
		{why: "underscore in a name is dropped", raw: "GET /plain.txt HTTP/1.1\r\n" + host + "X_Y: a\r\n\r\n"},
		{why: "odd characters in a name", raw: "GET /plain.txt HTTP/1.1\r\n" + host + "X@Y: a\r\n\r\n"},
		{why: "lower-case method", raw: "get / HTTP/1.1\r\n" + host + "\r\n"},
		{why: "no URI", raw: "GET HTTP/1.1\r\n" + host + "\r\n"},
		{why: "no slash", raw: "GET plain.txt HTTP/1.1\r\n" + host + "\r\n"},
		{why: "above the root", raw: "GET /../etc/passwd HTTP/1.1\r\n" + host + "\r\n"},
		{why: "above the root, encoded", raw: "GET /%2e%2e/etc/passwd HTTP/1.1\r\n" + host + "\r\n"},
		{why: "NUL in the URI", raw: "GET /a%00b HTTP/1.1\r\n" + host + "\r\n"},
		{why: "bad escape", raw: "GET /a%zzb HTTP/1.1\r\n" + host + "\r\n"},
		{why: "an absolute URI", raw: "GET https://example.test/plain.txt HTTP/1.1\r\n" + host + "\r\n"},
		{why: "HTTP/2.0 in words", raw: "GET / HTTP/2.0\r\n" + host + "\r\n"},
		{why: "HTTP/1.2", raw: "GET /plain.txt HTTP/1.2\r\n" + host + "\r\n"},
		{why: "HTTP/1.11", raw: "GET /plain.txt HTTP/1.11\r\n" + host + "\r\n"},
		{why: "a version that is none", raw: "GET / HTTX/1.1\r\n" + host + "\r\n"},
		{why: "space in the URI", raw: "GET /a b HTTP/1.1\r\n" + host + "\r\n"},
		{why: "long URI", raw: "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n" + host + "\r\n"},
		{why: "long header", raw: "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 9000) + "\r\n\r\n"},
		{why: "many long headers", raw: "GET / HTTP/1.1\r\n" + host + strings.Repeat("X: "+strings.Repeat("a", 7000)+"\r\n", 6) + "\r\n"},
		{why: "garbage", raw: "\x01\x02\x03\x04\r\n\r\n"},
		{why: "chunk size that is none", raw: "POST /upload HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"},
		{why: "chunk longer than said", raw: "POST /upload HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"},
		{why: "smuggled behind a GET with a length", raw: "GET /plain.txt HTTP/1.1\r\n" + host + "Content-Length: 40\r\n\r\nGET /noext HTTP/1.1\r\nHost: example.test\r\n"},
		{why: "CONNECT", raw: "CONNECT example.test:443 HTTP/1.1\r\n" + host + "\r\n"},
		{why: "TRACE", raw: "TRACE / HTTP/1.1\r\n" + host + "\r\n"},
		{why: "OPTIONS *", raw: "OPTIONS * HTTP/1.1\r\n" + host + "\r\n"},
		{why: "HTTP/0.9", raw: "GET /plain.txt\r\n\r\n", differs: "HTTP/0.9 has no place in a harness of browsers", ours: "400 close-header closed"},
	} {
		t.Run(strings.ReplaceAll(tc.why, " ", "-"), func(t *testing.T) {
			t.Parallel()
			ours, theirs := w.outcome(t, w.ours, tc.raw), w.outcome(t, w.theirs, tc.raw)
			switch {
			case tc.differs != "" && ours != tc.ours:
				t.Errorf("ours %s, listed %s (%s)", ours, tc.ours, tc.differs)
			case tc.differs != "" && ours == theirs:
				t.Errorf("listed as a difference (%s), and both say %s", tc.differs, ours)
			case tc.differs == "" && ours != theirs:
				t.Errorf("ours %s, nginx %s", ours, theirs)
			}
		})
	}
}

// outcome is every status that comes within 300 ms of silence, and whether the connection was closed.
func (w *twins) outcome(t *testing.T, addr, raw string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, w.pki.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go io.WriteString(c, raw)
	br := newReader(c)
	var out []string
	for {
		c.SetDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := br.Peek(1); err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return strings.Join(append(out, "open"), " ")
			}
			return strings.Join(append(out, "closed"), " ")
		}
		method, _, _ := strings.Cut(strings.TrimLeft(raw, "\r\n"), " ")
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return strings.Join(append(out, fmt.Sprintf("not HTTP: %v", err)), " ")
		}
		io.Copy(io.Discard, resp.Body)
		out = append(out, fmt.Sprint(resp.StatusCode))
		if resp.Close {
			out = append(out, "close-header")
		}
	}
}
