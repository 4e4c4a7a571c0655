package loop

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is the epoll instance with the eventfd that wakes it.
type poller struct {
	fd, wakeFD int
	events     []unix.EpollEvent
	sockets    int // registered
	coarse     bool
	closed     bool
}

func (p *poller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("loop: epoll_create1: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("loop: eventfd: %w", err)
	}
	p.fd, p.wakeFD, p.events = fd, wake, make([]unix.EpollEvent, 512)
	return p.add(wake, 0, unix.EPOLLIN)
}

// add registers a descriptor once for its whole life, edge-triggered: one system call per connection,
// and none per change of interest.
func (p *poller) add(fd int, gen int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: gen}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), unix.EPOLL_CTL_ADD, uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// wait blocks for at most d (negative: for ever; 0: not at all) and gives the number of events.
//
// epoll_pwait2 takes nanoseconds, so an arrival is not late by the half millisecond that epoll_wait
// would cost on average. Kernels before 5.11 lack it and get the milliseconds.
func (p *poller) wait(d time.Duration) (int, error) {
	for {
		n, e := p.waitOnce(d)
		switch e {
		case 0:
			return n, nil
		case unix.EINTR:
			return 0, nil // the caller works out the time left
		case unix.ENOSYS:
			p.coarse = true
		default:
			return 0, e
		}
	}
}

func (p *poller) waitOnce(d time.Duration) (int, unix.Errno) {
	at := uintptr(unsafe.Pointer(&p.events[0]))
	if d == 0 {
		// Does not block, so the scheduler need not hear of it.
		n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, uintptr(len(p.events)), 0, 0, 0)
		return int(n), e
	}
	if p.coarse {
		ms := -1
		if d > 0 {
			ms = int((d + time.Millisecond - 1) / time.Millisecond)
		}
		n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, uintptr(len(p.events)), uintptr(ms), 0, 0)
		return int(n), e
	}
	var ts *unix.Timespec
	if d > 0 {
		t := unix.NsecToTimespec(int64(d))
		ts = &t
	}
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), at, uintptr(len(p.events)),
		uintptr(unsafe.Pointer(ts)), 0, 0)
	return int(n), e
}

// wake ends a wait from another goroutine.
func (p *poller) wake() {
	if p.closed {
		return
	}
	one := [8]byte{1}
	unix.Write(p.wakeFD, one[:]) // fails only when the counter is full, and then the loop wakes anyway
}

func (p *poller) drainWake() {
	var b [8]byte
	unix.Read(p.wakeFD, b[:])
}

func (p *poller) close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	unix.Close(p.wakeFD)
	return unix.Close(p.fd)
}
