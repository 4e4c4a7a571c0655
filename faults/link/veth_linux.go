package link

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// veth is the far end of a veth pair behind an AF_PACKET socket: the way where /dev/net/tun cannot be
// opened. The socket is cooked (SOCK_DGRAM), so that reads and writes are bare IP packets, as on a TUN.
type veth struct {
	*os.File
	raw syscall.RawConn
	to  [2]unix.SockaddrLinklayer // IPv4, IPv6: the near end's hardware address

	missed atomic.Int64
}

// openVeth makes a pair: the near end in the namespace near, the far end with its socket in the namespace
// that the calling thread is in.
func openVeth(near *Namespace, far string) (port, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.TxQLen = far, mtu, 1000
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: device, PeerNamespace: netlink.NsFd(int(near.file.Fd()))}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("veth: %w", err)
	}
	link, err := netlink.LinkByName(far)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetARPOff(link); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	var hw net.HardwareAddr
	if err := near.Do(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		hw = l.Attrs().HardwareAddr
		if err := netlink.LinkSetARPOff(l); err != nil {
			return err
		}
		return offloadsOff(device)
	}); err != nil {
		return nil, err
	}
	return openPacket(link.Attrs().Index, hw)
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func openPacket(index int, hw net.HardwareAddr) (port, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		return nil, fmt.Errorf("AF_PACKET: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("AF_PACKET: bind: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<20) // as much as net.core.rmem_max allows
	}
	unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	v := &veth{File: os.NewFile(uintptr(fd), "AF_PACKET")}
	if v.raw, err = v.File.SyscallConn(); err != nil {
		v.File.Close()
		return nil, err
	}
	for i, proto := range []uint16{unix.ETH_P_IP, unix.ETH_P_IPV6} {
		v.to[i] = unix.SockaddrLinklayer{Protocol: htons(proto), Ifindex: index, Halen: uint8(len(hw))}
		copy(v.to[i].Addr[:], hw)
	}
	return v, nil
}

// overruns counts what the socket's buffer had no room for. The kernel's count starts anew at each look.
func (v *veth) overruns() int64 {
	v.raw.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			v.missed.Add(int64(s.Drops))
		}
	})
	return v.missed.Load()
}

// Write sends one IP packet to the near end.
func (v *veth) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	to := &v.to[0]
	if p[0]>>4 == 6 {
		to = &v.to[1]
	}
	var err error
	if e := v.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), p, 0, to)
		return err != unix.EAGAIN
	}); e != nil {
		err = e
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// offloadsOff makes the near end behave as a wire's: segments of the MTU at most, checksums filled in.
func offloadsOff(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Commands of linux/ethtool.h; each takes {cmd, value}.
	for _, c := range []struct {
		cmd  uint32
		what string
	}{{0x17, "tx checksums"}, {0x1f, "tso"}, {0x24, "gso"}, {0x2c, "gro"}} {
		value := [2]uint32{c.cmd, 0}
		req := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}{data: unsafe.Pointer(&value)}
		copy(req.name[:], name)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return fmt.Errorf("ethtool %s off on %s: %w", c.what, name, errno)
		}
	}
	return nil
}
