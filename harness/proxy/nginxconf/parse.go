// Package nginxconf reads the language of nginx.conf: words, quotes, blocks and includes become a tree of
// directives, each checked against the table of those that the edge knows.
//
// It knows which directives exist, where they may stand and how many arguments they take. What they do is
// harness/proxy's and harness/proxy/site's.
package nginxconf

import (
	"fmt"
	"strings"
)

// Directive is one directive with its arguments, and its block if it has one.
type Directive struct {
	Name     string
	Args     []string
	HasBlock bool
	Block    []*Directive
	File     string
	Line     int
}

// Find returns the directives of a block with the given name, in order.
func Find(block []*Directive, name string) (found []*Directive) {
	for _, d := range block {
		if d.Name == name {
			found = append(found, d)
		}
	}
	return found
}

// SyntaxError is text that the language does not allow, or a directive that does not belong where it is.
type SyntaxError struct {
	File string
	Line int
	Text string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 { // not from a file
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Bounds of what a configuration may hold: far beyond any real one, so that a hostile file ends with an
// error and not with the machine's memory.
const (
	maxDepth      = 32
	maxDirectives = 100_000
	maxWord       = 1 << 16
)

// Parse reads one file's text into its directives. Includes are left as directives (see Load).
func Parse(file string, text []byte) ([]*Directive, error) {
	p := &parser{file: file, text: text, line: 1}
	block, err := p.block(0)
	if err != nil {
		return nil, err
	}
	return block, nil
}

type parser struct {
	file  string
	text  []byte
	pos   int
	line  int
	count int
}

func (p *parser) fail(line int, format string, a ...any) error {
	return &SyntaxError{File: p.file, Line: line, Text: fmt.Sprintf(format, a...)}
}

// block reads directives until the end of the text (depth 0) or the closing brace.
func (p *parser) block(depth int) ([]*Directive, error) {
	var out []*Directive
	opened := p.line
	for {
		d, end, err := p.directive(depth)
		if err != nil {
			return nil, err
		}
		switch {
		case d != nil:
			out = append(out, d)
		case end == '}' && depth > 0, end == 0 && depth == 0:
			return out, nil
		case end == '}':
			return nil, p.fail(p.line, `unexpected "}"`)
		default:
			return nil, p.fail(opened, `the block that opens here has no "}"`)
		}
	}
}

// directive reads one directive; with none left, end says what stopped it: '}' or 0 for the end of the text.
func (p *parser) directive(depth int) (d *Directive, end byte, err error) {
	var words []string
	line := 0
	for {
		tok, err := p.token()
		if err != nil {
			return nil, 0, err
		}
		switch tok.kind {
		case word:
			if len(words) == 0 {
				line = tok.line
			}
			words = append(words, tok.text)
			continue
		case semicolon, open:
			if len(words) == 0 {
				return nil, 0, p.fail(tok.line, "unexpected %q", tok.kind.String())
			}
		case closing, eof:
			if len(words) > 0 {
				return nil, 0, p.fail(line, `directive %.40q is not ended by ";"`, words[0])
			}
			if tok.kind == closing {
				return nil, '}', nil
			}
			return nil, 0, nil
		}
		if p.count++; p.count > maxDirectives {
			return nil, 0, p.fail(line, "more than %d directives", maxDirectives)
		}
		d = &Directive{Name: words[0], Args: words[1:], File: p.file, Line: line}
		if tok.kind == open {
			if depth+1 > maxDepth {
				return nil, 0, p.fail(line, "blocks nested deeper than %d", maxDepth)
			}
			d.HasBlock = true
			if d.Block, err = p.block(depth + 1); err != nil {
				return nil, 0, err
			}
		}
		return d, 0, nil
	}
}

type kind int

const (
	eof kind = iota
	word
	semicolon
	open
	closing
)

func (k kind) String() string { return [...]string{"end of file", "word", ";", "{", "}"}[k] }

type token struct {
	kind kind
	text string
	line int
}

// token reads the next token as nginx splits them: a word ends at white space, ';' or '{'; "${" does not end
// one, so ${name} stays whole; a quoted word may be followed only by white space, ';', '{' or ')'.
func (p *parser) token() (token, error) {
	p.skipSpace()
	if p.pos >= len(p.text) {
		return token{kind: eof, line: p.line}, nil
	}
	start := p.line
	switch c := p.text[p.pos]; c {
	case ';':
		p.pos++
		return token{kind: semicolon, line: start}, nil
	case '{':
		p.pos++
		return token{kind: open, line: start}, nil
	case '}':
		p.pos++
		return token{kind: closing, line: start}, nil
	case '"', '\'':
		return p.quoted(c)
	}
	var b strings.Builder
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if c == '$' && p.pos+1 < len(p.text) && p.text[p.pos+1] == '{' {
			b.WriteString("${")
			p.pos += 2
			continue
		}
		if isSpace(c) || c == ';' || c == '{' {
			break
		}
		p.char(&b, c)
		if b.Len() > maxWord {
			return token{}, p.fail(start, "a word longer than %d bytes", maxWord)
		}
	}
	return token{kind: word, text: b.String(), line: start}, nil
}

func (p *parser) quoted(quote byte) (token, error) {
	start := p.line
	p.pos++
	var b strings.Builder
	for {
		if p.pos >= len(p.text) {
			return token{}, p.fail(start, "the quote %c that opens here is not closed", quote)
		}
		c := p.text[p.pos]
		if c == quote {
			p.pos++
			break
		}
		p.char(&b, c)
		if b.Len() > maxWord {
			return token{}, p.fail(start, "a word longer than %d bytes", maxWord)
		}
	}
	if p.pos < len(p.text) {
		if c := p.text[p.pos]; !isSpace(c) && c != ';' && c != '{' && c != ')' {
			return token{}, p.fail(p.line, "unexpected %q after a quoted word", string(c))
		}
	}
	return token{kind: word, text: b.String(), line: start}, nil
}

// char copies the character at p.pos. A backslash vanishes before a quote or a backslash, makes \t, \r and \n
// control characters, and stays in every other case, so that regular expressions need no doubling.
func (p *parser) char(b *strings.Builder, c byte) {
	p.pos++
	if c == '\n' {
		p.line++
	}
	if c != '\\' || p.pos >= len(p.text) {
		b.WriteByte(c)
		return
	}
	next := p.text[p.pos]
	p.pos++
	switch next {
	case '"', '\'', '\\':
		b.WriteByte(next)
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case 'n':
		b.WriteByte('\n')
	default:
		if next == '\n' {
			p.line++
		}
		b.WriteByte('\\')
		b.WriteByte(next)
	}
}

func (p *parser) skipSpace() {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '\n':
			p.line++
			p.pos++
		case isSpace(c):
			p.pos++
		case c == '#':
			for p.pos < len(p.text) && p.text[p.pos] != '\n' {
				p.pos++
			}
		default:
			return
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// Format writes directives so that Parse reads the same tree again.
func Format(block []*Directive) []byte {
	var b strings.Builder
	format(&b, block, "")
	return []byte(b.String())
}

func format(b *strings.Builder, block []*Directive, indent string) {
	for _, d := range block {
		b.WriteString(indent + quote(d.Name))
		for _, a := range d.Args {
			b.WriteString(" " + quote(a))
		}
		if !d.HasBlock {
			b.WriteString(";\n")
			continue
		}
		b.WriteString(" {\n")
		format(b, d.Block, indent+"    ")
		b.WriteString(indent + "}\n")
	}
}

func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\r\n;{}\"'\\#") {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
