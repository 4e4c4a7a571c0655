package symptom

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Bounds of the reader, in bytes.
const (
	chunk      = 256 << 10
	longest    = 64 << 10 // a longer line is unreadable
	mostProse  = 1 << 20  // kept of lines that no log wrote
	mostPieces = 8        // lines that mail makes of one
	hole       = 64       // zeros or more at the beginning of a line are what a log has that was cut under its writer
	mostSaid   = 2000     // different lines of client programs that are remembered
	mailFrom   = 30       // a line of this length or more, up to mailTo, may go on in the next one
	mailTo     = 100
)

// logReader reads a stream of lines of any origin into a table of signatures. Lines may come in any order,
// and wrapped by mail. What belongs to no log is kept, up to a bound, to be read as prose.
type logReader struct {
	table             *table
	search            *searcher
	lines, unreadable int64
	prose             bytes.Buffer
	modified          time.Time // of the file: lines without a year are from the twelve months before

	record []byte // the current record: one line, or what mail made of one
	pieces int
	last   int // length of its last piece
	found  forms
	piece  []byte                // a record without the container's envelope
	plain  []byte                // a line without a terminal's colours
	said   map[string]*Signature // what a client program's line tells, by the line without its numbers

	words bool // the text is somebody's report and no file: a record that tells nothing is words
}

var needleSearch = sync.OnceValue(newSearcher)

func newLogReader() *logReader {
	return &logReader{table: newTable(), search: needleSearch(), said: map[string]*Signature{}}
}

// read reads r to its end. It stops early, with its error, only when ctx ends or r fails.
func (l *logReader) read(ctx context.Context, r io.Reader) error {
	buf := make([]byte, chunk)
	n, skip := 0, false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := r.Read(buf[n:])
		n += got
		rest := buf[:n]
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if !skip {
				l.line(rest[:i])
			}
			skip = false
			rest = rest[i+1:]
		}
		if len(rest) > longest && !skip {
			rest = bytes.TrimLeft(rest, "\x00")
		}
		if len(rest) > longest {
			if !skip {
				l.flush()
				l.lines++
				l.unreadable++
			}
			skip, rest = true, nil
		}
		n = copy(buf, rest)
		if err != nil {
			if n > 0 && !skip {
				l.line(buf[:n])
			}
			l.flush()
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// line takes one physical line.
func (l *logReader) line(line []byte) {
	l.lines++
	line = bytes.TrimRight(line, "\r ")
	if n := len(line) - len(bytes.TrimLeft(line, "\x00")); n >= hole {
		line = line[n:]
	}
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	if bytes.IndexByte(line, 27) >= 0 {
		l.plain = colourless(line, l.plain[:0])
		line = l.plain
	}
	if len(line) > longest || !readable(line) {
		l.unreadable++
		l.flush()
		return
	}
	line = unquoted(line)
	switch {
	case len(line) == 0:
		l.flush()
		l.keep(line)
	case starts(line):
		l.flush()
		l.begin(line)
	case l.pieces > 0 && l.search.find(line) != 0 && !stamp(line).IsZero():
		l.flush() // a record in a form that starts does not know
		l.begin(line)
	case l.pieces > 0 && l.pieces < mostPieces && l.last >= mailFrom && l.last <= mailTo && !bytes.Equal(line, []byte("...")):
		l.record = append(append(l.record, ' '), line...)
		l.pieces++
		l.last = len(line)
	default:
		l.flush()
		if f := l.search.find(line); f == 0 || !l.count(line, f) {
			l.keep(line)
		}
	}
}

func (l *logReader) begin(line []byte) {
	l.record = append(l.record[:0], line...)
	l.pieces, l.last = 1, len(line)
}

// flush counts the record that is complete.
func (l *logReader) flush() {
	if l.pieces == 0 {
		return
	}
	l.pieces = 0
	f := l.search.find(l.record)
	if (f == 0 || !l.count(l.record, f)) && l.words {
		l.keep(l.record)
	}
}

// count reads a record; false where it tells nothing.
func (l *logReader) count(record []byte, f forms) bool {
	if record[0] == '{' || bytes.Contains(record[:min(len(record), 60)], []byte("{\"")) {
		l.piece = inner(record, l.piece[:0])
		if len(l.piece) > 0 {
			record = l.piece
			f |= l.search.find(record)
		}
	}
	e, ok := parseLine(record, f)
	if !ok && f&formClient != 0 && !l.words {
		e, ok = l.clientLine(record)
	}
	if ok {
		e.at = l.dated(e.at)
		l.table.add(&e, record)
	}
	return ok
}

// clientLine reads a line of a client program's log, which says what a user of it would: the most telling wording counts.
// Lines that differ in their numbers alone are read once.
func (l *logReader) clientLine(record []byte) (e event, ok bool) {
	at := stamp(record)
	if at.IsZero() && !starts(record) {
		return e, false // no log's line: prose
	}
	key := numberless(record)
	s, known := l.said[key]
	if !known {
		if found, _, _ := Words(string(record)); len(found) > 0 {
			most := slices.MinFunc(found, func(a, b Signature) int { return cmp.Compare(a.tells(), b.tells()) })
			s = &most
		}
		if len(l.said) < mostSaid {
			l.said[key] = s
		}
	}
	if s == nil {
		return e, false
	}
	e.Signature, e.at = *s, at
	if s.Origin == ServerLog || s.Software == "java" {
		e.client = clientOf(record)
	}
	return e, true
}

// numberless is a line without what changes from one to the next: numbers of four digits and more, and what a clock
// and an address are made of, except those behind a minus sign, which are errors.
func numberless(line []byte) string {
	out := make([]byte, 0, min(len(line), 500))
	for i := 0; i < len(line) && len(out) < 500; {
		n := digits(line[i:])
		switch {
		case n == 0:
			out = append(out, line[i])
			n = 1
		case n < 4 && (i == 0 || !bytes.ContainsRune([]byte(".:/-[]"), rune(line[i-1]))) || i > 0 && line[i-1] == '-':
			out = append(out, line[i:i+n]...)
		default:
			out = append(out, '#')
		}
		i += n
	}
	return string(out)
}

// colourless takes a terminal's escape sequences out of a line: ESC [ … letter.
func colourless(line, out []byte) []byte {
	for i := 0; i < len(line); i++ {
		if line[i] != 27 {
			out = append(out, line[i])
			continue
		}
		if i+1 < len(line) && line[i+1] == '[' {
			for i += 2; i < len(line) && (line[i] < '@' || line[i] > '~'); i++ {
			}
		}
	}
	return out
}

// dated gives a time without a year the latest that is not after the file's last change.
func (l *logReader) dated(at time.Time) time.Time {
	if at.IsZero() || at.Year() != 0 || l.modified.IsZero() {
		return at
	}
	year := l.modified.Year()
	t := at.AddDate(year, 0, 0)
	if t.After(l.modified.Add(24 * time.Hour)) {
		t = at.AddDate(year-1, 0, 0)
	}
	return t
}

// keep keeps a line of prose.
func (l *logReader) keep(line []byte) {
	if l.prose.Len() < mostProse {
		l.prose.Write(line)
		l.prose.WriteByte('\n')
	}
}

// unquoted takes the marks of a quoted mail away.
func unquoted(line []byte) []byte {
	for len(line) > 0 && (line[0] == '>' || line[0] == '|') && (len(line) == 1 || line[1] == ' ' || line[1] == '>') {
		line = bytes.TrimLeft(line[1:], " ")
	}
	return bytes.TrimLeft(line, " \t")
}

// readable says whether a line is text: a few odd bytes are let through, since logs quote what clients send.
func readable(line []byte) bool {
	if printable(line) {
		return true
	}
	odd := 0
	for rest := line; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\t' && r != 27 {
			odd++
		}
		rest = rest[n:]
	}
	return odd*10 <= len(line)
}

// printable says whether a line is ASCII without control characters, eight bytes at a time.
func printable(line []byte) bool {
	const high, space = 0x8080808080808080, 0x2020202020202020
	for len(line) >= 8 {
		if v := binary.LittleEndian.Uint64(line); v&high != 0 || (v-space)&^v&high != 0 { // above 127, or below a blank
			return false
		}
		line = line[8:]
	}
	for _, c := range line {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// starts says whether a line begins with what logs begin their records with: a time in any form, an
// address, a bracket, syslog's priority, JSON.
func starts(line []byte) bool {
	c := line[0]
	switch {
	case c == '{':
		return len(line) > 1 && line[1] == '"'
	case c == '[' && address6(line):
		return true
	case c == '[':
		return len(line) > 4 && (isDigit(line[1]) || line[1] == ' ' || month(line[1:4]) > 0 || weekday(line[1:4]))
	case c == '<':
		return len(line) > 1 && isDigit(line[1])
	case isDigit(c) && !address6(line):
		if len(line) > 8 && (line[4] == '/' || line[4] == '-' || line[4] == '.') && line[7] == line[4] {
			return true
		}
		if len(line) > 20 && (line[2] == '-' && line[6] == '-' || line[1] == '/' || line[2] == '/') && !stamp(line).IsZero() {
			return true
		}
		n := digits(line)
		return n == 10 && len(line) > n && line[n] == '.' || n <= 3 && len(line) > n+1 && line[n] == '.' && isDigit(line[n+1]) && address(line)
	case c >= 'A' && c <= 'Z':
		if len(line) > 14 && isDigit(line[1]) && !klogStamp(line).IsZero() {
			return true
		}
		return len(line) > 12 && month(line[:3]) > 0 && line[3] == ' ' && (isDigit(line[5]) || isDigit(line[4]))
	case c == '*':
		return bytes.HasPrefix(line, []byte("*.*.*.* ")) // an access log whose clients were masked
	}
	// Behind the name of a container or host: "web-1 | 2015/01/13 12:22:59 [crit]".
	if isHex(c) && address6(line) {
		return true
	}
	head := line[:min(len(line), 60)]
	for i := 1; i+19 <= len(head); i++ {
		if isDigit(head[i]) && head[i-1] == ' ' && head[i+4] == head[i+7] && (head[i+4] == '/' || head[i+4] == '-') && head[i+13] == ':' && head[i+16] == ':' {
			return true
		}
	}
	return false
}

func weekday(b []byte) bool {
	switch string(b) {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}

// address6 says whether the first word is an IPv6 address, with or without a port.
func address6(line []byte) bool {
	w := line[:min(len(line), 60)]
	if i := bytes.IndexByte(w, ' '); i >= 0 {
		w = w[:i]
	}
	if bytes.Count(w, []byte(":")) < 2 || len(bytes.Trim(w, "0123456789abcdefABCDEF:.[]%")) > 0 {
		return false
	}
	_, err := netip.ParseAddr(string(host(w)))
	return err == nil
}

// address says whether the first word is an IPv4 address, with or without a port.
func address(line []byte) bool {
	w := line
	if i := bytes.IndexByte(w, ' '); i >= 0 {
		w = w[:i]
	}
	return bytes.Count(w, []byte(".")) == 3 && len(bytes.Trim(w, "0123456789.:")) == 0
}
