package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// smuggled are the ways in which generated requests are wrong. Each takes a place in a request: its first line, a
// header, or what follows.
var (
	brokenLines = []string{"GET / HTTP/1.1", "GET /plain.txt HTTP/1.0", "GET  /plain.txt HTTP/1.1", "GET /plain.txt  HTTP/1.1", "GET /plain.txt HTTP/1.1 ", " GET / HTTP/1.1",
		"GET\t/ HTTP/1.1", "GET / HTTP/1.2", "GET / HTTP/1.10", "GET / HTTP/1.999", "GET / HTTP/1.1000", "GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/3", "GET / HTTP/11.1", "GET / http/1.1", "GET / HTTP/1.", "GET / HTTP/.1", "GET / HTTP/a.1",
		"GET / HTTPS/1.1", "GET / HTTP /1.1", "PRI * HTTP/2.0", "get / HTTP/1.1", "G-T / HTTP/1.1", "G_T / HTTP/1.1", "G.T / HTTP/1.1", "VERYLONGMETHODNAME / HTTP/1.1", "CONNECT example.test:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1",
		"OPTIONS * HTTP/1.1", "GET * HTTP/1.1", "GET plain.txt HTTP/1.1", "GET ?x HTTP/1.1", "GET http://example.test HTTP/1.1", "GET http://example.test/plain.txt HTTP/1.1", "GET http://example.test?x HTTP/1.1", "GET http:///plain.txt HTTP/1.1", "GET http://user@example.test/ HTTP/1.1",
		"GET http://example.test:80/plain.txt HTTP/1.1", "GET http://example.test:x/ HTTP/1.1", "GET ftp://example.test/ HTTP/1.1", "GET http:/plain.txt HTTP/1.1", "GET HTTP://EXAMPLE.test/plain.txt HTTP/1.1", "GET http://[::1]/plain.txt HTTP/1.1", "GET http://[::1/ HTTP/1.1", "GET /%00 HTTP/1.1", "GET /%0 HTTP/1.1", "GET /%g1 HTTP/1.1",
		"GET /a\x00b HTTP/1.1", "GET /a\x01b HTTP/1.1", "GET /a\x7fb HTTP/1.1", "GET /a\x80b HTTP/1.1", "GET /a\tb HTTP/1.1", "GET /a#b HTTP/1.1", "GET /../ HTTP/1.1", "GET /%2e%2e/%2e%2e/x HTTP/1.1", "GET /..%2f HTTP/1.1", "GET /.%2e HTTP/1.1", "GET /a/..%00 HTTP/1.1", "GET /a/.../x HTTP/1.1", "GET //x HTTP/1.1",
		"POST /upload HTTP/1.1", "POST /upload HTTP/1.1", "POST /upload HTTP/1.1", "POST /upload HTTP/1.0", "POST /plain.txt HTTP/1.1", "PUT /upload HTTP/1.1", "HEAD /plain.txt HTTP/1.1", "DELETE /plain.txt HTTP/1.1", "\r", "\n\n\r", "", "\x00", "\x16\x03\x01", "GET / HTTP/1.1\r\r"}
	brokenHeaders = []string{"Host: example.test", "Host: example.test", "Host: example.test", "Host: example.test", "Host: other.test", "Host:", "Host: ", "host: example.test", "Host : example.test", " Host: example.test", "Host\t: x", "Host: a b", "Host: a/b", "Host: a..b", "Host: .a", "Host: a.", "Host: a:b", "Host: a:80", "Host: [::1]:80",
		"Host: [::1", "Host: a_b", "Host: a@b", "Host: \xffx", "Host: a\x00b", "Content-Length: 5", "Content-Length: 5", "Content-Length: 0", "Content-Length: 05", "Content-Length: +5", "Content-Length: -5", "Content-Length: 5,5", "Content-Length: 5 ", "Content-Length: 0x5", "Content-Length:", "Content-Length: a", "Content-Length: 5 5", "Content-Length: 9223372036854775807",
		"Content-Length: 9223372036854775808", "Content-Length : 5", "Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked ", "Transfer-Encoding: Chunked",
		"Transfer-Encoding:", "Transfer-Encoding: \"chunked\"", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\x0b", "Transfer_Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding\x00: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "TE: trailers", "X: a\r\n b", "X: a\r\n\tb", " X: a", "X: a\x00b", "X\x00: a", "X: a\rb", "X: \x01", "X: \x7f\x80\xff", "Xab", ": a", ":", "X@Y: a", "X(: a", "X\xe9: a", "X_Y: a",
		"Connection: close", "Connection: keep-alive", "Connection: close, keep-alive", "Connection: upgrade\r\nUpgrade: h2c", "Expect: 100-continue", "Expect: 200-ok", "Range: bytes=0-1", "Range: bytes=0-1,0-1", "If-Range: x", "If-Modified-Since: x\r\nIf-Modified-Since: y", "User-Agent: a\r\nUser-Agent: b", "Referer: a\r\nReferer: b", "Cookie: a\r\nCookie: b",
		"Authorization: a\r\nAuthorization: b", "X: " + strings.Repeat("a", 7000), "X: " + strings.Repeat("b", 9000), "Keep-Alive: 5", "Upgrade: websocket", "Content-Type: a\r\nContent-Type: b", "Range: bytes=0-1\r\nRange: bytes=2-3", "If-Match: x\r\nIf-Match: y", "Accept-Encoding: a\r\nAccept-Encoding: gzip", "X-Forwarded-For: a\r\nX-Forwarded-For: b"}
	brokenBodies = []string{"", "hello", "hello", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;ext=1\r\nhello\r\n0\r\n\r\n", "5 ;ext\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "05\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "g\r\nhello\r\n0\r\n\r\n",
		"FFFFFFFFFFFFFFFFF\r\nhello", "7fffffffffffffff\r\nhello", "80000000\r\nhello", "5\r\nhel", "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", "5\r\nhello\r\n0\r\nTrailer x\r\n\r\n", "5\r\nhello\r\n00\r\n\r\n", "\r\n0\r\n\r\n", "5\r\n\r\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", ";\r\n0\r\n\r\n", "5;" + strings.Repeat("x", 5000) + "\r\nhello\r\n0\r\n\r\n",
		"0\r\n\r\nGET /plain.txt HTTP/1.1\r\nHost: example.test\r\n\r\n", "helloGET /plain.txt HTTP/1.1\r\nHost: example.test\r\n\r\n", "GET /plain.txt HTTP/1.1\r\nHost: example.test\r\n\r\n"}
)

// brokenRequest makes one request, of which something, or several things, may be wrong.
func brokenRequest(r *rand.Rand) string {
	line := "GET /plain.txt HTTP/1.1"
	switch r.IntN(3) {
	case 0:
		line = brokenLines[r.IntN(len(brokenLines))]
	case 1:
		line = "POST /upload HTTP/1.1"
	}
	headers := []string{"Host: example.test"}
	for range r.IntN(3) + 1 {
		h := brokenHeaders[r.IntN(len(brokenHeaders))]
		if strings.HasPrefix(h, "Host: example.test") {
			continue
		}
		headers = slices.Insert(headers, r.IntN(len(headers)+1), h)
	}
	if r.IntN(10) == 0 {
		headers = headers[1:]
	}
	end := "\r\n"
	if r.IntN(12) == 0 {
		end = "\n"
	}
	return line + end + strings.Join(headers, end) + end + end + brokenBodies[r.IntN(len(brokenBodies))]
}

// TestGeneratedMalformedRequestsAsNginx sends requests that are wrong in generated ways to our edge and to Debian's
// nginx: the same answers, the same end of the connection, and the same requests reach what stands behind.
func TestGeneratedMalformedRequestsAsNginx(t *testing.T) {
	need(t, "nginx")
	root := diffRoot(t)
	back := &witness{}
	srv := httptest.NewServer(back)
	t.Cleanup(srv.Close)
	p := startPair(t, fmt.Sprintf(`error_log @dir@/error.log info; pid @dir@/pid; events { worker_connections 512; }
http { @temp@
 server_tokens off; access_log off; client_header_timeout 300ms; client_body_timeout 300ms; keepalive_timeout 5s; lingering_close off;
 server { listen @addr@; root %s; location /upload { proxy_pass http://%s; proxy_set_header X-Seen $http_x_seen; } } }`, root, srv.Listener.Addr()))
	n := *diffSeeds * 50
	var wg sync.WaitGroup
	gate := make(chan struct{}, 16)
	for i := range n {
		gate <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-gate; wg.Done() }()
			raw := brokenRequest(rand.New(rand.NewPCG(uint64(*diffFrom*100000+i), 11)))
			var got [2]string
			for range 2 { // silence is measured by a clock: what differs is asked once more
				for k := range 2 {
					got[k] = p.outcome(t, k, raw)
				}
				if got[0] == got[1] {
					break
				}
			}
			if got[0] != got[1] {
				t.Errorf("request %d: %q\nours  %s\nnginx %s", i, raw[:min(len(raw), 600)], got[0], got[1])
			}
		}()
	}
	wg.Wait()
}

// witness is what stands behind: it answers with what came.
type witness struct{}

func (*witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %q", r.Method, r.URL, body)
}

// outcome is every status that comes within half a second of silence, what was said of the connection, and its end.
func (p *pair) outcome(t *testing.T, i int, raw string) string {
	c, err := net.Dial("tcp", p.addrs[i])
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	go io.WriteString(c, raw)
	br := newReader(c)
	var out []string
	method, _, _ := strings.Cut(strings.TrimLeft(raw, "\r\n"), " ")
	for {
		c.SetDeadline(time.Now().Add(700 * time.Millisecond))
		start, err := br.Peek(5)
		if len(start) > 0 && string(start) != "HTTP/" {
			rest, _ := io.ReadAll(io.LimitReader(br, 64))
			return strings.Join(append(out, fmt.Sprintf("not HTTP: %q", rest)), " ")
		}
		if err != nil {
			end := "closed"
			if len(out) > 0 && strings.HasSuffix(out[len(out)-1], "close-header") {
				return strings.Join(out, " ") // how long the server lingers then is its own
			}
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				end = "open"
			}
			return strings.Join(append(out, end), " ")
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return strings.Join(append(out, fmt.Sprintf("not HTTP: %v", err)), " ")
		}
		body, _ := io.ReadAll(resp.Body)
		said := fmt.Sprint(resp.StatusCode)
		if resp.StatusCode == 200 && resp.Header.Get("Last-Modified") == "" {
			said += fmt.Sprintf("(%s)", body)
		} else if resp.StatusCode == 400 && strings.Contains(string(body), "Cookie Too Large") {
			said += "(large)"
		}
		if resp.Close {
			said += " close-header"
		}
		out = append(out, said)
		method = "GET"
	}
}
