package fleet

import (
	"bytes"
	"cmp"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"tlsurge/results"
)

// logCounter counts the lines that a real server appends to its error log.
type logCounter struct {
	path   string
	offset int64
	part   []byte // of a line that is not complete yet
	lines  map[results.LogLine]int64
	// read reads one line; false: it is none of the server's.
	read func(line string) (logLine, bool)
	// about receives each line that names a client; nil: nobody asks.
	about func(at time.Time, client netip.AddrPort, l results.LogLine)
}

// logLine is one line of a real server's log.
type logLine struct {
	results.LogLine
	at     time.Time
	client netip.AddrPort // port 0: the line does not tell; not valid: the line is about nobody
}

// maxSignatures bounds the kinds of lines that are told apart; the rest is counted as one kind.
const maxSignatures = 500

// count reads what is new and returns the counts so far, in a fixed order.
func (l *logCounter) count() []results.LogLine {
	if l.lines == nil {
		l.lines = map[results.LogLine]int64{}
	}
	if f, err := os.Open(l.path); err == nil {
		text, err := io.ReadAll(io.NewSectionReader(f, l.offset, 1<<62))
		f.Close()
		if err == nil {
			l.offset += int64(len(text))
			l.take(text)
		}
	}
	var out []results.LogLine
	for line, n := range l.lines {
		line.Count = n
		out = append(out, line)
	}
	slices.SortFunc(out, func(a, b results.LogLine) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

func (l *logCounter) take(text []byte) {
	text = append(l.part, text...)
	for {
		line, rest, complete := bytes.Cut(text, []byte("\n"))
		if !complete {
			l.part = bytes.Clone(text)
			return
		}
		text = rest
		read, ok := l.read(string(line))
		if !ok {
			continue
		}
		key := read.LogLine
		if _, known := l.lines[key]; !known && len(l.lines) >= maxSignatures {
			key = results.LogLine{Level: key.Level, Reason: "(more than 500 kinds of lines)"}
		}
		l.lines[key]++
		if read.client.IsValid() && l.about != nil {
			l.about(read.at, read.client, read.LogLine)
		}
	}
}

func (l *logCounter) reset() { l.lines = nil }

// nginxLine reads a line of nginx's error log: its time in this machine's zone and whole seconds, and of the client the
// address alone.
func nginxLine(line string) (l logLine, ok bool) {
	if l.LogLine, ok = parseErrorLine(line); !ok {
		return l, false
	}
	const stamp = "2006/01/02 15:04:05"
	_, rest, found := strings.Cut(line, ", client: ")
	if !found || len(line) < len(stamp) {
		return l, true
	}
	address, _, _ := strings.Cut(rest, ",")
	client, err := netip.ParseAddr(strings.TrimSpace(address))
	if err != nil {
		return l, true
	}
	if l.at, err = time.ParseInLocation(stamp, line[:len(stamp)], time.Local); err == nil {
		l.client = netip.AddrPortFrom(client, 0)
	}
	return l, true
}

// parseErrorLine reads level, packed OpenSSL code and reason of a line in nginx's error log:
//
//	2015/01/13 12:22:59 [crit] 11871#0: *140260577 SSL_do_handshake() failed (SSL: error:1408A0D7:SSL
//	routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL handshaking, client: 192.0.2.1, …
//
// The code is in upper case. Where there is none, the reason is the text itself, without what differs
// from connection to connection.
func parseErrorLine(line string) (l results.LogLine, ok bool) {
	_, rest, ok1 := strings.Cut(line, " [")
	level, rest, ok2 := strings.Cut(rest, "] ")
	_, text, ok3 := strings.Cut(rest, ": ")
	if !ok1 || !ok2 || !ok3 || strings.ContainsAny(level, " []") {
		return l, false
	}
	l.Level = level
	if number, after, found := strings.Cut(text, " "); found && strings.HasPrefix(number, "*") {
		text = after
	}
	text, _, _ = strings.Cut(text, ", client: ")
	_, packed, found := strings.Cut(text, "error:")
	if code, _, colon := strings.Cut(packed, ":"); found && colon && isHex8(code) {
		l.Code = strings.ToUpper(code)
		// The first error of the queue ends at ")" or where the next begins.
		packed, _, _ = strings.Cut(packed, ")")
		packed, _, _ = strings.Cut(packed, " error:")
		fields := strings.SplitN(packed, ":", 5) // code, library, function, reason, details
		if len(fields) >= 4 {
			l.Reason = fields[3]
		}
		return l, true
	}
	l.Reason = withoutPlace(text)
	return l, true
}

// withoutPlace leaves out where nginx was and what errno said: "client timed out (110: Connection timed out) while
// SSL handshaking" is "client timed out", as the bundled edge counts it.
func withoutPlace(text string) string {
	text, _, _ = strings.Cut(text, " while ")
	if n, rest, ok := strings.Cut(text, " "); ok && strings.HasPrefix(rest, "worker_connections are not enough") && strings.Trim(n, "0123456789") == "" {
		text = rest
	}
	if head, errno, ok := strings.Cut(text, " ("); ok && strings.HasSuffix(errno, ")") {
		if no, _, colon := strings.Cut(errno, ": "); colon && strings.Trim(no, "0123456789") == "" {
			text = head
		}
	}
	return text
}

func isHex8(s string) bool {
	return len(s) == 8 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
