package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Any request that is accepted is unambiguous: written again in its plainest form it is read as the same
// request with the same body, and exactly its bytes are consumed.
func FuzzReadRequest(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("POST /u?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n")
	f.Add("POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f.Add("GET http://x/y HTTP/1.0\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		lim := requestLimits{line: 8 << 10, header: 32 << 10}
		r, _, err := readRequest(bufio.NewReader(strings.NewReader(text)), lim)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var again strings.Builder
		fmt.Fprintf(&again, "%s %s %s\r\n", r.Method, r.RequestURI, r.Proto)
		if r.Host != "" && !hasScheme(r.RequestURI) {
			fmt.Fprintf(&again, "Host: %s\r\n", r.Host)
		} else if r.ProtoMinor == 1 {
			again.WriteString("Host: any\r\n")
		}
		for k, vs := range r.Header {
			if k == "Content-Length" {
				continue
			}
			for _, v := range vs {
				fmt.Fprintf(&again, "%s: %s\r\n", k, v)
			}
		}
		fmt.Fprintf(&again, "Content-Length: %d\r\n\r\n%sREST", len(body), body)
		br := bufio.NewReader(strings.NewReader(again.String()))
		r2, _, err := readRequest(br, requestLimits{line: 16 << 10, header: 64 << 10})
		if err != nil {
			t.Fatalf("%q was accepted, its plain form %q is not: %v", text, again.String(), err)
		}
		body2, _ := io.ReadAll(r2.Body)
		rest, _ := io.ReadAll(br)
		if r2.Method != r.Method || r2.RequestURI != r.RequestURI || r2.Host != r.Host || string(body2) != string(body) || string(rest) != "REST" {
			t.Fatalf("%q: %+v %q became %+v %q, rest %q", text, r, body, r2, body2, rest)
		}
		if r.Close != closesAfter(&http.Request{ProtoMinor: r.ProtoMinor, Header: r.Header}) {
			t.Fatal("Close does not follow from the header")
		}
	})
}
