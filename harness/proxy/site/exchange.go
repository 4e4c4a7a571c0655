package site

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// exchange is one request being answered. It is not shared.
type exchange struct {
	s    *Server
	r    *Request
	w    *writer
	conf *conf
	loc  *location

	uri, args  string
	unparsed   bool       // what the client sent may go on in its own spelling
	remote     netip.Addr // the client, or whom real_ip_header names
	captures   []string
	vars       map[string]string
	redirected bool // sent on from inside: internal locations are open
	errored    bool // an error page is being made: another error gets the plain page
	method     string
	sentBody   string // the request's, as far as it went upstream
	requestID  string
	bodyLength int64 // of a body that came in chunks
	logging    bool
	argsGiven  bool // $args are there, empty as they may be
	expected   bool // 100 Continue was sent, or must not be
	up         upstreamFacts
	passed     bool // the answer is an upstream's: conditions are its own business
	quoted     bool // the URI came with something escaped in it
	changed    bool // a rewrite has changed the URI: its location is searched anew
	turns      int  // how often it was sent round
}

// upstreamFacts are the $upstream_ variables.
type upstreamFacts struct {
	host                   string
	secure                 bool // https
	addrs, statuses, times []string
	header                 http.Header
}

func newExchange(s *Server, w http.ResponseWriter, r *Request) *exchange {
	x := &exchange{s: s, r: r, conf: s.conf, method: r.HTTP.Method, remote: r.Conn.Remote.Addr().Unmap()}
	x.w = &writer{ResponseWriter: w, x: x}
	return x
}

// log writes into the error log, with who was asking for what.
func (x *exchange) log(level, format string, a ...any) { x.logUp(level, "", format, a...) }

func (x *exchange) logUp(level, upstream, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	text += fmt.Sprintf(", client: %s, server: %s, request: %q", x.remote, x.s.Name, x.r.Line)
	if upstream != "" {
		text += fmt.Sprintf(", upstream: %q", upstream)
	}
	if h := x.r.HTTP.Host; h != "" {
		text += fmt.Sprintf(", host: %q", h)
	}
	if ref := x.header().Get("Referer"); ref != "" {
		text += fmt.Sprintf(", referrer: %q", ref)
	}
	x.s.site.env.Log(x.r, x.s, level, text)
}

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

// realIP is the realip module's settings.
type realIP struct {
	from      []netip.Prefix
	header    string
	recursive bool
}

// applyRealIP takes the client's address from a header that a trusted peer has set.
func (x *exchange) applyRealIP() {
	ri := x.conf.realIP
	if len(ri.from) == 0 || !ri.trusts(x.remote) {
		return
	}
	values := x.header()[http.CanonicalHeaderKey(ri.header)]
	hops := strings.Split(strings.Join(values, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
		if err != nil {
			ap, err := netip.ParseAddrPort(hop)
			if err != nil {
				return
			}
			addr = ap.Addr()
		}
		x.remote = addr.Unmap()
		if !ri.recursive || !ri.trusts(x.remote) {
			return
		}
	}
}

func (ri *realIP) trusts(a netip.Addr) bool {
	for _, p := range ri.from {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// redirect sends the request to another URI of the same server, unless it was sent round too often.
func (x *exchange) redirect(target string, given bool) {
	if x.turned("rewrite or internal redirection cycle while internally redirecting to %q", target) {
		x.sendOn(target, given)
	}
}

// sendOn goes on at another URI; given: $args are there, empty as they may be.
func (x *exchange) sendOn(target string, given bool) {
	x.uri, x.args, _ = strings.Cut(target, "?")
	x.redirected, x.unparsed, x.argsGiven = true, false, given
	x.conf = x.s.conf
	x.route()
}

// named sends the request to a named location, its URI unchanged.
func (x *exchange) named(name string) {
	loc := x.s.named[name]
	if loc == nil {
		x.log("error", "could not find named location %q", name)
		x.errored = true
		x.fail(http.StatusInternalServerError)
		return
	}
	if !x.turned("rewrite or internal redirection cycle while redirect to named location %q", name) {
		return
	}
	x.redirected, x.changed = true, false
	x.enter(loc)
	if x.excepted() {
		x.admitted()
		return
	}
	switch x.runLocation(loc) {
	case answered:
	case again:
		x.search()
	default:
		x.admitted()
	}
}

// fail answers with a status of 300 or more: by the location's error_page, or with the built-in page.
func (x *exchange) fail(status int) { x.failWith(status, "") }

func (x *exchange) failWith(status int, location string) {
	p, has := x.conf.errorPages[status]
	if !has || x.errored && !x.conf.recursivePages || x.turns > maxCycles {
		x.w.override = 0
		x.plainPage(status, location)
		return
	}
	x.errored, x.passed = true, false
	x.expected = x.expected || p.status != -1 && p.status != http.StatusOK
	if x.w.override = p.status; p.status == 0 {
		x.w.override = shown(status)
	}
	if location != "" {
		x.w.Header().Set("Location", location)
	}
	switch target := p.target.eval(x); {
	case strings.HasPrefix(target, "@"):
		x.named(target)
	case strings.HasPrefix(target, "/"):
		if x.method != http.MethodHead {
			x.method = http.MethodGet
		}
		x.redirect(target, !p.target.constant() || strings.Contains(target, "?"))
	default:
		code := x.w.override
		switch code {
		case 301, 302, 303, 307, 308:
		default:
			code = http.StatusFound
		}
		x.w.override = 0
		x.plainPage(code, target)
	}
}

// shown is the status that a client sees: nginx has some of its own between 494 and 499.
func shown(status int) int {
	switch status {
	case 494, 495, 496, 497:
		return http.StatusBadRequest
	}
	return status
}

// plainPage is the built-in page of a status.
func (x *exchange) plainPage(status int, location string) {
	switch status {
	case http.StatusNoContent, http.StatusNotModified:
		x.w.WriteHeader(status)
		return
	case 444:
		x.w.drop(status)
		return
	}
	h := x.w.Header()
	if location != "" {
		h.Set("Location", location)
	}
	page := ErrorPage(status)
	if page != "" && status >= 400 && x.conf.msiePad && pads(x.header().Get("User-Agent")) {
		page += strings.Repeat("<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n", 6)
	}
	switch status {
	case 400, 408, 413, 414, 494, 495, 496, 497, 500, 501:
		x.w.close = true
	}
	x.w.close = x.w.close || x.brokenBody()
	h.Del("Content-Encoding")
	h.Del("Last-Modified")
	h.Del("Accept-Ranges")
	h.Del("Etag")
	if h.Del("Content-Type"); page != "" {
		h.Set("Content-Type", "text/html")
	}
	h.Set("Content-Length", strconv.Itoa(len(page)))
	x.w.WriteHeader(shown(status))
	x.w.Write([]byte(page))
}

func pads(agent string) bool {
	return strings.Contains(agent, "MSIE ") || strings.Contains(agent, "Chrome/")
}

// token is what stands at the foot of built-in pages.
const token = "tlsurge"

// ErrorPage is the built-in page for a status; empty where nginx has none.
func ErrorPage(status int) string {
	name := Reason(shown(status))
	switch status {
	case 302:
		name = "Found"
	case 401:
		name = "Authorization Required"
	}
	if name == "" || status < 300 || status == 304 {
		return ""
	}
	head := fmt.Sprintf("%d %s", shown(status), name)
	title, more := head, ""
	switch status {
	case 494:
		more = "Request Header Or Cookie Too Large"
	case 497:
		more = "The plain HTTP request was sent to HTTPS port"
	}
	if more != "" {
		title, more = "400 "+more, "<center>"+more+"</center>\r\n"
	}
	return fmt.Sprintf("<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n%s<hr><center>%s</center>\r\n</body>\r\n</html>\r\n",
		title, head, more, token)
}

// Reason is nginx's phrase for a status; it has none for many.
func Reason(status int) string {
	switch status {
	case 302:
		return "Moved Temporarily"
	case 405:
		return "Not Allowed"
	case 408:
		return "Request Time-out"
	case 413:
		return "Request Entity Too Large"
	case 414:
		return "Request-URI Too Large"
	case 416:
		return "Requested Range Not Satisfiable"
	case 503:
		return "Service Temporarily Unavailable"
	case 504:
		return "Gateway Time-out"
	case 203, 205, 300, 305, 306, 407, 417, 418, 506:
		return ""
	}
	if status > 100 && status <= 206 || status > 300 && status <= 308 || status >= 400 && status <= 416 || status == 421 || status == 429 || status >= 500 && status <= 507 {
		return http.StatusText(status)
	}
	return ""
}

func (x *exchange) stubStatus() {
	st := x.s.site.env.Status()
	text := fmt.Sprintf("Active connections: %d \nserver accepts handled requests\n %d %d %d \nReading: %d Writing: %d Waiting: %d \n",
		st.Active, st.Accepted, st.Handled, st.Requests, st.Reading, st.Writing, st.Waiting)
	x.w.Header().Set("Content-Type", "text/plain")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	x.w.WriteHeader(http.StatusOK)
	x.w.Write([]byte(text))
}

// expires is the expires directive.
type expires struct {
	kind  byte // 'm' max, 'e' epoch, 'o' off, '+' from now, 'f' from the file's time, '@' time of day
	delta time.Duration
}

func (e *expires) set(h http.Header, now time.Time) {
	switch e.kind {
	case 'm':
		h.Set("Expires", "Thu, 31 Dec 2037 23:55:55 GMT")
		h.Set("Cache-Control", "max-age=315360000")
		return
	case 'e':
		h.Set("Expires", "Thu, 01 Jan 1970 00:00:01 GMT")
		h.Set("Cache-Control", "no-cache")
		return
	case 'o':
		return
	}
	base := now
	if e.kind == 'f' {
		if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
			base = t
		}
	}
	at := base.Add(e.delta)
	if e.kind == '@' {
		at = now.Truncate(24 * time.Hour).Add(e.delta)
		if !at.After(now) {
			at = at.Add(24 * time.Hour)
		}
	}
	h.Set("Expires", at.UTC().Format(http.TimeFormat))
	if left := at.Sub(now); left < 0 {
		h.Set("Cache-Control", "no-cache")
	} else {
		h.Set("Cache-Control", fmt.Sprintf("max-age=%d", int(left/time.Second)))
	}
}
