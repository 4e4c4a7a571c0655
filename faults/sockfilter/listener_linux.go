package sockfilter

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// ListenerFilter keeps the filter of one listener for the phase's rules that act on the way to the
// server. Whom they hit is said by the source address: see faults.SourceAddr. Safe for concurrent use.
type ListenerFilter struct {
	listener syscall.Conn

	mu       sync.Mutex
	rules    []faults.Rule // those on the listener
	released []netip.Addr  // sources whose SYN has been dropped often enough, oldest first
	used     bool          // a filter was attached once: sockets of then may still wait to be accepted
}

// maxReleased bounds the exception list, and with it the program every SYN runs through. A released
// address leaves the list when its connection has been accepted.
const maxReleased = 1000

// NewListenerFilter makes the keeper of a listener without attaching anything. The listener must not be
// made for MPTCP (net.ListenConfig.SetMultipathTCP(false)).
func NewListenerFilter(listener syscall.Conn) *ListenerFilter {
	return &ListenerFilter{listener: listener}
}

// SetRules attaches the filter for a phase; rules that do not act on a listener are passed over, and
// where none is left the listener has no filter.
func (l *ListenerFilter) SetRules(rules []faults.Rule) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = nil
	for _, r := range rules {
		if r.OnListener() {
			l.rules = append(l.rules, r)
		}
	}
	l.released = nil
	return l.attach()
}

// Release lets SYN segments from this source through from now on: the `times` of a drop at syn, which
// only the client can count.
func (l *ListenerFilter) Release(client netip.Addr) error {
	client = client.Unmap()
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := faults.RuleOf(l.rules, client); r == nil || r.At != stage.Syn || slices.Contains(l.released, client) {
		return nil
	}
	if len(l.released) == maxReleased {
		l.released = l.released[1:]
	}
	l.released = append(l.released, client)
	return l.attach()
}

// Accepted looks at a connection that the listener has accepted. If it belongs to a rule that drops its
// segments the result is armed, already so by inheritance; else it is nil and the inherited filter is gone.
func (l *ListenerFilter) Accepted(conn syscall.Conn, client, server netip.AddrPort) (*Armed, error) {
	l.mu.Lock()
	r := faults.RuleOf(l.rules, client.Addr())
	used := l.used
	var err error
	if r != nil && r.At == stage.Syn {
		if i := slices.Index(l.released, client.Addr().Unmap()); i >= 0 {
			l.released = slices.Delete(l.released, i, i+1)
			err = l.attach()
		}
	}
	l.mu.Unlock()
	if !used || err != nil {
		return nil, err
	}
	control, err := rawControl(conn)
	if err != nil {
		return nil, err
	}
	a := &Armed{rule: r, control: control}
	if r == nil || r.At == stage.Syn {
		return nil, a.detach()
	}
	return a, nil
}

// attach puts the program for rules and released on the listener, or takes the old one off.
func (l *ListenerFilter) attach() error {
	p, ok, err := ListenerProgram(l.rules, l.released)
	if err != nil {
		return err
	}
	control, err := rawControl(l.listener)
	if err != nil {
		return err
	}
	e := control(func(fd int) {
		if ok {
			err = Attach(fd, p)
			l.used = true
		} else {
			err = Detach(fd)
		}
	})
	if e != nil {
		return fmt.Errorf("sockfilter: listener: %w", e)
	}
	return err
}
