package http1

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// answer is all that a parser found out about one answer.
type answer struct {
	status  int
	body    string
	close   bool
	gzip    bool
	framing Framing
	done    bool
	used    int
	err     string
}

// read feeds in to a parser in pieces of the given sizes, over and over.
func read(in string, head bool, sizes []int) answer {
	var p Parser
	p.Reset(head)
	var a answer
	var body strings.Builder
	rest := []byte(in)
	for turn := 0; ; turn++ {
		size := min(len(rest), sizes[turn%len(sizes)])
		chunk := append([]byte(nil), rest[:size]...) // a copy, scribbled over below
		left := chunk
		for {
			n, piece, kind, err := p.Next(left)
			body.Write(piece)
			left = left[n:]
			a.used += n
			if err != nil {
				for e := err; e != nil; e = errors.Unwrap(e) {
					err = e // the sentinel: texts quote what a piece happened to hold
				}
				a.err = err.Error()
			}
			if kind == Done {
				a.done = true
			}
			if kind == More || kind == Done || err != nil {
				break
			}
		}
		for i := range chunk {
			chunk[i] = '!'
		}
		rest = rest[size:]
		if a.done || a.err != "" || len(rest) == 0 {
			break
		}
	}
	a.status, a.body, a.close, a.gzip, a.framing = p.Status, body.String(), p.Close, p.Gzip, p.Framing
	return a
}

var answers = []struct {
	why, in string
	head    bool
	want    answer
}{
	{"a length frames the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false,
		answer{status: 200, body: "hello", done: true}},
	{"what follows the answer is not touched", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500", false,
		answer{status: 200, body: "ok", done: true}},
	{"chunks are joined, extensions and trailers passed over",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n7\r\n, world\r\n0\r\nX: y\r\n\r\n", false,
		answer{status: 200, body: "hello, world", framing: Chunked, done: true}},
	{"without either the close is the end, and only the close",
		"HTTP/1.1 200 OK\r\n\r\nall of it", false, answer{status: 200, body: "all of it", framing: ByClose, close: true}},
	{"HEAD has no body whatever its length says", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", true,
		answer{status: 200, done: true}},
	{"304 has no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", false, answer{status: 304, done: true}},
	{"204 has no body", "HTTP/1.1 204 No Content\r\n\r\n", false, answer{status: 204, done: true}},
	{"100 comes before the real answer", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", false,
		answer{status: 201, done: true}},
	{"Connection: close among others", "HTTP/1.1 200 OK\r\nconnection: foo, Close\r\ncontent-length: 0\r\n\r\n", false,
		answer{status: 200, close: true, done: true}},
	{"HTTP/1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, answer{status: 200, close: true, done: true}},
	{"HTTP/1.0 with keep-alive does not", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false,
		answer{status: 200, done: true}},
	{"bare line feeds will do", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false, answer{status: 200, body: "ok", done: true}},
	{"no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, answer{status: 200, done: true}},
	{"gzip is noticed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", false,
		answer{status: 200, body: "x", gzip: true, done: true}},
	{"equal lengths are one", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", false,
		answer{status: 200, body: "x", done: true}},
	{"different lengths are an attack", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false,
		answer{status: 200, err: ErrLength.Error()}},
	{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false, answer{status: 200, err: ErrLength.Error()}},
	{"TLS where HTTP should be", "\x15\x03\x01\x00\x02\x02\x28\n", false, answer{err: ErrStatusLine.Error()}},
	{"HTTP/2 where HTTP/1 should be", "HTTP/2.0 200 OK\r\n", false, answer{err: ErrStatusLine.Error()}},
	{"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", false, answer{status: 200, err: ErrHeader.Error()}},
	{"an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, answer{status: 200, err: ErrCoding.Error()}},
	{"a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false,
		answer{status: 200, framing: Chunked, err: ErrChunk.Error()}},
	{"a chunk longer than it said", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", false,
		answer{status: 200, body: "ab", framing: Chunked, err: ErrChunk.Error()}},
	{"a head without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 990)+"\r\n", 70), false,
		answer{status: 200, err: ErrTooLong.Error()}},
	{"a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, answer{status: 101, err: ErrUpgrade.Error()}},
}

func TestAnswers(t *testing.T) {
	for _, c := range answers {
		for _, sizes := range [][]int{{1 << 20}, {1}, {2, 3, 5}} {
			got := read(c.in, c.head, sizes)
			got.used = 0
			if got != c.want {
				t.Errorf("%s, in pieces of %v:\n got %+v\nwant %+v", c.why, sizes, got, c.want)
			}
		}
	}
}

func TestBytesBehindTheAnswerAreLeft(t *testing.T) {
	in := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1"
	if got := read(in, false, []int{1 << 20}); got.used != len(in)-len("HTTP/1.1") {
		t.Errorf("used %d of %d bytes", got.used, len(in))
	}
}

// The law: any split of the bytes gives the same answer. Only where an over-long head is noticed may
// depend on the pieces, and then only in how far the parser got.
func FuzzAnswers(f *testing.F) {
	for _, c := range answers {
		f.Add(c.in, c.head, uint8(3), uint8(7))
	}
	f.Fuzz(func(t *testing.T, in string, head bool, a, b uint8) {
		whole := read(in, head, []int{1 << 30})
		for _, sizes := range [][]int{{1}, {int(a) + 1, int(b) + 1}} {
			got := read(in, head, sizes)
			if whole.err == ErrTooLong.Error() || got.err == ErrTooLong.Error() {
				continue
			}
			if got != whole {
				t.Fatalf("in pieces of %v:\n got %+v\nwhole %+v", sizes, got, whole)
			}
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	in := []byte("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n" +
		"Content-Type: text/plain\r\nContent-Length: 128\r\nConnection: keep-alive\r\n\r\n" + strings.Repeat("x", 128))
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	var p Parser
	for range b.N {
		p.Reset(false)
		for rest := in; ; {
			n, _, kind, err := p.Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			if rest = rest[n:]; kind == Done {
				break
			}
		}
	}
}

func ExampleParser() {
	var p Parser
	p.Reset(false)
	rest := []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	for {
		n, piece, kind, err := p.Next(rest)
		if err != nil || kind == More || kind == Done {
			break
		}
		if kind == Body {
			fmt.Printf("%d %s\n", p.Status, piece)
		}
		rest = rest[n:]
	}
	// Output: 200 hello
}
