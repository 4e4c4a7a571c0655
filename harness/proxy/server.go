package proxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/site"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/hello"
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
	running sync.WaitGroup // goroutines of connections and listeners

	mu        sync.Mutex
	listeners []*listener
	conns     map[*conn]struct{}
	caches    map[string]*sessionCache
	tickets   map[string]engine.FixedTicketKeys
	armed     map[*conn]struct{} // connections that the listener's filter acts on
	stop      chan struct{}
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
		conns: map[*conn]struct{}{}, armed: map[*conn]struct{}{}, caches: map[string]*sessionCache{}, tickets: map[string]engine.FixedTicketKeys{}, stop: make(chan struct{})}
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
						return fmt.Errorf("error_log: %w", err)
					}
				}
			}
		}
	}
	for _, path := range cfg.site.AccessLogs() {
		if _, err := s.logs.open(path); err != nil {
			return fmt.Errorf("access_log: %w", err)
		}
	}
	cfg.site.Bind(site.Env{Log: s.siteLog, Access: s.accessLine, Status: s.status, Take: s.takeUpstream, Application: defaultApplication})
	s.cfg.Store(cfg)
	return nil
}

// listener is one open socket.
type listener struct {
	s      *Server
	net    net.Listener
	filter *sockfilter.ListenerFilter
	// filtered: rules are on it (guarded by the server's mu).
	filtered bool
	tls      bool
	text     string // as the configuration has it, for the log
	conf     atomic.Pointer[Listener]
	tlsNow   atomic.Pointer[tlsSet]
}

// tlsSet is the TLS configurations of a listener's servers.
type tlsSet struct {
	engine map[*VirtualServer]*engine.ServerConfig
	std    map[*VirtualServer]*tls.Config
}

// Listen opens the addresses of the configuration, in its order.
func (s *Server) Listen() ([]net.Listener, error) {
	var out []net.Listener
	for _, l := range s.cfg.Load().Listeners {
		n, err := ListenTCP(l.Address)
		if err != nil {
			for _, o := range out {
				o.Close()
			}
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// ListenTCP opens a listener that can carry a socket filter: not for MPTCP.
func ListenTCP(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", addr.String())
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
	err := s.applyFilters(cfg.Faults)
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

func (s *Server) add(n net.Listener, conf *Listener) {
	l := &listener{s: s, net: n, tls: conf.TLS, text: listenText(n, conf)}
	l.conf.Store(conf)
	l.tlsNow.Store(s.makeTLS(l, conf))
	if sc, ok := n.(*net.TCPListener); ok {
		l.filter = sockfilter.NewListenerFilter(sc)
	}
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
}

// listenText is the listener in the log: nginx shows the address that it was told, port included.
func listenText(n net.Listener, conf *Listener) string {
	a := conf.Address
	if t, ok := n.Addr().(*net.TCPAddr); ok {
		a = netip.AddrPortFrom(a.Addr(), uint16(t.Port))
	}
	return a.String()
}

func (s *Server) makeTLS(l *listener, conf *Listener) *tlsSet {
	set := &tlsSet{engine: map[*VirtualServer]*engine.ServerConfig{}, std: map[*VirtualServer]*tls.Config{}}
	if !conf.TLS {
		return set
	}
	for _, vs := range conf.Servers {
		if vs.TLS == nil {
			continue
		}
		if s.stack.Library {
			set.engine[vs] = s.engineConfig(vs.TLS, conf.HTTP2)
		} else {
			set.std[vs] = s.goConfig(vs.TLS, conf.HTTP2)
		}
	}
	return set
}

// engineFor gives the configuration that a connection begins with: the default server's, which changes over
// to another by the name in the hello.
func (l *listener) engineFor(c *conn) *engine.ServerConfig {
	conf, set := l.conf.Load(), l.tlsNow.Load()
	first := set.engine[conf.Servers[0]]
	if c.rule != nil && c.rule.Action == faults.CertExpired {
		c.fireIf(faults.CertExpired)
		cfg := *first
		cfg.Certificates = []*engine.Certificate{l.s.cfg.Load().expired}
		return &cfg
	}
	if len(conf.Servers) == 1 || !l.s.stack.ServerName {
		if conf.Servers[0].TLS.Reject {
			return rejecting(first)
		}
		return first
	}
	cfg := *first
	cfg.Select = func(ch *hello.ClientHello) (*engine.ServerConfig, error) {
		name := ch.ServerName()
		c.info.ServerName = name
		vs := findServer(conf.Servers, name)
		if name == "" || vs == nil || set.engine[vs] == nil {
			vs = conf.Servers[0]
		}
		c.vs = vs
		if vs.TLS.Reject {
			return nil, fmt.Errorf("%w: %q", engine.ErrUnknownServerName, name)
		}
		return set.engine[vs], nil
	}
	return &cfg
}

func rejecting(first *engine.ServerConfig) *engine.ServerConfig {
	cfg := *first
	cfg.Select = func(ch *hello.ClientHello) (*engine.ServerConfig, error) {
		return nil, fmt.Errorf("%w: handshake rejected", engine.ErrUnknownServerName)
	}
	return &cfg
}

// pick finds the server for a request's host; one that the connection already has holds where none is named so.
func (l *listener) pick(host string, current *VirtualServer) *VirtualServer {
	servers := l.conf.Load().Servers
	if vs := findServer(servers, host); vs != nil {
		return vs
	}
	if current != nil && slices.Contains(servers, current) {
		return current
	}
	return servers[0]
}

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

// accept takes connections off one listener until it is closed.
func (s *Server) accept(l *listener) {
	defer s.running.Done()
	for {
		if !s.waitAccept() {
			return
		}
		n, err := l.net.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.errorLine(s.cfg.Load().ErrorLog, "crit", 0, fmt.Sprintf("accept4() failed (%s)", acceptText(err)))
			select { // as nginx does when files run out: rest for half a second
			case <-time.After(500 * time.Millisecond):
				continue
			case <-s.stop:
				return
			}
		}
		s.accepted(l, n.(*net.TCPConn))
	}
}

func acceptText(err error) string {
	no, text := errnoText(err)
	return fmt.Sprintf("%d: %s", no, text)
}

// accepted gives a new connection its place in the table, at the cost of others if need be.
func (s *Server) accepted(l *listener, raw *net.TCPConn) {
	now := time.Now()
	c := &conn{s: s, ln: l, raw: raw, id: s.ids.Add(1), accepted: now, fd: -1}
	c.peer = raw.RemoteAddr().(*net.TCPAddr).AddrPort()
	c.peer = netip.AddrPortFrom(c.peer.Addr().Unmap(), c.peer.Port())
	c.server = raw.LocalAddr().(*net.TCPAddr).AddrPort()
	c.server = netip.AddrPortFrom(c.server.Addr().Unmap(), c.server.Port())
	c.client = c.peer
	s.count.accepted.Add(1)
	s.arm(c)
	if !s.place(c) {
		raw.Close()
		return
	}
	s.count.handled.Add(1)
	s.count.opened()
	if sc, err := raw.SyscallConn(); err == nil {
		sc.Control(func(fd uintptr) { c.fd = int(fd) })
	}
	c.deadline = now.Add(l.conf.Load().Servers[0].HeaderTimeout)
	if d := s.deadlineRule(c); d > 0 {
		c.deadline = now.Add(d)
	}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if c.fd < 0 || !s.lot.park(c, c.deadline, true) {
		c.close()
	}
}

// place takes a place in the connection table for c.
func (s *Server) place(c *conn) bool {
	limit, rule := s.tableLimit()
	closed, ok := s.lot.take(limit, s.reserve())
	s.drained(closed, rule)
	if ok {
		return true
	}
	const text = "worker_connections are not enough"
	c.log("alert", "", text, fmt.Sprintf("%d %s", s.cfg.Load().WorkerConnections, text))
	if rule != nil {
		s.fire(rule, c)
	}
	return false
}

// reserve is the free places below which nginx 1.19.2 and later close reusable connections early.
func (s *Server) reserve() int {
	_, _, capacity := s.lot.occupancy()
	return int(float64(capacity) * s.stack.Nginx.DrainAt)
}

// drained closes the connections whose places were wanted.
func (s *Server) drained(closed []*conn, rule *faults.Rule) {
	if len(closed) == 0 {
		return
	}
	if !s.stack.Nginx.DrainQuietly {
		s.errorLine(s.cfg.Load().ErrorLog, "warn", 0, fmt.Sprintf("%d worker_connections are not enough, reusing connections", s.cfg.Load().WorkerConnections))
		s.count.line("warn", "", "worker_connections are not enough, reusing connections")
	}
	for _, c := range closed {
		if rule != nil {
			s.fire(rule, c)
		}
		c.closeParked(closeReuse)
	}
}

// takeUpstream is the place of an upstream connection: it counts like a client's, and where a rule leaves none
// the client whose request it was is hit.
func (s *Server) takeUpstream(r *site.Request) (release func(), ok bool) {
	limit, rule := s.tableLimit()
	closed, ok := s.lot.take(limit, s.reserve())
	s.drained(closed, rule)
	if !ok {
		if rule != nil {
			s.fireAt(rule, faults.Tuple{Client: r.Conn.Peer, Server: r.Conn.Local})
		}
		return nil, false
	}
	return s.lot.release, true
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
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drainTime):
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

// Reload puts a new configuration in force: listeners that it does not have are closed, new ones opened,
// connections go on and get the new servers with their next request or handshake. On an error nothing has
// changed.
func (s *Server) Reload(cfg *Config) error {
	s.mu.Lock()
	have := map[netip.AddrPort]*listener{}
	for _, l := range s.listeners {
		have[l.conf.Load().Address] = l
	}
	s.mu.Unlock()
	if cfg.Stack != s.stack {
		return fmt.Errorf("reload: the stack cannot change from %s to %s", s.stack.Name, cfg.Stack.Name)
	}
	type opened struct {
		n    net.Listener
		conf *Listener
	}
	var fresh []opened
	undo := func(err error) error {
		for _, o := range fresh {
			o.n.Close()
		}
		return err
	}
	for _, conf := range cfg.Listeners {
		if have[conf.Address] != nil {
			continue
		}
		n, err := ListenTCP(conf.Address)
		if err != nil {
			return undo(err)
		}
		fresh = append(fresh, opened{n, conf})
	}
	old := s.cfg.Load()
	cfg.Name, cfg.Phase, cfg.Reporter, cfg.Seed, cfg.Faults = old.Name, old.Phase, old.Reporter, old.Seed, old.Faults
	if err := s.adopt(cfg); err != nil {
		return undo(err)
	}
	for _, conf := range cfg.Listeners {
		if l := have[conf.Address]; l != nil {
			set := s.makeTLS(l, conf)
			l.tlsNow.Store(set)
			l.conf.Store(conf)
			delete(have, conf.Address)
		}
	}
	for _, l := range have {
		l.net.Close()
		s.mu.Lock()
		s.listeners = slices.DeleteFunc(s.listeners, func(x *listener) bool { return x == l })
		s.mu.Unlock()
	}
	for _, o := range fresh {
		s.add(o.n, o.conf)
		s.mu.Lock()
		l := s.listeners[len(s.listeners)-1]
		s.mu.Unlock()
		s.running.Add(1)
		go s.accept(l)
	}
	s.lot.resize(cfg.places())
	for _, g := range old.site.Groups() {
		g.CloseIdle()
	}
	return nil
}

// ReopenLogs opens the log files anew, after they were moved away.
func (s *Server) ReopenLogs() error { return s.logs.each((*logFile).reopen) }

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
