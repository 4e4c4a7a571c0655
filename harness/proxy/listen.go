package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
)

// listens reads a server's listen directives; without one it is *:80. Addresses of the options replace
// those of servers with TLS; servers without TLS then have none, unless none has TLS.
func (c *compiler) listens(d *nginxconf.Directive, sslOn bool) (out []listenSpec, err error) {
	found := nginxconf.Find(d.Block, "listen")
	if len(found) == 0 {
		found = []*nginxconf.Directive{{Name: "listen", Args: []string{"80"}, File: d.File, Line: d.Line}}
	}
	http2, err := c.flag(d, "http2", false)
	if err != nil {
		return nil, err
	}
	for _, l := range found {
		spec, err := parseListen(l.Args, sslOn)
		if err != nil {
			return nil, at(l, err)
		}
		spec.HTTP2 = spec.HTTP2 || http2
		spec.where = l
		out = append(out, spec)
	}
	if len(c.o.Listen) == 0 {
		return out, nil
	}
	first := out[0]
	for _, s := range out {
		if s.TLS {
			first = s
			break
		}
	}
	if !first.TLS && c.anyTLS() {
		c.cfg.Warnings = append(c.cfg.Warnings, nginxconf.Warning{File: d.File, Line: d.Line,
			Text: "this server without TLS has no listener: the addresses given replace those with TLS"})
		return nil, nil
	}
	out = nil
	for _, text := range c.o.Listen {
		spec := first
		if spec.Address, err = parseAddress(text); err != nil {
			return nil, err
		}
		out = append(out, spec)
	}
	return out, nil
}

func (c *compiler) anyTLS() bool {
	for _, s := range nginxconf.Find(c.http.Block, "server") {
		if withTLS(c.http, s) {
			return true
		}
	}
	return false
}

type listenSpec struct {
	Listener
	isDefault bool
	where     *nginxconf.Directive
}

func parseListen(args []string, sslOn bool) (s listenSpec, err error) {
	s.TLS, s.Backlog = sslOn, 511
	if strings.HasPrefix(args[0], "unix:") {
		return s, fmt.Errorf("listen: %s: the edge listens on TCP alone", args[0])
	}
	if s.Address, err = parseAddress(args[0]); err != nil {
		return s, err
	}
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "ssl":
			s.TLS = true
		case "http2":
			s.HTTP2 = true
		case "default_server", "default":
			s.isDefault = true
		case "proxy_protocol":
			s.ProxyProtocol = true
		case "backlog":
			if s.Backlog, err = strconv.Atoi(value); err != nil || s.Backlog < 1 {
				return s, fmt.Errorf("listen: backlog %q: a number, 1 or more", value)
			}
		case "spdy", "deferred", "bind", "reuseport", "ipv6only", "so_keepalive", "rcvbuf", "sndbuf", "fastopen", "setfib", "accept_filter":
		default:
			return s, fmt.Errorf("listen: unknown parameter %q", a)
		}
	}
	return s, nil
}

// parseAddress reads the address of listen: a port, an address, both; "*" is every IPv4 address.
func parseAddress(text string) (netip.AddrPort, error) {
	bad := fmt.Errorf("address %q: allowed are PORT, ADDRESS, ADDRESS:PORT, [IPV6]:PORT and *:PORT", text)
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "80"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	switch host {
	case "*", "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// attach puts a server behind an address.
func (c *compiler) attach(s listenSpec, vs *VirtualServer) {
	for _, l := range c.cfg.Listeners {
		if l.Address == s.Address && l.Address.Port() != 0 {
			l.TLS, l.HTTP2, l.ProxyProtocol = l.TLS || s.TLS, l.HTTP2 || s.HTTP2, l.ProxyProtocol || s.ProxyProtocol
			if s.isDefault {
				l.Servers = append([]*VirtualServer{vs}, l.Servers...)
			} else {
				l.Servers = append(l.Servers, vs)
			}
			return
		}
		if l.Address == s.Address && slices.Contains(c.o.Listen, s.Address.String()) && !slices.Contains(l.Servers, vs) {
			l.Servers = append(l.Servers, vs) // port 0: the servers of one address share the port that comes
			return
		}
	}
	l := s.Listener
	l.Servers = []*VirtualServer{vs}
	c.cfg.Listeners = append(c.cfg.Listeners, &l)
}
