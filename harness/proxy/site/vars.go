package site

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// template is text with variables in it: "$host", "${name}", "$1".
type template struct {
	text  string
	parts []part
}

type part struct {
	literal string
	name    string // variable; capture groups are "1" to "9"
}

func isVarChar(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// parseTemplate splits text; an unknown variable is an error where it stands.
func (b *builder) parseTemplate(text string) (*template, error) {
	t := &template{text: text}
	for i := 0; i < len(text); {
		d := strings.IndexByte(text[i:], '$')
		if d < 0 || i+d+1 >= len(text) {
			t.parts = append(t.parts, part{literal: text[i:]})
			break
		}
		if d > 0 {
			t.parts = append(t.parts, part{literal: text[i : i+d]})
		}
		i += d + 1
		var name string
		if text[i] == '{' {
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("the variable that opens in %q has no %q", text, "}")
			}
			name, i = text[i+1:i+end], i+end+1
		} else {
			j := i
			if text[j] >= '0' && text[j] <= '9' {
				j++
			} else {
				for j < len(text) && isVarChar(text[j]) {
					j++
				}
			}
			name, i = text[i:j], j
		}
		if name == "" {
			t.parts = append(t.parts, part{literal: "$"})
			continue
		}
		if !b.knownVar(name) {
			return nil, fmt.Errorf("unknown variable %q", "$"+name)
		}
		t.parts = append(t.parts, part{name: name})
	}
	return t, nil
}

func (b *builder) knownVar(name string) bool {
	b.site.keepBody = b.site.keepBody || name == "request_body"
	if _, ok := variables[name]; ok {
		return true
	}
	for _, p := range []string{"http_", "cookie_", "arg_", "sent_http_", "upstream_http_", "upstream_cookie_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	if _, ok := b.site.derived[name]; ok {
		return true
	}
	return b.site.set[name] || len(name) == 1 && name[0] >= '0' && name[0] <= '9' || b.capture[name]
}

// eval writes the text with its variables' values.
func (t *template) eval(x *exchange) string {
	if len(t.parts) == 1 && t.parts[0].name == "" {
		return t.parts[0].literal
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.name == "" {
			b.WriteString(p.literal)
		} else {
			b.WriteString(x.value(p.name))
		}
	}
	return b.String()
}

// evalURI is eval for the replacement of a rewrite: groups are escaped in arguments, and everywhere in a redirect, if
// the client's own URI had something escaped.
func (t *template) evalURI(x *exchange, redirect bool) string {
	var b strings.Builder
	arguments := redirect
	for _, p := range t.parts {
		switch {
		case p.name == "":
			b.WriteString(p.literal)
			arguments = arguments || strings.Contains(p.literal, "?")
		case len(p.name) == 1 && p.name[0] <= '9' && arguments && x.quoted:
			b.WriteString(escapeArgument(x.value(p.name)))
		default:
			b.WriteString(x.value(p.name))
		}
	}
	return b.String()
}

// constant says whether the template has no variables.
func (t *template) constant() bool {
	for _, p := range t.parts {
		if p.name != "" {
			return false
		}
	}
	return true
}

// value gives a variable; what is not there is empty.
func (x *exchange) value(name string) string {
	v, _ := x.lookup(name)
	return v
}

// lookup also says whether the variable is there: one that is and is empty has no dash in the log.
func (x *exchange) lookup(name string) (v string, there bool) {
	if f, ok := variables[name]; ok {
		v = f(x)
		there = v != "" || presentEmpty[name]
		switch name {
		case "uri", "document_uri":
			there = there || x.r.HTTP.Proto != ""
		case "args", "query_string":
			there = there || x.argsGiven
		}
		return v, there
	}
	if v, ok := x.vars[name]; ok {
		return v, true
	}
	if f := x.s.site.derived[name]; f != nil {
		x.set(name, "") // whatever a map that names itself would give
		v := f(x)
		x.set(name, v)
		return v, true
	}
	if len(name) == 1 && name[0] >= '0' && name[0] <= '9' {
		if i := int(name[0] - '0'); i < len(x.captures) {
			return x.captures[i], true
		}
		return "", false
	}
	joined := func(h http.Header, name string) (string, bool) {
		v, ok := h[headerName(name)]
		return strings.Join(v, ", "), ok
	}
	switch {
	case name == "http_host" && x.header()["Host"] == nil:
		return x.r.HTTP.Host, x.r.HTTP.Host != ""
	case strings.HasPrefix(name, "http_"):
		return joined(x.header(), name[5:])
	case strings.HasPrefix(name, "cookie_"):
		return cookie(x.header()["Cookie"], name[7:])
	case strings.HasPrefix(name, "arg_"):
		return argument(x.args, name[4:])
	case strings.HasPrefix(name, "sent_http_"):
		return x.sentHeader(name[10:])
	case strings.HasPrefix(name, "upstream_http_"):
		return joined(x.up.header, name[14:])
	case strings.HasPrefix(name, "upstream_cookie_"):
		for _, line := range x.up.header["Set-Cookie"] {
			first, _, _ := strings.Cut(line, ";")
			if k, v, ok := strings.Cut(first, "="); ok && k == name[16:] {
				return v, true
			}
		}
		return "", false
	}
	return "", x.s.site.set[name]
}

// presentEmpty are the variables that are always there, empty as they may be.
var presentEmpty = map[string]bool{"https": true, "is_args": true, "invalid_referer": true, "host": true, "server_name": true, "request_body": false,
	"ssl_server_name": false, "proxy_add_x_forwarded_for": true, "limit_rate": true}

func (x *exchange) sentHeader(name string) (string, bool) {
	h := x.w.Header()
	v, ok := h[headerName(name)]
	if name == "connection" && x.logging { // nginx has given the connection up by then
		return "close", true
	}
	if name == "content_type" && ok && x.w.code == http.StatusNoContent {
		return "", false
	}
	return strings.Join(v, ", "), ok
}

// cookie finds a cookie by its name, whose case is of no matter.
func cookie(lines []string, name string) (string, bool) {
	for _, line := range lines {
		for _, pair := range strings.FieldsFunc(line, func(r rune) bool { return r == ';' || r == ',' }) {
			if k, v, ok := strings.Cut(strings.TrimLeft(pair, " "), "="); ok && strings.EqualFold(strings.TrimRight(k, " "), name) {
				return strings.TrimLeft(v, " "), true
			}
		}
	}
	return "", false
}

func headerName(variable string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(variable, "_", "-"))
}

func (x *exchange) header() http.Header { return x.r.HTTP.Header }

func argument(query, name string) (string, bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if k, v, ok := strings.Cut(pair, "="); ok && strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

var hostname, _ = os.Hostname()

// proxied is a fact of the PROXY header, where there was one.
func (x *exchange) proxied(v string) string {
	if x.r.Conn.Remote == x.r.Conn.Peer {
		return ""
	}
	return v
}

// id is $request_id: 16 random bytes, the same for the whole request.
func (x *exchange) id() string {
	if x.requestID == "" {
		x.requestID = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	}
	return x.requestID
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// host is $host: the request's, in lower case and without the port, or the server's name.
func (x *exchange) host() string {
	h := strings.ToLower(x.r.HTTP.Host)
	if host, _, err := net.SplitHostPort(h); err == nil {
		h = host
	}
	if h == "" {
		return x.s.Name
	}
	return strings.TrimSuffix(h, ".")
}

// requestURI is $request_uri: as the client sent it, without scheme and host.
func (x *exchange) requestURI() string {
	u := x.r.HTTP.RequestURI
	if i := strings.Index(u, "://"); i > 0 && !strings.HasPrefix(u, "/") {
		u = u[i+3:]
		if j := strings.IndexByte(u, '/'); j >= 0 {
			return u[j:]
		}
		return "/"
	}
	return u
}

func (x *exchange) requestLength() int64 {
	n := int64(len(x.r.Line) + 4)
	for k, vs := range x.header() {
		for _, v := range vs {
			n += int64(len(k) + len(v) + 4)
		}
	}
	if x.r.HTTP.Host != "" && x.header()["Host"] == nil {
		n += int64(len("Host: ") + len(x.r.HTTP.Host) + 2)
	}
	return n + max(0, x.r.HTTP.ContentLength)
}

func (x *exchange) documentRoot() string {
	if x.conf.alias != nil {
		return x.conf.alias.eval(x)
	}
	return x.conf.root.eval(x)
}

// filename is $request_filename: the file that the URI names under root or alias.
func (x *exchange) filename() string {
	if a := x.conf.alias; a != nil {
		if x.loc != nil && x.loc.kind == '~' {
			return a.eval(x)
		}
		return a.eval(x) + strings.TrimPrefix(x.uri, x.conf.location)
	}
	root := x.conf.root.eval(x)
	if root == "/" {
		root = ""
	}
	return strings.TrimSuffix(root, "/") + x.uri
}
