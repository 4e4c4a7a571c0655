package engine

import (
	"fmt"
	"io"
	"slices"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// answerClientHello13 sends the server's whole flight, ServerHello to Finished. prefix is the transcript
// before this hello, for the PSK binder.
func (c *Conn) answerClientHello13(ch *hello.ClientHello, share *hello.KeyShare, prefix []byte) (state, error) {
	h := c.hs.h13
	if !c.hs.transcript.started() {
		c.hs.transcript.start(h.suite.Hash)
	}
	if err := c.chooseALPN13(ch); err != nil {
		return 0, err
	}
	if err := c.choosePSK(ch, prefix); err != nil {
		return 0, err
	}
	scheme, err := c.chooseCertificate13(ch)
	if err != nil {
		return 0, err
	}
	public, shared, err := keys.Respond(share.Group, share.Public, c.rand())
	if err != nil {
		return 0, err
	}
	c.facts.Version, c.facts.Suite, c.facts.Group = wire.TLS13, h.suite.ID, share.Group
	early, err := c.settleEarlyData13(ch)
	if err != nil {
		return 0, err
	}
	if err := c.sendServerHello13(ch, share.Group, public); err != nil {
		return 0, err
	}
	c.deriveHandshake(shared)
	c.setWrite(h.half(h.serverHS))
	read := h.half(h.clientHS)
	if !early.IsZero() {
		read = h.half(early)
	}
	if err := c.setRead(read); err != nil {
		return 0, err
	}
	c.sendEncryptedExtensions(ch)
	if !h.resuming {
		if err := c.sendCertificate13(ch, scheme); err != nil {
			return 0, err
		}
	}
	c.sendFinished13(&h.serverHS)
	c.deriveTraffic()
	c.setWrite(h.lasting(h.serverApp))
	switch {
	case h.early == earlyAccepted:
		// The client has proved that it holds the PSK: an answer to its 0-RTT data may go out before its
		// Finished comes (RFC 8446 §4.4.4, Finished).
		c.established = true
		return stateWaitEOED, nil
	case h.certRequested:
		return stateWaitClientCert13, nil
	}
	return stateWaitClientFin13, nil
}

// chooseALPN13 picks by the server's preference (RFC 7301 §3.2).
func (c *Conn) chooseALPN13(ch *hello.ClientHello) error {
	cfg := c.hs.config
	offered := ch.ALPN()
	if len(cfg.ALPN) == 0 || len(offered) == 0 {
		return nil
	}
	for _, p := range cfg.ALPN {
		if slices.Contains(offered, p) {
			c.facts.ALPN = p
			return nil
		}
	}
	if cfg.ALPNStrict {
		return fmt.Errorf("%w: offered %q, enabled %q", ErrNoCommonALPN, offered, cfg.ALPN)
	}
	return nil
}

// chooseCertificate13 finds the first certificate that can sign with one of the client's schemes. A
// resumed handshake signs nothing.
func (c *Conn) chooseCertificate13(ch *hello.ClientHello) (wire.SignatureScheme, error) {
	if c.hs.h13.resuming {
		return 0, nil
	}
	offered := ch.SignatureAlgorithms()
	if offered == nil {
		return 0, fmt.Errorf("%w: signature_algorithms, and no PSK was accepted", ErrMissingExtension)
	}
	for _, cert := range c.hs.config.Certificates {
		if s := chooseScheme13(cert, offered); s != 0 {
			c.hs.cert, c.facts.Scheme = cert, s
			return s, nil
		}
	}
	return 0, fmt.Errorf("%w: offered %v", ErrNoCommonScheme, offered)
}

// sendServerHello13 lists supported_versions, key_share, pre_shared_key, as OpenSSL does.
func (c *Conn) sendServerHello13(ch *hello.ClientHello, group wire.Group, public []byte) error {
	h := c.hs.h13
	m := wire.ServerHello{Version: wire.TLS12, SessionID: ch.SessionID, Suite: h.suite.ID, HasExtensions: true}
	if _, err := io.ReadFull(c.rand(), m.Random[:]); err != nil {
		return fmt.Errorf("%w: server random: %v", ErrInternal, err)
	}
	share := wire.AppendVec16(wire.AppendU16(nil, uint16(group)), public)
	m.Extensions = []wire.Extension{
		{Type: wire.ExtSupportedVersions, Data: []byte{3, 4}},
		{Type: wire.ExtKeyShare, Data: share},
	}
	if h.resuming {
		m.Extensions = append(m.Extensions, wire.Extension{Type: wire.ExtPreSharedKey, Data: wire.AppendU16(nil, h.identity)})
	}
	c.sendMessage(m.AppendMessage(nil))
	c.sendCCSOnce()
	return nil
}

// sendEncryptedExtensions answers the hello's extensions that are not about keys.
func (c *Conn) sendEncryptedExtensions(ch *hello.ClientHello) {
	cfg := c.hs.config
	var m wire.EncryptedExtensions
	add := func(t wire.ExtensionType, data []byte) {
		m.Extensions = append(m.Extensions, wire.Extension{Type: t, Data: data})
	}
	if c.acksServerName() {
		add(wire.ExtServerName, nil)
	}
	if code := c.limitFragments(); code != nil {
		add(wire.ExtMaxFragmentLength, code)
	}
	// "clients ... SHOULD NOT act upon any information found in 'supported_groups' prior to successful completion"
	// (RFC 8446 §4.2.7): OpenSSL says what it would rather have used.
	if cfg.Rules.Statem && len(cfg.Groups) > 0 && c.facts.Group != cfg.Groups[0] {
		var list []byte
		for _, g := range cfg.Groups {
			list = wire.AppendU16(list, uint16(g))
		}
		add(wire.ExtSupportedGroups, wire.AppendVec16(nil, list))
	}
	if limit, ok := ch.RecordSizeLimit(); ok && limit >= 64 && !cfg.Rules.Statem {
		c.peerLimit = limit - 1
		add(wire.ExtRecordSizeLimit, wire.AppendU16(nil, wire.MaxPlaintext+1))
	}
	if c.facts.ALPN != "" {
		add(wire.ExtALPN, wire.AppendVec16(nil, wire.AppendVec8(nil, []byte(c.facts.ALPN))))
	}
	if c.hs.h13.early == earlyAccepted {
		add(wire.ExtEarlyData, nil)
	}
	c.sendMessage(m.AppendMessage(nil))
}

// sendCertificate13 sends CertificateRequest where a client certificate is wanted, then Certificate and
// CertificateVerify.
func (c *Conn) sendCertificate13(ch *hello.ClientHello, scheme wire.SignatureScheme) error {
	cfg, cert := c.hs.config, c.hs.cert
	if cfg.ClientAuth != ClientAuthNone {
		c.hs.h13.certRequested = true
		c.sendMessage(certificateRequest13(cfg).AppendMessage(nil))
	}
	m := wire.Certificate13{Entries: make([]wire.CertificateEntry, len(cert.Chain))}
	for i, der := range cert.Chain {
		m.Entries[i].Data = der
	}
	leaf := &m.Entries[0]
	if len(cert.OCSP) > 0 && ch.Has(wire.ExtStatusRequest) {
		leaf.Extensions = append(leaf.Extensions, wire.Extension{
			Type: wire.ExtStatusRequest, Data: wire.AppendVec24([]byte{1}, cert.OCSP),
		})
	}
	if len(cert.SCTs) > 0 && ch.Has(wire.ExtSCT) {
		var list []byte
		for _, sct := range cert.SCTs {
			list = wire.AppendVec16(list, sct)
		}
		leaf.Extensions = append(leaf.Extensions, wire.Extension{Type: wire.ExtSCT, Data: wire.AppendVec16(nil, list)})
	}
	msg := m.AppendMessage(nil)
	for _, alg := range ch.CertCompressions() {
		if compresses(alg) && slices.Contains(cfg.CertCompression, alg) {
			msg = compressCertificate(alg, msg)
			c.facts.CertCompression = alg
			break
		}
	}
	c.sendMessage(msg)
	return c.sendCertificateVerify13(cert.Key, scheme, serverContext)
}

func (cfg *ServerConfig) clientSchemes13() []wire.SignatureScheme {
	if cfg.ClientSchemes != nil {
		return cfg.ClientSchemes
	}
	return requestedSchemes
}

// requestedSchemes is what a server of ours can check in a client's CertificateVerify.
var requestedSchemes = []wire.SignatureScheme{
	wire.ECDSASecp256r1SHA256, wire.RSAPSSRSAESHA256, wire.Ed25519, wire.ECDSASecp384r1SHA384, wire.RSAPSSRSAESHA384,
	wire.ECDSASecp521r1SHA512, wire.RSAPSSRSAESHA512,
}

func certificateRequest13(cfg *ServerConfig) *wire.CertificateRequest13 {
	var schemes []byte
	for _, s := range cfg.clientSchemes13() {
		schemes = wire.AppendU16(schemes, uint16(s))
	}
	m := &wire.CertificateRequest13{Extensions: []wire.Extension{
		{Type: wire.ExtSignatureAlgorithms, Data: wire.AppendVec16(nil, schemes)},
	}}
	if len(cfg.ClientCAs) > 0 {
		var names []byte
		for _, n := range cfg.ClientCAs {
			names = wire.AppendVec16(names, n)
		}
		m.Extensions = append(m.Extensions, wire.Extension{Type: extCertificateAuthorities, Data: wire.AppendVec16(nil, names)})
	}
	return m
}

// extCertificateAuthorities is certificate_authorities (RFC 8446 §4.2.4).
const extCertificateAuthorities wire.ExtensionType = 47
