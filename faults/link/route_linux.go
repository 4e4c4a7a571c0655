package link

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

const (
	unixRTNLocal   = unix.RTN_LOCAL
	unixTableLocal = unix.RT_TABLE_LOCAL
)

// noIPv6: a kernel without IPv6 has no routes for it, and the link carries IPv4 alone.
func noIPv6(err error, p netip.Prefix) bool {
	return p.Addr().Is6() && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES))
}

// bindAny6 lets IPv6 sockets of this namespace bind every address that a local route covers, as IPv4 ones
// may without it. Where /proc/sys is not ours to write, binding an IPv6 address says so itself.
func bindAny6() { os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0) }

// routeLoopback lets a device carry loopback's addresses (route_localnet).
func routeLoopback(dev string) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+dev+"/route_localnet", []byte("1"), 0); err != nil {
		return &faults.UnsupportedError{Engine: faults.EngineLink, What: "carry loopback's addresses over a device", Reason: err.Error()}
	}
	return nil
}
