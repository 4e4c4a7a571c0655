package proxy

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"tlsurge/harness/proxy/site"
)

// serveHTTP2 serves the connection as HTTP/2 until it ends (RFC 9113). It keeps its goroutines: parking is for
// HTTP/1 alone. net/http speaks HTTP/2 over any net.Conn once it is told not to expect TLS of its own.
func (c *conn) serveHTTP2() {
	c.raw.SetDeadline(time.Time{})
	one := &oneConn{Conn: c.stream, closed: make(chan struct{})}
	srv := &http.Server{Handler: http.HandlerFunc(c.stream2), IdleTimeout: c.server0().KeepaliveTimeout,
		Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	srv.Serve(&oneListener{conn: one})
	select {
	case <-one.closed:
	case <-c.s.stop:
		grace, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
		<-one.closed
	}
}

// oneConn says when net/http is done with the connection; the socket itself is closed by its owner.
type oneConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (o *oneConn) Close() error {
	o.once.Do(func() { close(o.closed) })
	if t, ok := o.Conn.(*tlsConn); ok {
		t.closeNotify()
	}
	return o.Conn.SetDeadline(time.Unix(1, 0))
}

// oneListener gives one connection, then ends.
type oneListener struct{ conn net.Conn }

func (l *oneListener) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	c := l.conn
	l.conn = nil
	return c, nil
}
func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// stream2 answers one stream.
func (c *conn) stream2(w http.ResponseWriter, r *http.Request) {
	c.s.count.requests.Add(1)
	info := *c.info
	info.Requests = int(c.streams.Add(1))
	vs, captures := c.ln.pick(r.Host, c.vs)
	r.RequestURI = r.URL.RequestURI()
	rw := &writer2{ResponseWriter: w}
	c.answer(vs, rw, &site.Request{HTTP: r, Line: fmt.Sprintf("%s %s HTTP/2.0", r.Method, r.RequestURI), Captures: captures, Conn: &info,
		Start: time.Now(), Context: r.Context()})
	c.s.count.status(rw.code)
}

// writer2 drops the headers that HTTP/2 does not have (RFC 9113 §8.2.2, Connection-Specific Header Fields).
type writer2 struct {
	http.ResponseWriter
	code int
}

func (w *writer2) WriteHeader(code int) {
	if code >= 200 {
		w.code = code
	}
	h := w.Header()
	for _, k := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
		h.Del(k)
	}
	if h.Get("Server") == "" {
		h.Set("Server", serverToken)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer2) FlushError() error {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// Abort resets the stream.
func (w *writer2) Abort() { panic(http.ErrAbortHandler) }
