package http1

import (
	"bytes"
	"fmt"
)

// onField reads one header field, of those that frame the answer (RFC 9112 §5, Field Syntax). Others
// are passed over.
func (p *Parser) onField(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	// "No whitespace is allowed between the field name and colon" (§5.1); a line that begins with
	// whitespace is obsolete folding (§5.2), which no server here sends in a framing field.
	if colon <= 0 || line[colon-1] == ' ' || line[colon-1] == '\t' {
		return fmt.Errorf("%w: %q", ErrHeader, clip(line))
	}
	name := line[:colon]
	// The length tells most fields apart before a byte is compared.
	switch len(name) {
	case len("connection"):
		if equalFold(name, "connection") {
			value := trim(line[colon+1:])
			p.Close = p.Close || hasToken(value, "close")
			p.keepAlive = p.keepAlive || hasToken(value, "keep-alive")
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			return p.onLength(trim(line[colon+1:]))
		}
	case len("content-encoding"):
		if equalFold(name, "content-encoding") {
			value := trim(line[colon+1:])
			p.Gzip = equalFold(value, "gzip") || equalFold(value, "x-gzip")
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			if value := trim(line[colon+1:]); !equalFold(value, "chunked") {
				return fmt.Errorf("%w: %q", ErrCoding, clip(value))
			}
			p.Framing = Chunked
		}
	}
	return nil
}

// onLength reads Content-Length. Twice the same is tolerated, as §6.3 allows; twice different is not.
func (p *Parser) onLength(value []byte) error {
	if len(value) == 0 || len(value) > 18 {
		return fmt.Errorf("%w: %q", ErrLength, clip(value))
	}
	var n int64
	for _, d := range value {
		if d < '0' || d > '9' {
			return fmt.Errorf("%w: %q", ErrLength, clip(value))
		}
		n = n*10 + int64(d-'0')
	}
	if p.hasLength && n != p.left {
		return fmt.Errorf("%w: %d and %d", ErrLength, p.left, n)
	}
	p.hasLength, p.left = true, n
	return nil
}

// trim takes optional whitespace (RFC 9110 §5.6.3, Whitespace) from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares b with a word in lower case, ASCII letters without case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// hasToken looks for a word in a list separated by commas.
func hasToken(list []byte, lower string) bool {
	for len(list) > 0 {
		item := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			item, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if equalFold(trim(item), lower) {
			return true
		}
	}
	return false
}
