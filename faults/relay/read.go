package relay

import (
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// readSize takes a whole record with its header.
const readSize = 17 << 10

var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readEach reads until the stream ends and hands on what came. A connection that is silent holds no buffer:
// one is taken when the socket is readable and given back when use returns, so p must not be kept.
func readEach(c *net.TCPConn, use func(p []byte) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var buf *[readSize]byte
		var n int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			buf = buffers.Get().(*[readSize]byte)
			n, readErr = unix.Read(int(fd), buf[:])
			for readErr == unix.EINTR {
				n, readErr = unix.Read(int(fd), buf[:])
			}
			if readErr == unix.EAGAIN {
				buffers.Put(buf)
				buf = nil
				return false
			}
			return true
		})
		switch {
		case err != nil:
		case readErr != nil:
			err = &net.OpError{Op: "read", Net: "tcp", Err: readErr}
		case n == 0:
			err = io.EOF
		default:
			err = use(buf[:n])
		}
		if buf != nil {
			buffers.Put(buf)
		}
		if err != nil {
			return err
		}
	}
}
