package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"tlsurge/harness/proxy"
)

// runApplication is the body of the application behind the edges. It is no member of the cluster: what it
// does is seen in the edges' logs.
func runApplication(c *child) error {
	order, err := decodeOrder[behindOrder](c)
	if err != nil {
		return err
	}
	app := proxy.NewApplication(proxy.ApplicationConfig{Seed: order.Seed, Workers: order.Workers, Think: order.Think})
	return c.serve(order.Listen, app.Serve)
}

// runBalancer is the body of the balancer between edges and application.
func runBalancer(c *child) error {
	order, err := decodeOrder[behindOrder](c)
	if err != nil {
		return err
	}
	lb, err := proxy.NewBalancer(proxy.BalancerConfig{Backends: order.Upstreams})
	if err != nil {
		return &configError{err}
	}
	return c.serve(order.Listen, lb.Serve)
}

// serve listens, says so, and serves until the child is told to end.
func (c *child) serve(addr string, serve func(context.Context, net.Listener) error) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return &configError{err}
	}
	l, err := proxy.ListenTCP(at)
	if err != nil {
		return &configError{err}
	}
	fmt.Println("ready", l.Addr())
	if err := serve(c.ctx, l); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
