// Package fleet runs the system under test and the load agents as child processes: it starts them, waits
// until they are ready, kills, pauses and restarts them on order, and stops them. It makes the run's
// certificates and reads the kernel's counters and this machine's limits.
//
// A child is this very program under a hidden subcommand (ChildMain), told what to do on standard input,
// and reachable through the cluster. What an edge does with a connection is package proxy's affair, and
// what a browser does package browser's.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"tlsurge/faults"
	"tlsurge/harness/cluster"
	"tlsurge/harness/proxy"
)

// Config is the fleet of one phase.
type Config struct {
	// Dir is the run's directory; an edge's logs are in edges/<name>.
	Dir string
	Hub *cluster.Hub
	PKI *PKI

	Phase string
	Seed  uint64
	Rules []faults.Rule // all of the phase; each child takes its own

	// Edge is what the edges are: "bundled" (also if empty), or "nginx" or "haproxy", the one that is installed, with the
	// same configuration.
	Edge   string
	Edges  int               // 1 to MaxEdges; edge-1 listens on 127.0.0.11, and so on
	IPv6   bool              // edge-1 listens on fd74:6c73:7572::11, and so on, in a namespace that OwnIPv6 was called in
	Port   int               // one for all edges; 0: a free one
	Stack  string            // TLS personality
	Source string            // proxy.Options.Source: builtin:NAME or a file in nginx's syntax
	Set    map[string]string // directives laid over it
	// Balancer: "bundled" (also if empty); "haproxy", the one that is installed; or "none": the edges go to
	// the application.
	Balancer string
	// KeyLog makes bundled edges append TLS secrets to files of this prefix (prefix + edge's name); empty: none.
	KeyLog string
	// Expired and Incomplete are patterns of edges whose certificate's time is over, and that send their leaf
	// without the certificates behind it.
	Expired, Incomplete []string
	// Sites are the sites on every edge, in order; the first is the default server. The one without a certificate
	// of its own in PKI is the configuration's. Empty: that one alone.
	Sites []string
	// CPUs is how many processors the edges share; 0: all.
	CPUs        int
	Application Application
	// Notice is told when a child ends, asked or not.
	Notice func(Exit)
	// Ledger receives firings of rules that the fleet itself carries out: kill, pause, restart.
	Ledger func(faults.Firing)
	// Begin starts the children in place of exec.Cmd.Start, in another network namespace, and Inside runs there
	// what looks for free ports; nil: here.
	Begin  func(*exec.Cmd) error
	Inside func(func() error) error
}

// MaxEdges is how many edges have an address: 127.0.0.11 to 127.0.0.74.
const MaxEdges = 64

// Edge is one edge that is up.
type Edge struct {
	Name  string
	Addr  netip.AddrPort
	Stack string
}

// Fleet is an application, a balancer before it and edges before that.
type Fleet struct {
	cfg         Config
	application *process
	balancer    *process // nil: none

	mu    sync.Mutex // guards the edges' processes, which Restart replaces
	edges []*edgeSlot
}

// edgeSlot is an edge's place: the process in it may change.
type edgeSlot struct {
	Edge
	order   edgeOrder
	process *process
	server  string // path of a real server; empty: the bundled edge
}

// Start starts the fleet, back to front, and returns when every edge listens. On an error nothing is left
// running.
func Start(ctx context.Context, cfg Config) (_ *Fleet, err error) {
	if cfg.Edges < 1 || cfg.Edges > MaxEdges {
		return nil, &StartError{Name: "fleet", Code: exitConfig, Err: fmt.Errorf("%d edges: want 1 to %d", cfg.Edges, MaxEdges)}
	}
	f := &Fleet{cfg: cfg}
	defer func() {
		if err != nil {
			f.Stop(ctx)
		}
	}()
	upstream, err := f.startBehind(ctx)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		port := cfg.Port
		if port == 0 {
			if port, err = f.freePort(f.edgeAddrs()...); err != nil {
				return nil, err
			}
		}
		err = f.startEdges(ctx, port, upstream)
		if err == nil {
			return f, nil
		}
		// Somebody took the free port before the edges did.
		if cfg.Port != 0 || try == 3 || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
		f.stopEdges(ctx)
	}
}

// startBehind starts what stands behind the edges and returns the address that they pass requests to.
func (f *Fleet) startBehind(ctx context.Context) (upstream string, err error) {
	order := behindOrder{Listen: netip.AddrPortFrom(applicationHost, 0).String(), Seed: f.cfg.Seed, Application: f.cfg.Application}
	if f.application, err = f.start("application", RoleApplication, order); err != nil {
		return "", err
	}
	if upstream, err = f.application.ready(ctx); err != nil || f.cfg.Balancer == "none" {
		return upstream, err
	}
	switch f.cfg.Balancer {
	case "", "bundled":
		order = behindOrder{Listen: netip.AddrPortFrom(balancerHost, 0).String(), Upstreams: []string{upstream}, Seed: f.cfg.Seed}
		f.balancer, err = f.start("balancer", RoleBalancer, order)
	case "haproxy":
		f.balancer, err = f.startHAProxy(upstream)
	default:
		err = badKind("balancer", f.cfg.Balancer, "bundled, haproxy or none")
	}
	if err != nil {
		return "", err
	}
	return f.balancer.ready(ctx)
}

func (f *Fleet) startHAProxy(upstream string) (*process, error) {
	binary, err := realServer("balancer", "haproxy")
	if err != nil {
		return nil, err
	}
	port, err := f.freePort(balancerHost)
	if err != nil {
		return nil, err
	}
	return f.startSpec(spec{name: "balancer", role: RoleBalancer, verb: "haproxy-balancer", group: true, order: haproxyOrder{Binary: binary,
		Dir: filepath.Join(f.cfg.Dir, "balancer"), Addr: netip.AddrPortFrom(balancerHost, uint16(port)), Upstreams: []string{upstream}}})
}

func (f *Fleet) startEdges(ctx context.Context, port int, upstream string) error {
	server, shown := "", f.cfg.Stack
	switch f.cfg.Edge {
	case "", "bundled":
	case "nginx", "haproxy":
		var err error
		if server, err = realServer("edge", f.cfg.Edge); err != nil {
			return err
		}
		shown = f.cfg.Edge
	default:
		return badKind("edge", f.cfg.Edge, "bundled, nginx or haproxy")
	}
	for i := range f.cfg.Edges {
		name := fmt.Sprintf("edge-%d", i+1)
		dir := filepath.Join(f.cfg.Dir, "edges", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		addr := netip.AddrPortFrom(f.edgeAddr(i), uint16(port))
		f.edges = append(f.edges, &edgeSlot{server: server, Edge: Edge{Name: name, Addr: addr, Stack: shown}, order: edgeOrder{
			Phase: f.cfg.Phase, Rules: f.cfg.Rules, CPUs: f.cfg.CPUs,
			Options: proxy.Options{Name: name, Source: f.cfg.Source, Listen: []string{addr.String()}, Stack: f.cfg.Stack,
				Certificate: f.cfg.certificate(name), Sites: f.cfg.sites(), Key: f.cfg.PKI.KeyFile, Expired: f.cfg.PKI.ExpiredFile, Set: f.edgeSet(addr.Addr()), Upstream: upstream,
				ErrorLog: filepath.Join(dir, "error.log"), ErrorLevel: "info", AccessLog: filepath.Join(dir, "access.log"), Dir: dir},
		}})
		if f.cfg.KeyLog != "" {
			f.edges[i].order.KeyLog = f.cfg.KeyLog + name
		}
	}
	for _, e := range f.edges {
		var err error
		if e.process, err = f.startEdge(e); err != nil {
			return err
		}
	}
	for _, e := range f.edges {
		if _, err := e.process.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// certificate is the file of the chain that an edge presents.
func (c *Config) certificate(edge string) string {
	is := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, edge); return ok && err == nil })
	}
	switch expired, alone := is(c.Expired), is(c.Incomplete); {
	case expired && alone:
		return c.PKI.ExpiredLeafFile
	case expired:
		return c.PKI.ExpiredFile
	case alone:
		return c.PKI.LeafFile
	}
	return c.PKI.CertFile
}

func (c *Config) sites() (all []proxy.Site) {
	for _, name := range c.Sites {
		f := c.PKI.Sites[name] // none for the configuration's own
		all = append(all, proxy.Site{Name: name, Certificate: f.CertFile, Key: f.KeyFile})
	}
	return all
}

// edgeSet is what is laid over an edge's configuration. Edges are machines of their own, so each asks its
// upstream from its own address: from one and the same, the ports would end at 28,000 connections in TIME_WAIT.
func (f *Fleet) edgeSet(own netip.Addr) map[string]string {
	if _, said := f.cfg.Set["proxy_bind"]; said || !own.Is4() || f.cfg.Source != "" && !strings.HasPrefix(f.cfg.Source, proxy.BuiltinPrefix) {
		return f.cfg.Set // where the upstream is not on loopback, such an address would lead nowhere
	}
	set := maps.Clone(f.cfg.Set)
	if set == nil {
		set = map[string]string{}
	}
	set["proxy_bind"] = own.String()
	return set
}

// startEdge starts what stands in an edge's place.
func (f *Fleet) startEdge(e *edgeSlot) (*process, error) {
	if e.server == "" {
		return f.start(e.Name, RoleEdge, e.order)
	}
	return f.startSpec(spec{name: e.Name, role: RoleEdge, verb: f.cfg.Edge, group: true,
		order: realOrder{Phase: e.order.Phase, Binary: e.server, Addr: e.Addr, Options: e.order.Options, CPUs: e.order.CPUs}})
}

// realServer finds the program that stands in for a bundled one.
func realServer(key, kind string) (path string, err error) {
	if path, err = exec.LookPath(kind); err != nil {
		path, err = exec.LookPath("/usr/sbin/" + kind) // where Debian keeps it, and ordinary users do not look
	}
	if err != nil {
		return "", &faults.UnsupportedError{Engine: "fleet", What: fmt.Sprintf("%s = %q", key, kind), Reason: kind + " is not installed",
			Instead: key + ` = "bundled"`}
	}
	return path, nil
}

func badKind(key, kind, want string) error {
	return &StartError{Name: "fleet", Code: exitConfig, Err: fmt.Errorf("%s = %q: want %s", key, kind, want)}
}

// Where the balancer and the application listen.
var (
	balancerHost    = netip.AddrFrom4([4]byte{127, 0, 0, 20})
	applicationHost = netip.AddrFrom4([4]byte{127, 0, 0, 21})
)

// BehindAddrs are the hosts behind the edges.
func BehindAddrs() []netip.Addr { return []netip.Addr{balancerHost, applicationHost} }

func (f *Fleet) edgeAddrs() []netip.Addr {
	var all []netip.Addr
	for i := range f.cfg.Edges {
		all = append(all, f.edgeAddr(i))
	}
	return all
}

func (f *Fleet) edgeAddr(i int) netip.Addr {
	if f.cfg.IPv6 {
		return address6(0, 0x11+i)
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + i)})
}

// freePort is freePort where the fleet lives.
func (f *Fleet) freePort(hosts ...netip.Addr) (port int, err error) {
	if f.cfg.Inside == nil {
		return freePort(hosts...)
	}
	err = f.cfg.Inside(func() (err error) {
		port, err = freePort(hosts...)
		return err
	})
	return port, err
}

// freePort finds a port that is free on every one of the addresses.
func freePort(hosts ...netip.Addr) (port int, err error) {
	for range 20 {
		var held []net.Listener
		port = 0
		for _, host := range hosts {
			var l net.Listener
			if l, err = net.Listen("tcp", netip.AddrPortFrom(host, uint16(port)).String()); err != nil {
				break
			}
			held = append(held, l)
			port = l.Addr().(*net.TCPAddr).Port
		}
		for _, l := range held {
			l.Close()
		}
		if err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free on all of %v: %w", hosts, err)
}

func (f *Fleet) start(name, role string, order any) (*process, error) {
	return f.startSpec(spec{name: name, role: role, verb: role, order: order})
}

func (f *Fleet) startSpec(s spec) (*process, error) {
	s.env, s.begin = environment(f.cfg.Hub), f.cfg.Begin
	s.onExit = func(e Exit) {
		e.tell(f.cfg.Hub)
		if f.cfg.Notice != nil {
			f.cfg.Notice(e)
		}
	}
	return start(s)
}

// Edges lists the edges in the order of the resolver's answer.
func (f *Fleet) Edges() []Edge {
	var all []Edge
	for _, e := range f.edges {
		all = append(all, e.Edge)
	}
	return all
}

// NextPhase tells a kept fleet that another phase begins: its evidence and rules are that phase's.
func (f *Fleet) NextPhase(ctx context.Context, phase string, rules []faults.Rule) error {
	f.cfg.Phase, f.cfg.Rules = phase, rules
	var ids []string
	for _, e := range f.edges {
		e.order.Phase, e.order.Rules = phase, rules
		ids = append(ids, e.Name)
	}
	return f.cfg.Hub.Together(ctx, ids, "phase", phaseOrder{Phase: phase, Seed: f.cfg.Seed, Rules: rules}, nil)
}

// Stop ends the fleet, edges first, so that all have delivered their evidence when it returns.
func (f *Fleet) Stop(ctx context.Context) error {
	f.stopEdges(ctx)
	for _, p := range []*process{f.balancer, f.application} {
		if p != nil {
			p.stop(ctx)
		}
	}
	return nil
}

func (f *Fleet) stopEdges(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var wg sync.WaitGroup
	for _, e := range f.edges {
		if e.process != nil {
			wg.Go(func() { e.process.stop(ctx) })
		}
	}
	wg.Wait()
	f.edges = nil
}
