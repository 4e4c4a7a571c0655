package link

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

// Namespace is one end of the link: a network namespace of our own. It lives as long as this handle or a
// process in it.
type Namespace struct {
	file *os.File // /proc/thread-self/ns/net of the thread that made it
}

// newNamespace makes a network namespace with loopback up.
func newNamespace() (*Namespace, error) {
	n := &Namespace{}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return namespaceError(err)
		}
		if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// namespaceError says which right is missing.
func namespaceError(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		return &faults.UnsupportedError{Engine: faults.EngineLink, What: "make a network namespace",
			Reason:  err.Error() + " (needs CAP_SYS_ADMIN: root, or a user namespace of our own)",
			Instead: `[run] netns = "own" where user namespaces are allowed, or engine = "sockfilter" or "relay"`}
	}
	return fmt.Errorf("link: unshare: %w", err)
}

// onThread runs f on an operating system thread of its own that ends with it, so that no thread with a
// foreign namespace ever returns to the scheduler.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
		done <- f()
	}()
	return <-done
}

// Do runs f on a thread inside the namespace. Sockets that f makes stay in it; goroutines that f starts do not.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("link: setns: %w", err)
		}
		return f()
	})
}

// Start starts a process inside the namespace.
//
// The thread that starts a child lives as long as it does: a parent-death signal comes when the thread
// ends, not the process.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		started <- n.Do(func() error {
			err := cmd.Start()
			started <- err
			if err == nil && cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0 {
				var info unix.Siginfo
				for unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
				}
			}
			return err
		})
	}()
	return <-started
}

// Close gives the handle up. To call it again is no error.
func (n *Namespace) Close() error {
	if n == nil || n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file = nil
	return err
}

var probeOnce = sync.OnceValue(func() error {
	n, err := newNamespace()
	if err == nil {
		n.Close()
	}
	return err
})

// Probe says whether a link can be made here: nil, or an UnsupportedError.
func Probe() error { return probeOnce() }
