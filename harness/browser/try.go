package browser

import (
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// try is one connection attempt, from its intended start until its connection ends.
//
// It is small, as there are as many as connections held; what only the handshake needs is in setup.
type try struct {
	conn  *conn
	plan  *profiles.Plan // shared with others of the same plan once the handshake is over
	setup *setup         // nil once the handshake is over
	tls   *engine.Conn

	intended, start      time.Duration // on the loop's clock
	connected, handshake time.Duration // -1: not reached
	idleSince            time.Duration

	target *netip.AddrPort     // the edge, or a relay to it
	rule   *faults.Rule        // that hit this attempt; nil for none
	weapon *weapon             // nil once it has struck, or where it acts elsewhere
	mark   *mark               // what a request came to, although its connection went on
	page   results.PageVerdict // of the page load that ended on this connection

	source  [16]byte // the connection's own address and port
	port    uint16
	attempt uint16 // Key.Attempt
	edge    uint8
	issuer  uint8             // the edge that issued what was offered
	asked   engine.Resumption // how the session offered resumes
	struck  bool              // the rule has done damage, as this agent itself saw
	backed  bool              // a second connection was opened because this one's SYN went unanswered
}

// key names the attempt in outcomes, ledger and draws.
func (t *try) key() faults.Key {
	c := t.conn
	return faults.Key{Phase: c.b.agent.cfg.Phase, Browser: c.b.who.index, Connection: c.number, Attempt: t.attempt}
}

// local is the connection's own end.
func (t *try) local() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(t.source).Unmap(), t.port)
}

// session is what was offered, while the handshake lasts.
func (t *try) session() *engine.Session {
	if t.setup == nil {
		return nil
	}
	return t.setup.session
}

// kind is run.json's attempt_kind.
func (t *try) kind() string {
	if t.plan.Kind == profiles.KindFirst && t.asked != engine.NotResumed {
		return "resumed"
	}
	return t.plan.Kind
}

// offer puts the stored session into the hello's terms.
func (t *try) offer() *profiles.ResumeOffer {
	s := t.session()
	if s == nil {
		return nil
	}
	o := &profiles.ResumeOffer{Version: s.Version, Suite: s.Suite}
	switch {
	case s.Version >= wire.TLS13:
		now := t.conn.b.agent.loop.Wall(t.connected)
		o.Identity = s.Ticket
		// RFC 8446 §4.2.11.1, Ticket Age: milliseconds since the ticket came, plus ticket_age_add.
		o.ObfuscatedAge = uint32(now.Sub(s.Created).Milliseconds()) + s.AgeAdd
		o.BinderLen = len(s.Secret)
	case len(s.Ticket) > 0:
		o.Ticket = s.Ticket
	default:
		o.ID = s.ID
	}
	return o
}

// overrideALPN replaces the hello's protocols where the scenario asks for it. Browsers without ALPN stay
// without.
func (t *try) overrideALPN(ch *hello.ClientHello) {
	protocols := t.conn.b.agent.cfg.ALPN
	if len(protocols) == 0 {
		return
	}
	for i := range ch.Extensions {
		if ch.Extensions[i].Type != wire.ExtALPN {
			continue
		}
		var list []byte
		for _, p := range protocols {
			list = append(append(list, byte(len(p))), p...)
		}
		ch.Extensions[i].Data = wire.AppendVec16(nil, list)
	}
}

// settle gives up what only the handshake needed: the connection may live long and should weigh little.
func (t *try) settle() {
	a := t.conn.b.agent
	t.tls.Rebase(&t.conn.b.host.settled)
	if len(a.spare) < maxSpare {
		a.spare = append(a.spare, t.setup)
	}
	t.setup = nil
	t.plan = a.shared(*t.plan)
}

// answered ends the chain that led to this connection: a request that fails on it later is not one more
// attempt of the one that was served.
func (t *try) answered() {
	if t.plan.Attempt == 1 {
		return
	}
	p := *t.plan
	p.Attempt = 1
	t.plan = t.conn.b.agent.shared(p)
}

// shared gives one plan for all connections that were made by an equal one: there are a handful.
func (a *Agent) shared(p profiles.Plan) *profiles.Plan {
	p.Cause = profiles.Failure{}
	if have := a.plans[p]; have != nil {
		return have
	}
	a.plans[p] = &p
	return &p
}
