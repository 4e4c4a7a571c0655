package fleet

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCountSockets(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addr := netip.MustParseAddrPort(l.Addr().String())
		count := func(state uint8) int {
			t.Helper()
			n, err := countSockets(state, addr)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := count(tcpEstablished); n != 0 {
			t.Errorf("%s: %d established before anybody came", host, n)
		}
		for range 3 {
			c, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			defer s.Close()
		}
		if n := count(tcpEstablished); n != 3 {
			t.Errorf("%s: %d established, want 3", host, n)
		}
		// The side that closes first keeps TIME_WAIT.
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Read(make([]byte, 1)) // its FIN is here
		c.Close()
		if n := count(tcpTimeWait); n != 1 {
			t.Errorf("%s: %d in TIME_WAIT, want the one that the server closed", host, n)
		}
	}
}

// FuzzCountDiag: any datagram is counted or refused, and no count exceeds what fits in it.
func FuzzCountDiag(f *testing.F) {
	local := netip.MustParseAddr("127.0.0.11")
	one := make([]byte, 16+inetDiagMsgLen)
	one[0], one[4] = byte(len(one)), unix.SOCK_DIAG_BY_FAMILY
	copy(one[16+8:], local.AsSlice())
	f.Add(one)
	f.Add([]byte{16, 0, 0, 0, unix.NLMSG_DONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{20, 0, 0, 0, unix.NLMSG_ERROR, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xea, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		if n, _, _ := countDiag(p, local); n > len(p)/(16+inetDiagMsgLen) {
			t.Errorf("%d sockets in %d bytes", n, len(p))
		}
	})
}
