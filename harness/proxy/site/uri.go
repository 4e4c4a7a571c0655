package site

import (
	"path"
	"strconv"
	"strings"
)

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
	x.quoted = strings.ContainsAny(raw, "%+")
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
func escapePath(p string) string { return escape(p, " %?#\"<>\\^`{|}") }

// escapeArgument encodes what goes into the arguments of a URI.
func escapeArgument(p string) string { return escape(p, " #%&+;?\"<>\\^`{|}") }

func escape(p, reserved string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if c := p[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(reserved, c) >= 0 {
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
