// Package http1 reads the answers of an HTTP/1.1 server from bytes in any pieces: status, framing and
// whether the connection may be used again. It does not write requests, decode content or keep a body.
//
// It allocates nothing unless a line is cut in two by the network. It is pure.
package http1

import (
	"bytes"
	"errors"
	"fmt"
)

// What a server can do wrong.
var (
	ErrStatusLine = errors.New("not a status line of HTTP/1.x")
	ErrHeader     = errors.New("malformed header field")
	ErrLength     = errors.New("malformed or contradictory content length")
	ErrCoding     = errors.New("transfer coding other than chunked")
	ErrChunk      = errors.New("malformed chunk")
	ErrTooLong    = errors.New("head longer than 64 KiB")
	ErrUpgrade    = errors.New("switched protocols unasked")
)

// maxHead bounds status line and header fields together, and the trailers of a chunked body.
const maxHead = 64 << 10

// Kind says what Next found.
type Kind uint8

const (
	More Kind = iota // all bytes are used up
	Head             // the head is complete: Status, Close, Gzip are set
	Body             // a piece of the body, as sent (a chunked body without its framing)
	Done             // the answer is complete; bytes behind it belong to nobody we asked
)

// Framing is how the end of the body is told (RFC 9112 §6.3, Message Body Length).
type Framing uint8

const (
	ByLength Framing = iota // Content-Length, or no body at all
	Chunked
	ByClose // by the end of the connection
)

type state uint8

const (
	statusLine state = iota
	fields
	headDone
	body
	chunkSize
	chunkData
	chunkEnd
	trailers
	bodyClose
	done
)

// Parser reads one answer after another. The zero value after Reset is ready.
type Parser struct {
	Status  int
	Framing Framing
	Close   bool  // the server will close, or we must
	Gzip    bool  // Content-Encoding: gzip
	Length  int64 // bytes of body so far

	state     state
	head      bool  // the request was HEAD: the answer has no body
	minor     uint8 // HTTP/1.minor
	hasLength bool
	keepAlive bool
	left      int64 // of the body, or of the chunk
	headBytes int
	line      []byte // a line that came in pieces; nil otherwise
}

// Reset makes ready for the answer to a request; isHead says that the request's method was HEAD.
func (p *Parser) Reset(isHead bool) { *p = Parser{head: isHead} }

// Started says whether anything of the answer has come.
func (p *Parser) Started() bool { return p.state != statusLine || p.line != nil }

// Next reads from b and gives the number of bytes used, what they were, and for Body the piece, which
// aliases b. Callers go on with the rest of b until More or Done.
func (p *Parser) Next(b []byte) (n int, piece []byte, kind Kind, err error) {
	for {
		switch p.state {
		case headDone:
			p.state = p.bodyState()
			if p.state == statusLine { // 1xx: the real answer follows
				p.Reset(p.head)
				continue
			}
			return n, nil, Head, nil
		case body, chunkData:
			if p.left == 0 {
				if p.state == body {
					p.state = done
				} else {
					p.state = chunkEnd
				}
				continue
			}
			m := min(int64(len(b)-n), p.left)
			if m == 0 {
				return n, nil, More, nil
			}
			p.left -= m
			p.Length += m
			return n + int(m), b[n : n+int(m)], Body, nil
		case bodyClose:
			if n == len(b) {
				return n, nil, More, nil
			}
			p.Length += int64(len(b) - n)
			return len(b), b[n:], Body, nil
		case done:
			return n, nil, Done, nil
		}
		line, used, ok := p.takeLine(b[n:])
		n += used
		if p.headBytes += used; p.headBytes > maxHead {
			return n, nil, More, ErrTooLong
		}
		if !ok {
			return n, nil, More, nil
		}
		if err := p.onLine(line); err != nil {
			return n, nil, More, err
		}
		p.line = nil
	}
}

// takeLine gives the next line without its end. A line that is not complete is kept.
func (p *Parser) takeLine(b []byte) (line []byte, used int, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if len(b) > 0 {
			p.line = append(p.line, b...)
		}
		return nil, len(b), false
	}
	line = b[:i]
	if p.line != nil {
		p.line = append(p.line, line...)
		line = p.line
	}
	// RFC 9112 §2.2, Message Parsing: "a recipient MAY recognize a single LF as a line terminator and
	// ignore any preceding CR".
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	return line, i + 1, true
}

func (p *Parser) onLine(line []byte) error {
	switch p.state {
	case statusLine:
		return p.onStatus(line)
	case fields:
		if len(line) == 0 {
			p.state = headDone
			return nil
		}
		return p.onField(line)
	case chunkSize:
		return p.onChunkSize(line)
	case chunkEnd:
		if len(line) != 0 {
			return fmt.Errorf("%w: %q where its end should be", ErrChunk, clip(line))
		}
		p.state, p.headBytes = chunkSize, 0
	case trailers:
		if len(line) == 0 {
			p.state = done
		}
	}
	return nil
}

// onStatus reads "HTTP/1.1 200 OK" (RFC 9112 §4, Status Line).
func (p *Parser) onStatus(line []byte) error {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] < '0' || line[7] > '9' || line[8] != ' ' ||
		len(line) > 12 && line[12] != ' ' {
		return fmt.Errorf("%w: %q", ErrStatusLine, clip(line))
	}
	p.minor = line[7] - '0'
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return fmt.Errorf("%w: %q", ErrStatusLine, clip(line))
		}
		p.Status = p.Status*10 + int(d-'0')
	}
	if p.Status < 100 {
		return fmt.Errorf("%w: %q", ErrStatusLine, clip(line))
	}
	if p.Status == 101 {
		return ErrUpgrade
	}
	p.state = fields
	return nil
}

// bodyState decides what follows the head, in the order of RFC 9112 §6.3.
func (p *Parser) bodyState() state {
	chunked := p.Framing == Chunked
	p.Close = p.Close || p.minor == 0 && !p.keepAlive
	switch {
	case p.Status < 200:
		return statusLine
	case p.head, p.Status == 204, p.Status == 304:
		p.Framing = ByLength
		return done
	case chunked:
		p.headBytes = 0
		return chunkSize
	case p.hasLength:
		return body
	}
	p.Framing, p.Close = ByClose, true
	return bodyClose
}

func (p *Parser) onChunkSize(line []byte) error {
	if i := bytes.IndexByte(line, ';'); i >= 0 { // RFC 9112 §7.1.1, Chunk Extensions: ignored
		line = line[:i]
	}
	line = bytes.TrimRight(line, " \t")
	if len(line) == 0 || len(line) > 15 {
		return fmt.Errorf("%w: size %q", ErrChunk, clip(line))
	}
	p.left = 0
	for _, d := range line {
		v := hexValue(d)
		if v < 0 {
			return fmt.Errorf("%w: size %q", ErrChunk, clip(line))
		}
		p.left = p.left<<4 | int64(v)
	}
	p.headBytes = 0
	if p.left == 0 {
		p.state = trailers
	} else {
		p.state = chunkData
	}
	return nil
}

func hexValue(d byte) int {
	switch {
	case d >= '0' && d <= '9':
		return int(d - '0')
	case d >= 'a' && d <= 'f':
		return int(d-'a') + 10
	case d >= 'A' && d <= 'F':
		return int(d-'A') + 10
	}
	return -1
}

// AtEOF says whether a FIN now is the proper end of the answer: it is where the body ends by close.
func (p *Parser) AtEOF() bool { return p.state == bodyClose || p.state == done }

// clip shortens what goes into an error.
func clip(b []byte) []byte { return b[:min(len(b), 40)] }
