package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/proxy/site"
	"tlsurge/profiles/wire"
)

// phaseTime is how long the phase has lasted.
func (s *Server) phaseTime() time.Duration {
	began := s.began.Load()
	if began == 0 {
		return 0
	}
	return time.Duration(time.Now().UnixNano() - began)
}

// inForce says whether a rule of engine "edge" that hits the edge as a whole acts on this one now: only edge,
// address and time select.
func (s *Server) inForce(r *faults.Rule) bool {
	return r.Engine == faults.EngineEdge && r.SelectsEdge(s.name, s.firstAddr(), s.phaseTime())
}

// tableLimit is the size that table_full leaves the connection table, with the rule; 0: its own.
func (s *Server) tableLimit() (int, *faults.Rule) {
	rules := s.cfg.Load().Faults
	for i := range rules {
		if r := &rules[i]; r.Action == faults.TableFull && s.inForce(r) {
			return r.Max, r
		}
	}
	return 0, nil
}

// waitAccept holds the acceptor back while accept_queue_full is in force, so that the kernel's queue fills. It
// returns the rule if it has held; ok is false when the edge has stopped.
func (s *Server) waitAccept() (held *faults.Rule, ok bool) {
	for {
		rule := s.holdsAccept()
		if rule == nil {
			return held, true
		}
		held = rule
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.stop:
			return held, false
		}
	}
}

func (s *Server) holdsAccept() *faults.Rule {
	rules := s.cfg.Load().Faults
	for i := range rules {
		if r := &rules[i]; r.Action == faults.AcceptQueue && s.inForce(r) {
			return r
		}
	}
	return nil
}

// arm looks whether the connection's source is a rule's: then the listener's filter goes on acting on it, or
// the edge's own rule does.
func (s *Server) arm(c *conn) {
	if c.ln.filter != nil {
		if a, err := c.ln.filter.Accepted(c.raw, c.peer, c.server); err == nil && a != nil {
			c.armed = a
			s.mu.Lock()
			s.armed[c] = struct{}{}
			s.mu.Unlock()
		}
	}
	rules := s.cfg.Load().Faults
	if r := faults.RuleOf(rules, c.peer.Addr()); r != nil && r.Engine == faults.EngineEdge {
		c.rule = r
		s.count.couldHit(r.Name)
	}
}

// deadlineRule is handshake_deadline's duration for this connection.
func (s *Server) deadlineRule(c *conn) time.Duration {
	if c.rule != nil && c.rule.Action == faults.HandshakeDeadline {
		return c.rule.Duration
	}
	return 0
}

// fire reports that a rule has hit a connection.
func (s *Server) fire(r *faults.Rule, c *conn) { s.fireAt(r, c.tuple()) }

func (s *Server) fireAt(r *faults.Rule, tuple faults.Tuple) {
	if rep := s.cfg.Load().Reporter; rep != nil {
		rep.Firing(faults.Firing{Rule: r.Name, Engine: string(faults.EngineEdge), Action: string(r.Action), Stage: r.At.String(),
			Direction: r.Direction.String(), Tuple: tuple, Time: time.Now(), Offset: -1})
	}
}

// fireIf reports once that the connection's own rule has come to pass.
func (c *conn) fireIf(action faults.Action) {
	if c.rule != nil && c.rule.Action == action && c.fired.CompareAndSwap(false, true) {
		c.s.fire(c.rule, c)
	}
}

// work is slow_handshake: the connection waits for its turn, and then takes up the edge's only worker. Whether its
// client is still there shows only when the worker answers, as in a server with one thread.
func (c *conn) work() {
	if c.rule == nil || c.rule.Action != faults.SlowHandshake || !c.fired.CompareAndSwap(false, true) {
		return
	}
	c.s.fire(c.rule, c)
	c.s.worker.Lock()
	defer c.s.worker.Unlock()
	select {
	case <-time.After(c.rule.Duration):
	case <-c.s.stop:
	}
}

// strikeHello does to a connection what its rule at client_hello says.
func (c *conn) strikeHello() step {
	c.fireIf(c.rule.Action)
	switch c.rule.Action {
	case faults.Stall:
		return stepWaiting // whatever else it says is hit again
	case faults.Reset:
		c.raw.SetLinger(0)
	case faults.Alert:
		alert := []byte{byte(wire.RecordAlert), 3, 1, 0, 2, byte(wire.LevelFatal), byte(c.rule.Alert)}
		c.raw.Write(alert) // a client that is gone already hears nothing
	}
	return stepFailed
}

// aborter is an answer that can be broken off.
type aborter interface {
	http.ResponseWriter
	Abort()
}

// answer lets the virtual server answer, unless the connection's rule has it otherwise. false: the connection is
// over.
func (c *conn) answer(vs *VirtualServer, w aborter, r *site.Request) bool {
	if c.rule == nil {
		vs.block.Serve(w, r)
		return true
	}
	switch c.rule.Action {
	case faults.Error:
		c.fireIf(faults.Error)
		vs.block.ServeBroken(w, r)
		return true
	case faults.CloseOnReuse:
		if r.Conn.Requests > 1 {
			c.fireIf(faults.CloseOnReuse)
			w.Abort()
			return false
		}
	case faults.Slow:
		c.fireIf(faults.Slow)
		select {
		case <-time.After(c.rule.Duration):
		case <-c.s.stop:
		}
	}
	vs.block.Serve(w, r)
	return true
}

// applyFilters puts the rules for the way to the server on the listeners; mu is held.
func (s *Server) applyFilters(rules []faults.Rule) error {
	for _, l := range s.listeners {
		if l.filter == nil {
			continue
		}
		var mine []faults.Rule
		for _, r := range rules {
			if r.OnListener() {
				mine = append(mine, r)
			}
		}
		if len(mine) > 0 || l.filtered {
			if err := l.filter.SetRules(mine); err != nil {
				return err
			}
			l.filtered = len(mine) > 0
		}
	}
	return nil
}

// checkRules refuses rules that this edge cannot carry out.
func (c *Config) checkRules() error {
	for i := range c.Faults {
		switch r := &c.Faults[i]; {
		case r.Engine != faults.EngineEdge:
		case r.Action == faults.CertExpired && c.expired == nil:
			return fmt.Errorf("rule %q: cert_expired needs a certificate whose time is over (Options.Expired)", r.Name)
		case (r.Action == faults.CertExpired || r.Action == faults.ClockWrong || r.At == stage.ClientHello) && !c.Stack.Library:
			return fmt.Errorf("rule %q: the stack %q cannot carry out %s", r.Name, c.Stack.Name, r.Action)
		}
	}
	return nil
}

// SetFaults begins another phase: its rules are in force and its counts begin, from now on.
func (s *Server) SetFaults(phase string, rules []faults.Rule) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := *s.cfg.Load()
	cfg.Phase, cfg.Faults = phase, rules
	if err := cfg.checkRules(); err != nil {
		return err
	}
	s.cfg.Store(&cfg)
	s.count.newPhase()
	return s.applyFilters(rules)
}

// pollEvery is how often drops are counted; retransmissions are 200 ms apart and more.
const pollEvery = 40 * time.Millisecond

// watchArmed counts the drops of armed connections and takes the filter off those that have had enough.
func (s *Server) watchArmed() {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-tick.C:
			s.mu.Lock()
			for c := range s.armed {
				if f, done, err := c.armed.Poll(now); done || err != nil {
					delete(s.armed, c)
					s.reportDrop(c, f)
				}
			}
			s.mu.Unlock()
		}
	}
}

// disarm takes the filter off a connection that ends, and reports what it has dropped. The socket is open.
func (s *Server) disarm(c *conn) {
	if c.armed == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.armed[c]; ok {
		delete(s.armed, c)
		f, _ := c.armed.Disarm(time.Now())
		s.reportDrop(c, f)
	}
}

func (s *Server) reportDrop(c *conn, f faults.Firing) {
	if rep := s.cfg.Load().Reporter; rep != nil && f.Packets > 0 {
		f.Tuple = c.tuple()
		rep.Firing(f)
	}
}

// Release lets SYN segments from this source through again: the client has counted enough of a drop at syn.
func (s *Server) Release(source netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l.filter != nil {
			if err := l.filter.Release(source); err != nil {
				return err
			}
		}
	}
	return nil
}
