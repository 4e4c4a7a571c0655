package main

import (
	"crypto/rand"
	"crypto/x509"
	"io"
	"strings"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// What BoringSSL does by default, which is what the tests take for granted.
var (
	suites13      = []wire.CipherSuite{0x1301, 0x1302, 0x1303}
	defaultSuites = []wire.CipherSuite{0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0xc023, 0xc027, 0x009c, 0x009d, 0x002f, 0x0035}
	defaultGroups = []wire.Group{wire.X25519MLKEM768, wire.X25519, wire.Secp256r1, wire.Secp384r1}
	verifySchemes = []wire.SignatureScheme{
		wire.ECDSASecp256r1SHA256, wire.RSAPSSRSAESHA256, wire.RSAPKCS1SHA256, wire.ECDSASecp384r1SHA384, wire.RSAPSSRSAESHA384,
		wire.RSAPKCS1SHA384, wire.RSAPSSRSAESHA512, wire.RSAPKCS1SHA512, wire.RSAPKCS1SHA1,
	}
)

// suites expands -cipher; the words that only BoringSSL has are not for us.
func (o *options) suites() ([]wire.CipherSuite, error) {
	switch {
	case o.ciphers == "":
		return defaultSuites, nil
	case o.ciphers == "3DES":
		return []wire.CipherSuite{0x000a}, nil
	case o.ciphers == "DEFAULT:3DES":
		return append(append([]wire.CipherSuite(nil), defaultSuites...), 0x000a), nil
	case strings.ContainsAny(o.ciphers, "[]|"):
		return nil, unimplemented("equal-preference groups of suites")
	}
	st, err := stack.Lookup("openssl-3.0")
	if err != nil {
		return nil, err
	}
	list, err := st.Expand(o.ciphers + ":@SECLEVEL=0")
	if err != nil {
		return nil, unimplemented(err.Error())
	}
	return list.Suites, nil
}

func (o *options) groups() []wire.Group {
	if o.curves != nil {
		return o.curves
	}
	return defaultGroups
}

func (o *options) versions() engine.VersionSet {
	var vs []wire.Version
	for v := max(o.minVersion, wire.TLS10); v <= o.maxVersion; v++ {
		if !o.off[v] {
			vs = append(vs, v)
		}
	}
	return engine.Versions(vs...)
}

func names(list string) (out []string) {
	for r := wire.NewReader([]byte(list)); r.Len() > 0; {
		out = append(out, string(r.Vec8()))
	}
	return out
}

// serve sets a server up.
func (p *play) serve(resume bool) error {
	suites, err := p.suites()
	if err != nil {
		return err
	}
	certs, err := p.certificates()
	if err != nil {
		return err
	}
	cfg := &engine.ServerConfig{
		Certificates: certs,
		Versions:     p.versions(), Suites: suites, Suites13: suites13, PreferServer: p.serverPreference, Groups: p.groups(),
		Sessions: p.shim.store, Tickets: p.shim.tickets, SessionLifetime: 2 * 3600e9, TicketCount: 2, Rand: rand.Reader,
		NPN: names(p.advertiseNPN), ClientSchemes: p.verifyPrefs, Exporters: p.exportLen > 0, ALPNStrict: p.rejectALPN, MaxFragment: p.maxSend,
		Rules: engine.Rules{OnlyUncompressed: true, AckServerName: !resume},
	}
	if p.verifyFail && p.requestCert {
		cfg.ClientVerifier = &engine.Verifier{Client: true, Roots: x509.NewCertPool()}
		// The suite's callbacks refuse without a reason; which alert that is depends on the callback.
		alert := wire.AlertHandshakeFailure
		if p.customVerify {
			alert = wire.AlertCertificateUnknown
		}
		cfg.Rules.Alerts = []engine.CauseAlert{{Cause: engine.ErrUnknownCA, Alert: alert}}
	}
	if p.noTicket {
		cfg.Tickets = nil
	}
	if p.early {
		cfg.MaxEarlyData = 14336
	}
	if p.split {
		cfg.Split = engine.SplitOne
	}
	if p.verifyPrefs == nil {
		cfg.ClientSchemes = verifySchemes
	}
	if p.selectALPN != nil {
		cfg.ALPN = []string{*p.selectALPN}
	}
	if p.rejectALPN {
		cfg.ALPN = []string{"\x00nothing that anybody offers"}
	}
	switch {
	case p.requireCert:
		cfg.ClientAuth = engine.ClientAuthRequire
	case p.requestCert:
		cfg.ClientAuth = engine.ClientAuthRequest
	}
	cfg.Select = func(ch *hello.ClientHello) (*engine.ServerConfig, error) {
		p.offered = ""
		for _, name := range ch.ALPN() {
			p.offered += string(rune(len(name))) + name
		}
		return nil, nil
	}
	p.c = engine.NewServer(cfg)
	return nil
}

// dial sets a client up with the hello that BoringSSL would send.
func (p *play) dial(resume bool) error {
	suites, err := p.suites()
	if err != nil {
		return err
	}
	certs, err := p.certificates()
	if err != nil {
		return err
	}
	if len(certs) > 1 {
		return unimplemented("a client with a choice of certificates")
	}
	cfg := &engine.ClientConfig{ServerName: p.hostName, Rand: rand.Reader, Versions: p.versions(), FalseStart: p.falseStart,
		MaxFragment: p.maxSend, Exporters: p.exportLen > 0}
	if len(certs) == 1 {
		cfg.Certificate = certs[0]
	}
	if p.verifyFail && p.requestCert {
		cfg.Verifier = &engine.Verifier{Roots: x509.NewCertPool()}
	}
	if resume {
		cfg.Session = p.shim.session
	}
	if s := cfg.Session; s != nil && s.Lifetime > 0 && !p.shim.now.Before(s.Created.Add(s.Lifetime)) {
		cfg.Session = nil // its time is over
	}
	if p.split {
		cfg.Split = engine.SplitOne
	}
	if p.selectNPN != nil {
		cfg.NPN = []string{*p.selectNPN}
	}
	if p.renegotiateFreely {
		cfg.Renegotiate = engine.RenegotiateSecure
	}
	ch, err := p.hello(cfg, suites)
	if err != nil {
		return err
	}
	cfg.Retry = func(r *engine.HelloRetry) (*hello.ClientHello, error) {
		p.retried = true
		return engine.EditHello(ch, r), nil
	}
	p.c, err = engine.NewClient(cfg, ch)
	return err
}

// hello builds the ClientHello.
func (p *play) hello(cfg *engine.ClientConfig, suites []wire.CipherSuite) (*hello.ClientHello, error) {
	top := cfg.Versions.Max()
	s := cfg.Session
	if s != nil && s.Version < wire.TLS13 && top == wire.TLS13 && !cfg.Versions.Has(s.Version) {
		cfg.Session, s = nil, nil
	}
	ch := &hello.ClientHello{RecordVersion: wire.TLS10, Version: min(top, wire.TLS12), Compression: []byte{0}, HasExtensions: true}
	if top == wire.TLS13 {
		ch.Suites = append(ch.Suites, suites13...)
	}
	if top != wire.TLS13 || cfg.Versions != engine.Versions(wire.TLS13) {
		for _, id := range suites {
			if k := keys.Lookup12(id); k != nil && (!k.Only12 || cfg.Versions.Has(wire.TLS12)) {
				ch.Suites = append(ch.Suites, id)
			}
		}
	}
	if p.scsv {
		ch.Suites = append(ch.Suites, wire.FallbackSCSV)
	}
	if _, err := io.ReadFull(cfg.Rand, ch.Random[:]); err != nil {
		return nil, err
	}
	if s != nil && s.Version < wire.TLS13 {
		ch.SessionID = s.ID
	}
	if len(ch.SessionID) == 0 && (top == wire.TLS13 || s != nil && len(s.Ticket) > 0) {
		ch.SessionID = make([]byte, 32)
		if _, err := io.ReadFull(cfg.Rand, ch.SessionID); err != nil {
			return nil, err
		}
	}
	p.extensions(ch, cfg)
	if top == wire.TLS13 {
		return ch, p.extensions13(ch, cfg)
	}
	return ch, nil
}

func u16s[T ~uint16](vs []T) (b []byte) {
	for _, v := range vs {
		b = wire.AppendU16(b, uint16(v))
	}
	return wire.AppendVec16(nil, b)
}

func (p *play) extensions(ch *hello.ClientHello, cfg *engine.ClientConfig) {
	add := func(t wire.ExtensionType, data []byte) {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: t, Data: data})
	}
	below13 := cfg.Versions&^engine.Versions(wire.TLS13) != 0
	if p.hostName != "" {
		add(wire.ExtServerName, wire.AppendVec16(nil, wire.AppendVec16([]byte{0}, []byte(p.hostName))))
	}
	if below13 {
		add(wire.ExtExtendedMasterSecret, nil)
		add(wire.ExtRenegotiationInfo, []byte{0})
	}
	groups := p.groups()
	if cfg.Versions.Max() < wire.TLS13 {
		groups = classical(groups)
	}
	add(wire.ExtSupportedGroups, u16s(groups))
	if below13 {
		add(wire.ExtECPointFormats, []byte{1, 0})
	}
	if below13 && !p.noTicket {
		var ticket []byte
		if s := cfg.Session; s != nil && s.Version < wire.TLS13 {
			ticket = s.Ticket
		}
		add(wire.ExtSessionTicket, ticket)
	}
	if p.selectNPN != nil && below13 {
		add(wire.ExtNextProtoNegotiation, nil)
	}
	if p.alpn != "" {
		add(wire.ExtALPN, wire.AppendVec16(nil, []byte(p.alpn)))
	}
	if p.ocspStapling {
		add(wire.ExtStatusRequest, []byte{1, 0, 0, 0, 0})
	}
	if cfg.Versions.Max() >= wire.TLS12 {
		schemes := p.verifyPrefs
		if schemes == nil {
			schemes = verifySchemes
		}
		add(wire.ExtSignatureAlgorithms, u16s(schemes))
	}
	if p.scts {
		add(wire.ExtSCT, nil)
	}
}

func (p *play) extensions13(ch *hello.ClientHello, cfg *engine.ClientConfig) error {
	add := func(t wire.ExtensionType, data []byte) {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: t, Data: data})
	}
	var versions []wire.Version
	for v := wire.TLS13; v >= wire.TLS10; v-- {
		if cfg.Versions.Has(v) {
			versions = append(versions, v)
		}
	}
	add(wire.ExtSupportedVersions, wire.AppendVec8(nil, u16s(versions)[2:]))
	add(wire.ExtPSKKeyExchangeModes, []byte{1, byte(wire.PSKDHE)})
	var shares []byte
	for _, g := range p.shareGroups() {
		share, err := keys.GenerateShare(g, cfg.Rand)
		if err != nil {
			return unimplemented(err.Error())
		}
		cfg.Shares = append(cfg.Shares, share)
		shares = append(shares, wire.AppendVec16(wire.AppendU16(nil, uint16(g)), share.Public())...)
	}
	add(wire.ExtKeyShare, wire.AppendVec16(nil, shares))
	s := cfg.Session
	if s == nil || s.Version != wire.TLS13 {
		return nil
	}
	if p.early && s.MaxEarly > 0 && (s.ALPN == "" || contains(names(p.alpn), s.ALPN)) {
		p.offeredEarly = true
		add(wire.ExtEarlyData, nil)
		if p.writesFirst {
			n := min(len(p.greeting), int(s.MaxEarly))
			cfg.EarlyData, p.greeting = p.greeting[:n], p.greeting[n:]
		}
	}
	age := uint32(p.shim.now.Sub(s.Created).Milliseconds()) + s.AgeAdd
	binder := make([]byte, keys.Lookup13(s.Suite).Hash.Size())
	psk := wire.AppendVec16(nil, wire.AppendU32(wire.AppendVec16(nil, s.Ticket), age))
	add(wire.ExtPreSharedKey, wire.AppendVec16(psk, wire.AppendVec8(nil, binder)))
	return nil
}

func contains(list []string, v string) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// shareGroups: the first group, and the first of the other kind where one of them is post-quantum.
func (p *play) shareGroups() []wire.Group {
	switch {
	case p.noKeyShares:
		return nil
	case p.keyShares != nil:
		return p.keyShares
	}
	gs := p.groups()
	for _, g := range gs[1:] {
		if postQuantum(g) != postQuantum(gs[0]) {
			return []wire.Group{gs[0], g}
		}
	}
	return gs[:1]
}

// postQuantum: the hybrids and plain ML-KEM.
func postQuantum(g wire.Group) bool { return g >= 0x0200 && g <= 0x0202 || g >= 0x11eb && g <= 0x11ed }

func classical(gs []wire.Group) (out []wire.Group) {
	for _, g := range gs {
		if !postQuantum(g) {
			out = append(out, g)
		}
	}
	return out
}
