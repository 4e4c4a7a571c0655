package proxy

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lot is the connection table and the parking lot in one: every connection of clients and to upstreams takes
// a place, and a client's connection from which nothing is expected is parked: no goroutine, no buffer, only
// its file in an epoll set and a place on a timer wheel. Its next byte, its deadline, or pressure on the table
// takes it out again.
//
// Most of the parked are what nginx calls reusable: accepted and silent so far, done with the handshake and silent, or
// idle between two requests. Whoever takes a connection out of the lot owns it; mu makes that one.
type lot struct {
	epfd  int
	wake  func(*conn)            // a byte, or the end of the stream, has come
	close func(*conn, closeKind) // the deadline has passed, or the place is wanted

	mu       sync.Mutex
	capacity int // places
	used     int
	slots    map[int32]*conn // parked, by file number
	head     conn            // list of the parked, newest first: head.newer is the oldest
	parked   int
	wheel    [wheelSize]*conn
	tick     int64 // last tick that has been swept
	stopped  bool
}

// closeKind is why a parked connection is closed.
type closeKind int

const (
	closeTimeout closeKind = iota // its deadline passed
	closeReuse                    // its place was wanted
	closeDrain                    // the edge stops
)

// The wheel turns every tickLength; deadlines further away than a turn go round again.
const (
	tickLength = 50 * time.Millisecond
	wheelSize  = 2048
)

func newLot(capacity int) (*lot, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &lot{epfd: fd, capacity: capacity, slots: map[int32]*conn{}, tick: tickOf(time.Now())}
	l.head.newer, l.head.older = &l.head, &l.head
	return l, nil
}

func tickOf(t time.Time) int64 { return t.UnixNano() / int64(tickLength) }

// take gives a place; when none is left below limit, up to batch of the longest parked connections are closed
// first, as ngx_drain_connections does. It returns those that must be closed by the caller. ok is false if
// even then there is no place.
func (l *lot) take(limit int, reserve int) (closed []*conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit <= 0 || limit > l.capacity {
		limit = l.capacity
	}
	if l.used >= limit-reserve {
		batch := 32
		if reserve > 0 { // nginx 1.19.2 on: an eighth of them, one at least
			batch = max(1, min(32, l.parked/8))
		}
		for ; batch > 0 && l.parked > 0; batch-- {
			c := l.head.newer
			l.remove(c)
			l.used--
			closed = append(closed, c)
		}
	}
	if l.used >= limit {
		return closed, false
	}
	l.used++
	return closed, true
}

// release gives a place back.
func (l *lot) release() {
	l.mu.Lock()
	l.used--
	l.mu.Unlock()
}

// park takes c over until something happens. The caller must not touch c afterwards. It is false when the
// edge has stopped: the caller keeps c.
//
// A connection in the middle of its handshake waits here too, but is not reusable.
func (l *lot) park(c *conn, deadline time.Time, reusable bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	fd := int32(c.fd)
	c.generation++
	l.slots[fd] = c
	if reusable {
		c.older, c.newer = l.head.older, &l.head // head.older is the newest
		c.older.newer = c
		l.head.older = c
		l.parked++
	}
	l.schedule(c, deadline)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: fd, Pad: c.generation}
	op := unix.EPOLL_CTL_MOD
	if !c.polled {
		op, c.polled = unix.EPOLL_CTL_ADD, true
	}
	if err := unix.EpollCtl(l.epfd, op, c.fd, &ev); err != nil {
		l.remove(c)
		return false
	}
	return true
}

func (l *lot) schedule(c *conn, deadline time.Time) {
	c.due = tickOf(deadline) + 1
	b := &l.wheel[c.due%wheelSize]
	c.sooner, c.later = nil, *b
	if *b != nil {
		(*b).sooner = c
	}
	*b = c
}

// remove takes c out of slots, list and wheel; mu is held.
func (l *lot) remove(c *conn) {
	delete(l.slots, int32(c.fd))
	if c.older != nil {
		c.older.newer, c.newer.older = c.newer, c.older
		c.older, c.newer = nil, nil
		l.parked--
	}
	if c.sooner != nil {
		c.sooner.later = c.later
	} else {
		l.wheel[c.due%wheelSize] = c.later
	}
	if c.later != nil {
		c.later.sooner = c.sooner
	}
	c.sooner, c.later = nil, nil
}

// run waits for events until stop; one goroutine.
func (l *lot) run() {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(l.epfd, events, int(tickLength/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return
		}
		for i := 0; i < n; i++ {
			l.mu.Lock()
			c := l.slots[events[i].Fd]
			if c == nil || c.generation != events[i].Pad {
				c = nil // the file number lives on in another connection
			} else {
				l.remove(c)
			}
			l.mu.Unlock()
			if c != nil {
				l.wake(c)
			}
		}
		due, stopped := l.expired(time.Now())
		for _, c := range due {
			l.close(c, closeTimeout)
		}
		if stopped {
			unix.Close(l.epfd)
			return
		}
	}
}

// expired takes out what is due by now.
func (l *lot) expired(now time.Time) (due []*conn, stopped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := tickOf(now); l.tick < end; l.tick++ {
		for c := l.wheel[(l.tick+1)%wheelSize]; c != nil; {
			next := c.later
			if c.due <= l.tick+1 {
				l.remove(c)
				due = append(due, c)
			}
			c = next
		}
	}
	return due, l.stopped
}

// stop closes the lot: what is parked is taken out and returned, and run ends within a tick.
func (l *lot) stop() (parked []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for _, c := range l.slots {
		l.remove(c)
		parked = append(parked, c)
	}
	return parked
}

// resize changes the number of places; connections beyond it stay until they end.
func (l *lot) resize(capacity int) {
	l.mu.Lock()
	l.capacity = capacity
	l.mu.Unlock()
}

// occupancy is for the status page.
func (l *lot) occupancy() (used, parked, capacity int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used, l.parked, l.capacity
}
