package proxy

import (
	"bufio"
	"errors"
	"io"
	"math"

	"tlsurge/harness/proxy/site"
)

// chunkState is where in a chunked body the next byte stands (RFC 9112 §7.1, Chunked Transfer Coding). What is taken is
// what nginx takes: a bare LF ends a line, white space and extensions behind a size are passed over.
type chunkState uint8

const (
	chunkStart chunkState = iota // first digit of a size
	chunkSize
	chunkExtension
	chunkSizeLF // behind the CR of a size line
	chunkData
	chunkDataEnd
	chunkDataLF
	lastExtension
	lastLF
	trailerStart
	trailer
	trailerLF
	trailerHeaderLF
	chunksDone
)

var errBadChunk = errors.New("client sent invalid chunked body")

// maxTrailer bounds what may stand behind the last chunk, and an extension.
const maxTrailer = 32 << 10

// chunkReader takes the framing off a chunked body.
type chunkReader struct {
	state chunkState
	size  int64 // left of the chunk
	extra int   // bytes of extensions and trailers
}

// step takes one byte that is no data.
func (c *chunkReader) step(b byte) error {
	if c.extra++; c.extra > maxTrailer {
		return errBadChunk
	}
	digit, hex := hexDigit(b)
	switch c.state {
	case chunkStart:
		if !hex {
			return errBadChunk
		}
		c.state, c.size = chunkSize, digit
	case chunkSize:
		switch {
		case hex:
			if c.size >= math.MaxInt64/16 {
				return errBadChunk
			}
			c.size = c.size*16 + digit
		case b == '\r':
			c.state = c.behindSize(chunkSizeLF, lastLF)
		case b == '\n':
			c.state = c.behindSize(chunkData, trailerStart)
		case b == ';' || b == ' ' || b == '\t':
			c.state = c.behindSize(chunkExtension, lastExtension)
		default:
			return errBadChunk
		}
	case chunkExtension:
		if b == '\r' {
			c.state = chunkSizeLF
		} else if b == '\n' {
			c.state = chunkData
		}
	case chunkSizeLF:
		return c.expect(b, chunkData)
	case chunkDataEnd:
		if b == '\r' {
			c.state = chunkDataLF
			return nil
		}
		return c.expect(b, chunkStart)
	case chunkDataLF:
		return c.expect(b, chunkStart)
	case lastExtension:
		if b == '\r' {
			c.state = lastLF
		} else if b == '\n' {
			c.state = trailerStart
		}
	case lastLF:
		return c.expect(b, trailerStart)
	case trailerStart:
		switch b {
		case '\r':
			c.state = trailerLF
		case '\n':
			c.state = chunksDone
		default:
			c.state = trailer
		}
	case trailer:
		if b == '\r' {
			c.state = trailerHeaderLF
		} else if b == '\n' {
			c.state = trailerStart
		}
	case trailerHeaderLF:
		return c.expect(b, trailerStart)
	case trailerLF:
		return c.expect(b, chunksDone)
	}
	return nil
}

func (c *chunkReader) behindSize(more, last chunkState) chunkState {
	if c.size == 0 {
		return last
	}
	return more
}

func (c *chunkReader) expect(b byte, next chunkState) error {
	if b != '\n' {
		return errBadChunk
	}
	c.state = next
	return nil
}

func hexDigit(b byte) (int64, bool) {
	switch {
	case b >= '0' && b <= '9':
		return int64(b - '0'), true
	case b|0x20 >= 'a' && b|0x20 <= 'f':
		return int64(b|0x20-'a') + 10, true
	}
	return 0, false
}

// scan follows the framing through p; it says whether p breaks it.
func (c chunkReader) scan(p []byte) error {
	for len(p) > 0 && c.state != chunksDone {
		if c.state == chunkData {
			n := min(int64(len(p)), c.size)
			p = p[n:]
			if c.size -= n; c.size == 0 {
				c.state = chunkDataEnd
			}
			continue
		}
		if err := c.step(p[0]); err != nil {
			return err
		}
		p = p[1:]
	}
	return nil
}

// chunkedBody is the body of a request in chunks; the trailer is dropped.
type chunkedBody struct {
	chunkReader
	br    *bufio.Reader
	err   error // why nothing more comes
	total int64 // bytes of data so far
	limit int64 // of all; 0: none
}

func (b *chunkedBody) Read(p []byte) (int, error) {
	for b.err == nil {
		switch b.state {
		case chunksDone:
			b.err = io.EOF
		case chunkData:
			if len(p) == 0 {
				return 0, nil
			}
			n, err := b.br.Read(p[:min(int64(len(p)), b.size)])
			b.total += int64(n)
			if b.size -= int64(n); b.size == 0 {
				b.state, b.extra = chunkDataEnd, 0
			}
			if n > 0 {
				return n, nil
			}
			b.fail(err)
		default:
			c, err := b.br.ReadByte()
			if err != nil {
				b.fail(err)
			} else if err := b.step(c); err != nil {
				b.fail(err)
			} else if b.state == chunkData && b.limit > 0 && b.size > b.limit-b.total {
				b.fail(site.ErrTooLarge)
			}
		}
	}
	return 0, b.err
}

func (b *chunkedBody) fail(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.err = err
}

func (b *chunkedBody) Close() error { return nil }

// Broken says whether what has come of the body already is malformed.
func (b *chunkedBody) Broken() bool {
	ahead, _ := b.br.Peek(b.br.Buffered())
	return b.err == errBadChunk || b.scan(ahead) != nil
}
