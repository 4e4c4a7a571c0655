package interop

import (
	"strings"
	"testing"

	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
)

func serverNames() (names []string) {
	for _, p := range peerServers {
		names = append(names, p.name)
	}
	return names
}

// testClientMatrix connects our client to every peer's server: one server process per certificate, and
// the client's hello decides the rest.
func testClientMatrix(t *testing.T) {
	for _, p := range peerServers {
		for _, kind := range p.certs {
			t.Run(p.name+" "+kind, func(t *testing.T) {
				if p.peer != "" {
					need(t, p.peer)
				}
				addr := p.start(t, pki().identity(kind), false)
				for _, v := range versions {
					addr := addr
					if v == wire.SSL30 && p.start30 != nil && kind == "rsa" {
						addr = p.start30(t, pki().identity(kind))
					}
					for _, suite := range suitesOf(v, kind) {
						for _, m := range modesOf(v) {
							c := cell{"client", p.name, v, suite, groupOf(suite), kind, m}
							try(t, c, func(t *testing.T) { connect(t, addr, c) })
						}
					}
				}
				for _, c := range extraCells("client", p.name, kind) {
					try(t, c, func(t *testing.T) { connect(t, addr, c) })
				}
				addr = p.start(t, pki().identity(kind), true)
				for _, c := range authCells("client", p.name, kind) {
					try(t, c, func(t *testing.T) { connect(t, addr, c) })
				}
			})
		}
	}
}

// extraCells are the combinations beside version x suite x mode: the other groups, and what only TLS
// 1.3 has, each on one suite.
func extraCells(ours, peer, kind string) (cells []cell) {
	suite12 := wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	if kind == "ecdsa" {
		suite12 = wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	}
	for _, g := range []wire.Group{wire.Secp256r1, wire.Secp384r1} {
		if g == wire.Secp384r1 && kind == "ecdsa" {
			continue // the certificate's curve must be listed too, and would be chosen
		}
		cells = append(cells, cell{ours, peer, wire.TLS12, suite12, g, kind, modeFull})
	}
	for _, g := range []wire.Group{wire.Secp256r1, wire.Secp384r1, wire.X25519MLKEM768} {
		for _, m := range []mode{modeFull, modePSK} {
			cells = append(cells, cell{ours, peer, wire.TLS13, wire.TLS_AES_128_GCM_SHA256, g, kind, m})
		}
	}
	for _, m := range []mode{modeRetry, modePSKHRR, modeEarly, modeRefused, modeUpdate, modeComp} {
		cells = append(cells, cell{ours, peer, wire.TLS13, wire.TLS_AES_128_GCM_SHA256, wire.X25519, kind, m})
	}
	return cells
}

// authCells are those with a client certificate.
func authCells(ours, peer, kind string) []cell {
	suite := wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	if kind == "ecdsa" {
		suite = wire.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	}
	return []cell{
		{ours, peer, wire.TLS12, suite, wire.X25519, kind, modeClient},
		{ours, peer, wire.TLS13, wire.TLS_AES_128_GCM_SHA256, wire.X25519, kind, modeClient},
	}
}

// connect makes the connections of one cell and checks what each came to.
func connect(t *testing.T, addr string, c cell) {
	o := offer{max: c.version, suites: []wire.CipherSuite{c.suite}, ems: true, etm: true, ticket: c.mode == modeTicket, alpn: []string{"http/1.1"}}
	if c.group != 0 {
		o.groups = []wire.Group{c.group}
		if (c.cert == "ecdsa" || c.mode == modeClient) && c.group != wire.Secp256r1 && c.version < wire.TLS13 {
			// supported_groups also says which curves a certificate may be on (RFC 8422 §5.1.1).
			o.groups = append(o.groups, wire.Secp256r1)
		}
	}
	if c.mode == modeComp {
		o.certs = []wire.CertCompression{wire.CertZlib}
	}
	if c.mode == modeClient {
		o.client = pki().client.engine
	}
	o.update = c.mode == modeUpdate
	o.noShare = c.mode == modeRetry
	verifier := &engine.Verifier{Roots: pki().roots}
	first := dialOffer(o, addr, verifier, 1)
	check(t, c, first, engine.NotResumed)
	if c.mode == modeComp && first.facts.CertCompression != wire.CertZlib {
		t.Errorf("the certificate came uncompressed")
	}
	want := map[mode]engine.Resumption{
		modeID: engine.ByID, modeTicket: engine.ByTicket, modePSK: engine.ByPSK, modePSKHRR: engine.ByPSK,
		modeEarly: engine.ByPSK, modeRefused: engine.ByPSK,
	}[c.mode]
	if want == engine.NotResumed || t.Failed() {
		return
	}
	if len(first.sessions) == 0 {
		t.Fatal("no session to resume")
	}
	o.session = first.sessions[len(first.sessions)-1]
	o.noShare = c.mode == modePSKHRR || c.mode == modeRefused
	if c.mode == modeEarly || c.mode == modeRefused {
		if o.session.MaxEarly == 0 {
			t.Fatal("the ticket does not allow 0-RTT data")
		}
		o.early = []byte(request)
	}
	// gnutls-serv prints 0-RTT data and answers what comes after it.
	o.again = c.mode == modeEarly && c.peer == "gnutls-serv"
	second := dialOffer(o, addr, verifier, 2)
	check(t, c, second, want)
	if second.facts.EarlyOK != (c.mode == modeEarly) || second.rejected != (c.mode == modeRefused) {
		t.Errorf("0-RTT accepted %v, rejected %v", second.facts.EarlyOK, second.rejected)
	}
}

func dialOffer(o offer, addr string, v *engine.Verifier, seed uint64) dialled {
	cfg, ch, err := o.build(seeded(seed), v)
	if err != nil {
		return dialled{err: err}
	}
	return dial(addr, cfg, ch, o)
}

func check(t *testing.T, c cell, d dialled, want engine.Resumption) {
	t.Helper()
	if d.err != nil {
		t.Fatalf("%v (%s)", d.err, describe(&d.facts))
	}
	f := d.facts
	if f.Version != c.version || f.Suite != c.suite || f.Resumed != want {
		t.Errorf("negotiated %s, wanted resumption %q", describe(&f), want)
	}
	if c.group != 0 && want == engine.NotResumed && f.Group != c.group {
		t.Errorf("group %v, wanted %v", f.Group, c.group)
	}
	if len(d.answer) == 0 {
		t.Error("no application data came back")
	}
	if want != engine.NotResumed && strings.Contains(d.answer, "reused=") && !saysReused(d.answer) {
		t.Errorf("we think the handshake resumed, the server does not: %q", d.answer)
	}
}

// saysReused understands nginx ("r"), HAProxy ("1") and crypto/tls ("true").
func saysReused(answer string) bool {
	for _, yes := range []string{"reused=r", "reused=1", "reused=true"} {
		if strings.Contains(answer, yes) {
			return true
		}
	}
	return false
}
