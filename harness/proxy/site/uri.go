package site

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// regex is an expression of the configuration, in Go's syntax (RE2): what PCRE has beyond it, look-around and
// back references, is an error when the file is read.
type regex struct {
	re    *regexp.Regexp
	names []string
}

func (b *builder) compileRegex(text string, fold bool) (*regex, error) {
	if fold {
		text = "(?i)" + text
	}
	text = strings.ReplaceAll(text, "(?<", "(?P<")
	re, err := regexp.Compile("(?s)" + text)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %v (Go's RE2 syntax: no look-around, no back references)", text, err)
	}
	r := &regex{re: re, names: re.SubexpNames()}
	for _, n := range r.names {
		if n != "" {
			b.capture[n] = true
		}
	}
	return r, nil
}

// match tests s; with an exchange, the groups become $1 to $9 and named variables.
func (r *regex) match(s string, x *exchange) bool {
	if x == nil {
		return r.re.MatchString(s)
	}
	m := r.re.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	x.captures = m
	for i, n := range r.names {
		if n != "" {
			x.set(n, m[i])
		}
	}
	return true
}

func (x *exchange) set(name, value string) {
	if x.vars == nil {
		x.vars = map[string]string{}
	}
	x.vars[name] = value
}

// normalise turns the request's path into $uri: escapes decoded, "//" merged, "." and ".." resolved. false:
// the path leaves the root or is malformed.
func (x *exchange) normalise() bool {
	target := x.requestURI()
	if target == "*" {
		x.uri = "*"
		return true
	}
	target, _, _ = strings.Cut(target, "#")
	raw, query, _ := strings.Cut(target, "?")
	x.args = query
	decoded, ok := decode(raw)
	if !ok {
		return false
	}
	if !strings.Contains(decoded, "//") && !strings.Contains(decoded, "/.") { // nothing to resolve
		x.uri = decoded
		x.first = [2]string{x.uri, x.args}
		return true
	}
	var out []string
	parts := strings.Split(decoded[1:], "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch {
		case p == "" && !last && x.s.mergeSlashes:
		case p == ".":
			if last {
				out = append(out, "")
			}
		case p == "..":
			if len(out) == 0 {
				return false
			}
			out = out[:len(out)-1]
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, p)
		}
	}
	x.uri = "/" + strings.Join(out, "/")
	x.first = [2]string{x.uri, x.args}
	return true
}

func decode(raw string) (string, bool) {
	if raw == "" || raw[0] != '/' {
		return "", false
	}
	if !strings.Contains(raw, "%") {
		return raw, true
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			b.WriteByte(raw[i])
			continue
		}
		if i+2 >= len(raw) {
			return "", false
		}
		n, err := strconv.ParseUint(raw[i+1:i+3], 16, 8)
		if err != nil || n == 0 {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

// escapePath encodes a path for a request line or a Location.
func escapePath(p string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if c := p[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '?' || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func extension(uri string) string { return strings.ToLower(strings.TrimPrefix(path.Ext(uri), ".")) }
