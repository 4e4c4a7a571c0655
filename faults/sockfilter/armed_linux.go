package sockfilter

import (
	"fmt"
	"syscall"
	"time"

	"tlsurge/faults"
)

// Armed is one socket that carries a rule's filter. Its owner polls it; it has no goroutine and no lock.
type Armed struct {
	rule    *faults.Rule
	control func(func(fd int)) error
	before  int // drops of the socket when it was armed
	seen    int // drops since, at the last poll
	first   time.Time
	off     bool
}

// ArmClient puts the rule's filter on the agent's own socket. When to call it belongs to the stage:
//
//	syn_ack                                      before connect
//	server_hello, hello_retry_request, alert     before the ClientHello is written
//	server_finished                              before the flight with the client's Finished is written
//	response                                     before the request is written
//	idle                                         when the connection falls idle
//	per = "packet"                               at any time; the rest of the connection is concerned
func ArmClient(fd int, r *faults.Rule) (*Armed, error) {
	p, err := ClientProgram(r)
	if err != nil {
		return nil, err
	}
	before, err := Drops(fd)
	if err != nil {
		return nil, err
	}
	if err := Attach(fd, p); err != nil {
		return nil, err
	}
	return &Armed{rule: r, before: before, control: func(f func(int)) error { f(fd); return nil }}, nil
}

// Rule is the rule that armed the socket.
func (a *Armed) Rule() *faults.Rule { return a.rule }

// Poll reads the socket's drops. done is true once the rule's `times` are used up; the filter is then
// gone. The firing is what has happened so far, Packets 0 if nothing; key and tuple are the caller's to fill in.
//
// A filter has no memory, so `times` is kept by polling: segments that arrive between two polls are all
// dropped. Retransmissions are at least 200 ms apart; poll every 50 ms or so.
func (a *Armed) Poll(now time.Time) (f faults.Firing, done bool, err error) {
	if err := a.count(now); err != nil {
		return a.firing(), a.off, err
	}
	if !a.off && a.rule.Times > 0 && a.seen >= a.rule.Times {
		err = a.detach()
	}
	return a.firing(), a.off, err
}

// Disarm takes the filter off and returns the final count; the socket must still be open. To call it
// again is no error.
func (a *Armed) Disarm(now time.Time) (faults.Firing, error) {
	err := a.count(now)
	if !a.off {
		if e := a.detach(); err == nil {
			err = e
		}
	}
	return a.firing(), err
}

func (a *Armed) count(now time.Time) error {
	if a.off {
		return nil
	}
	var n int
	var err error
	if e := a.control(func(fd int) { n, err = Drops(fd) }); e != nil {
		err = fmt.Errorf("sockfilter: %w", e)
	}
	if err != nil {
		return err
	}
	a.seen = n - a.before
	if a.seen > 0 && a.first.IsZero() {
		a.first = now
	}
	return nil
}

func (a *Armed) detach() error {
	a.off = true
	var err error
	if e := a.control(func(fd int) { err = Detach(fd) }); e != nil {
		err = fmt.Errorf("sockfilter: %w", e)
	}
	return err
}

func (a *Armed) firing() faults.Firing {
	return faults.Firing{Rule: a.rule.Name, Engine: string(faults.EngineSockfilter), Action: string(a.rule.Action),
		Stage: a.rule.At.String(), Direction: a.rule.Direction.String(), Time: a.first, Offset: -1, Packets: a.seen}
}

// rawControl turns a syscall.Conn's own access to its descriptor into Armed's.
func rawControl(c syscall.Conn) (func(func(fd int)) error, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("sockfilter: %w", err)
	}
	return func(f func(int)) error { return raw.Control(func(fd uintptr) { f(int(fd)) }) }, nil
}
