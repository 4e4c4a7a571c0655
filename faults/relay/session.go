package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// session is one relayed connection: a client's end and a server's end, and a goroutine per direction.
type session struct {
	relay *Relay
	ends  [2]*net.TCPConn // client, server
	ctx   context.Context // done when the session is over or the relay closes
	stop  context.CancelFunc

	// What only an armed session has.
	arming
	unit float64
	idle *time.Timer
	gate *faults.HelloGate // the client's direction's alone: the rule wants to see the hello whole; nil once it has

	mu       sync.Mutex // guards what follows: both directions decide in turn
	decide   Decide
	observer stage.Observer
	struck   bool
	hole     bool         // blackhole: no end of stream passes either
	holdTill [2]time.Time // by direction: nothing is forwarded before; far ahead for Forever
	spared   bool         // the hello is none that the rule strikes
	drained  [2]bool      // by direction: its source has said all
	moved    time.Time    // when bytes moved last
	answered bool         // a response has passed
	requests int          // that have begun: a request is what follows the connection's beginning or a response
	turn     stage.Stage  // Request or Response, whichever moved last
}

// direction is the state of one pump, its own goroutine's alone.
type direction struct {
	d        stage.Direction
	src, dst *net.TCPConn
	pending  []byte // read and not yet forwarded
	offset   int64  // of pending[0] in the stream
	into     [stageCount]int64
	record   Record
	paced    time.Time // throttle: when the next byte may leave
}

const stageCount = int(stage.Idle) + 1

// farAhead stands for the end of a hold without end.
var farAhead = time.Unix(1<<40, 0)

func (s *session) arm(a arming) {
	s.arming = a
	s.decide = Judge
	s.unit = faults.Unit(s.relay.cfg.Seed, a.key, a.rule.Name)
	if !a.rule.Hello.Any() {
		s.gate = &faults.HelloGate{Match: a.rule.Hello}
	}
}

// run relays until both directions are done.
func (s *session) run() {
	s.ctx, s.stop = context.WithCancel(s.relay.ctx)
	defer s.stop()
	// The relay's end, or the session's own, wakes whatever waits in a read or write.
	wake := context.AfterFunc(s.ctx, func() {
		for _, c := range s.ends {
			c.SetDeadline(time.Unix(1, 0))
		}
	})
	defer wake()
	up := &direction{d: stage.ClientToServer, src: s.ends[0], dst: s.ends[1]}
	down := &direction{d: stage.ServerToClient, src: s.ends[1], dst: s.ends[0]}
	if s.rule != nil && s.rule.At == stage.Idle {
		s.mu.Lock()
		s.idle = time.AfterFunc(s.relay.cfg.IdleAfter, s.onIdle)
		s.mu.Unlock()
		defer s.idle.Stop()
	}
	var other sync.WaitGroup
	other.Go(func() { s.pump(down) })
	s.pump(up)
	other.Wait()
	if s.relay.ctx.Err() != nil {
		s.linger0()
	}
	for _, c := range s.ends {
		c.Close()
	}
}

// pump carries one direction to its end.
func (s *session) pump(p *direction) {
	var err error
	if s.rule == nil {
		// Not by splice, which would hold a pipe, two more files, for each direction of a silent connection.
		err = readEach(p.src, func(b []byte) error { _, err := p.dst.Write(b); return err })
		if err == io.EOF {
			err = nil
		}
	} else {
		err = s.pumpArmed(p)
	}
	s.mu.Lock()
	s.drained[p.d-1] = true
	hole := s.hole
	s.mu.Unlock()
	switch {
	case errors.Is(err, errEnded), s.ctx.Err() != nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		// The time after a FIN is up.
	case err == nil && hole:
		// Nobody is told.
	case err == nil:
		p.dst.CloseWrite()
	case hole && isReset(err):
	default:
		// One end is gone: the other gets the same.
		s.linger0()
		s.stop()
	}
}

// errEnded: a verdict has ended the session; nothing is passed on.
var errEnded = errors.New("relay: ended by a fault")

// pumpArmed reads, names and judges.
func (s *session) pumpArmed(p *direction) error {
	err := readEach(p.src, func(b []byte) error {
		b = s.wait(p, b)
		p.pending = append(p.pending, b...)
		s.mu.Lock()
		spans := s.observer.Observe(p.d, b, nil)
		s.mu.Unlock()
		for _, span := range spans {
			if err := s.onSpan(p, span); err != nil {
				return err
			}
		}
		if len(p.pending) == 0 {
			p.pending = nil
		}
		return nil
	})
	if err == io.EOF {
		if p.d == stage.ClientToServer && s.gate != nil {
			p.pending = append(p.pending, s.gate.Held()...) // a hello that broke off
		}
		return s.flush(p)
	}
	return err
}

// wait holds a hello back until it is whole, where the rule depends on what it says, and gives what may go on.
func (s *session) wait(p *direction, b []byte) []byte {
	if p.d != stage.ClientToServer || s.gate == nil {
		return b
	}
	b, struck, judged := s.gate.Feed(b)
	if judged {
		s.gate = nil
		s.mu.Lock()
		s.spared = !struck
		s.mu.Unlock()
	}
	return b
}

// flush forwards what never got a name: the stream has ended within a header.
func (s *session) flush(p *direction) error {
	s.mu.Lock()
	hole := s.hole
	s.mu.Unlock()
	if hole {
		return nil
	}
	if err := s.hold(p); err != nil {
		return err
	}
	_, err := p.dst.Write(p.pending)
	return err
}

// linger0 makes the coming close of both ends a RST.
func (s *session) linger0() {
	for _, c := range s.ends {
		c.SetLinger(0)
	}
}

// close sends a FIN to both ends and reads on for a while: an end that speaks into a socket closed with
// unread data would get a RST instead.
func (s *session) close(p *direction) {
	s.finish()
	if s.ctx.Err() == nil {
		io.Copy(io.Discard, p.src)
	}
}

// finish sends the FINs; all that either end still says is thrown away.
func (s *session) finish() {
	s.mu.Lock()
	s.hole = true
	s.decide = func(*faults.Rule, Bytes) Verdict { return Verdict{Ending: Discard} }
	s.mu.Unlock()
	until := time.Now().Add(lingerAfterFIN)
	for _, c := range s.ends {
		c.CloseWrite()
		c.SetReadDeadline(until)
	}
}

// holdPoll is how often a held direction looks whether anybody is still there.
const holdPoll = 100 * time.Millisecond

// hold waits as long as this direction is held. A hold without end is over when the source has gone and the
// other direction has ended too.
func (s *session) hold(p *direction) error {
	for {
		s.mu.Lock()
		till, other := s.holdTill[p.d-1], s.drained[2-p.d]
		s.mu.Unlock()
		wait := time.Until(till)
		if till.IsZero() || wait <= 0 {
			return nil
		}
		if other && gone(p.src) {
			return errEnded
		}
		select {
		case <-time.After(min(wait, holdPoll)):
		case <-s.ctx.Done():
			return errEnded
		}
	}
}

// gone says whether the socket's peer has closed or reset it, unread bytes or not.
func gone(c *net.TCPConn) (yes bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		yes = err != nil || info.State != unix.BPF_TCP_ESTABLISHED && info.State != unix.BPF_TCP_FIN_WAIT1 && info.State != unix.BPF_TCP_FIN_WAIT2
	})
	return yes
}

// onIdle is the idle timer: the stage has come if a response has passed and nothing has moved since.
func (s *session) onIdle() {
	s.mu.Lock()
	quiet := time.Since(s.moved)
	due := s.answered && !s.struck && quiet >= s.relay.cfg.IdleAfter
	if !due && !s.struck && s.ctx.Err() == nil {
		s.idle.Reset(max(s.relay.cfg.IdleAfter-quiet, 10*time.Millisecond))
	}
	s.mu.Unlock()
	if !due || s.ctx.Err() != nil {
		return
	}
	switch s.judge(Bytes{Stage: stage.Idle}).Ending {
	case Reset:
		s.linger0()
		s.stop()
	case Close:
		s.finish()
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
