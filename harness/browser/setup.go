package browser

import (
	"errors"
	"math/rand/v2"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// setup is what an attempt needs until its handshake is over. One whose handshake succeeded serves the next
// attempt: the engine has let go of it by then.
type setup struct {
	try     *try
	session *engine.Session // offered
	client  engine.ClientConfig
	random  rand.ChaCha8
	params  profiles.HelloParams
	hello   hello.ClientHello
	shares  []*keys.Share
	err     error // of drawing a share

	// made once
	share func(wire.Group) []byte
	retry func(*engine.HelloRetry) (*hello.ClientHello, error)
}

// maxSpare is how many used ones are kept: as many as finish in one turn of a busy loop.
const maxSpare = 64

// newSetup takes a used one, or makes one.
func (a *Agent) newSetup() *setup {
	if n := len(a.spare); n > 0 {
		s := a.spare[n-1]
		a.spare = a.spare[:n-1]
		s.session, s.err = nil, nil
		clear(s.shares)
		s.shares = s.shares[:0]
		return s
	}
	s := new(setup)
	s.share, s.retry = s.drawShare, s.second
	return s
}

// startTLS builds the ClientHello from what the profile does now, and the engine for it.
func (t *try) startTLS() error {
	b := t.conn.b
	a := b.agent
	k, s := t.key(), t.setup
	s.try = t
	s.random.Seed(a.seed(uint64(k.Browser)<<32 ^ uint64(k.Connection)<<16 ^ uint64(k.Attempt)))
	s.client = engine.ClientConfig{
		ServerName: a.cfg.ServerName, Verifier: b.host.verifier, MinDHBits: b.host.manners.MinDHBits, Session: s.session, Rand: &s.random,
		KeyPool: a.keys, Split: b.host.split, FalseStart: b.host.manners.FalseStart, KeyLog: a.cfg.KeyLog,
		Retry: s.retry, EarlyData: t.conn.zeroRTT(s.session),
	}
	if b.who.astray {
		s.client.Clock = b.host.clock
	}
	s.params = profiles.HelloParams{ServerName: a.cfg.ServerName, Random: &s.random, Now: a.loop.Wall(t.connected).Add(s.client.Clock),
		Resume: t.offer(), EarlyData: s.client.EarlyData != nil, Shares: s.share}
	t.plan.Params(&s.params)
	if err := b.host.profile.Fill(&s.hello, &s.params); err != nil {
		return errors.Join(err, s.err)
	}
	t.overrideALPN(&s.hello)
	s.client.Shares = s.shares
	var err error
	t.tls, err = engine.NewClient(&s.client, &s.hello)
	return err
}

// drawShare is the public half of a share for the hello.
func (s *setup) drawShare(g wire.Group) []byte {
	share, err := s.try.conn.b.agent.keys.Share(g)
	if err != nil {
		s.err = err
		return nil
	}
	s.shares = append(s.shares, share)
	return share.Public()
}

// second is the ClientHello after a HelloRetryRequest, as the profile makes it.
func (s *setup) second(r *engine.HelloRetry) (*hello.ClientHello, error) {
	p := s.params
	if r.DropPSK {
		p.Resume = nil
	}
	p.EarlyData = false
	p.Second = &profiles.SecondHello{First: &s.hello, Group: r.Group, Cookie: r.Cookie}
	if r.Public != nil {
		p.Shares = func(wire.Group) []byte { return r.Public }
	}
	return s.try.conn.b.host.profile.Hello(&p)
}
