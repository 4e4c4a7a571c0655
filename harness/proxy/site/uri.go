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

// normalise turns the request's target into $uri and $args; $uri is empty where Parse refuses it.
func (x *exchange) normalise() {
	target := x.requestURI()
	path, query, ok := Parse(target, x.s.mergeSlashes)
	if !ok {
		return
	}
	x.uri, x.args = path, query
	raw, _, _ := strings.Cut(target, "?")
	x.quoted = strings.ContainsAny(raw, "%+")
	x.unparsed = true
}

// Parse reads a path with its arguments: escapes decoded, "//" merged, "." and ".." resolved. false: the path leaves
// the root or is malformed.
func Parse(target string, merge bool) (uri, query string, ok bool) {
	target, _, _ = strings.Cut(target, "#")
	raw, query, _ := strings.Cut(target, "?")
	decoded, ok := decode(raw)
	if !ok {
		return "", "", false
	}
	if !strings.Contains(decoded, "//") && !strings.Contains(decoded, "/.") { // nothing to resolve
		return decoded, query, true
	}
	var out []string
	parts := strings.Split(decoded[1:], "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch {
		case p == "" && !last && merge:
		case p == ".":
			if last {
				out = append(out, "")
			}
		case p == "..":
			if len(out) == 0 {
				return "", "", false
			}
			out = out[:len(out)-1]
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, p)
		}
	}
	return "/" + strings.Join(out, "/"), query, true
}

// MergesSlashes is merge_slashes, which a request's first line is read by.
func (s *Server) MergesSlashes() bool { return s.mergeSlashes }

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
func escapeArgument(p string) string { return escape(p, " #%&?") }

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
