package browser

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// try is one connection attempt, from its intended start until its connection ends.
type try struct {
	conn *conn
	key  faults.Key
	plan profiles.Plan
	edge uint8

	intended, start      time.Duration // on the loop's clock
	connected, handshake time.Duration // -1: not reached
	idleSince            time.Duration

	session *engine.Session // offered
	issuer  uint8           // the edge that issued it
	asked   string

	tls    *engine.Conn
	client engine.ClientConfig
	random stream
	shares []*keys.Share

	local, target netip.AddrPort
	rule          *faults.Rule // that hit this attempt; nil for none
	weapon        *weapon      // nil once it has struck, or where it acts elsewhere

	backed bool // a second connection was opened because this one's SYN went unanswered

	// mark is what a request on this connection came to although the connection itself went on.
	mark *mark
}

// stream is the randomness of one attempt; when its handshake is over the agent's own takes its place.
type stream struct{ io.Reader }

// kind is run.json's attempt_kind.
func (t *try) kind() string {
	if t.plan.Kind == profiles.KindFirst && t.asked != "" {
		return "resumed"
	}
	return t.plan.Kind
}

// startTLS builds the ClientHello from what the profile does now, and the engine for it.
func (t *try) startTLS() error {
	b := t.conn.b
	a := b.agent
	t.random.Reader = a.random(uint64(t.key.Browser)<<32 ^ uint64(t.key.Connection)<<16 ^ uint64(t.key.Attempt))
	random := &t.random
	t.client = engine.ClientConfig{
		ServerName: a.cfg.ServerName, Verifier: a.cfg.Verifier, Session: t.session, Rand: random,
		KeyPool: a.keys, FalseStart: b.host.manners.FalseStart, KeyLog: a.cfg.KeyLog,
	}
	p := profiles.HelloParams{ServerName: a.cfg.ServerName, Random: random, Now: a.loop.Wall(t.connected)}
	t.plan.Params(&p)
	p.Resume = t.offer()
	var shareErr error
	p.Shares = func(g wire.Group) []byte {
		s, err := a.keys.Share(g)
		if err != nil {
			shareErr = err
			return nil
		}
		t.shares = append(t.shares, s)
		return s.Public()
	}
	ch, err := b.host.profile.Hello(&p)
	if err != nil {
		return errors.Join(err, shareErr)
	}
	t.overrideALPN(ch)
	t.client.Shares = t.shares
	t.client.Retry = func(r *engine.HelloRetry) (*hello.ClientHello, error) { return t.second(p, ch, r) }
	t.tls, err = engine.NewClient(&t.client, ch)
	return err
}

// second is the ClientHello after a HelloRetryRequest, as the profile makes it.
func (t *try) second(p profiles.HelloParams, first *hello.ClientHello, r *engine.HelloRetry) (*hello.ClientHello, error) {
	if r.DropPSK {
		p.Resume = nil
	}
	p.Second = &profiles.SecondHello{First: first, Group: r.Group, Cookie: r.Cookie}
	if r.Public != nil {
		p.Shares = func(wire.Group) []byte { return r.Public }
	}
	return t.conn.b.host.profile.Hello(&p)
}

// offer puts the stored session into the hello's terms.
func (t *try) offer() *profiles.ResumeOffer {
	s := t.session
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
	t.session, t.shares = nil, nil
	t.plan.Cause = profiles.Failure{}
	t.random.Reader = t.conn.b.agent.rand
	t.client = engine.ClientConfig{Rand: &t.random, KeyLog: t.client.KeyLog, ServerName: t.client.ServerName}
}
