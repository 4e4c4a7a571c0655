package site

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tlsurge/harness/proxy/proxyproto"
	"tlsurge/harness/proxy/upstream"
)

// pass is one proxy_pass.
type pass struct {
	whole  *template // where there are variables in it: what follows is found for each request
	scheme string
	host   string // group name or host:port
	uri    string // put in the place of the location's prefix
	hasURI bool
	asIs   bool // uri is the whole of it
	group  *upstream.Group
}

// proxyConf is proxy_* settings.
type proxyConf struct {
	http11              bool
	connect, send, read time.Duration
	source              netip.Addr // of connections to upstreams; not valid: the kernel's choice
	next                map[string]bool
	tls                 *tls.Config
	sendProxy           int // version of the PROXY header that goes first; 0: none
	tries               int // proxy_next_upstream_tries; 0: as many as there are servers
	method, body        *template
	cookies             []cookieRule

	passHeaders, passBody bool
}

// redirect is one proxy_redirect.
type redirect struct {
	from, to *template
	implied  bool // "default": from what proxy_pass says to the location
}

// builtinApplication is the upstream address of the application inside the edge.
const builtinApplication = "builtin:application"

// forward passes the request to the group and the answer back.
func (x *exchange) forward(p *pass) {
	p, err := x.resolved(p)
	if err != nil {
		x.log("error", "%v", err)
		x.fail(http.StatusInternalServerError)
		return
	}
	x.up.host, x.up.secure = p.host, p.scheme == "https"
	group := p.group
	if !x.discards() {
		return
	}
	body, spooled, err := x.requestBody()
	if err != nil {
		if errors.Is(err, ErrTooLarge) {
			x.log("error", "client intended to send too large chunked body")
			x.w.close = true
			x.fail(http.StatusRequestEntityTooLarge)
			return
		}
		x.bodyFailed(err)
		return
	}
	if spooled != nil {
		defer spooled.Close()
	}
	tried := map[*upstream.Server]bool{}
	for {
		server, err := group.NextFor(tried, x.groupKey(group))
		if err != nil {
			x.logUp("error", x.upURL(p, group.Name), "no live upstreams while connecting to upstream")
			x.tried(group.Name, http.StatusBadGateway, 0)
			x.fail(http.StatusBadGateway)
			return
		}
		if x.attempt(p, group, server, tried, body) {
			return
		}
		tried[server] = true
	}
}

// bodyFailed ends a request whose body did not come whole: with no answer where its time ran out, as nginx does.
func (x *exchange) bodyFailed(err error) {
	x.w.close = true
	if isTimeout(err) {
		x.log("info", "client timed out (110: Connection timed out) while reading client request body")
		x.w.drop(http.StatusRequestTimeout)
		return
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		x.log("info", "%v", err)
	} else {
		x.log("info", "client prematurely closed connection")
	}
	x.fail(http.StatusBadRequest)
}

// resolved fills in the variables of a proxy_pass.
func (x *exchange) resolved(p *pass) (*pass, error) {
	if p.whole == nil {
		return p, nil
	}
	p, err := parsePass(p.whole.eval(x))
	if err != nil {
		return nil, err
	}
	p.asIs = true
	if p.group = x.s.site.groups[p.host]; p.group == nil {
		if p.group, err = p.own(); err != nil {
			return nil, err
		}
		p.group.Servers()[0].MaxFails = 0
	}
	return p, nil
}

// groupKey is what a group that chooses by hash chooses by.
func (x *exchange) groupKey(g *upstream.Group) string {
	if t := x.s.site.hashes[g]; t != nil {
		return t.eval(x)
	}
	if g.Method == upstream.IPHash {
		return x.remote.String()
	}
	return ""
}

// mayTryNext says whether after so many tries another server may be asked.
func (x *exchange) mayTryNext(g *upstream.Group, tries int, kind string) bool {
	conf := &x.conf.proxy
	return tries < len(g.Servers()) && (conf.tries == 0 || tries < conf.tries) && conf.next[kind] && !conf.next["off"]
}

func (x *exchange) tried(addr string, status int, took time.Duration) {
	x.up.addrs = append(x.up.addrs, addr)
	x.up.statuses = append(x.up.statuses, strconv.Itoa(status))
	x.up.times = append(x.up.times, seconds(took))
}

func (x *exchange) upURL(p *pass, address string) string {
	return p.scheme + "://" + address + x.target(p)
}

// target is the URI on the request line to the upstream.
func (x *exchange) target(p *pass) string {
	switch {
	case !p.hasURI && x.unparsed:
		return x.requestURI()
	case !p.hasURI:
		return x.withArgs(x.respelled(x.uri))
	case p.asIs:
		return p.uri
	}
	return x.withArgs(p.uri + x.respelled(strings.TrimPrefix(x.uri, x.conf.location)))
}

func (x *exchange) withArgs(path string) string {
	if x.args != "" {
		return path + "?" + x.args
	}
	return path
}

// respelled encodes what was decoded; what came plain goes on plain.
func (x *exchange) respelled(path string) string {
	if x.quoted || x.redirected {
		return escapePath(path)
	}
	return path
}

// attempt makes one try. true: the exchange is over, answered or failed for good.
func (x *exchange) attempt(p *pass, g *upstream.Group, s *upstream.Server, triedSet map[*upstream.Server]bool, body *body) bool {
	if s.Address == builtinApplication || strings.HasPrefix(s.Address, builtinApplication+":") {
		g.Done(s, false)
		x.application(p)
		return true
	}
	start := time.Now()
	conf := &x.conf.proxy
	url := x.upURL(p, s.Address)
	giveUp := func(status int, kind, doing string, err error) bool {
		g.Done(s, true)
		x.tried(s.Address, status, time.Since(start))
		x.logUp("error", url, "%s", upstreamTrouble(err, doing))
		if x.mayTryNext(g, len(triedSet)+1, kind) && body.rewind() && x.retryable(doing) {
			return false
		}
		x.fail(status)
		return true
	}
	ctx := x.r.Context
	c, err := g.Connect(ctx, s, x.dialer(p))
	if errors.Is(err, upstream.ErrNoPlace) {
		g.Done(s, false)
		x.log("alert", "%v", err)
		x.fail(http.StatusInternalServerError)
		return true
	}
	if err != nil {
		return giveUp(badGateway(err), kindOf(err), "connecting to upstream", err)
	}
	c.SetReadDeadline(time.Now().Add(conf.read))
	c.SetWriteDeadline(time.Now().Add(conf.send))
	req := x.upstreamRequest(p, body)
	if err = c.Send(req); err == nil {
		var resp *http.Response
		if resp, err = c.Receive(req.Method); err == nil {
			kind := "http_" + strconv.Itoa(resp.StatusCode)
			if conf.next[kind] && x.mayTryNext(g, len(triedSet)+1, kind) && body.rewind() && x.retryable("reading") {
				g.Done(s, resp.StatusCode >= 500)
				x.tried(s.Address, resp.StatusCode, time.Since(start))
				c.End()
				return false
			}
			x.respond(p, g, s, c, resp, start)
			return true
		}
	}
	reused := c.Reused
	c.End()
	if body.failed != nil { // the client's fault, not the upstream's
		g.Done(s, false)
		x.bodyFailed(body.failed)
		return true
	}
	if reused && body.rewind() && !isTimeout(err) { // the server had closed the kept connection: try a fresh one
		g.Done(s, false)
		g.CloseIdle()
		return false
	}
	return giveUp(badGateway(err), kindOf(err), "reading response header from upstream", err)
}

func (x *exchange) dialer(p *pass) *upstream.Dialer {
	conf := &x.conf.proxy
	d := &upstream.Dialer{Timeout: conf.connect, Source: conf.source, Take: func() (func(), bool) { return x.s.site.env.Take(x.r) }}
	if p.scheme == "https" {
		d.TLS = conf.tls
		if d.TLS.ServerName == "" {
			d.TLS = d.TLS.Clone()
			d.TLS.ServerName = x.up.host
			if host, _, err := net.SplitHostPort(x.up.host); err == nil {
				d.TLS.ServerName = host
			}
		}
	}
	h := proxyproto.Header{Source: x.r.Conn.Remote, Destination: x.r.Conn.Local}
	switch conf.sendProxy {
	case 1:
		d.Header = proxyproto.AppendV1(nil, h)
	case 2:
		d.Header = proxyproto.AppendV2(nil, h)
	}
	return d
}

// retryable: a request that may already have had its effect is not sent twice.
func (x *exchange) retryable(doing string) bool {
	if doing == "connecting to upstream" || x.conf.proxy.next["non_idempotent"] {
		return true
	}
	switch x.method {
	case http.MethodPost, "LOCK", http.MethodPatch:
		return false
	}
	return true
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func badGateway(err error) int {
	if isTimeout(err) {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

func kindOf(err error) string {
	if isTimeout(err) {
		return "timeout"
	}
	return "error"
}

// upstreamTrouble is nginx's wording of what went wrong with an upstream.
func upstreamTrouble(err error, doing string) string {
	var no syscall.Errno
	switch {
	case isTimeout(err):
		return fmt.Sprintf("upstream timed out (110: Connection timed out) while %s", doing)
	case errors.As(err, &no) && doing == "connecting to upstream":
		return fmt.Sprintf("connect() failed (%d: %s) while %s", int(no), sentence(no), doing)
	case errors.As(err, &no):
		return fmt.Sprintf("recv() failed (%d: %s) while %s", int(no), sentence(no), doing)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "upstream prematurely closed connection while " + doing
	}
	return fmt.Sprintf("%v while %s", err, doing)
}

func sentence(no syscall.Errno) string {
	text := no.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
