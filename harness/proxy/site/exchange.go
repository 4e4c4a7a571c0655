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

	// reqStatus and connStatus are what the limits said, which they do once; counted gives back what was counted.
	reqStatus, connStatus string
	counted               []func()
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
	if r.Captures != nil {
		x.captured(r.Captures)
	}
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
