package relay

import (
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// onSpan has the fault judge one span and carries the verdict out.
func (s *session) onSpan(p *direction, span stage.Span) error {
	bytes := p.pending[:span.N]
	if span.Start {
		p.record = Record{At: p.offset, Type: bytes[0], Fragment: span.Fragment}
	}
	v := s.judge(Bytes{Stage: span.Stage, Direction: p.d, P: bytes, Offset: p.offset, Into: p.into[span.Stage], Record: p.record})
	if err := s.execute(p, bytes, v); err != nil {
		return err
	}
	p.into[span.Stage] += int64(span.N)
	p.offset += int64(span.N)
	p.pending = p.pending[:copy(p.pending, p.pending[span.N:])]
	return nil
}

// judge asks the fault, and writes the ledger if it strikes.
func (s *session) judge(b Bytes) Verdict {
	s.mu.Lock()
	b.Struck, b.Unit = s.struck, s.unit
	var v Verdict
	if b.Stage == stage.Request && s.turn != stage.Request {
		s.requests++
	}
	if b.Stage == stage.Request || b.Stage == stage.Response {
		s.turn = b.Stage
	}
	if due := s.rule.Request == 0 || s.rule.Request == s.requests || s.struck; due && !s.spared {
		v = s.decide(s.rule, b)
	}
	s.struck = s.struck || v.Strike
	s.hole = s.hole || v.Ending == Discard
	if v.Hold > 0 {
		till := farAhead
		if v.Hold != Forever {
			till = time.Now().Add(v.Hold)
		}
		if b.Direction != 0 {
			s.holdTill[b.Direction-1] = till
		} else {
			s.holdTill = [2]time.Time{till, till}
		}
	}
	s.moved = time.Now()
	s.answered = s.answered || b.Stage == stage.Response
	s.mu.Unlock()
	if v.Strike && s.relay.cfg.Ledger != nil {
		s.relay.cfg.Ledger(s.firing(b, v))
	}
	return v
}

func (s *session) firing(b Bytes, v Verdict) faults.Firing {
	client, server := s.ends[0], s.ends[1]
	return faults.Firing{
		Rule: s.rule.Name, Engine: string(faults.EngineRelay), Action: string(s.rule.Action),
		Stage: b.Stage.String(), Direction: b.Direction.String(), Key: s.key, HasKey: true,
		Tuple:    faults.Tuple{Client: addrPort(client.RemoteAddr()), Server: addrPort(client.LocalAddr())},
		Upstream: &faults.Tuple{Client: addrPort(server.LocalAddr()), Server: addrPort(server.RemoteAddr())},
		Time:     time.Now(), Offset: b.Offset + int64(v.At),
	}
}

// execute forwards what the verdict lets pass, as it says, and ends the session if it says so.
func (s *session) execute(p *direction, bytes []byte, v Verdict) error {
	if err := s.hold(p); err != nil {
		return err
	}
	pass := bytes
	if v.Ending != Pass {
		pass = bytes[:v.Forward]
	}
	if v.Flip != 0 {
		pass[v.At] ^= v.Flip
	}
	var err error
	switch {
	case len(pass) == 0:
	case v.Segment > 0:
		err = writeSegments(p.dst, pass, v.Segment)
	case v.Rate > 0:
		err = s.writePaced(p, pass, v.Rate)
	default:
		_, err = p.dst.Write(pass)
	}
	if err != nil {
		return err
	}
	switch v.Ending {
	case Close:
		s.close(p)
		return errEnded
	case Reset:
		s.linger0()
		s.stop()
		return errEnded
	}
	return nil
}
