package site

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
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
	if _, ok := variables[name]; ok {
		return true
	}
	for _, p := range []string{"http_", "cookie_", "arg_", "sent_http_", "upstream_http_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	if _, ok := b.site.derived[name]; ok {
		return true
	}
	return b.set[name] || len(name) == 1 && name[0] >= '0' && name[0] <= '9' || b.capture[name]
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
	if f, ok := variables[name]; ok {
		return f(x)
	}
	if v, ok := x.vars[name]; ok {
		return v
	}
	if f := x.s.site.derived[name]; f != nil {
		x.set(name, "") // whatever a map that names itself would give
		v := f(x)
		x.set(name, v)
		return v
	}
	if len(name) == 1 && name[0] >= '0' && name[0] <= '9' {
		if i := int(name[0] - '0'); i < len(x.captures) {
			return x.captures[i]
		}
		return ""
	}
	switch {
	case strings.HasPrefix(name, "http_"):
		return strings.Join(x.header()[headerName(name[5:])], ", ")
	case strings.HasPrefix(name, "cookie_"):
		if c, err := x.r.HTTP.Cookie(name[7:]); err == nil {
			return c.Value
		}
	case strings.HasPrefix(name, "arg_"):
		return argument(x.args, name[4:])
	case strings.HasPrefix(name, "sent_http_"):
		return strings.Join(x.w.Header()[headerName(name[10:])], ", ")
	case strings.HasPrefix(name, "upstream_http_"):
		return strings.Join(x.up.header[headerName(name[14:])], ", ")
	}
	return ""
}

func headerName(variable string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(variable, "_", "-"))
}

func (x *exchange) header() http.Header { return x.r.HTTP.Header }

func argument(query, name string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if k, v, _ := strings.Cut(pair, "="); strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

var hostname, _ = os.Hostname()

// variables are nginx's, by name. The table is filled in init because some of its functions read it.
var variables map[string]func(*exchange) string

func init() {
	variables = map[string]func(*exchange) string{
		"remote_addr":        func(x *exchange) string { return x.remote.String() },
		"remote_port":        func(x *exchange) string { return strconv.Itoa(int(x.r.Conn.Remote.Port())) },
		"remote_user":        func(x *exchange) string { u, _, _ := x.r.HTTP.BasicAuth(); return u },
		"realip_remote_addr": func(x *exchange) string { return x.r.Conn.Remote.Addr().String() },
		"server_addr":        func(x *exchange) string { return x.r.Conn.Local.Addr().String() },
		"server_port":        func(x *exchange) string { return strconv.Itoa(int(x.r.Conn.Local.Port())) },
		"server_name":        func(x *exchange) string { return x.s.Name },
		"server_protocol":    func(x *exchange) string { return x.r.HTTP.Proto },
		"scheme":             func(x *exchange) string { return x.r.Conn.Scheme },
		"https": func(x *exchange) string {
			if x.r.Conn.Scheme == "https" {
				return "on"
			}
			return ""
		},
		"host":           func(x *exchange) string { return x.host() },
		"http_host":      func(x *exchange) string { return x.r.HTTP.Host },
		"hostname":       func(*exchange) string { return hostname },
		"request":        func(x *exchange) string { return x.r.Line },
		"request_method": func(x *exchange) string { return x.method },
		"request_uri":    func(x *exchange) string { return x.requestURI() },
		"uri":            func(x *exchange) string { return x.uri },
		"document_uri":   func(x *exchange) string { return x.uri },
		"args":           func(x *exchange) string { return x.args },
		"query_string":   func(x *exchange) string { return x.args },
		"is_args": func(x *exchange) string {
			if x.args != "" {
				return "?"
			}
			return ""
		},
		"document_root":    func(x *exchange) string { return x.documentRoot() },
		"request_filename": func(x *exchange) string { return x.filename() },
		"content_length":   func(x *exchange) string { return x.header().Get("Content-Length") },
		"content_type":     func(x *exchange) string { return x.header().Get("Content-Type") },
		"proxy_add_x_forwarded_for": func(x *exchange) string {
			if prior := x.header()["X-Forwarded-For"]; len(prior) > 0 {
				return strings.Join(prior, ", ") + ", " + x.remote.String()
			}
			return x.remote.String()
		},
		"proxy_host":             func(x *exchange) string { return x.up.host },
		"proxy_port":             func(x *exchange) string { _, p, _ := net.SplitHostPort(x.up.host); return p },
		"status":                 func(x *exchange) string { return fmt.Sprintf("%03d", x.w.code) },
		"body_bytes_sent":        func(x *exchange) string { return strconv.FormatInt(x.w.sent, 10) },
		"bytes_sent":             func(x *exchange) string { return strconv.FormatInt(x.w.total(), 10) },
		"request_length":         func(x *exchange) string { return strconv.FormatInt(x.requestLength(), 10) },
		"request_time":           func(x *exchange) string { return seconds(time.Since(x.r.Start)) },
		"connection":             func(x *exchange) string { return strconv.FormatUint(x.r.Conn.ID, 10) },
		"connection_requests":    func(x *exchange) string { return strconv.Itoa(x.r.Conn.Requests) },
		"pipe":                   func(*exchange) string { return "." },
		"pid":                    func(*exchange) string { return strconv.Itoa(os.Getpid()) },
		"nginx_version":          func(*exchange) string { return "0" },
		"time_local":             func(*exchange) string { return time.Now().Format("02/Jan/2006:15:04:05 -0700") },
		"time_iso8601":           func(*exchange) string { return time.Now().Format("2006-01-02T15:04:05-07:00") },
		"msec":                   func(*exchange) string { n := time.Now().UnixMilli(); return fmt.Sprintf("%d.%03d", n/1000, n%1000) },
		"ssl_protocol":           func(x *exchange) string { return x.r.Conn.Protocol },
		"ssl_cipher":             func(x *exchange) string { return x.r.Conn.Cipher },
		"ssl_server_name":        func(x *exchange) string { return x.r.Conn.ServerName },
		"ssl_session_reused":     func(x *exchange) string { return reused(x.r.Conn) },
		"upstream_addr":          func(x *exchange) string { return strings.Join(x.up.addrs, ", ") },
		"upstream_status":        func(x *exchange) string { return strings.Join(x.up.statuses, ", ") },
		"upstream_response_time": func(x *exchange) string { return strings.Join(x.up.times, ", ") },
		"invalid_referer":        func(x *exchange) string { return x.invalidReferer() },
		"gzip_ratio":             func(x *exchange) string { return x.w.ratio() },
	}
}

func reused(c *ConnInfo) string {
	switch {
	case c.Scheme != "https":
		return ""
	case c.Resumed:
		return "r"
	}
	return "."
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
	if x.r.HTTP.Host != "" {
		n += int64(len("Host: ") + len(x.r.HTTP.Host) + 2)
	}
	return n + max(0, x.r.HTTP.ContentLength)
}

func (x *exchange) documentRoot() string { return x.conf.root.eval(x) }

// filename is $request_filename: the file that the URI names under root or alias.
func (x *exchange) filename() string {
	if a := x.conf.alias; a != nil {
		if x.loc != nil && x.loc.kind == '~' {
			return a.eval(x)
		}
		return a.eval(x) + strings.TrimPrefix(x.uri, x.conf.location)
	}
	root := x.documentRoot()
	if root == "/" {
		root = ""
	}
	return strings.TrimSuffix(root, "/") + x.uri
}
