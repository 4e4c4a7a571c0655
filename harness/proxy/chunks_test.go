package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tlsurge/harness/proxy/site"
)

// pieces reads a text in pieces of the sizes that cuts gives, in turn.
type pieces struct{ text, cuts []byte }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := len(p.text)
	if len(p.cuts) > 0 {
		n, p.cuts = min(n, int(p.cuts[0])%17+1), append(p.cuts[1:], p.cuts[0])
	}
	n = copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}

// However a body in chunks comes in pieces, its data, its end and what follows it are the same, and the look-ahead finds it
// broken only if reading does.
func FuzzChunks(f *testing.F) {
	for _, body := range brokenBodies {
		f.Add([]byte(body), []byte{1, 4}, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text, cuts []byte, limit uint8) {
		read := func(r io.Reader) (data []byte, err error, rest []byte) {
			b := &chunkedBody{br: bufio.NewReaderSize(r, 16), limit: int64(limit)}
			data, err = io.ReadAll(b)
			if err == nil {
				rest, _ = io.ReadAll(b.br)
			}
			return data, err, rest
		}
		data, err, rest := read(bytes.NewReader(text))
		if limit > 0 && len(data) > int(limit) {
			t.Fatalf("%d bytes of data, limit %d", len(data), limit)
		}
		for _, r := range []io.Reader{&pieces{bytes.Clone(text), bytes.Clone(cuts)}, iotest.OneByteReader(bytes.NewReader(text)), iotest.DataErrReader(bytes.NewReader(text))} {
			if d, e, rr := read(r); !bytes.Equal(d, data) || e != err || !bytes.Equal(rr, rest) {
				t.Fatalf("%q in pieces: %q %v %q, whole: %q %v %q", text, d, e, rr, data, err, rest)
			}
		}
		if whole := (chunkReader{}).scan(text); limit == 0 && len(text) < maxTrailer && errors.Is(err, errBadChunk) != (whole != nil) {
			t.Fatalf("%q: looking ahead says %v, reading %v", text, whole, err)
		}
	})
}

func TestChunksBeyondTheLimit(t *testing.T) {
	for text, want := range map[string]error{"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n": nil, "3\r\nabc\r\n3\r\n": site.ErrTooLarge, "6;x=y\n": site.ErrTooLarge, "7ffffffffff\r\n": site.ErrTooLarge, "5\r\nabc": io.ErrUnexpectedEOF} {
		b := &chunkedBody{br: bufio.NewReader(strings.NewReader(text)), limit: 5}
		if _, err := io.ReadAll(b); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}
