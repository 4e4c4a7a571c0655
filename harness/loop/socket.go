package loop

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// IOError is what a system call on a connection's socket gave.
type IOError struct {
	Op    string // socket, bind, connect, epoll_ctl, read, write
	Errno unix.Errno
	State string // the connection's state at that time
}

func (e *IOError) Error() string { return e.Op + " in " + e.State + ": " + e.Errno.Error() }
func (e *IOError) Unwrap() error { return e.Errno }

// The calls below never block, so they go to the kernel without telling the scheduler: that saves a
// tenth of a microsecond each, of the eight that a request costs. It also keeps the runtime's monitor asleep:
// where it finds a long-running goroutine inside an announced call it takes its processor away and stays
// awake, every 20 us, to see what comes of that. recvfrom and sendto go straight to the
// socket, where read and write would pass through the file system's layer first.

func rawRead(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
	return int(n), e
}

func rawWrite(fd int, p []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// rawWriteMore is rawWrite of bytes that need not leave before something follows them.
func rawWriteMore(fd int, p []byte) (int, unix.Errno) {
	if len(p) == 0 {
		return 0, 0
	}
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_NOSIGNAL|unix.MSG_MORE, 0, 0)
	return int(n), e
}

func rawClose(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func setInt(fd, level, opt, value int) unix.Errno {
	v := int32(value)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&v)), 4, 0)
	return e
}

// socketError reads and clears SO_ERROR.
func socketError(fd int) unix.Errno {
	v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err.(unix.Errno)
	}
	return unix.Errno(v)
}

// socket makes a non-blocking TCP socket without Nagle's delay: a flight is one write, and waiting for
// the acknowledgement of the one before would add a round trip that browsers do not pay either.
func (l *Loop) socket(to netip.Addr) (int, error) {
	family := unix.AF_INET
	if to.Is6() && !to.Is4In6() {
		family = unix.AF_INET6
	}
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family),
		unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if e != 0 {
		return -1, &IOError{Op: "socket", Errno: e, State: "connecting"}
	}
	if e := setInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); e != 0 {
		unix.Close(int(fd))
		return -1, &IOError{Op: "setsockopt TCP_NODELAY", Errno: e, State: "connecting"}
	}
	l.chooseCongestion(int(fd))
	return int(fd), nil
}

// chooseCongestion gives the socket the congestion control of a browser's machine where this machine has
// another by default. Load generators often stand on servers set to bbr, which no client system uses, and
// whose pacing timers cost a tenth of the CPU time of a small request.
func (l *Loop) chooseCongestion(fd int) {
	if l.congestion == "" {
		l.congestion = "default"
		now, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil || now == "cubic" || now == "reno" {
			return
		}
		for _, name := range []string{"cubic", "reno"} { // an ordinary user may be allowed the second only
			if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name) == nil {
				l.congestion = name
				return
			}
		}
		return
	}
	if l.congestion != "default" {
		// It worked on the first socket; what else could go wrong here only costs CPU time.
		name := unsafe.StringData(l.congestion)
		unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION,
			uintptr(unsafe.Pointer(name)), uintptr(len(l.congestion)), 0)
	}
}

// bind gives the socket its source address and leaves the port to connect, which may then use one port
// towards several targets (ip(7), IP_BIND_ADDRESS_NO_PORT). Without it a source address ends after 28,000
// connections, whatever their targets.
func (l *Loop) bind(fd int, source netip.AddrPort) error {
	if source.Port() != 0 {
		return l.bindPort(fd, source)
	}
	if !source.Addr().IsValid() {
		return nil
	}
	if e := setInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); e != 0 {
		return &IOError{Op: "setsockopt IP_BIND_ADDRESS_NO_PORT", Errno: e, State: "connecting"}
	}
	return l.bindRaw(fd, source)
}

// bindPort gives the socket its source address and a port now.
func (l *Loop) bindPort(fd int, source netip.AddrPort) error {
	if !source.Addr().IsValid() {
		source = netip.AddrPortFrom(netip.IPv4Unspecified(), source.Port())
	}
	if e := setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); e != 0 {
		return &IOError{Op: "setsockopt SO_REUSEADDR", Errno: e, State: "connecting"}
	}
	return l.bindRaw(fd, source)
}

func (l *Loop) bindRaw(fd int, source netip.AddrPort) error {
	var sa sockaddr
	n := sa.set(source)
	_, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa)), n)
	if e != 0 {
		return &IOError{Op: "bind", Errno: e, State: "connecting"}
	}
	return nil
}

func rawConnect(fd int, target netip.AddrPort) unix.Errno {
	var sa sockaddr
	n := sa.set(target)
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), n)
	return e
}

// sockaddr has room for either family: family (host order), port and address (network order).
type sockaddr [unix.SizeofSockaddrInet6]byte

// set fills it in and gives the length of what it wrote. struct sockaddr_in is family, port, address;
// struct sockaddr_in6 is family, port, flow information, address, scope.
func (s *sockaddr) set(a netip.AddrPort) uintptr {
	binary.BigEndian.PutUint16(s[2:], a.Port())
	addr := a.Addr().Unmap()
	if addr.Is4() {
		binary.NativeEndian.PutUint16(s[0:], unix.AF_INET)
		b := addr.As4()
		copy(s[4:], b[:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(s[0:], unix.AF_INET6)
	b := addr.As16()
	copy(s[8:], b[:])
	return unix.SizeofSockaddrInet6
}

func (s *sockaddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(s[2:])
	if binary.NativeEndian.Uint16(s[0:]) == unix.AF_INET6 {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s[8:24])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port)
}

// localAddr asks the kernel for the socket's own end.
func localAddr(fd int) (netip.AddrPort, error) {
	var sa sockaddr
	n := uint32(len(sa))
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&sa)),
		uintptr(unsafe.Pointer(&n)))
	if e != 0 {
		return netip.AddrPort{}, &IOError{Op: "getsockname", Errno: e, State: "connecting"}
	}
	return sa.addrPort(), nil
}

// Local is the connection's own address and port: known as soon as Dial has returned.
func (c *Conn) Local() netip.AddrPort {
	if c.state == closed {
		return netip.AddrPort{}
	}
	a, err := localAddr(int(c.fd))
	if err != nil {
		return netip.AddrPort{}
	}
	return a
}

// Retransmits is how many segments the kernel has sent again on this connection so far (SYN included).
func (c *Conn) Retransmits() int {
	if c.state == closed {
		return 0
	}
	info := &c.loop.info
	n := uint32(unix.SizeofTCPInfo)
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return 0
	}
	return int(info.Total_retrans)
}
