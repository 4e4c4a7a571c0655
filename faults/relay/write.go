package relay

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// writeSegments sends p in TCP segments of n bytes. MSG_EOR keeps the kernel from joining one segment's
// bytes with the next one's, however full the window is.
func writeSegments(c *net.TCPConn, p []byte, n int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for len(p) > 0 {
		segment := p[:min(n, len(p))]
		var sent int
		var sendErr error
		err := raw.Write(func(fd uintptr) bool {
			sent, sendErr = unix.SendmsgN(int(fd), segment, nil, nil, unix.MSG_EOR|unix.MSG_NOSIGNAL)
			return sendErr != unix.EAGAIN
		})
		if err == nil && sendErr != unix.EINTR {
			err = sendErr
		}
		if err != nil {
			return &net.OpError{Op: "write", Net: "tcp", Err: err}
		}
		p = p[max(sent, 0):]
	}
	return nil
}

// paceStep is the time between two writes of a throttled direction.
const paceStep = 20 * time.Millisecond

// writePaced sends p at rate bytes per second: each step's bytes leave when all before them would have
// left a link of that rate.
func (s *session) writePaced(p *direction, bytes []byte, rate int64) error {
	for len(bytes) > 0 {
		now := time.Now()
		if p.paced.Before(now) {
			p.paced = now
		}
		n := min(len(bytes), max(1, int(rate*int64(paceStep)/int64(time.Second))))
		p.paced = p.paced.Add(time.Duration(int64(n) * int64(time.Second) / rate))
		select {
		case <-time.After(time.Until(p.paced)):
		case <-s.ctx.Done():
			return errEnded
		}
		if _, err := p.dst.Write(bytes[:n]); err != nil {
			return err
		}
		bytes = bytes[n:]
	}
	return nil
}

// addrPort is a TCP address with IPv4 in its short form.
func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
