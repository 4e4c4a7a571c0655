package site

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tlsurge/harness/proxy/proxyproto"
	"tlsurge/harness/proxy/upstream"
)

// pass is one proxy_pass.
type pass struct {
	scheme string
	host   *template // group name or host:port
	uri    *template // nil: the request's own is passed on unchanged
	group  *upstream.Group
}

// proxyConf is proxy_* settings.
type proxyConf struct {
	http11        bool
	connect, read time.Duration
	next          map[string]bool
	tls           *tls.Config
	sendProxy     int // version of the PROXY header that goes first; 0: none
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
	x.up.host = p.host.eval(x)
	group := p.group
	if group == nil {
		group = x.s.site.groups[x.up.host]
	}
	if group == nil {
		port := "80"
		if p.scheme == "https" {
			port = "443"
		}
		s, err := upstream.ParseServer([]string{upstream.WithPort(x.up.host, port)})
		if err != nil {
			x.fail(http.StatusInternalServerError)
			return
		}
		s.MaxFails = 0
		group = upstream.NewGroup(x.up.host, []*upstream.Server{s})
	}
	body, spooled, err := x.requestBody()
	if err != nil {
		if errors.Is(err, errTooLarge) {
			x.log("error", "client intended to send too large chunked body")
			x.w.close = true
			x.fail(http.StatusRequestEntityTooLarge)
			return
		}
		x.log("info", "client prematurely closed connection while reading client request body")
		x.w.close = true
		x.fail(http.StatusBadRequest)
		return
	}
	if spooled != nil {
		defer spooled.Close()
	}
	tried := map[*upstream.Server]bool{}
	for {
		server, err := group.Next(tried)
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
	if p.uri == nil {
		if x.uriUntouched() {
			return x.requestURI()
		}
		return x.withArgs(escapePath(x.uri))
	}
	t := p.uri.eval(x)
	if !p.uri.constant() {
		return t
	}
	return x.withArgs(escapePath(t + strings.TrimPrefix(x.uri, x.conf.location)))
}

func (x *exchange) withArgs(path string) string {
	if x.args != "" {
		return path + "?" + x.args
	}
	return path
}

// uriUntouched: no rewrite has changed the URI, so the client's own spelling goes on.
func (x *exchange) uriUntouched() bool {
	return !x.redirected && x.first == [2]string{x.uri, x.args}
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
		if len(triedSet)+1 < len(g.Servers()) && conf.next[kind] && body.rewind() && x.retryable(doing) {
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
	c.SetDeadline(time.Now().Add(conf.read))
	req := x.upstreamRequest(p, body)
	if err = c.Send(req); err == nil {
		var resp *http.Response
		if resp, err = c.Receive(req.Method); err == nil {
			x.respond(p, g, s, c, resp, start)
			return true
		}
	}
	reused := c.Reused
	c.End()
	if reused && body.rewind() && !isTimeout(err) { // the server had closed the kept connection: try a fresh one
		g.Done(s, false)
		g.CloseIdle()
		return false
	}
	return giveUp(badGateway(err), kindOf(err), "reading response header from upstream", err)
}

func (x *exchange) dialer(p *pass) *upstream.Dialer {
	conf := &x.conf.proxy
	d := &upstream.Dialer{Timeout: conf.connect, Take: func() (func(), bool) { return x.s.site.env.Take(x.r) }}
	if p.scheme == "https" {
		d.TLS = conf.tls
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

// upstreamRequest is what nginx sends: the client's header, without what belongs to the hop, and what
// proxy_set_header says over it. HTTP/1.0 and a close after each answer, unless proxy_http_version is 1.1.
func (x *exchange) upstreamRequest(p *pass, b *body) *upstream.Request {
	r := x.r.HTTP
	req := &upstream.Request{Method: x.method, Target: x.target(p), HTTP11: x.conf.proxy.http11}
	skip := map[string]bool{"Host": true, "Connection": true, "Keep-Alive": true, "Transfer-Encoding": true, "Te": true,
		"Expect": true, "Upgrade": true, "Content-Length": true, "Proxy-Connection": true, "Trailer": true}
	add := func(name, value string) {
		skip[http.CanonicalHeaderKey(name)] = true
		if value != "" {
			req.Header = append(req.Header, [2]string{name, value})
		}
	}
	host, connection := x.up.host, "close"
	if req.HTTP11 && p.keepalive(x) {
		connection = ""
	}
	for _, h := range x.conf.setHeaders {
		switch {
		case strings.EqualFold(h.name, "Host"):
			host = h.value.eval(x)
		case strings.EqualFold(h.name, "Connection"):
			connection = h.value.eval(x)
		}
	}
	add("Host", host)
	for _, h := range x.conf.setHeaders {
		if !strings.EqualFold(h.name, "Host") && !strings.EqualFold(h.name, "Connection") {
			add(h.name, h.value.eval(x))
		}
	}
	if b.length > 0 || b.length == 0 && r.Header.Get("Content-Length") != "" {
		add("Content-Length", strconv.FormatInt(b.length, 10))
	}
	if b.r != nil && b.length != 0 {
		req.Body = b.r
	}
	if b.length < 0 {
		req.Chunked = true
		add("Transfer-Encoding", "chunked")
	}
	add("Connection", connection)
	for name, values := range r.Header {
		if skip[name] {
			continue
		}
		for _, v := range values {
			req.Header = append(req.Header, [2]string{name, v})
		}
	}
	return req
}

// keepalive: the group keeps connections, and Connection is left to us.
func (p *pass) keepalive(x *exchange) bool {
	g := p.group
	if g == nil {
		g = x.s.site.groups[x.up.host]
	}
	return g != nil && g.Keepalive > 0
}

// respond passes an answer on.
func (x *exchange) respond(p *pass, g *upstream.Group, s *upstream.Server, c *upstream.Conn, resp *http.Response, start time.Time) {
	x.up.header = resp.Header
	took := time.Since(start)
	x.tried(s.Address, resp.StatusCode, took)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		g.Done(s, false)
		x.tunnel(c, resp)
		return
	}
	if _, has := x.conf.errorPages[resp.StatusCode]; has && x.conf.intercept && resp.StatusCode >= 300 {
		g.Done(s, false)
		c.End()
		x.fail(resp.StatusCode)
		return
	}
	h := x.w.Header()
	for k, vs := range resp.Header {
		if x.hidden(k) {
			continue
		}
		for _, v := range vs {
			h.Add(k, v)
		}
	}
	x.rewriteLocation(p, h)
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	x.w.WriteHeader(resp.StatusCode)
	_, err := x.relay(resp.Body, c)
	g.Done(s, err != nil)
	if err == nil && upstream.Reusable(resp) {
		g.Keep(c)
		return
	}
	c.End()
	if err != nil {
		var rerr readError
		if errors.As(err, &rerr) {
			x.logUp("error", x.upURL(p, s.Address), "upstream prematurely closed connection while reading upstream")
		}
		x.w.broken()
	}
}

// readError marks a failure of the upstream's side of a copy.
type readError struct{ error }

var relayBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// relay copies a body; what has come is sent on when nothing more is there yet.
func (x *exchange) relay(body io.Reader, c *upstream.Conn) (n int64, err error) {
	held := relayBuffers.Get().(*[]byte)
	defer relayBuffers.Put(held)
	buf := *held
	for {
		if c.Buffered().Buffered() == 0 {
			c.SetReadDeadline(time.Now().Add(x.conf.proxy.read))
		}
		m, rerr := body.Read(buf)
		if m > 0 {
			if _, err := x.w.Write(buf[:m]); err != nil {
				return n, err
			}
			n += int64(m)
			if br := c.Buffered(); br.Buffered() == 0 && m < len(buf) {
				if err := x.w.FlushError(); err != nil {
					return n, err
				}
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, readError{rerr}
		}
	}
}

// hidden are headers of an upstream that nginx keeps to itself.
func (x *exchange) hidden(name string) bool {
	if x.conf.hide[name] {
		return true
	}
	switch name {
	case "Date", "Server", "X-Pad", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Trailer":
		return true
	}
	return strings.HasPrefix(name, "X-Accel-")
}

// rewriteLocation is proxy_redirect.
func (x *exchange) rewriteLocation(p *pass, h http.Header) {
	for _, name := range []string{"Location", "Refresh"} {
		v := h.Get(name)
		if v == "" {
			continue
		}
		for _, r := range x.conf.redirects {
			from, to := "", ""
			if r.implied {
				if p.uri != nil && !p.uri.constant() {
					continue
				}
				from, to = p.scheme+"://"+x.up.host+"/", "/"
				if p.uri != nil {
					from, to = p.scheme+"://"+x.up.host+p.uri.text, x.conf.location
				}
			} else {
				from, to = r.from.eval(x), r.to.eval(x)
			}
			if rest, ok := strings.CutPrefix(v, from); ok {
				h.Set(name, x.absolute(to+rest))
				break
			}
		}
	}
}

// tunnel joins the two connections after 101 Switching Protocols.
func (x *exchange) tunnel(c *upstream.Conn, resp *http.Response) {
	defer c.End()
	h := x.w.Header()
	for k, vs := range resp.Header {
		if k != "Date" && k != "Server" {
			h[k] = vs
		}
	}
	x.w.WriteHeader(http.StatusSwitchingProtocols)
	client, rw, err := x.w.Hijack()
	if err != nil {
		return
	}
	rw.Flush()
	c.SetDeadline(time.Time{})
	client.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(c, rw.Reader)
		closeWrite(c.Conn)
	}()
	x.w.sent, _ = io.Copy(client, c.Buffered())
	client.SetReadDeadline(time.Now().Add(time.Second))
	<-done
}

func closeWrite(c net.Conn) {
	if t, ok := c.(interface{ CloseWrite() error }); ok {
		t.CloseWrite()
	}
}

// application hands the request to the application inside the edge.
func (x *exchange) application(p *pass) {
	r := x.r.HTTP.Clone(x.r.Context)
	r.RemoteAddr = x.r.Conn.Remote.String()
	r.URL.Path, r.URL.RawQuery = x.uri, x.args
	x.tried(builtinApplication, 200, 0)
	x.s.site.env.Application.ServeHTTP(&applicationWriter{x.w}, r)
}

// applicationWriter hides what net/http handlers set for the hop.
type applicationWriter struct{ *writer }

func (w *applicationWriter) Flush() { w.FlushError() }

// body is a request body that may have to be sent again.
type body struct {
	r       io.Reader
	length  int64 // -1: chunked
	seeker  io.ReadSeeker
	started bool
}

// rewind makes the body ready for another try; false: its bytes are gone.
func (b *body) rewind() bool {
	if b.r == nil || b.length == 0 {
		return true
	}
	if b.seeker == nil {
		return false
	}
	_, err := b.seeker.Seek(0, io.SeekStart)
	return err == nil
}

var errTooLarge = errors.New("body larger than client_max_body_size")

// requestBody prepares the body: as it comes where its length is known or the upstream takes chunks; else, for
// HTTP/1.0, it is collected in a file first, whose length then is known.
func (x *exchange) requestBody() (*body, io.Closer, error) {
	r := x.r.HTTP
	if r.ContentLength >= 0 {
		return &body{r: r.Body, length: r.ContentLength}, nil, nil
	}
	limit := x.conf.maxBody
	var src io.Reader = r.Body
	if limit > 0 {
		src = io.LimitReader(src, limit+1)
	}
	f, err := os.CreateTemp("", "tlsurge-body-")
	if err != nil {
		return nil, nil, err
	}
	os.Remove(f.Name())
	n, err := io.Copy(f, src)
	if err == nil && limit > 0 && n > limit {
		err = errTooLarge
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return &body{r: f, length: n, seeker: f}, f, nil
}
