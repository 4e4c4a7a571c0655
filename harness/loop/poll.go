package loop

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is the epoll instance, with the timer that ends its waits and the eventfd that wakes it.
//
// Time-outs come from a timerfd and not with each wait: the kernel sets a timer for a wait with a time-out and
// takes it back when an event comes first, and on a virtual machine those two cost as much as the wait (6 us beside
// 5, measured). The timerfd is set when the next deadline comes nearer and left alone when it moves away. It is also
// sharper: a wait's own time-out is late by the thread's timer slack, 50 us.
type poller struct {
	fd, wakeFD, timerFD int

	events  []unix.EpollEvent
	sockets int           // registered
	armed   time.Duration // when the timer goes off; Never when it does not
	eager   bool          // the last wait brought something
	closed  bool
}

func (p *poller) open() (err error) {
	p.fd, p.wakeFD, p.timerFD, p.armed = -1, -1, -1, Never
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("loop: epoll_create1: %w", err)
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("loop: eventfd: %w", err)
	}
	if p.timerFD, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return fmt.Errorf("loop: timerfd_create: %w", err)
	}
	p.events = make([]unix.EpollEvent, 512)
	if err = p.add(p.wakeFD, 0, unix.EPOLLIN); err != nil {
		return fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	const edge = unix.EPOLLIN | unix.EPOLLET // setting the timer again takes its event back: nothing to read
	if err = p.add(p.timerFD, 0, edge&0xffffffff); err != nil {
		return fmt.Errorf("loop: epoll_ctl: %w", err)
	}
	return nil
}

// add registers a descriptor once for its whole life, sockets edge-triggered: one system call per connection,
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

// wait blocks until something happens, at the latest until the given time (which may have passed; Never: for
// ever), and gives the number of events. It may come back early with none.
func (p *poller) wait(now, until time.Duration) (int, error) {
	block := until > now
	if block {
		if err := p.arm(now, until); err != nil {
			return 0, err
		}
	}
	n, e := p.waitOnce(block)
	if e != 0 && e != unix.EINTR {
		return 0, e
	}
	if e != 0 {
		return 0, nil
	}
	return n, nil
}

// arm sets the timer unless it goes off early enough as it is: too early a wake finds nothing to do and sets it
// anew, and that happens once for many deadlines that came and were cancelled.
func (p *poller) arm(now, until time.Duration) error {
	if until >= p.armed && p.armed > now || until == Never {
		return nil
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(until - now))}
	_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.timerFD), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("timerfd_settime: %w", e)
	}
	p.armed = until
	return nil
}

// waitOnce makes one system call.
//
// A call that may block is normally announced to Go's scheduler, which takes the processor away from us
// meanwhile and gives it back afterwards; under load, with a short sleep before each event, that costs
// more than the event (and keeps the runtime's monitor waking every 20 us). So after a wait that brought
// something the next one is not announced. A garbage collection that wants this thread to stop sends it a
// signal, and so does the monitor when it has not been heard of for 10 ms: either ends the wait with EINTR, which
// brings nothing, and the next wait is announced.
func (p *poller) waitOnce(block bool) (int, unix.Errno) {
	at := uintptr(unsafe.Pointer(&p.events[0]))
	var n uintptr
	var e unix.Errno
	switch {
	case !block:
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, uintptr(len(p.events)), 0, 0, 0)
		return int(n), e
	case p.eager:
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, uintptr(len(p.events)), forEver, 0, 0)
	default:
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), at, uintptr(len(p.events)), forEver, 0, 0)
	}
	p.eager = e == 0 && n > 0
	return int(n), e
}

// forEver is epoll_pwait's time-out of -1.
const forEver = ^uintptr(0)

// sleep lets events gather. It is short, so the scheduler is not told; a signal ends it.
func (p *poller) sleep(d time.Duration) {
	spec := unix.NsecToTimespec(int64(d))
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&spec)), 0, 0)
}

// wake ends a wait from another goroutine.
func (p *poller) wake() {
	if p.closed {
		return
	}
	one := [8]byte{1}
	unix.Write(p.wakeFD, one[:]) // fails only when the counter is full, and then the loop wakes anyway
}

// ours handles an event of the poller's own descriptors, and says whether it was one.
func (p *poller) ours(fd int) bool {
	switch fd {
	case p.wakeFD:
		var b [8]byte
		unix.Read(p.wakeFD, b[:])
	case p.timerFD:
		p.armed = Never
	default:
		return false
	}
	return true
}

func (p *poller) close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	for _, fd := range []int{p.wakeFD, p.timerFD} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if p.fd < 0 {
		return nil
	}
	return unix.Close(p.fd)
}
