// Package loop moves bytes between sockets and TLS engines: one epoll instance, one timer wheel, one
// goroutine, any number of connections.
//
// It owns system calls and time. It does not own what a connection is for (its Owner does), what its
// bytes mean (its TLS engine does), or when load is due (a Pacer does). Nothing in it is locked except
// the inbox through which other goroutines hand it work.
package loop

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Pacer is a source of work that falls due by the clock.
type Pacer interface {
	// Due carries out what was due by now and gives the time of the next piece; Never ends it.
	Due(now time.Duration) (next time.Duration)
}

// Never is a time that does not come.
const Never = time.Duration(1<<63 - 1)

// readSize is what one read may bring: four full TLS records. The buffer is the loop's, not the
// connection's.
const readSize = 64 << 10

// Loop is one event loop. All methods except Post and Stop belong to the goroutine that runs it, and to
// the callbacks that it makes; before Run they belong to the goroutine that made it.
type Loop struct {
	origin time.Time
	now    time.Duration // since origin; refreshed before each callback

	yielded time.Duration // when the scheduler last had its turn

	poll   poller
	wheel  wheel
	conns  []*Conn // by file descriptor
	gen    int32
	again  []*Conn // have more to read than one turn allowed
	pacers []pacing
	gather gather

	rbuf []byte
	wbuf []byte
	info unix.TCPInfo
	// congestion is the congestion control set on each socket; "default" leaves it, "" is not yet chosen.
	congestion string

	mu    sync.Mutex
	inbox []func()
	stop  bool
}

type pacing struct {
	p    Pacer
	next time.Duration
}

// New opens the epoll instance. Close releases it.
func New() (*Loop, error) {
	l := &Loop{origin: time.Now(), rbuf: make([]byte, readSize), wbuf: make([]byte, 0, readSize)}
	if err := l.poll.open(); err != nil {
		return nil, err
	}
	l.wheel.init()
	return l, nil
}

// Origin is the moment that the loop's times count from.
func (l *Loop) Origin() time.Time { return l.origin }

// Now is the time since Origin at which the current callback began.
func (l *Loop) Now() time.Duration { return l.now }

// Wall turns a time of the loop into a date.
func (l *Loop) Wall(at time.Duration) time.Time { return l.origin.Add(at) }

// At turns a date into a time of the loop.
func (l *Loop) At(t time.Time) time.Duration { return t.Sub(l.origin) }

// refresh reads the monotonic clock.
func (l *Loop) refresh() { l.now = time.Since(l.origin) }

// Pace adds a pacer; its first Due comes at once.
func (l *Loop) Pace(p Pacer) { l.pacers = append(l.pacers, pacing{p: p}) }

// Post hands f to the loop from any goroutine; it runs there soon. After Close it is dropped.
func (l *Loop) Post(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inbox = append(l.inbox, f)
	l.poll.wake()
}

// Stop makes Run return after its current turn. It may be called from any goroutine.
func (l *Loop) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = true
	l.poll.wake()
}

// Run turns the loop until Stop, or until ctx ends, whose error it then returns. It may be run again
// afterwards: connections and timers stay.
func (l *Loop) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.Stop)()
	l.mu.Lock()
	l.stop = false
	l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		if l.drainInbox() {
			return ctx.Err()
		}
		if err := l.turn(); err != nil {
			return err
		}
	}
}

// yieldAfter is how long the loop runs before it offers its processor to others of its own accord. At 10 ms the
// runtime would make it, by a signal, and from then on take it in each system call.
const yieldAfter = 5 * time.Millisecond

// turn waits once and handles everything that came of it.
func (l *Loop) turn() error {
	l.refresh()
	if l.now-l.yielded > yieldAfter {
		l.yielded = l.now
		runtime.Gosched()
	}
	next := l.next()
	if l.gather.pays(l.now) && next-l.now > l.gather.pause {
		l.poll.sleep(l.gather.pause)
	}
	n, err := l.poll.wait(l.now, next)
	if err != nil {
		return fmt.Errorf("loop: waiting for events: %w", err)
	}
	l.gather.events += n
	for i := range n {
		ev := &l.poll.events[i]
		if l.poll.ours(int(ev.Fd)) {
			continue
		}
		// A connection closed earlier in this turn, whose descriptor may have another owner by now.
		c := l.conns[ev.Fd]
		if c == nil || c.gen != ev.Pad {
			continue
		}
		l.refresh()
		c.ready(ev.Events)
	}
	l.readAgain()
	l.refresh()
	l.wheel.advance(l.now, l)
	for i := range l.pacers {
		if p := &l.pacers[i]; p.next <= l.now {
			l.refresh()
			p.next = p.p.Due(l.now)
		}
	}
	return nil
}

// readAgain gives another turn to connections that had more to read than one turn allows.
func (l *Loop) readAgain() {
	again := l.again
	l.again = l.again[len(l.again):]
	for _, c := range again {
		c.more = false
		if c.state != closed {
			l.refresh()
			c.ready(unix.EPOLLIN)
		}
	}
	if len(l.again) == 0 {
		l.again = again[:0]
	}
}

// next is when there is something to do: now, when work waits, or Never.
func (l *Loop) next() time.Duration {
	if len(l.again) > 0 {
		return l.now
	}
	next := l.wheel.next()
	for i := range l.pacers {
		next = min(next, l.pacers[i].next)
	}
	return next
}

// drainInbox runs what other goroutines posted and says whether to stop.
func (l *Loop) drainInbox() (stop bool) {
	l.mu.Lock()
	work := l.inbox
	l.inbox = nil
	stop = l.stop
	l.mu.Unlock()
	for _, f := range work {
		l.refresh()
		f()
	}
	return stop
}

// Drain runs what was posted, outside Run.
func (l *Loop) Drain() { l.drainInbox() }

// Owners calls f with the owner of every connection that has a socket.
func (l *Loop) Owners(f func(Owner)) {
	for _, c := range l.conns {
		if c != nil {
			f(c.owner)
		}
	}
}

// Open is how many connections have a socket.
func (l *Loop) Open() int { return l.poll.sockets }

// Close closes every connection without a word to its owner, and the loop itself.
func (l *Loop) Close() error {
	for _, c := range l.conns {
		if c != nil {
			c.release()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.poll.close()
}
