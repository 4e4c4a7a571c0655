package faults_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/internal/nstest"
	"tlsurge/faults/stage"
)

// TestIPv6 holds the filters' conversations over IPv6, in a namespace where the rule's IPv6 subnet is ours.
func TestIPv6(t *testing.T) {
	nstest.Only(t, func(t *testing.T) {
		r := faults.Rule{Name: "six", Engine: faults.EngineSockfilter, Action: faults.Drop, At: stage.ClientHello, Probability: 1, Times: 2}
		rule := must(t, r)
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		server := netip.MustParseAddr("fd00::11")
		source := faults.SourceAddrFor(rule, 7, server)
		for _, a := range []string{source.String() + "/128", server.String() + "/128"} {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				t.Fatal(err)
			}
			addr.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(lo, addr); err != nil {
				t.Fatal(err)
			}
		}
		// The kernel makes the routes of new IPv6 addresses a little later: wait until a connect is refused for
		// want of a listener and not of a road, from either address, several times over.
		for good, tries := 0, 0; good < 10 && tries < 300; tries++ {
			good++
			for _, from := range []net.Addr{nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))} {
				d := net.Dialer{LocalAddr: from}
				if _, err := d.Dial("tcp", netip.AddrPortFrom(server, 9).String()); !errors.Is(err, unix.ECONNREFUSED) {
					good = 0
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Run("on the listener", func(t *testing.T) {
			proveListenerDropAt(t, r, dialogue.Spec{}, netip.AddrPortFrom(server, 0).String(), source)
		})
		t.Run("on the client's socket", func(t *testing.T) {
			r.At, r.Direction = stage.ServerHello, 0
			proveClientDrop(t, r, dialogue.Spec{}, dialogue.ServerOptions{Address: netip.AddrPortFrom(server, 0).String()})
		})
	})
}
