package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"tlsurge/harness/proxy/upstream"
)

// BalancerConfig is the built-in balancer: plain HTTP in, plain HTTP out, as HAProxy stood between the thread's
// edges and its application.
type BalancerConfig struct {
	// Backends are the application's addresses, host:port.
	Backends []string
	// LeastConn sends a request to the backend with the fewest in flight; default round-robin.
	LeastConn bool
	// Keepalive is how many idle connections to backends are kept. Default 64.
	Keepalive int
	// CheckEvery is how often a backend is asked whether it is there. Default 2 s.
	CheckEvery time.Duration
	// ConnectTimeout and ResponseTimeout bound one try. Default 5 s and 60 s.
	ConnectTimeout, ResponseTimeout time.Duration
}

// Balancer spreads requests over backends and takes those that do not answer out until they do.
type Balancer struct {
	cfg    BalancerConfig
	group  *upstream.Group
	dialer upstream.Dialer
}

// NewBalancer checks the configuration.
func NewBalancer(cfg BalancerConfig) (*Balancer, error) {
	if len(cfg.Backends) == 0 {
		return nil, errors.New("balancer: no backends")
	}
	if cfg.Keepalive == 0 {
		cfg.Keepalive = 64
	}
	if cfg.CheckEvery == 0 {
		cfg.CheckEvery = 2 * time.Second
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	if cfg.ResponseTimeout == 0 {
		cfg.ResponseTimeout = 60 * time.Second
	}
	var servers []*upstream.Server
	for _, a := range cfg.Backends {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, fmt.Errorf("balancer: backend %q: %w", a, err)
		}
		s, err := upstream.ParseServer([]string{a, "max_fails=3", "fail_timeout=2"})
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	b := &Balancer{cfg: cfg, group: upstream.NewGroup("balancer", servers), dialer: upstream.Dialer{Timeout: cfg.ConnectTimeout}}
	if b.group.Keepalive = cfg.Keepalive; cfg.LeastConn {
		b.group.Method = upstream.LeastConn
	}
	return b, nil
}

// Serve balances what arrives on the listener until ctx ends.
func (b *Balancer) Serve(ctx context.Context, l net.Listener) error {
	checks, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { b.group.Check(checks, b.cfg.CheckEvery, b.cfg.ConnectTimeout); close(done) }()
	err := serveHTTP(ctx, l, b)
	cancel()
	<-done
	b.group.CloseIdle()
	return err
}

// Status lists the backends.
func (b *Balancer) Status() []upstream.Status { return b.group.Status() }

// ServeHTTP passes one request on. A request without a body goes to the next backend when one fails before
// it has answered.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tried := map[*upstream.Server]bool{}
	stale := 0
	for {
		s, err := b.group.Next(tried)
		if err != nil {
			http.Error(w, "no backend is up", http.StatusServiceUnavailable)
			return
		}
		c, err := b.group.Connect(r.Context(), s, &b.dialer)
		if err != nil {
			b.group.Done(s, true)
			tried[s] = true
			if len(tried) == len(b.cfg.Backends) {
				http.Error(w, "no backend answers", http.StatusBadGateway)
				return
			}
			continue
		}
		c.SetDeadline(time.Now().Add(b.cfg.ResponseTimeout))
		var resp *http.Response
		if err = c.Send(balanced(r)); err == nil {
			resp, err = c.Receive(r.Method)
		}
		if err == nil {
			b.pass(w, c, s, resp)
			return
		}
		reused := c.Reused
		c.End()
		if reused && r.ContentLength == 0 && stale < len(b.cfg.Backends)*b.cfg.Keepalive {
			b.group.Done(s, false) // it had closed a kept connection: no fault of the backend
			stale++
			continue
		}
		b.group.Done(s, true)
		tried[s] = true
		if r.ContentLength != 0 || len(tried) == len(b.cfg.Backends) {
			status := http.StatusBadGateway
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				status = http.StatusGatewayTimeout
			}
			http.Error(w, "the backend did not answer", status)
			return
		}
	}
}

var hopHeaders = map[string]bool{"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Host": true, "Content-Length": true}

func balanced(r *http.Request) *upstream.Request {
	req := &upstream.Request{Method: r.Method, Target: r.RequestURI, HTTP11: true, Header: [][2]string{{"Host", r.Host}}}
	upgrade := r.Header.Get("Upgrade")
	for k, vs := range r.Header {
		if hopHeaders[k] {
			continue
		}
		for _, v := range vs {
			req.Header = append(req.Header, [2]string{k, v})
		}
	}
	switch {
	case r.ContentLength > 0:
		req.Body = r.Body
		req.Header = append(req.Header, [2]string{"Content-Length", fmt.Sprint(r.ContentLength)})
	case r.ContentLength < 0:
		req.Body, req.Chunked = r.Body, true
		req.Header = append(req.Header, [2]string{"Transfer-Encoding", "chunked"})
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		req.Header = append(req.Header, [2]string{"Content-Length", "0"})
	}
	if upgrade != "" {
		req.Header = append(req.Header, [2]string{"Upgrade", upgrade}, [2]string{"Connection", "Upgrade"})
	}
	return req
}

// pass copies the answer, and after 101 joins the two connections.
func (b *Balancer) pass(w http.ResponseWriter, c *upstream.Conn, s *upstream.Server, resp *http.Response) {
	h := w.Header()
	for k, vs := range resp.Header {
		if !hopHeaders[k] || k == "Content-Length" || resp.StatusCode == http.StatusSwitchingProtocols {
			h[k] = vs
		}
	}
	w.WriteHeader(resp.StatusCode)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		b.group.Done(s, false)
		join(w, c)
		return
	}
	flush := http.NewResponseController(w)
	buf := make([]byte, 16<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				b.group.Done(s, false)
				c.End()
				return
			}
			if resp.ContentLength < 0 {
				flush.Flush()
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			b.group.Done(s, true)
			c.End()
			panic(http.ErrAbortHandler)
		}
	}
	b.group.Done(s, false)
	if upstream.Reusable(resp) {
		b.group.Keep(c)
	} else {
		c.End()
	}
}

func join(w http.ResponseWriter, c *upstream.Conn) {
	defer c.End()
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	rw.Flush()
	c.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(c, rw.Reader)
		if t, ok := c.Conn.(*net.TCPConn); ok {
			t.CloseWrite()
		}
	}()
	io.Copy(client, c.Buffered())
	client.SetReadDeadline(time.Now().Add(time.Second))
	<-done
}
