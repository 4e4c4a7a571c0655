package proxy

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/site"
	"tlsurge/harness/proxy/stack"
)

// Server is a running edge.
type Server struct {
	name   string
	stack  *stack.Stack
	cfg    atomic.Pointer[Config]
	keyLog func(string, []byte, []byte)
	rand   io.Reader
	began  atomic.Int64 // start of the phase, Unix nanoseconds; 0: not begun

	lot     *lot
	logs    logs
	count   counters
	ids     atomic.Uint64
	worker  sync.Mutex     // slow_handshake: the one worker that handshakes queue for
	running sync.WaitGroup // goroutines of connections and listeners

	mu        sync.Mutex
	listeners []*listener
	conns     map[*conn]struct{}
	caches    map[string]*sessionCache
	tickets   map[string]engine.FixedTicketKeys
	armed     map[*conn]struct{} // connections that the listener's filter acts on
	stop      chan struct{}
	ended     chan struct{} // closed when requests in flight have had their time
	stopped   bool
}

// New makes an edge of a configuration. It opens the logs, so that a path that cannot be written is an error
// now, and listens nowhere yet.
func New(cfg *Config) (*Server, error) {
	l, err := newLot(cfg.places())
	if err != nil {
		return nil, err
	}
	s := &Server{name: cfg.Name, stack: cfg.Stack, keyLog: cfg.KeyLog, rand: rand.Reader, lot: l,
		conns: map[*conn]struct{}{}, armed: map[*conn]struct{}{}, caches: map[string]*sessionCache{}, tickets: map[string]engine.FixedTicketKeys{}, stop: make(chan struct{}), ended: make(chan struct{})}
	l.wake = s.wake
	l.close = (func(c *conn, why closeKind) { c.closeParked(why) })
	if err := s.adopt(cfg); err != nil {
		return nil, err
	}
	return s, nil
}

// places is the size of the connection table: of its worker_connections each of nginx's workers spends one on
// every listening socket and one on its channel to the master.
func (c *Config) places() int {
	return c.Workers * max(1, c.WorkerConnections-len(c.Listeners)-1)
}

// adopt opens what a configuration needs and puts it in force for what comes.
func (s *Server) adopt(cfg *Config) error {
	if err := cfg.checkRules(); err != nil {
		return err
	}
	for _, l := range cfg.Listeners {
		for _, vs := range l.Servers {
			for _, t := range vs.ErrorLog {
				if t.Path != "" {
					if _, err := s.logs.open(t.Path); err != nil {
						return &StartError{fmt.Errorf("error_log: %w", err)}
					}
				}
			}
		}
	}
	for _, path := range cfg.site.AccessLogs() {
		if _, err := s.logs.open(path); err != nil {
			return &StartError{fmt.Errorf("access_log: %w", err)}
		}
	}
	cfg.site.Bind(site.Env{Log: s.siteLog, Access: s.accessLine, Status: s.status, Take: s.takeUpstream, Ended: s.ended, Application: defaultApplication})
	s.cfg.Store(cfg)
	return nil
}

// Serve accepts on the listeners, which stand for the configuration's in order, until ctx ends; then it
// closes what is idle, lets requests in flight finish for up to drainTime, and closes the rest.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener) error {
	cfg := s.cfg.Load()
	if len(listeners) != len(cfg.Listeners) {
		return fmt.Errorf("proxy: %d listeners for the %d addresses of the configuration", len(listeners), len(cfg.Listeners))
	}
	for i, n := range listeners {
		s.add(n, cfg.Listeners[i])
	}
	s.began.CompareAndSwap(0, time.Now().UnixNano())
	lotDone := make(chan struct{})
	go func() { s.lot.run(); close(lotDone) }()
	s.running.Add(1)
	go func() { defer s.running.Done(); s.watchArmed() }()
	s.mu.Lock()
	err := s.applyFilters(s.cfg.Load().Faults)
	for _, l := range s.listeners {
		s.running.Add(1)
		go s.accept(l)
	}
	s.mu.Unlock()
	if err == nil {
		select {
		case <-ctx.Done():
		case <-s.stop:
		}
	}
	s.shutdown()
	<-lotDone
	if e := s.logs.each((*logFile).close); err == nil {
		err = e
	}
	return err
}

// Begin says when the phase began: from and until of the rules count from there.
func (s *Server) Begin(t time.Time) { s.began.Store(t.UnixNano()) }

// cache finds or makes the session cache of some settings; a shared one is shared by its name and outlives
// a reload.
func (s *Server) cache(t *TLSSettings) *sessionCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	max := int(t.SessionCache.Bytes / sessionBytes)
	if t.SessionCache.Mode != "shared" {
		return newSessionCache(max, t.Timeout)
	}
	c := s.caches[t.SessionCache.Name]
	if c == nil || c.max != max {
		c = newSessionCache(max, t.Timeout)
		s.caches[t.SessionCache.Name] = c
	}
	c.mu.Lock()
	c.timeout = t.Timeout
	c.mu.Unlock()
	return c
}

// ticketKeys are those of the files, or one drawn for this edge's lifetime: every edge has its own, and a
// ticket of another edge is not accepted.
func (s *Server) ticketKeys(t *TLSSettings) engine.FixedTicketKeys {
	if len(t.TicketKeys) > 0 {
		return t.TicketKeys
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tickets["own"] == nil {
		s.tickets["own"] = engine.FixedTicketKeys{newTicketKey()}
	}
	return s.tickets["own"]
}

// wake starts the goroutine of a connection whose next byte has come.
func (s *Server) wake(c *conn) {
	s.running.Add(1)
	go c.run()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// drainTime is how long requests in flight may take when the edge stops.
const drainTime = 10 * time.Second

// shutdown closes listeners and idle connections, waits for the others, and closes what is left.
func (s *Server) shutdown() {
	s.Close()
	s.mu.Lock()
	s.stopped = true
	for _, l := range s.listeners {
		l.net.Close()
	}
	s.mu.Unlock()
	for _, c := range s.lot.stop() {
		c.closeParked(closeDrain)
	}
	s.mu.Lock()
	for c := range s.conns {
		if c.idle.Load() {
			c.raw.SetReadDeadline(time.Unix(1, 0))
		}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drainTime):
		close(s.ended)
		s.mu.Lock()
		for c := range s.conns {
			c.raw.SetDeadline(time.Unix(1, 0))
		}
		s.mu.Unlock()
		<-done
	}
	for _, g := range s.cfg.Load().site.Groups() {
		g.CloseIdle()
	}
}

// Close ends Serve.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
}

func (s *Server) firstAddr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return ""
	}
	return s.listeners[0].net.Addr().String()
}

// siteLog is the site's way to the error log.
func (s *Server) siteLog(r *site.Request, block *site.Server, level, text string) {
	for _, l := range s.cfg.Load().Listeners {
		for _, vs := range l.Servers {
			if vs.block == block {
				s.errorLine(vs.ErrorLog, level, r.Conn.ID, text)
				return
			}
		}
	}
	s.errorLine(s.cfg.Load().ErrorLog, level, r.Conn.ID, text)
}

func (s *Server) accessLine(path string, line []byte) {
	if f, err := s.logs.open(path); err == nil {
		f.write(line)
	}
}

// status is what stub_status shows.
func (s *Server) status() site.Status {
	_, parked, _ := s.lot.occupancy()
	c := &s.count
	return site.Status{Active: c.established.Load(), Accepted: c.accepted.Load(), Handled: c.handled.Load(),
		Requests: c.requests.Load(), Reading: 0, Writing: c.reading.Load(), Waiting: int64(parked)}
}
