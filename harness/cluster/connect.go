package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
)

// connect reaches the server of an endpoint and keeps reaching for it: a server that goes away is
// redialled for as long as the connection is open.
func connect(ctx context.Context, e Endpoint, name string) (*nats.Conn, error) {
	tlsCfg, err := e.tlsConfig()
	if err != nil {
		return nil, err
	}
	url, opts := e.URL, baseOptions(name, e.Token)
	if path := e.socketPath(); path != "" {
		url = "nats://coordinator"
		opts = append(opts, nats.SetCustomDialer(dialer(func() (net.Conn, error) { return dialUnix(path) })))
	}
	if tlsCfg != nil {
		opts = append(opts, nats.Secure(tlsCfg))
	}
	return dialUntil(ctx, e.URL, url, opts)
}

// dialer makes a NATS dialer of a function; the address is the function's own affair.
type dialer func() (net.Conn, error)

func (d dialer) Dial(string, string) (net.Conn, error) { return d() }

func baseOptions(name, token string) []nats.Option {
	opts := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 100*time.Millisecond),
		nats.IgnoreDiscoveredServers(), // one server, by the road that we were told
		nats.Timeout(5 * time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(3),
		nats.ReconnectBufSize(-1), // nothing is buffered behind our back: what must arrive is repeated by us
		// A slow consumer is our own queue overflowing; calls and evidence are repeated, statistics are
		// cumulative, so there is nothing to do about it here. Without a handler the library prints.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if token != "" {
		opts = append(opts, nats.Token(token))
	}
	return opts
}

// dialUntil tries until ctx ends, except where trying again cannot help.
func dialUntil(ctx context.Context, shown, url string, opts []nats.Option) (*nats.Conn, error) {
	for {
		nc, err := nats.Connect(url, opts...)
		if err == nil {
			return nc, nil
		}
		var verify *tls.CertificateVerificationError
		if errors.Is(err, nats.ErrAuthorization) || errors.As(err, &verify) || errors.Is(err, nats.ErrSecureConnWanted) {
			return nil, fmt.Errorf("coordinator at %s: %w", shown, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("coordinator at %s: %w (last try: %w)", shown, context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
