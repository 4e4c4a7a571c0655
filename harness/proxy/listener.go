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

	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/site"
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
		if err := setBacklog(n, l.Backlog); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// setBacklog sets the length of the accept queue, which package net leaves at the system's largest: listen(2)
// called again changes it.
func setBacklog(n net.Listener, backlog int) error {
	t, ok := n.(*net.TCPListener)
	if !ok || backlog <= 0 {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), backlog) }); e != nil {
		return e
	}
	return err
}

// ListenTCP opens a listener that can carry a socket filter: not for MPTCP.
func ListenTCP(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	network := "tcp4" // [::] is IPv6 alone, as nginx has it
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	return lc.Listen(context.Background(), network, addr.String())
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
		vs, _ := findServer(conf.Servers, name)
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
func (l *listener) pick(host string, current *VirtualServer) (*VirtualServer, *site.Captures) {
	servers := l.conf.Load().Servers
	if vs, captures := findServer(servers, host); vs != nil {
		return vs, captures
	}
	if current != nil && slices.Contains(servers, current) {
		return current, nil
	}
	return servers[0], nil
}

// accept takes connections off one listener until it is closed.
func (s *Server) accept(l *listener) {
	defer s.running.Done()
	for {
		rule, ok := s.waitAccept()
		if !ok {
			return
		}
		if rule != nil && !s.acceptHeld(l, rule) {
			return
		}
		n, err := l.net.Accept()
		if err != nil {
			if !s.acceptFailed(err) {
				return
			}
			continue
		}
		s.accepted(l, n.(*net.TCPConn))
	}
}

// acceptHeld takes off what the kernel has queued while the rule held the acceptor back, a firing each. false:
// the listener is closed.
func (s *Server) acceptHeld(l *listener, rule *faults.Rule) bool {
	t, ok := l.net.(*net.TCPListener)
	if !ok {
		return true
	}
	defer t.SetDeadline(time.Time{})
	for {
		t.SetDeadline(time.Now().Add(time.Millisecond))
		n, err := t.AcceptTCP()
		if err != nil {
			return !errors.Is(err, net.ErrClosed)
		}
		client, server := n.RemoteAddr().(*net.TCPAddr).AddrPort(), n.LocalAddr().(*net.TCPAddr).AddrPort()
		s.count.couldHit(rule.Name)
		s.fireAt(rule, faults.Tuple{Client: unmapped(client), Server: unmapped(server)})
		s.accepted(l, n)
	}
}

// acceptFailed logs why; as nginx does when files run out, it rests for half a second. false: the listener is
// closed.
func (s *Server) acceptFailed(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	s.errorLine(s.cfg.Load().ErrorLog, "crit", 0, fmt.Sprintf("accept4() failed (%s)", acceptText(err)))
	select {
	case <-time.After(500 * time.Millisecond):
		return true
	case <-s.stop:
		return false
	}
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func acceptText(err error) string {
	no, text := errnoText(err)
	return fmt.Sprintf("%d: %s", no, text)
}

// accepted gives a new connection its place in the table, at the cost of others if need be.
func (s *Server) accepted(l *listener, raw *net.TCPConn) {
	now := time.Now()
	c := &conn{s: s, ln: l, raw: raw, id: s.ids.Add(1), accepted: now, fd: -1}
	c.peer = unmapped(raw.RemoteAddr().(*net.TCPAddr).AddrPort())
	c.server = unmapped(raw.LocalAddr().(*net.TCPAddr).AddrPort())
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
