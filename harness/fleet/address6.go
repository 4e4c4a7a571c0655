package fleet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

// address6 is address n of a subnet of our IPv6 prefix: subnet 0 is the edges', 1+i is agent i's. The rules' subnets
// (faults.SourcePrefix6) lie beyond, in the same prefix.
func address6(subnet, n int) netip.Addr {
	a := faults.Prefix6.Addr().As16()
	a[8], a[9], a[14], a[15] = byte(subnet>>8), byte(subnet), byte(n>>8), byte(n)
	return netip.AddrFrom16(a)
}

// nonlocalBind lets sockets bind to addresses that no device has.
const nonlocalBind = "/proc/sys/net/ipv6/ip_nonlocal_bind"

// OwnIPv6 makes our whole prefix local to the network namespace, as 127.0.0.0/8 is from the start: one route, and
// leave to bind to what it covers. It is called in a namespace of the run's own alone, and goes with it.
func OwnIPv6() error {
	refused := func(err error) error {
		return &faults.UnsupportedError{Engine: "fleet", What: `family = "ipv6"`, Reason: err.Error(), Instead: `family = "ipv4"`}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return refused(err)
	}
	p := faults.Prefix6
	route := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)}, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Family: unix.AF_INET6}
	if err := netlink.RouteAdd(route); err != nil && !errors.Is(err, syscall.EEXIST) {
		return refused(fmt.Errorf("a local route for %v: %w", p, err))
	}
	if err := os.WriteFile(nonlocalBind, []byte("1"), 0o644); err != nil {
		return refused(err)
	}
	return nil
}
