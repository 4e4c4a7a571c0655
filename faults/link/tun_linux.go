package link

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// device is the name of the link's device in either namespace.
const device = "tlsurge0"

// tun is a TUN device: what the namespace sends we read, one IP packet a call.
type tun struct{ *os.File }

// overruns of a TUN are in the device's own statistics.
func (tun) overruns() int64 { return 0 }

// openTUN makes the device in the namespace that the calling thread is in. Without TUNSETOFFLOAD the
// kernel cuts what it sends to the MTU and fills in checksums before we see it.
func openTUN() (port, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(device)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TUNSETIFF: %w", err)
	}
	return tun{os.NewFile(uintptr(fd), "/dev/net/tun")}, nil
}
