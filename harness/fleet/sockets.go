package fleet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// TCP states as the kernel numbers them (include/net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpTimeWait    = 6
)

// countSockets asks the kernel how many TCP sockets of the current network namespace are in a state with
// local as their own address (sock_diag(7)). The kernel selects by state and port, so that the answer is
// as long as what is counted, however many sockets there are.
func countSockets(state uint8, local netip.AddrPort) (n int, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, diagRequest(state, local), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		m, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("sock_diag: %w", err)
		}
		got, done, err := countDiag(buf[:m], local.Addr())
		n += got
		if done || err != nil {
			return n, err
		}
	}
}

// diagRequest is a dump request: struct nlmsghdr, struct inet_diag_req_v2, and an attribute with a filter
// program.
//
//	16  nlmsghdr: length, type, flags, sequence number, port
//	 1  family    1  protocol    1  extensions    1  padding
//	 4  states, one bit each
//	48  inet_diag_sockid: unused in a dump
//	 4  attribute header
//	16  filter: local port >= p, local port <= p
func diagRequest(state uint8, local netip.AddrPort) []byte {
	family := byte(unix.AF_INET6)
	if local.Addr().Is4() {
		family = unix.AF_INET
	}
	const filterLen = 16
	le := binary.NativeEndian
	var p []byte
	p = le.AppendUint32(p, 16+56+4+filterLen)
	p = le.AppendUint16(p, unix.SOCK_DIAG_BY_FAMILY)
	p = le.AppendUint16(p, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	p = le.AppendUint32(p, 1)
	p = le.AppendUint32(p, 0)
	p = append(p, family, unix.IPPROTO_TCP, 0, 0)
	p = le.AppendUint32(p, 1<<state)
	p = append(p, make([]byte, 48)...)
	p = le.AppendUint16(p, 4+filterLen)
	p = le.AppendUint16(p, inetDiagReqBytecode)
	// struct inet_diag_bc_op: code, offset if true, offset if false; the operand is the next op's last
	// field. An offset beyond the program rejects the socket.
	for _, op := range []struct {
		code byte
		left uint16 // bytes from this op to the end
	}{{inetDiagBcSGe, 16}, {inetDiagBcSLe, 8}} {
		p = append(p, op.code, 8)
		p = le.AppendUint16(p, op.left+4)
		p = append(p, 0, 0)
		p = le.AppendUint16(p, local.Port())
	}
	return p
}

// include/uapi/linux/inet_diag.h
const (
	inetDiagReqBytecode = 1
	inetDiagBcSGe       = 2
	inetDiagBcSLe       = 3
	inetDiagMsgLen      = 72
)

// countDiag counts the sockets in one datagram of the answer whose own address is local; done says that
// the dump is over.
//
//	struct inet_diag_msg: family, state, timer, retrans (1 each), then inet_diag_sockid: source port,
//	destination port (2 each), source address (16), …
func countDiag(p []byte, local netip.Addr) (n int, done bool, err error) {
	le := binary.NativeEndian
	for len(p) >= 16 {
		size, kind := le.Uint32(p), le.Uint16(p[4:])
		if size < 16 || int64(size) > int64(len(p)) {
			return n, true, fmt.Errorf("sock_diag: message of %d bytes in %d", size, len(p))
		}
		body := p[16:size]
		switch kind {
		case unix.NLMSG_DONE:
			return n, true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return n, true, errors.New("sock_diag: error without a number")
			}
			if e := int32(le.Uint32(body)); e != 0 {
				return n, true, fmt.Errorf("sock_diag: %w", unix.Errno(-e))
			}
		default:
			if len(body) < inetDiagMsgLen {
				return n, true, fmt.Errorf("sock_diag: socket of %d bytes, want %d", len(body), inetDiagMsgLen)
			}
			want := local.AsSlice()
			if slices.Equal(body[8:8+len(want)], want) {
				n++
			}
		}
		p = p[min(int(size+3)&^3, len(p)):] // messages are aligned to four bytes
	}
	return n, false, nil
}
