package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles/hello"
)

// link drives one engine.Conn over a socket.
type link struct {
	nc       net.Conn
	c        *engine.Conn
	buf      []byte
	data     []byte // application data received
	sessions []*engine.Session
	closed   bool // close_notify received
	rejected bool // 0-RTT was rejected
}

func newLink(nc net.Conn, c *engine.Conn) *link {
	nc.SetDeadline(time.Now().Add(patience))
	return &link{nc: nc, c: c, buf: make([]byte, 1<<15)}
}

// flush writes what the engine has for the peer.
func (l *link) flush() error {
	if !l.c.HasOutput() {
		return nil
	}
	_, err := l.nc.Write(l.c.AppendOutput(nil))
	return err
}

// pump flushes, reads once and drains the events. After an engine error the final alert is sent.
func (l *link) pump() error {
	if err := l.flush(); err != nil {
		return err
	}
	err := l.readOnce()
	l.flush()
	return err
}

// readOnce hands the engine what one read gives; its answer stays where it is.
func (l *link) readOnce() error {
	n, err := l.nc.Read(l.buf)
	if n > 0 {
		rerr := l.c.Receive(time.Now(), l.buf[:n])
		l.drain()
		return rerr
	}
	if errors.Is(err, io.EOF) {
		return l.c.ReceiveEOF(time.Now())
	}
	return err
}

func (l *link) drain() {
	for {
		switch e := l.c.Next(); e.Kind {
		case engine.EventNone:
			return
		case engine.EventData:
			l.data = append(l.data, e.Data...)
		case engine.EventSession:
			l.sessions = append(l.sessions, e.Session)
		case engine.EventCloseNotify:
			l.closed = true
		case engine.EventEarlyRejected:
			l.rejected = true
		}
	}
}

func (l *link) handshake() error {
	for !l.c.HandshakeDone() {
		if err := l.pump(); err != nil {
			return err
		}
	}
	return l.flush()
}

const request = "GET / HTTP/1.0\r\nHost: " + serverName + "\r\n\r\n"

// get sends an HTTP/1.0 request and reads until the server closes.
func (l *link) get() (string, error) {
	if err := l.c.Send([]byte(request)); err != nil {
		return "", err
	}
	return l.readAll()
}

func (l *link) readAll() (string, error) {
	for !l.closed {
		if err := l.pump(); err != nil {
			// Several servers close without close_notify after an HTTP/1.0 answer.
			if errors.Is(err, engine.ErrTruncated) && len(l.data) > 0 {
				break
			}
			return string(l.data), err
		}
	}
	l.c.CloseNotify()
	l.flush()
	return string(l.data), nil
}

// dialled is what one connection of our client came to.
type dialled struct {
	facts    engine.Facts
	answer   string
	sessions []*engine.Session
	rejected bool
	err      error
}

// dial makes one connection with our client: handshake, KeyUpdate if asked for, request, answer.
func dial(addr string, cfg *engine.ClientConfig, ch *hello.ClientHello, o offer) dialled {
	var d dialled
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return dialled{err: err}
	}
	defer nc.Close()
	c, err := engine.NewClient(cfg, ch)
	if err != nil {
		return dialled{err: err}
	}
	l := newLink(nc, c)
	d.err = l.handshake()
	if d.err == nil && o.update {
		d.err = c.UpdateKeys(true)
	}
	switch {
	case d.err != nil:
	case c.Facts().EarlyOK && !o.again: // the request went out as 0-RTT data
		d.answer, d.err = l.readAll()
	default:
		d.answer, d.err = l.get()
	}
	d.facts, d.sessions, d.rejected = *c.Facts(), l.sessions, l.rejected
	return d
}

// served is what one connection of our server came to.
type served struct {
	facts   engine.Facts
	request string
	err     error
}

// server accepts connections for an engine server that answers each request with its facts.
type server struct {
	addr    string
	ln      net.Listener
	results chan chan served // one per connection, in the order of accepting
	asked   chan served      // each request, as soon as it is there
	wg      sync.WaitGroup
}

// serve starts our server on a loopback port; it ends with stop. A hasty server answers before it is asked.
func serve(cfg *engine.ServerConfig, hasty bool) (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: ln.Addr().String(), ln: ln, results: make(chan chan served, 256), asked: make(chan served, 256)}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Add(1)
			r := make(chan served, 1)
			s.results <- r
			go func() {
				defer s.wg.Done()
				r <- answer(nc, cfg, hasty, s.asked)
			}()
		}
	}()
	return s, nil
}

func (s *server) stop() {
	s.ln.Close()
	s.wg.Wait()
}

// next waits for the next connection, in the order in which they came, to end.
func (s *server) next() (served, error) {
	late := time.After(patience)
	select {
	case r := <-s.results:
		select {
		case done := <-r:
			return done, nil
		case <-late:
			return served{}, errors.New("a connection to our server did not end")
		}
	case <-late:
		return served{}, errors.New("no connection came to our server")
	}
}

// answer serves one connection: keep-alive HTTP/1.1 as far as a browser needs it.
func answer(nc net.Conn, cfg *engine.ServerConfig, hasty bool, asked chan<- served) (r served) {
	defer nc.Close()
	c := engine.NewServer(cfg)
	l := newLink(nc, c)
	defer func() { r.facts = *c.Facts() }()
	if r.err = l.handshake(); r.err != nil {
		return r
	}
	for {
		for !hasty && !bytes.Contains(l.data, []byte("\r\n\r\n")) {
			if l.closed {
				return r
			}
			if r.err = l.pump(); r.err != nil {
				if r.request != "" && errors.Is(r.err, engine.ErrTruncated) {
					r.err = nil // the client had its answer
				}
				return r
			}
		}
		r.request = string(l.data)
		select {
		case asked <- served{facts: *c.Facts(), request: r.request}:
		default: // nobody listens
		}
		l.data = nil
		// A page that is to be seen over and over moves on by itself, over a new connection.
		again := strings.HasPrefix(r.request, "GET /again")
		refresh := ""
		if again {
			refresh = `<meta http-equiv="refresh" content="0">`
		}
		body := fmt.Sprintf("<html><head><title>tlsurge</title>%s</head><body>%s</body></html>\n", refresh, describe(c.Facts()))
		keep := strings.Contains(r.request, "HTTP/1.1") && !strings.Contains(strings.ToLower(r.request), "connection: close") && !again
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n", len(body))
		if !keep {
			head += "Connection: close\r\n"
		}
		if r.err = c.Send([]byte(head + "\r\n" + body)); r.err != nil {
			return r
		}
		if !keep {
			c.CloseNotify()
		}
		if r.err = l.flush(); r.err != nil || !keep {
			if r.err == nil {
				nc.(*net.TCPConn).CloseWrite() // tstclnt waits for the FIN, not for close_notify
				r.request += l.awaitClose()
			}
			return r
		}
	}
}

// awaitClose reads until the peer closes too, so that closing with unread bytes resets nothing.
func (l *link) awaitClose() string {
	for l.c.Err() == nil {
		if l.pump() != nil || l.closed {
			break
		}
	}
	for {
		if _, err := l.nc.Read(l.buf); err != nil {
			return string(l.data)
		}
	}
}

// describe is the line that answers carry: version, suite, group, how it resumed.
func describe(f *engine.Facts) string {
	return fmt.Sprintf("version=%v suite=%v group=%v resumed=%q alpn=%q", f.Version, f.Suite, f.Group, f.Resumed, f.ALPN)
}

// seeded is a random source that is the same in every run.
func seeded(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(b)
}

// lockedRand lets the connections of one server share a seeded source.
type lockedRand struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedRand) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

// store is a session store for the connections of one test server.
type store struct {
	mu sync.Mutex
	m  map[string]*engine.Session
}

func (s *store) Get(_ time.Time, id []byte) *engine.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[string(id)]
}

func (s *store) Put(_ time.Time, id []byte, sess *engine.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[string(id)] = sess
}

func (s *store) Delete(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, string(id))
}
