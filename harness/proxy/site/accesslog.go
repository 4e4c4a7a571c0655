package site

import (
	"fmt"
)

// logAccess writes the access log lines of the location that answered.
func (x *exchange) logAccess() {
	x.w.finish()
	x.logging = true
	for _, l := range x.conf.accessLogs {
		if l.path == "" {
			continue
		}
		if l.skip != nil {
			if v := l.skip.eval(x); v == "" || v == "0" {
				continue
			}
		}
		var line []byte
		for _, p := range l.format.parts {
			if p.name == "" {
				line = append(line, p.literal...)
				continue
			}
			v, there := x.lookup(p.name)
			if !there && !l.format.json {
				line = append(line, '-')
			}
			line = l.format.escape(line, v)
		}
		x.s.site.env.Access(l.path, append(line, '\n'))
	}
}

// appendEscaped writes a variable into a log line: quotes, backslashes and what is not printable ASCII become
// \xHH, as nginx has it.
func appendEscaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			dst = fmt.Appendf(dst, `\x%02X`, c)
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// logFormat is one log_format.
type logFormat struct {
	*template
	escape func(dst []byte, s string) []byte
	json   bool // an empty variable stays empty
}

// appendJSON writes a variable for a JSON string.
func appendJSON(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		default:
			if c < 0x20 {
				dst = fmt.Appendf(dst, `\u%04X`, c)
			} else {
				dst = append(dst, c)
			}
		}
	}
	return dst
}
