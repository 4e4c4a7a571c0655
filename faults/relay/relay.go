// Package relay is a TCP relay that damages the connections it was told to, at a TLS stage: RST, FIN,
// stall, truncation, split segments, delay, corruption, throttling, blackhole. It runs in front of any
// target and needs no right.
//
// What is done is decided by a pure function per fault (verdict.go); session.go alone executes it. Whom to
// hit is decided above (faults.Plan). Dropping bytes out of a stream would be corruption, not loss: packets
// are dropped by faults/sockfilter and faults/link.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

// Config of a relay.
type Config struct {
	Target netip.AddrPort // where connections go
	Listen netip.Addr     // 127.0.0.1 where zero, also for an IPv6 target; the port is the kernel's choice
	// Ledger receives each firing, from goroutines of the relay, concurrently. nil: they are lost.
	Ledger func(faults.Firing)
	Seed   uint64 // of jitter and of the bit that is flipped
	// IdleAfter is how long no byte moves after a response until the connection is at idle; default 300 ms.
	IdleAfter time.Duration
	// DialTimeout bounds the connect to the target; default 10 s. A client whose upstream connect fails is reset.
	DialTimeout time.Duration
}

// Relay is a running relay.
type Relay struct {
	cfg      Config
	listener *net.TCPListener
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	armed map[netip.AddrPort]arming
}

// arming is the rule for a connection that is yet to come.
type arming struct {
	rule *faults.Rule
	key  faults.Key
}

// lingerAfterFIN is how long a closed connection is still read, so that the end that speaks on gets an
// orderly close and not a RST.
const lingerAfterFIN = 5 * time.Second

// Start listens and relays until Close.
func Start(cfg Config) (*Relay, error) {
	if !cfg.Target.IsValid() {
		return nil, errors.New("relay: no target address")
	}
	if !cfg.Listen.IsValid() {
		cfg.Listen = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if cfg.IdleAfter == 0 {
		cfg.IdleAfter = 300 * time.Millisecond
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(cfg.Listen, 0).String())
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{cfg: cfg, listener: l.(*net.TCPListener), armed: map[netip.AddrPort]arming{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.accept)
	return r, nil
}

// Addr is where clients connect to.
func (r *Relay) Addr() netip.AddrPort { return r.listener.Addr().(*net.TCPAddr).AddrPort() }

// Arm says that the connection that will come from this client address is hit by the rule, whose engine is
// relay. It must be called before the client connects. Port 0 means the next connection from that address.
// Connections that nobody armed pass through untouched.
func (r *Relay) Arm(client netip.AddrPort, rule *faults.Rule, key faults.Key) {
	r.mu.Lock()
	r.armed[netip.AddrPortFrom(client.Addr().Unmap(), client.Port())] = arming{rule, key}
	r.mu.Unlock()
}

// Disarm takes an Arm back whose connection never came.
func (r *Relay) Disarm(client netip.AddrPort) {
	r.mu.Lock()
	delete(r.armed, netip.AddrPortFrom(client.Addr().Unmap(), client.Port()))
	r.mu.Unlock()
}

// Close ends the relay and resets what is still open, and returns when all of it is gone.
func (r *Relay) Close() error {
	r.cancel()
	err := r.listener.Close()
	r.wg.Wait()
	return err
}

// accept is the relay's first goroutine; each connection has two more.
func (r *Relay) accept() {
	for {
		c, err := r.listener.AcceptTCP()
		switch {
		case err == nil:
			r.wg.Go(func() { r.serve(c) })
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			// Out of files: the client waits in the accept queue until others have gone.
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.ctx.Done():
				return
			}
		case errors.Is(err, syscall.ECONNABORTED):
		default:
			return
		}
	}
}

// take finds and removes what was armed for a client.
func (r *Relay) take(client netip.AddrPort) (arming, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range []netip.AddrPort{client, netip.AddrPortFrom(client.Addr(), 0)} {
		if a, ok := r.armed[k]; ok {
			delete(r.armed, k)
			return a, true
		}
	}
	return arming{}, false
}

func (r *Relay) serve(client *net.TCPConn) {
	from := client.RemoteAddr().(*net.TCPAddr).AddrPort()
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	a, armed := r.take(from)
	server, err := r.dial(from.Addr())
	if err != nil {
		client.SetLinger(0)
		client.Close()
		return
	}
	s := &session{relay: r, ends: [2]*net.TCPConn{client, server}}
	if armed {
		s.arm(a)
	}
	s.run()
}

// dial connects to the target, from the client's own address where both are of one family on loopback: the
// target then logs the address that the client has.
func (r *Relay) dial(from netip.Addr) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: r.cfg.DialTimeout, KeepAlive: -1}
	d.SetMultipathTCP(false)
	if to := r.cfg.Target.Addr(); from.IsLoopback() && to.IsLoopback() && from.Is4() == to.Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			})
			return errors.Join(err, e)
		}
	}
	c, err := d.DialContext(r.ctx, "tcp", r.cfg.Target.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
