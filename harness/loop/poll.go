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
	sockets    int  // registered
	coarse     bool // the kernel has no epoll_pwait2
	eager      bool // the last wait brought something
	timeout    unix.Timespec
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

// eagerWait bounds a wait of which the scheduler is not told.
const eagerWait = 500 * time.Microsecond

// waitOnce makes one system call.
//
// A call that may block is normally announced to Go's scheduler, which takes the processor away from us
// meanwhile and gives it back afterwards; under load, with a short sleep before each event, that costs
// more than the event (and keeps the runtime's monitor waking every 20 us). So after a wait that brought
// something the next one is short and unannounced. It can hold up a garbage collection by eagerWait, no
// more, and the first one that brings nothing ends the habit.
func (p *poller) waitOnce(d time.Duration) (int, unix.Errno) {
	eager := d == 0 || p.eager
	if eager && d != 0 && (d < 0 || d > eagerWait) {
		d = eagerWait
	}
	trap, arg := uintptr(unix.SYS_EPOLL_PWAIT2), uintptr(0) // no time: for ever
	if p.coarse {
		trap, arg = unix.SYS_EPOLL_PWAIT, uintptr(milliseconds(d))
	} else if d >= 0 {
		p.timeout = unix.NsecToTimespec(int64(d))
		arg = uintptr(unsafe.Pointer(&p.timeout)) // p is on the heap and does not move
	}
	at := uintptr(unsafe.Pointer(&p.events[0]))
	var n uintptr
	var e unix.Errno
	if eager {
		n, _, e = unix.RawSyscall6(trap, uintptr(p.fd), at, uintptr(len(p.events)), arg, 0, 0)
	} else {
		n, _, e = unix.Syscall6(trap, uintptr(p.fd), at, uintptr(len(p.events)), arg, 0, 0)
	}
	if d != 0 {
		p.eager = e == 0 && n > 0
	}
	return int(n), e
}

// milliseconds rounds up, so that nothing wakes early; -1 is for ever.
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int((d + time.Millisecond - 1) / time.Millisecond)
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
