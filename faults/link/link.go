// Package link is a network path of our own: two network namespaces, a device in each, and a packet
// forwarder between them that loses, delays, duplicates, reorders, corrupts and paces packets, in each
// direction and for each client. The kernel's TCP on both ends meets real loss and real congestion.
//
// It needs no root where user namespaces are allowed. The devices are TUN where /dev/net/tun opens, else veth
// with AF_PACKET. What happens to a packet is decided by Path, which is pure; whom a rule concerns is said
// by the client's address (faults.SourceAddrFor). Stages above TCP are not looked at.
package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// The addresses of a link, in faults.LinkNet: every address of a network belongs to its end, so any of them
// can be bound. Rules' subnets (faults.SourceAddrFor) are the clients' too.
var (
	ClientNet  = netip.MustParsePrefix("10.1.0.0/16")
	ServerNet  = netip.MustParsePrefix("10.2.0.0/16")
	ClientNet6 = netip.MustParsePrefix("fd74:6c73:7572:1::/64")
	ServerNet6 = netip.MustParsePrefix("fd74:6c73:7572:2::/64")

	armedNets = []netip.Prefix{netip.MustParsePrefix("10.64.0.0/10"), netip.MustParsePrefix("10.128.0.0/9")}
	allNets   = []netip.Prefix{faults.LinkNet, netip.MustParsePrefix("fd74:6c73:7572::/48")}
)

// Config of a link.
type Config struct {
	Base   Model // what every packet meets; the zero value is a perfect path
	Rules  []faults.Rule
	Seed   uint64
	Device string // "tun", "veth", or "": TUN where it can be opened
	// Loopback carries loopback's addresses too, so that programs that know only those meet the path: what
	// listens on ServerLoopback in the servers' namespace is reached from every other 127.0.0.0/8 address in the
	// clients', but for 127.0.0.1, which stays each end's own.
	Loopback bool
	// Ledger receives one entry for each connection that a rule has hit, when the connection has ended, the rules
	// change or the link closes: with the number of packets that were lost, and the time of the first hit. It is
	// called from the forwarders' goroutines, SetRules and Close.
	Ledger func(faults.Firing)
}

// Link is a running path.
type Link struct {
	Clients, Servers *Namespace
	Device           string // what was used: "tun" or "veth"

	up, down *forwarder
	book     *book
	wire     *Namespace // of the veths' far ends
	wg       sync.WaitGroup
	closing  sync.Once
}

// New makes the namespaces and devices and starts forwarding. Everything dies with Close, or with this
// process and those it started inside.
func New(cfg Config) (l *Link, err error) {
	if err := Validate(cfg.Rules); err != nil {
		return nil, err
	}
	l = &Link{book: &book{ledger: cfg.Ledger, open: map[netip.AddrPort]*entry{}}}
	defer func() {
		if err != nil {
			l.Close()
			l = nil
		}
	}()
	if l.Clients, err = newNamespace(); err != nil {
		return l, err
	}
	if l.Servers, err = newNamespace(); err != nil {
		return l, err
	}
	left, right, err := l.open(cfg.Device)
	if err != nil {
		return l, err
	}
	l.up = newForwarder(cfg, l.book, stage.ClientToServer, left, right, cfg.Base.Up)
	l.down = newForwarder(cfg, l.book, stage.ServerToClient, right, left, cfg.Base.Down)
	if err = l.configure(); err != nil {
		return l, err
	}
	if cfg.Loopback {
		if err = l.configureLoopback(); err != nil {
			return l, err
		}
	}
	l.wg.Go(l.up.run)
	l.wg.Go(l.down.run)
	return l, nil
}

func newForwarder(cfg Config, b *book, d stage.Direction, in, out port, base Impairment) *forwarder {
	f := &forwarder{d: d, in: in, out: out, seed: cfg.Seed, book: b, flows: map[netip.AddrPort]*flow{},
		base: NewPath(base, rand.New(rand.NewPCG(cfg.Seed, uint64(d))))}
	f.setRules(cfg.Rules)
	return f
}

// open makes a device in each namespace.
func (l *Link) open(kind string) (left, right port, err error) {
	if kind != "veth" {
		both := func() error {
			if left, err = inside(l.Clients, openTUN); err != nil {
				return err
			}
			right, err = inside(l.Servers, openTUN)
			return err
		}
		if err := both(); err == nil {
			l.Device = "tun"
			return left, right, nil
		} else if kind == "tun" {
			return nil, nil, l.deviceError(err)
		}
		if left != nil {
			left.Close()
		}
	}
	l.Device = "veth"
	if l.wire, err = newNamespace(); err != nil {
		return nil, nil, err
	}
	if left, err = inside(l.wire, func() (port, error) { return openVeth(l.Clients, "clients") }); err != nil {
		return nil, nil, l.deviceError(err)
	}
	if right, err = inside(l.wire, func() (port, error) { return openVeth(l.Servers, "servers") }); err != nil {
		left.Close()
		return nil, nil, l.deviceError(err)
	}
	return left, right, nil
}

func (l *Link) deviceError(err error) error {
	return &faults.UnsupportedError{Engine: faults.EngineLink, What: "make a network device", Reason: err.Error(),
		Instead: `engine = "sockfilter" or "relay"`}
}

func inside(n *Namespace, open func() (port, error)) (p port, err error) {
	err = n.Do(func() error {
		p, err = open()
		return err
	})
	return p, err
}

// configure gives both ends their addresses and routes.
func (l *Link) configure() error {
	clients := append([]netip.Prefix{ClientNet, ClientNet6}, armedNets...)
	for i := range faults.MaxRules {
		clients = append(clients, faults.SourcePrefix6(&faults.Rule{Index: i}))
	}
	servers := []netip.Prefix{ServerNet, ServerNet6}
	if err := l.Clients.Do(func() error { return configureEnd(clients) }); err != nil {
		return err
	}
	return l.Servers.Do(func() error { return configureEnd(servers) })
}

// queueLength is how many packets wait for us in a device while this machine is busy elsewhere.
const queueLength = 10000

// configureEnd makes the addresses of own local to this namespace, all of them at once (a route of type
// local is enough to bind any address of a prefix), and sends the rest of the link's addresses to the device.
func configureEnd(own []netip.Prefix) error {
	dev, lo, err := ends()
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(dev, mtu); err != nil {
		return fmt.Errorf("link: mtu: %w", err)
	}
	if err := netlink.LinkSetTxQLen(dev, queueLength); err != nil {
		return fmt.Errorf("link: queue: %w", err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("link: up: %w", err)
	}
	bindAny6()
	if err := keepHere(lo, own); err != nil {
		return err
	}
	for _, p := range allNets {
		r := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: ipNet(p), Scope: netlink.SCOPE_LINK}
		if p.Addr().Is4() {
			r.Src = own[0].Addr().Next().AsSlice()
		}
		if err := netlink.RouteAdd(r); err != nil && !noIPv6(err, p) {
			return fmt.Errorf("link: route %s: %w", p, err)
		}
	}
	return nil
}

// ends are the link's device in this namespace and its loopback.
func ends() (dev, lo netlink.Link, err error) {
	if dev, err = netlink.LinkByName(device); err != nil {
		return nil, nil, fmt.Errorf("link: %s: %w", device, err)
	}
	if lo, err = netlink.LinkByName("lo"); err != nil {
		return nil, nil, fmt.Errorf("link: lo: %w", err)
	}
	return dev, lo, nil
}

// keepHere makes prefixes local to this namespace.
func keepHere(lo netlink.Link, own []netip.Prefix) error {
	for _, p := range own {
		r := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(p), Type: unixRTNLocal, Table: unixTableLocal, Scope: netlink.SCOPE_HOST}
		if err := netlink.RouteAdd(r); err != nil && !noIPv6(err, p) {
			return fmt.Errorf("link: local route %s: %w", p, err)
		}
	}
	return nil
}

// ServerLoopback is where edges listen with Config.Loopback.
var ServerLoopback = netip.MustParsePrefix("127.0.0.0/24")

// configureLoopback sends loopback's addresses over the link. The kernel asks table local first, and in it
// the longest prefix wins: beside its own 127.0.0.0/8 there come more special routes to the device, and
// again more special ones that stay here.
func (l *Link) configureLoopback() error {
	halves := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/9"), netip.MustParsePrefix("127.128.0.0/9")}
	if err := l.Clients.Do(func() error { return overLink([]netip.Prefix{ServerLoopback}, nil) }); err != nil {
		return err
	}
	return l.Servers.Do(func() error { return overLink(halves, []netip.Prefix{ServerLoopback}) })
}

func overLink(away, own []netip.Prefix) error {
	dev, lo, err := ends()
	if err != nil {
		return err
	}
	if err := routeLoopback(device); err != nil {
		return err
	}
	if err := keepHere(lo, own); err != nil {
		return err
	}
	for _, p := range away {
		r := &netlink.Route{LinkIndex: dev.Attrs().Index, Dst: ipNet(p), Table: unixTableLocal, Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteAdd(r); err != nil {
			return fmt.Errorf("link: route %s: %w", p, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// SetRules changes the rules for the packets to come, as a phase does.
func (l *Link) SetRules(rules []faults.Rule) error {
	if err := Validate(rules); err != nil {
		return err
	}
	l.up.setRules(rules)
	l.down.setRules(rules)
	l.book.write(time.Now(), true)
	return nil
}

// Counters tells what happened so far, client to server and server to client.
func (l *Link) Counters() (up, down Counters) { return l.up.read(), l.down.read() }

// Overruns is how many packets the devices dropped because we did not take them in time: loss that no rule
// asked for, which makes a run doubtful.
func (l *Link) Overruns() int64 {
	n := l.up.in.overruns() + l.down.in.overruns()
	for _, end := range []*Namespace{l.Clients, l.Servers} {
		end.Do(func() error {
			dev, err := netlink.LinkByName(device)
			if err == nil && dev.Attrs().Statistics != nil {
				n += int64(dev.Attrs().Statistics.TxDropped)
			}
			return err
		})
	}
	return n
}

// Close stops forwarding and gives the namespaces up; processes inside keep theirs until they end, cut off.
func (l *Link) Close() error {
	var err error
	l.closing.Do(func() {
		for _, f := range []*forwarder{l.up, l.down} {
			if f != nil {
				err = errors.Join(err, f.in.Close())
			}
		}
		l.wg.Wait()
		l.book.write(time.Now(), true)
		err = errors.Join(err, l.Clients.Close(), l.Servers.Close(), l.wire.Close())
	})
	return err
}
