package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Conn is one connection to a server.
type Conn struct {
	net.Conn
	Reused bool
	server *Server
	br     *bufio.Reader
	done   func() // gives its place in the proxy's connection table back
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// Dialer opens connections for a proxy.
type Dialer struct {
	Timeout time.Duration
	Source  netip.Addr  // whence; not valid: the kernel chooses
	TLS     *tls.Config // nil: plain
	// Header is written before anything else: a PROXY protocol header.
	Header []byte
	// Take asks for a place in the proxy's connection table; nil: there is no table.
	Take func() (release func(), ok bool)
}

// ErrNoPlace: the proxy's own connection table is full.
var ErrNoPlace = fmt.Errorf("worker_connections are not enough")

// Connect takes an idle connection of the group to s, or opens one.
func (g *Group) Connect(ctx context.Context, s *Server, d *Dialer) (*Conn, error) {
	if g.Keepalive > 0 && d.Header == nil {
		if c := g.takeIdle(s); c != nil {
			return c, nil
		}
	}
	done := func() {}
	if d.Take != nil {
		var ok bool
		if done, ok = d.Take(); !ok {
			return nil, ErrNoPlace
		}
	}
	raw, err := dial(ctx, s.Address, d.Timeout, d.Source)
	if err != nil {
		done()
		return nil, err
	}
	if d.Header != nil {
		if _, err := raw.Write(d.Header); err != nil {
			raw.Close()
			done()
			return nil, err
		}
	}
	if d.TLS != nil {
		t := tls.Client(raw, d.TLS)
		raw.SetDeadline(time.Now().Add(d.Timeout))
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			done()
			return nil, err
		}
		raw.SetDeadline(time.Time{})
		raw = t
	}
	br := readers.Get().(*bufio.Reader)
	br.Reset(raw)
	return &Conn{Conn: raw, server: s, br: br, done: done}, nil
}

func (g *Group) takeIdle(s *Server) *Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := len(g.idle) - 1; i >= 0; i-- {
		if c := g.idle[i]; c.server == s {
			g.idle = slices.Delete(g.idle, i, i+1)
			c.Reused = true
			return c
		}
	}
	return nil
}

// Keep puts a connection that ended its exchange cleanly among the idle ones, or closes it; beyond
// Keepalive the oldest goes.
func (g *Group) Keep(c *Conn) {
	if g.Keepalive == 0 || c.br.Buffered() > 0 {
		c.End()
		return
	}
	c.SetDeadline(time.Time{})
	g.mu.Lock()
	g.idle = append(g.idle, c)
	var oldest *Conn
	if len(g.idle) > g.Keepalive {
		oldest, g.idle = g.idle[0], slices.Delete(g.idle, 0, 1)
	}
	g.mu.Unlock()
	if oldest != nil {
		oldest.End()
	}
}

// CloseIdle closes the kept connections.
func (g *Group) CloseIdle() {
	g.mu.Lock()
	idle := g.idle
	g.idle = nil
	g.mu.Unlock()
	for _, c := range idle {
		c.End()
	}
}

// End closes the connection; once.
func (c *Conn) End() {
	if c.br == nil {
		return
	}
	c.Close()
	c.br.Reset(nil)
	readers.Put(c.br)
	c.br = nil
	c.done()
}

// Request is what goes to a server: written as it stands.
type Request struct {
	Method, Target string
	HTTP11         bool
	Header         [][2]string // in order
	Body           io.Reader   // nil: none
	Chunked        bool
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}

// Send writes the request; the body is copied as it comes.
func (c *Conn) Send(r *Request) error {
	w := writers.Get().(*bufio.Writer)
	w.Reset(c.Conn)
	defer func() { w.Reset(nil); writers.Put(w) }()
	for _, s := range [...]string{r.Method, " ", r.Target, " HTTP/1.0\r\n"} {
		if r.HTTP11 && s == " HTTP/1.0\r\n" {
			s = " HTTP/1.1\r\n"
		}
		w.WriteString(s)
	}
	for _, h := range r.Header {
		w.WriteString(h[0])
		w.WriteString(": ")
		w.WriteString(oneLine(h[1]))
		w.WriteString("\r\n")
	}
	w.WriteString("\r\n")
	if r.Body != nil {
		if r.Chunked {
			if err := w.Flush(); err != nil {
				return err
			}
			if err := copyChunks(w, r.Body); err != nil {
				return err
			}
		} else if _, err := io.Copy(w, r.Body); err != nil {
			return err
		}
	}
	return w.Flush()
}

// oneLine keeps a value from becoming two header lines.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

func copyChunks(w *bufio.Writer, body io.Reader) error {
	buf := make([]byte, 8<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			fmt.Fprintf(w, "%x\r\n", n)
			w.Write(buf[:n])
			w.WriteString("\r\n")
		}
		if err == io.EOF {
			_, werr := w.WriteString("0\r\n\r\n")
			return werr
		}
		if err != nil {
			return err
		}
	}
}

// Receive reads the answer's header; 1xx answers are passed over, 101 is not.
func (c *Conn) Receive(method string) (*http.Response, error) {
	for skipped := 0; skipped < 8; skipped++ {
		resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
		resp.Body.Close()
	}
	return nil, fmt.Errorf("too many interim answers")
}

// Buffered gives the reader, for a connection that changes protocol.
func (c *Conn) Buffered() *bufio.Reader { return c.br }

// Reusable says whether another request may follow an answer that was read to its end.
func Reusable(resp *http.Response) bool { return !resp.Close && resp.ProtoAtLeast(1, 1) }
