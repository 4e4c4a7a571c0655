// Package upstream is the way from a proxy to the servers behind it: which one is asked next, which are
// thought to be down, which connections are kept, and how one exchange goes.
//
// It speaks HTTP/1.0 with a connection for each request unless told otherwise, as nginx does. It does not
// know locations, clients or logs.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Server is one server of a group.
type Server struct {
	Address     string // host:port, or unix:/path
	Weight      int
	MaxFails    int           // failures within FailTimeout that take it out; 0: never
	FailTimeout time.Duration // for how long
	Backup      bool          // asked only when all others are out
	Down        bool

	current   int // smooth weighted round-robin
	effective int
	active    int
	fails     int
	checked   time.Time
	healthy   bool // of the health check; true where there is none
	served    int64
	failed    int64
}

// Group is a set of servers that one request may go to.
type Group struct {
	Name      string
	Method    Method
	Keepalive int // idle connections kept; 0: none

	mu      sync.Mutex
	servers []*Server
	idle    []*Conn // oldest first
	now     func() time.Time
}

// NewGroup makes a group; every server starts healthy.
func NewGroup(name string, servers []*Server) *Group {
	for _, s := range servers {
		s.Weight = max(s.Weight, 1)
		s.effective, s.healthy = s.Weight, true
	}
	return &Group{Name: name, servers: servers, now: time.Now}
}

// ErrNoLive: every server is down or has failed too often lately.
var ErrNoLive = errors.New("no live upstreams")

// Next picks the server for a try, passing over those in tried. Among the live ones it is smooth weighted
// round-robin, or fewest connections for their weight; a group of one is never out.
func (g *Group) Next(tried map[*Server]bool) (*Server, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, backup := range []bool{false, true} {
		if s := g.best(tried, backup); s != nil {
			s.active++
			return s, nil
		}
	}
	for _, s := range g.servers { // all out: forgive, as nginx does, and refuse this one request
		s.fails = 0
	}
	return nil, ErrNoLive
}

func (g *Group) best(tried map[*Server]bool, backup bool) *Server {
	now, total := g.now(), 0
	var best *Server
	for _, s := range g.servers {
		if s.Backup != backup || s.Down || tried[s] {
			continue
		}
		if !g.live(s) {
			continue
		}
		if g.Method == LeastConn && best != nil {
			a, b := s.active*best.Weight, best.active*s.Weight
			if a > b {
				continue
			}
			if a < b {
				best = nil
			}
		}
		s.current += s.effective
		total += s.effective
		if s.effective < s.Weight {
			s.effective++
		}
		if best == nil || s.current > best.current {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	best.current -= total
	if now.Sub(best.checked) > best.FailTimeout {
		best.checked = now
	}
	return best
}

// live: it answers the health check, and has not failed too often lately.
func (g *Group) live(s *Server) bool {
	out := len(g.servers) > 1 && s.MaxFails > 0 && s.fails >= s.MaxFails && g.now().Sub(s.checked) <= s.FailTimeout
	return s.healthy && !out
}

// Done says how a try ended.
func (g *Group) Done(s *Server, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.active--
	s.served++
	if !failed {
		if s.checked.Before(g.now().Add(-s.FailTimeout)) {
			s.fails = 0
		}
		return
	}
	s.failed++
	s.fails++
	s.checked = g.now()
	if s.MaxFails > 0 {
		s.effective = max(0, s.effective-s.Weight/s.MaxFails)
	}
}

// Status is one server's state, for a status page.
type Status struct {
	Address string `json:"address"`
	Healthy bool   `json:"healthy"`
	Active  int    `json:"active"`
	Served  int64  `json:"served"`
	Failed  int64  `json:"failed"`
}

// Status lists the servers.
func (g *Group) Status() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Status, len(g.servers))
	for i, s := range g.servers {
		out[i] = Status{s.Address, s.healthy && !s.Down, s.active, s.served, s.failed}
	}
	return out
}

// Servers lists the addresses.
func (g *Group) Servers() []*Server { return g.servers }

// Check opens a connection to each server every interval until ctx ends; a server that does not answer
// within timeout is out until it does.
func (g *Group) Check(ctx context.Context, interval, timeout time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, s := range g.servers {
			c, err := dial(ctx, s.Address, timeout, netip.Addr{})
			if err == nil {
				c.Close()
			} else if ctx.Err() != nil {
				return
			}
			g.mu.Lock()
			s.healthy = err == nil
			g.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ParseServer reads the arguments of "server" in an upstream block.
func ParseServer(args []string) (*Server, error) {
	s := &Server{Address: WithPort(args[0], "80"), Weight: 1, MaxFails: 1, FailTimeout: 10 * time.Second}
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		var err error
		switch key {
		case "weight":
			s.Weight, err = strconv.Atoi(value)
		case "max_fails":
			s.MaxFails, err = strconv.Atoi(value)
		case "fail_timeout":
			if n, e := strconv.Atoi(value); e == nil {
				s.FailTimeout = time.Duration(n) * time.Second
			} else {
				s.FailTimeout, err = time.ParseDuration(value)
			}
		case "resolve", "max_conns", "slow_start", "route", "service", "drain":
			// known to nginx, of no consequence here: names are resolved by each connection, places are counted by the table
		case "backup":
			s.Backup = true
		case "down":
			s.Down = true
		default:
			return nil, fmt.Errorf("server parameter %q: allowed are weight=, max_fails=, fail_timeout=, backup, down", a)
		}
		if err != nil {
			return nil, fmt.Errorf("server parameter %q: %v", a, err)
		}
	}
	return s, nil
}

// WithPort adds a port where an address has none.
func WithPort(address, port string) string {
	if strings.HasPrefix(address, "unix:") {
		return address
	}
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

func dial(ctx context.Context, address string, timeout time.Duration, source netip.Addr) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: -1}
	d.SetMultipathTCP(false)
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	if source.IsValid() {
		d.LocalAddr, d.Control = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), leavePort
	}
	return d.DialContext(ctx, "tcp", address)
}

// leavePort leaves the port to connect, as nginx does: a port that bind chooses is taken for every upstream, and
// 28,000 that wait for their TIME_WAIT to pass would be all there are.
func leavePort(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return errors.Join(err, failed)
}
