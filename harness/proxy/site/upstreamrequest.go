package site

import (
	"net/http"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/upstream"
)

// upstreamRequest is what nginx sends: the client's header, without what belongs to the hop, and what
// proxy_set_header says over it. HTTP/1.0 and a close after each answer, unless proxy_http_version is 1.1.
func (x *exchange) upstreamRequest(p *pass, b *body) *upstream.Request {
	r := x.r.HTTP
	conf := &x.conf.proxy
	req := &upstream.Request{Method: x.method, Target: x.target(p), HTTP11: conf.http11}
	if conf.method != nil {
		req.Method = conf.method.eval(x)
	}
	skip := map[string]bool{"Host": true, "Connection": true, "Keep-Alive": true, "Transfer-Encoding": true, "Te": true,
		"Expect": true, "Upgrade": true}
	add := func(name, value string) {
		skip[http.CanonicalHeaderKey(name)] = true
		if value != "" {
			req.Header = append(req.Header, [2]string{name, value})
		}
	}
	host, connection := x.up.host, "close"
	if req.HTTP11 && p.keepalive() {
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
	switch {
	case conf.body != nil:
		text := conf.body.eval(x)
		b = &body{r: strings.NewReader(text), length: int64(len(text))}
	case !conf.passBody:
		b = &body{length: max(0, r.ContentLength)} // the length is said all the same, as nginx does
	}
	said := skip["Content-Length"] // by proxy_set_header
	skip["Content-Length"] = true
	if !said && b.length > 0 || !said && b.length == 0 && (conf.body != nil || r.Header.Get("Content-Length") != "") {
		add("Content-Length", strconv.FormatInt(b.length, 10))
	}
	if b.r != nil && b.length != 0 {
		req.Body = b
	}
	if b.length < 0 {
		req.Chunked = true
		add("Transfer-Encoding", "chunked")
	}
	add("Connection", connection)
	for name, values := range r.Header {
		if skip[name] || !conf.passHeaders {
			continue
		}
		for _, v := range values {
			req.Header = append(req.Header, [2]string{name, v})
		}
	}
	return req
}

// keepalive: the group keeps connections, and Connection is left to us.
func (p *pass) keepalive() bool {
	return p.group.Keepalive > 0
}
