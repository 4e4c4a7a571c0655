package interop

import (
	"fmt"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// visit makes one connection as a browser: its hello, its second hello if it is asked for one, its
// session if it has one.
func visit(addr string, p *profiles.Profile, s *engine.Session) dialled {
	random := seeded(21)
	cfg := &engine.ClientConfig{ServerName: serverName, Verifier: &engine.Verifier{Roots: pki().roots}, Rand: random, Session: s}
	params := profiles.HelloParams{ServerName: serverName, Random: random, Now: time.Now()}
	params.Shares = func(g wire.Group) []byte {
		if !keys.Supported(g) { // a GREASE share, or a draft that is offered only
			return make([]byte, draftShare(g))
		}
		share, err := keys.GenerateShare(g, random)
		if err != nil {
			return nil
		}
		cfg.Shares = append(cfg.Shares, share)
		return share.Public()
	}
	p.NewMemory().First().Params(&params)
	if s != nil {
		o := &profiles.ResumeOffer{Version: s.Version, Suite: s.Suite}
		switch {
		case s.Version == wire.TLS13:
			o.Identity, o.BinderLen = s.Ticket, len(s.Secret)
			o.ObfuscatedAge = uint32(time.Since(s.Created).Milliseconds()) + s.AgeAdd
		case len(s.Ticket) > 0:
			o.Ticket = s.Ticket
		default:
			o.ID = s.ID
		}
		params.Resume = o
	}
	ch, err := p.Hello(&params)
	if err != nil {
		return dialled{err: err}
	}
	cfg.Retry = func(r *engine.HelloRetry) (*hello.ClientHello, error) {
		second := params
		second.Second = &profiles.SecondHello{First: ch, Group: r.Group, Cookie: r.Cookie}
		second.Shares = func(wire.Group) []byte { return r.Public }
		if r.DropPSK {
			second.Resume = nil
		}
		return p.Hello(&second)
	}
	return dial(addr, cfg, ch, offer{})
}

// draftShare is the length of a share that goes out and is never agreed on.
func draftShare(g wire.Group) int {
	if g == wire.X25519Kyber768 {
		return 1216
	}
	return 1
}

// modern are the browsers of `today` and of the years when TLS 1.3 spread.
var modern = []string{
	"chrome-70-win10", "chrome-79-win10", "chrome-101-win10", "chrome-133", "chrome-150-macos", "chromium-156-linux",
	"edge-101-win10", "firefox-66-win10", "firefox-100-win10", "firefox-144-linux", "firefox-153esr-linux",
	"safari-15.4-macos12.3", "safari-18.4-ios", "safari-26.0.1-macos", "curl-7.88.1-openssl3.0", "gnutls-3.7.9", "go-1.26-nethttp",
}

// TestModernProfiles sends today's browsers' hellos to a real nginx with its default TLS 1.2 and 1.3: a
// full and a resumed handshake, each with a request and an answer; and to one that knows P-384 alone,
// where TLS 1.3 needs a HelloRetryRequest.
func TestModernProfiles(t *testing.T) {
	need(t, "nginx")
	const common = "ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_session_cache shared:SSL:1m;\n    "
	for _, n := range []struct {
		why, conf string
		group     wire.Group // what a TLS 1.3 handshake must end up with; 0: any
	}{
		{"default curves", common, 0},
		{"P-384 alone", common + "ssl_ecdh_curve secp384r1;", wire.Secp384r1},
	} {
		addr, _ := startNginxWith(t, &pki().ecdsa, n.conf)
		for _, name := range modern {
			t.Run(n.why+"/"+name, func(t *testing.T) {
				p, err := profiles.Lookup(name)
				if err != nil {
					t.Fatal(err)
				}
				first := visit(addr, p, nil)
				want := cell{version: min(p.MaxVersion(), wire.TLS13), suite: first.facts.Suite}
				check(t, want, first, engine.NotResumed)
				if first.facts.Version == wire.TLS13 && n.group != 0 && first.facts.Group != n.group {
					t.Errorf("group %v, wanted %v", first.facts.Group, n.group)
				}
				if name == "go-1.26-nethttp" { // net/http has no session cache by default, and says so in its hello
					if len(first.sessions) != 0 {
						t.Error("a session for a hello without psk_key_exchange_modes")
					}
					return
				}
				if len(first.sessions) == 0 {
					t.Fatal("no session to resume")
				}
				s := first.sessions[0]
				how := engine.ByPSK
				if s.Version < wire.TLS13 {
					how = map[bool]engine.Resumption{true: engine.ByTicket, false: engine.ByID}[len(s.Ticket) > 0]
				}
				check(t, want, visit(addr, p, s), how)
				t.Log(describe(&first.facts), fmt.Sprint(len(first.sessions), " sessions"))
			})
		}
	}
}
