package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/harness/engine"
	"tlsurge/profiles/hello"
)

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
