package engine

import (
	"bytes"
	"fmt"
	"slices"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

func (c *Conn) startServerHandshake() {
	c.hs = &handshake{config: c.server}
	c.hs.transcript.keep = c.server.ClientAuth != ClientAuthNone
}

// onClientHelloMessage parses the message out of the transcript's copy, so that the hello outlives the
// caller's buffer.
func (c *Conn) onClientHelloMessage(wire.Opaque) (state, error) {
	ch, err := hello.ParseMessage(bytes.Clone(c.msg))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	ch.RecordVersion = c.helloRecord
	return c.onClientHello(ch)
}

// onClientHello is the version decision point of a server.
func (c *Conn) onClientHello(ch *hello.ClientHello) (state, error) {
	hs := c.hs
	hs.hello = ch
	hs.clientRandom = ch.Random
	if c.server.Rules.Statem {
		if err := collect(ch); err != nil {
			return 0, err
		}
	}
	c.outVersion = min(max(ch.Version, wire.SSL30), c.server.Versions.maxBelow13())
	if hs.renegotiated {
		return c.answerRenegotiation(ch)
	}
	c.facts.ServerName = ch.ServerName()
	if err := c.selectConfig(ch); err != nil {
		return 0, err
	}
	v, err := c.chooseVersion(ch)
	if err != nil {
		return 0, err
	}
	if v == wire.TLS13 {
		return c.onClientHello13(ch)
	}
	c.outVersion = v
	if c.server.Rules.Statem {
		if _, err := c.parsedSuites(ch, v); err != nil { // a fallback is refused before anything is read
			return 0, err
		}
		if err := checkStatem(without(ch, wire.ExtEarlyData, wire.ExtPostHandshakeAuth)); err != nil {
			return 0, err
		}
	}
	if err := c.check12(ch); err != nil {
		return 0, err
	}
	return c.answerHello12(ch, v)
}

// check12 judges the grammar of the extensions that matter below TLS 1.3. Those that only TLS 1.3 reads may
// say what they like.
func (c *Conn) check12(ch *hello.ClientHello) error {
	if c.server.Rules.Statem && c.outVersion < wire.TLS12 { // it then asks no more of them than a length that fits
		return without(c.known(ch), slices.Concat(schemeLists, only13)...).Check()
	}
	return without(c.known(ch), only13...).Check()
}

var (
	only13      = []wire.ExtensionType{wire.ExtPreSharedKey, wire.ExtKeyShare, wire.ExtCookie, wire.ExtPSKKeyExchangeModes}
	schemeLists = []wire.ExtensionType{wire.ExtSignatureAlgorithms, wire.ExtSignatureAlgsCert}
)

// without is the hello as one reads it who passes over some extensions.
func without(ch *hello.ClientHello, types ...wire.ExtensionType) *hello.ClientHello {
	known := *ch
	known.Extensions = make([]hello.Extension, 0, len(ch.Extensions))
	for _, e := range ch.Extensions {
		if !slices.Contains(types, e.Type) {
			known.Extensions = append(known.Extensions, e)
		}
	}
	return &known
}

// answerRenegotiation keeps the version of the connection.
func (c *Conn) answerRenegotiation(ch *hello.ClientHello) (state, error) {
	c.outVersion = c.facts.Version
	if err := c.check12(ch); err != nil {
		return 0, err
	}
	if ch.Version < c.facts.Version {
		return 0, fmt.Errorf("%w: renegotiating with %v, was %v", ErrNoCommonVersion, ch.Version, c.facts.Version)
	}
	c.facts.EMS, c.facts.EtM, c.facts.ALPN = false, false, ""
	return c.answerHello12(ch, c.facts.Version)
}

// selectConfig asks the Select callback, once per handshake.
func (c *Conn) selectConfig(ch *hello.ClientHello) error {
	if c.server.Select == nil {
		return nil
	}
	cfg, err := c.server.Select(ch)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrUnknownServerName, ch.ServerName(), err)
	}
	if cfg != nil {
		c.server = cfg
		c.hs.config = cfg
	}
	return nil
}

// maxBelow13 is the highest enabled version that has a record version of its own.
func (s VersionSet) maxBelow13() wire.Version {
	if m := (s &^ versionBit(wire.TLS13)).Max(); m != 0 {
		return m
	}
	return wire.TLS12
}

// knows says whether this server's personality has heard of an extension.
func (c *Conn) knows(t wire.ExtensionType) bool {
	for _, i := range c.server.Rules.IgnoreExtensions {
		if i == t {
			return false
		}
	}
	return true
}

// offered is the extension's body if the client sent it and the personality knows it.
func (c *Conn) offered(t wire.ExtensionType) (data []byte, ok bool) {
	if !c.knows(t) {
		return nil, false
	}
	return c.hs.hello.Extension(t)
}

// chooseVersion: where supported_versions is there it alone counts (RFC 8446 §4.2.1), unless this server
// is older than it; else the highest enabled that is not above client_version (RFC 5246 Appendix E.1).
func (c *Conn) chooseVersion(ch *hello.ClientHello) (wire.Version, error) {
	enabled := c.server.Versions
	if c.knows(wire.ExtSupportedVersions) && ch.Has(wire.ExtSupportedVersions) {
		list := ch.SupportedVersions()
		if c.server.Rules.Statem && ch.Version <= wire.SSL30 {
			return 0, c.refuseVersion(ch) // "bad legacy version"
		}
		if list == nil && c.server.Rules.Statem {
			return 0, c.refuseVersion(ch) // no version was found in it, is all that it says
		}
		if list == nil {
			return 0, &wire.DecodeError{What: "ClientHello", Reason: "supported_versions is malformed"}
		}
		for v := wire.TLS13; v >= wire.SSL30; v-- {
			if enabled.Has(v) && ch.Offers(v) {
				return v, nil
			}
		}
		c.outVersion = min(ch.Version, wire.TLS12)
		return 0, fmt.Errorf("%w: supported_versions %v, enabled up to %v", ErrNoCommonVersion, list, enabled.Max())
	}
	for v := min(ch.Version, wire.TLS12); v >= wire.SSL30; v-- {
		if enabled.Has(v) {
			return v, nil
		}
	}
	return 0, c.refuseVersion(ch)
}

// refuseVersion words the refusal of a hello below everything that is enabled.
func (c *Conn) refuseVersion(ch *hello.ClientHello) error {
	c.outVersion = min(max(ch.Version, wire.SSL30), wire.TLS12)
	if c.server.Rules.Statem && ch.Version < wire.SSL30 {
		c.outVersion = ch.Version // it answers under whatever number it was given
		if ch.Format == hello.FormatSSLv2 {
			c.outVersion = wire.TLS12 // but that of SSL 2.0 itself
		}
	}
	cause := ErrNoCommonVersion
	if ch.Version <= wire.SSL30 {
		cause = ErrVersionTooLow
	}
	err := fmt.Errorf("%w: client_version %v, enabled %v", cause, ch.Version, c.server.Versions)
	if c.server.Rules.VersionRefusal == RefuseAsSSL23 {
		// SSL23_GET_CLIENT_HELLO lets an SSL 3.0 hello in TLS format through to where an alert is sent, if
		// TLS 1.0 is enabled; everything else is "unknown protocol", and closed.
		if ch.Format == hello.FormatSSLv2 || ch.Version >= wire.TLS10 || !c.server.Versions.Has(wire.TLS10) {
			return &silent{fmt.Errorf("%w: %w", ErrUnknownProtocol, err)}
		}
	}
	return err
}

// parsedSuites is the hello's list as this personality reads it: without signals and, under the defect,
// without what follows TLS_FALLBACK_SCSV. It also judges the fallback.
//
//	"If TLS_FALLBACK_SCSV appears in ClientHello.cipher_suites and the highest protocol version
//	supported by the server is higher than the version indicated in ClientHello.client_version, the
//	server MUST respond with a fatal inappropriate_fallback alert" (RFC 7507 §3)
func (c *Conn) parsedSuites(ch *hello.ClientHello, v wire.Version) ([]wire.CipherSuite, error) {
	rule := c.server.Rules.SCSV
	list := make([]wire.CipherSuite, 0, len(ch.Suites))
	for _, s := range ch.Suites {
		switch {
		case s == wire.EmptyRenegotiationInfoSCSV:
			if !c.server.Rules.NoRenegotiationInfo {
				c.facts.RenegotiationInfo = true
			}
		case s == wire.FallbackSCSV && rule != SCSVIgnored:
			if best := c.server.Versions.Max(); v < best {
				return nil, fmt.Errorf("%w: %v with TLS_FALLBACK_SCSV, %v is enabled", ErrInappropriateFallback, v, best)
			}
			if rule == SCSVSkipsRest {
				return list, nil
			}
		case s == wire.FallbackSCSV:
		default:
			list = append(list, s)
		}
	}
	return list, nil
}

// answerHello12 does for the 1.0-1.2 family what ssl3_get_client_hello does: suites, session, choice,
// answer, in the order that the personality does them.
func (c *Conn) answerHello12(ch *hello.ClientHello, v wire.Version) (state, error) {
	hs, rules := c.hs, &c.server.Rules
	if rules.SessionFirst {
		hs.session = c.findSession(v)
	}
	list, err := c.parsedSuites(ch, v)
	if err != nil {
		return 0, err
	}
	if !rules.SessionFirst {
		hs.session = c.findSession(v)
	}
	if len(ch.Suites) == 0 && len(ch.SSLv2Suites) == 0 {
		return 0, fmt.Errorf("%w: cipher_suites is empty", ErrNoCiphers)
	}
	if err := c.readHelloExtensions(ch); err != nil {
		return 0, err
	}
	noProtocol := c.chooseProtocol(ch)
	if noProtocol != nil && !rules.Statem {
		return 0, noProtocol
	}
	if err := c.checkSession(list); err != nil {
		return 0, err
	}
	if ch.Format == hello.FormatTLS && bytes.IndexByte(ch.Compression, 0) < 0 {
		return 0, fmt.Errorf("%w: methods %x", ErrNoNullCompression, ch.Compression)
	}
	if hs.session != nil {
		if noProtocol != nil {
			return 0, noProtocol
		}
		return c.answerResumed(v)
	}
	suite, err := c.chooseSuite(list, v)
	if err != nil {
		return 0, err
	}
	if noProtocol != nil {
		return 0, noProtocol
	}
	if v < wire.TLS12 && c.server.Rules.NoSHA1 {
		return 0, fmt.Errorf("%w: %v signs with MD5 and SHA-1", ErrNoStrongScheme, v)
	}
	c.setVersion(v, suite)
	return c.answerFull()
}

// readHelloExtensions takes in what does not depend on the suite.
func (c *Conn) readHelloExtensions(ch *hello.ClientHello) error {
	if data, ok := c.offered(wire.ExtRenegotiationInfo); ok && !c.server.Rules.NoRenegotiationInfo {
		if err := c.checkRenegotiationInfo(c.firstField(data)); err != nil {
			return err
		}
	} else if c.hs.renegotiated && c.facts.RenegotiationInfo {
		return fmt.Errorf("%w: missing on renegotiation", ErrRenegotiation)
	}
	_, ems := c.offered(wire.ExtExtendedMasterSecret)
	c.facts.EMS = ems && c.outVersion > wire.SSL30 && c.canAnswer(wire.ExtExtendedMasterSecret)
	return nil
}

// chooseProtocol: ALPN by the server's preference (RFC 7301 §3.2).
func (c *Conn) chooseProtocol(ch *hello.ClientHello) error {
	if _, ok := c.offered(wire.ExtALPN); !ok || len(c.server.ALPN) == 0 || !c.canAnswer(wire.ExtALPN) {
		return nil
	}
	theirs := ch.ALPN()
	for _, p := range c.server.ALPN {
		for _, o := range theirs {
			if o == p {
				c.facts.ALPN = p
				return nil
			}
		}
	}
	if c.server.ALPNStrict {
		return fmt.Errorf("%w: client %q, server %q", ErrNoCommonALPN, theirs, c.server.ALPN)
	}
	return nil
}

// canAnswer says whether the personality's ServerHello has a place for an extension.
func (c *Conn) canAnswer(t wire.ExtensionType) bool {
	order := c.server.Rules.ExtensionOrder
	if order == nil {
		return true
	}
	for _, o := range order {
		if o == t {
			return true
		}
	}
	return false
}
