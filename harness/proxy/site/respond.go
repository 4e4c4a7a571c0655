package site

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tlsurge/harness/proxy/upstream"
)

// respond passes an answer on.
func (x *exchange) respond(p *pass, g *upstream.Group, s *upstream.Server, c *upstream.Conn, resp *http.Response, start time.Time) {
	x.up.header, x.passed = resp.Header, true
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
	if to := resp.Header.Get("X-Accel-Redirect"); to != "" {
		g.Done(s, false)
		c.End()
		x.accelerated(to, resp.Header)
		return
	}
	for k, vs := range resp.Header {
		if x.hidden(k) {
			continue
		}
		for _, v := range vs {
			if k == "Set-Cookie" {
				v = x.cookie(v)
			}
			h.Add(k, v)
		}
	}
	x.rewriteLocation(p, h)
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	if p, ok := x.w.ResponseWriter.(interface{ Phrase(string) }); ok && x.w.override <= 0 {
		_, words, _ := strings.Cut(resp.Status, " ")
		p.Phrase(words)
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
	switch {
	case x.conf.hide[name]:
		return true
	case x.conf.passed[name]:
		return false
	}
	switch name {
	case "Date", "Server", "X-Pad", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Trailer",
		"X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset":
		return true
	}
	return false
}

// accelerated sends the request to where the upstream says (X-Accel-Redirect), with what it says of the file.
func (x *exchange) accelerated(to string, h http.Header) {
	x.passed = false
	for _, k := range []string{"Content-Type", "Set-Cookie", "Content-Disposition", "Cache-Control", "Expires"} {
		if v := h[k]; v != nil && !x.conf.hide[k] {
			x.w.Header()[k] = v
		}
	}
	if x.method != http.MethodHead {
		x.method = http.MethodGet
	}
	if strings.HasPrefix(to, "@") {
		x.named(to)
		return
	}
	x.redirect(to, true)
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
				if p.asIs {
					continue
				}
				from, to = p.scheme+"://"+x.up.host+"/", "/"
				if p.hasURI {
					from, to = p.scheme+"://"+x.up.host+p.uri, x.conf.location
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
