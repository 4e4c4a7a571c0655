// Package site is what a request gets: virtual servers, locations, rewriting, files, error pages and the way
// upstream, as nginx's http module has them.
//
// It serves one exchange over an http.ResponseWriter. Sockets, TLS and timeouts of clients are
// harness/proxy's.
package site

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tlsurge/harness/proxy/upstream"
)

// ConnInfo is what a request can know of its connection.
type ConnInfo struct {
	ID         uint64
	Local      netip.AddrPort
	Remote     netip.AddrPort // the client, as the PROXY protocol names it where it is spoken
	Peer       netip.AddrPort // the other end of the socket
	ServerText string         // the listener as the configuration has it ("0.0.0.0:443")
	Scheme     string
	Requests   int
	Protocol   string // nginx's name of the TLS version ("TLSv1.2"), empty without TLS
	Cipher     string // OpenSSL's name of the suite
	ServerName string // SNI
	ALPN       string
	Resumed    bool
}

// Request is one request on its way through the site.
type Request struct {
	HTTP *http.Request
	Line string // the request line as it came
	// Captures are the groups of the server_name that the host matched; nil: it was no expression.
	Captures *Captures
	Conn     *ConnInfo
	// Gone says whether the client has left meanwhile; nil: Context does.
	Gone    func() bool
	Start   time.Time
	Context context.Context
}

// Env is what the site needs from the edge.
type Env struct {
	// Log writes a line about a request into the server's error log.
	Log func(r *Request, server *Server, level, text string)
	// Access appends a line to an access log.
	Access func(path string, line []byte)
	// Status fills the stub_status page.
	Status func() Status
	// Take asks for a place in the connection table for an upstream connection of this request.
	Take func(r *Request) (release func(), ok bool)
	// Ended is closed when requests in flight may wait no longer.
	Ended <-chan struct{}
	// Application answers requests for the upstream address "builtin:application".
	Application http.Handler
}

// Status is what stub_status prints.
type Status struct {
	Active, Accepted, Handled, Requests, Reading, Writing, Waiting int64
}

// Site is every server block of a configuration with the upstream groups they share.
type Site struct {
	env    Env
	groups map[string]*upstream.Group
	hashes map[*upstream.Group]*template // keys of hash
	// derived are the variables of map, geo and split_clients.
	derived    map[string]derived
	set        map[string]bool // variables of set
	keepBody   bool            // $request_body is named somewhere
	boundaries atomic.Int64    // of multipart/byteranges, numbered
	zones      zones
	// logPaths are the paths of all access logs.
	logPaths []string
}

// Groups lists the upstream groups by name.
func (s *Site) Groups() map[string]*upstream.Group { return s.groups }

// AccessLogs lists the paths of every access log, so that the edge can open them before the first request.
func (s *Site) AccessLogs() []string { return s.logPaths }

// Bind gives the site its edge; before the first request.
func (s *Site) Bind(env Env) { s.env = env }

// Server is one server block.
type Server struct {
	site   *Site
	Name   string // first server_name, for the log
	conf   *conf
	script []op
	locs   locations
	named  map[string]*location

	mergeSlashes bool
}

// location is one location block.
type location struct {
	kind    byte // '=' exact, '^' prefix that ends the search, ' ' prefix, '~' regular expression, '@' named
	pattern string
	re      *Regex
	conf    *conf
	script  []op
	nested  locations
}

// locations are the blocks of one level: exact and prefix by longest match, then expressions in order.
type locations struct {
	prefix []*location
	regex  []*location
}

// find chooses as nginx does: an exact match ends the search; else the longest prefix is remembered and its nested
// blocks are searched; unless that location forbids it, the regular expressions of this level are tried. The one that
// matches ends the search, and leaves its groups in x.
func (ls *locations) find(uri string, x *exchange) (best *location, final bool) {
	for _, l := range ls.prefix {
		if l.kind == '=' && l.pattern == uri {
			return l, true
		}
		if l.kind != '=' && strings.HasPrefix(uri, l.pattern) && (best == nil || len(l.pattern) > len(best.pattern)) {
			best = l
		}
	}
	for _, l := range ls.prefix {
		if l.slashes(uri) {
			return l, true
		}
	}
	regex := ls.regex
	if best != nil {
		if best.kind == '^' {
			regex = nil
		}
		if in, final := best.nested.find(uri, x); final {
			return in, true
		} else if in != nil {
			best = in
		}
	}
	for _, l := range regex {
		if l.re.match(uri, x) {
			if in, _ := l.nested.find(uri, x); in != nil {
				return in, true
			}
			return l, true
		}
	}
	return best, false
}

// slashes: the location passes requests on, and the URI is its prefix without the slash at the end. nginx sends the
// client there.
func (l *location) slashes(uri string) bool {
	return l.kind != '=' && l.kind != '~' && l.conf.pass != nil && len(l.pattern) == len(uri)+1 && l.pattern == uri+"/"
}

// header is one add_header or proxy_set_header.
type header struct {
	name   string
	value  *template
	always bool
}

// errorPage is one error_page: where to go, and which status to answer with (0: the error's, -1: what the
// page gives).
type errorPage struct {
	target *template
	status int
}

// conf is the settings of one location, inherited and merged.
type conf struct {
	root       *template
	alias      *template
	location   string // the location's own prefix, which alias and proxy_pass cut off
	index      []*template
	tryFiles   []*template
	types      map[string]string
	defType    string
	accessLogs []accessLog
	headers    []header
	expires    *expires
	errorPages map[int]errorPage
	gzip       gzipConf
	gzipStatic string // "", off, on, always
	pass       *pass
	setHeaders []header
	hide       map[string]bool
	passed     map[string]bool // proxy_pass_header
	redirects  []redirect
	proxy      proxyConf
	maxBody    int64
	internal   bool
	status     bool
	emptyGIF   bool
	autoindex  bool
	etag       bool
	ifModified string // off, exact, before
	maxRanges  int
	realIP     realIP
	msiePad    bool
	intercept  bool
	access     access
	limits     limits
	except     *except
	referers   *referers

	charset         string
	charsetTypes    []string
	overrideCharset bool

	absolute, portInRedirect, nameInRedirect bool
	recursivePages, logNotFound, chunked     bool
}

// except is limit_except: the settings of a location for all methods but these.
type except struct {
	methods []string
	conf    *conf
}

type accessLog struct {
	path   string
	format *logFormat
	skip   *template // if=
}

// verdict is what an operation of the rewrite module leads to.
type verdict int

const (
	goOn     verdict = iota
	stop             // break: no more operations at this level
	again            // search the location anew
	answered         // an answer was given
)

type op func(x *exchange) verdict

// maxCycles bounds how often a request is sent round to another location, as nginx does.
const maxCycles = 10

// Serve answers one request and writes its access log.
func (s *Server) Serve(w http.ResponseWriter, r *Request) {
	x := newExchange(s, w, r)
	defer x.uncount()
	defer x.logAccess()
	if x.normalise(); x.uri == "" {
		x.fail(http.StatusBadRequest)
		return
	}
	switch r.HTTP.Method {
	case http.MethodTrace, http.MethodConnect:
		x.w.close = true
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	x.applyRealIP()
	x.route()
}

// ServeError answers with an error page, for a request that was not understood.
func (s *Server) ServeError(w http.ResponseWriter, r *Request, status int) {
	x := newExchange(s, w, r)
	defer x.logAccess()
	x.normalise()
	x.w.close = true
	x.fail(status)
}

// ServeBroken answers 500 as an application that has failed does: the connection goes on.
func (s *Server) ServeBroken(w http.ResponseWriter, r *Request) {
	x := newExchange(s, w, r)
	defer x.logAccess()
	const page = "<!DOCTYPE html>\n<html><head><title>We're sorry, but something went wrong</title></head></html>\n"
	x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	x.w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	x.w.WriteHeader(http.StatusInternalServerError)
	io.WriteString(x.w, page)
}

// Drop writes the access log's line of a request that gets no answer.
func (s *Server) Drop(w http.ResponseWriter, r *Request, status int) {
	x := newExchange(s, w, r)
	x.w.drop(status)
	x.logAccess()
}

// ServePlain answers HTTP that came to a port where TLS is spoken: status 497, which error_page may name and which
// the client sees as 400.
func (s *Server) ServePlain(w http.ResponseWriter, r *Request) {
	x := newExchange(s, w, r)
	defer x.logAccess()
	x.normalise()
	x.w.close = true
	x.fail(497)
}
