package profiles

import (
	"context"
	"crypto/ecdh"
	"crypto/mlkem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Sample asks for one hello of a profile to look at, or to send by other means.
type Sample struct {
	Attempt    string // "first" or "fallback"
	Resume     string // "none", "id", "ticket" or "psk"
	ServerName string // "" is www.example.test
	Seed       uint64 // the same seed gives the same hello
	Now        time.Time
}

// Sample builds the hello. Its key shares are public keys that nobody holds the other half of, its
// session or ticket is random: a server answers as to a browser whose session it has forgotten.
func (p *Profile) Sample(s Sample) (*hello.ClientHello, error) {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(s.Seed >> (8 * i))
	}
	draws := rand.NewChaCha8(key)
	if s.ServerName == "" {
		s.ServerName = "www.example.test"
	}
	hp := &HelloParams{ServerName: s.ServerName, Random: draws, Now: s.Now}
	var shareErr error
	hp.Shares = func(g wire.Group) []byte {
		pub, err := sampleShare(g, draws)
		shareErr = errors.Join(shareErr, err)
		return pub
	}
	switch s.Attempt {
	case "", "first":
	case "fallback":
		plan, ok := p.firstFallback()
		if !ok {
			return nil, fmt.Errorf("profile %s: it never falls back to a lower version", p.Name)
		}
		plan.Params(hp)
	default:
		return nil, fmt.Errorf("attempt %q: allowed are first and fallback", s.Attempt)
	}
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		draws.Read(b)
		return b
	}
	switch s.Resume {
	case "", "none":
	case "id":
		hp.Resume = &ResumeOffer{ID: bytesOf(32), Version: min(p.maxVersion, wire.TLS12)}
	case "ticket":
		if !p.OffersTicket() {
			return nil, fmt.Errorf("profile %s: its hello has no session_ticket extension", p.Name)
		}
		hp.Resume = &ResumeOffer{Ticket: bytesOf(192), Version: min(p.maxVersion, wire.TLS12)}
	case "psk":
		hp.Resume = &ResumeOffer{Identity: bytesOf(105), ObfuscatedAge: draws32(draws), BinderLen: 32, Version: wire.TLS13}
	default:
		return nil, fmt.Errorf("resume %q: allowed are none, id, ticket and psk", s.Resume)
	}
	ch, err := p.Hello(hp)
	if err == nil && s.Resume == "ticket" && !ch.Has(wire.ExtSessionTicket) {
		return nil, fmt.Errorf("profile %s: its %v hello has no session_ticket extension, so it offers no ticket; allowed: none, id", p.Name, ch.MaxVersion())
	}
	if shareErr != nil {
		err = shareErr
	}
	if err == nil && s.Resume == "psk" {
		err = ch.SetBinder(0, bytesOf(32))
	}
	return ch, err
}

func draws32(r *rand.ChaCha8) uint32 { return uint32(r.Uint64()) }

// firstFallback finds the first lowered offer that the browser makes, whatever sets it off.
func (p *Profile) firstFallback() (Plan, bool) {
	for _, f := range []Failure{
		{Kind: FailReset, AwaitingServerHello: true},
		{Kind: FailEOF, AwaitingServerHello: true},
		{Kind: FailAlert, Alert: wire.AlertHandshakeFailure, AwaitingServerHello: true},
	} {
		m := p.NewMemory()
		plan := m.First()
		for range 20 {
			d := m.Failed(plan, f)
			if !d.Retry {
				break
			}
			if plan = d.Next; plan.MaxVersion < p.maxVersion {
				return plan, true
			}
		}
	}
	return Plan{}, false
}

// sampleShare gives a valid public share of a group, drawn from r.
func sampleShare(g wire.Group, r io.Reader) ([]byte, error) {
	draw := func(c ecdh.Curve, n int) ([]byte, error) {
		b := make([]byte, n)
		for range 8 {
			if _, err := io.ReadFull(r, b); err != nil {
				return nil, err
			}
			// A P-521 scalar has 521 bits: the top byte holds one of them.
			if n == 66 {
				b[0] &= 1
			}
			if k, err := c.NewPrivateKey(b); err == nil {
				return k.PublicKey().Bytes(), nil
			}
		}
		return nil, fmt.Errorf("no key for %v in eight draws", g)
	}
	switch g {
	case wire.X25519:
		return draw(ecdh.X25519(), 32)
	case wire.Secp256r1:
		return draw(ecdh.P256(), 32)
	case wire.Secp384r1:
		return draw(ecdh.P384(), 48)
	case wire.Secp521r1:
		return draw(ecdh.P521(), 66)
	case wire.X25519MLKEM768:
		seed := make([]byte, mlkem.SeedSize)
		if _, err := io.ReadFull(r, seed); err != nil {
			return nil, err
		}
		k, err := mlkem.NewDecapsulationKey768(seed)
		if err != nil {
			return nil, err
		}
		x, err := draw(ecdh.X25519(), 32)
		return append(k.EncapsulationKey().Bytes(), x...), err
	}
	return nil, fmt.Errorf("no sample key share for group %v", g)
}

// Listen takes ClientHellos from live connections on ln, at most count of them and until ctx ends, and
// closes each connection after its hello. It reads at most 64 KiB and waits at most wait for each.
func Listen(ctx context.Context, ln net.Listener, count int, wait time.Duration) ([]hello.Captured, error) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var found []hello.Captured
	for len(found) < count {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil && len(found) > 0 {
				return found, nil
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("no ClientHello came: %w", context.Cause(ctx))
			}
			return found, err
		}
		h, err := readHello(c, wait)
		c.Close()
		if err != nil {
			return found, fmt.Errorf("from %v: %w", c.RemoteAddr(), err)
		}
		found = append(found, h)
	}
	return found, nil
}

// readHello reads one hello from a connection.
func readHello(c net.Conn, wait time.Duration) (hello.Captured, error) {
	start := time.Now()
	if err := c.SetReadDeadline(start.Add(wait)); err != nil {
		return hello.Captured{}, err
	}
	buf := make([]byte, 0, 1<<16)
	for {
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		ch, rest, perr := hello.Parse(buf)
		switch {
		case perr == nil:
			out := hello.Captured{Hello: ch, Raw: buf[:len(buf)-len(rest)], Time: start}
			if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
				out.Client = a.AddrPort()
			}
			if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
				out.Server = a.AddrPort()
			}
			return out, nil
		case !errors.Is(perr, wire.ErrShort):
			return hello.Captured{}, perr
		case err != nil:
			return hello.Captured{}, fmt.Errorf("after %d bytes: %w", len(buf), err)
		case len(buf) == cap(buf):
			return hello.Captured{}, fmt.Errorf("no whole ClientHello in %d bytes", len(buf))
		}
	}
}
