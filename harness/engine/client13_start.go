package engine

import (
	"bytes"
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// prepareClient13 is called with a hello that is about to be sent. Where it offers TLS 1.3 the
// handshake's state begins, and a PSK that it offers gets its binder.
func (c *Conn) prepareClient13(ch *hello.ClientHello) error {
	if !ch.Offers(wire.TLS13) {
		return nil
	}
	h := &handshake13{}
	c.hs.h13 = h
	if s := c.client.Session; s != nil && s.Version == wire.TLS13 && ch.Has(wire.ExtPreSharedKey) {
		h.psk = s
		if err := c.bindPSK(ch); err != nil {
			return err
		}
		if ch.Has(wire.ExtEarlyData) {
			h.early = earlyOffered
		}
	}
	return nil
}

// bindPSK fills the first binder of ch (RFC 8446 §4.2.11.2, PSK Binder): a MAC over the transcript so
// far and the hello up to its binders.
func (c *Conn) bindPSK(ch *hello.ClientHello) error {
	suite := keys.Lookup13(c.hs.h13.psk.Suite)
	psk, ok := ch.PSK()
	if suite == nil || !ok || len(psk.Identities) != 1 {
		return fmt.Errorf("engine: session of suite %v does not fit the hello's pre_shared_key of %d identities",
			c.hs.h13.psk.Suite, len(psk.Identities))
	}
	d := suite.Hash.New()
	d.Write(c.hs.transcript.raw) // message_hash and HelloRetryRequest, or nothing
	msg := ch.AppendMessage(nil)
	d.Write(msg[:len(msg)-psk.BindersLen])
	c.hs.h13.schedule = keys.StartSchedule13(suite.Hash, c.hs.h13.psk.Secret)
	key := c.hs.h13.schedule.Derive(keys.LabelResumptionBinder, nil)
	return ch.SetBinder(0, key.AppendVerifyData(nil, d.Sum(nil)))
}

// sendEarlyData13 follows a ClientHello that offers early_data: ClientConfig.EarlyData goes out at once
// under the PSK's keys.
func (c *Conn) sendEarlyData13() {
	if c.hs.h13 == nil || c.hs.h13.early != earlyOffered {
		return
	}
	h := c.hs.h13
	c.outVersion = wire.TLS12
	c.sendCCSOnce()
	h.suite = keys.Lookup13(h.psk.Suite)
	d := h.suite.Hash.New()
	d.Write(c.hs.transcript.raw)
	secret := h.schedule.Derive(keys.LabelClientEarly, d.Sum(nil))
	c.logKey("CLIENT_EARLY_TRAFFIC_SECRET", secret.Bytes())
	c.setWrite(h.half(secret))
	n := int(min(uint64(len(c.client.EarlyData)), uint64(h.psk.MaxEarly)))
	if c.facts.EarlySent = n; n > 0 {
		c.writeRecord(wire.RecordApplicationData, c.client.EarlyData[:n])
	}
}

// onServerHello13 takes the first ServerHello or HelloRetryRequest that carries supported_versions or
// the random of a HelloRetryRequest.
func (c *Conn) onServerHello13(m *wire.ServerHello) (state, error) {
	if err := c.checkServerHello13(m); err != nil {
		return 0, err
	}
	c.family = family13
	c.outVersion = wire.TLS12
	if m.IsHelloRetryRequest() {
		return c.onHelloRetryRequest(m)
	}
	return c.acceptServerHello13(m)
}

// onSecondServerHello is the ServerHello after a HelloRetryRequest.
func (c *Conn) onSecondServerHello(m *wire.ServerHello) (state, error) {
	if m.IsHelloRetryRequest() {
		// "If a client receives a second HelloRetryRequest in the same connection ... it MUST abort the
		// handshake with an 'unexpected_message' alert" (RFC 8446 §4.1.4, Hello Retry Request)
		return 0, fmt.Errorf("%w: a second HelloRetryRequest", ErrUnexpectedMessage)
	}
	if err := c.checkServerHello13(m); err != nil {
		return 0, err
	}
	if first := c.hs.h13.retrySuite; m.Suite != first {
		return 0, fmt.Errorf("%w: suite %v, before it %v", ErrRetryChanged, m.Suite, first)
	}
	return c.acceptServerHello13(m)
}

// checkServerHello13 is what ServerHello and HelloRetryRequest have in common (RFC 8446 §4.1.3).
func (c *Conn) checkServerHello13(m *wire.ServerHello) error {
	ch := c.hs.hello
	data, ok := findExt(m.Extensions, wire.ExtSupportedVersions)
	if !ok {
		return fmt.Errorf("%w: supported_versions in %s", ErrMissingExtension, helloName(m))
	}
	if len(data) != 2 {
		return &wire.DecodeError{What: helloName(m), Reason: fmt.Sprintf("supported_versions of %d bytes, not 2", len(data))}
	}
	selected := wire.Version(uint16(data[0])<<8 | uint16(data[1]))
	switch {
	case c.hs.h13 == nil || !ch.ListsVersion(selected) || wire.IsGREASE(uint16(selected)):
		return fmt.Errorf("%w: %v, offered %v", ErrSelectedVersion, selected, ch.SupportedVersions())
	case selected>>8 == 0x7f:
		return fmt.Errorf("%w: 0x%04x", ErrDraftVersion, uint16(selected))
	case selected != wire.TLS13:
		// "[a version] prior to TLS 1.3 ... MUST abort the handshake with an 'illegal_parameter' alert"
		// (RFC 8446 §4.2.1, Supported Versions)
		return fmt.Errorf("%w: %v, which is not negotiated this way", ErrSelectedVersion, selected)
	case m.Version != wire.TLS12:
		return fmt.Errorf("%w: %v", ErrLegacyVersion, m.Version)
	case !bytes.Equal(m.SessionID, ch.SessionID):
		return fmt.Errorf("%w: %d bytes %x, sent %d bytes", ErrSessionEcho, len(m.SessionID), m.SessionID, len(ch.SessionID))
	case keys.Lookup13(m.Suite) == nil || !ch.HasSuite(m.Suite):
		return fmt.Errorf("%w: %v", ErrUnofferedSuite, m.Suite)
	case m.Compression != 0:
		return fmt.Errorf("%w: method %d under TLS 1.3", ErrUnofferedCompression, m.Compression)
	}
	return c.checkServerHelloExtensions(m)
}

// checkServerHelloExtensions: "If an implementation receives an extension which it recognizes and which
// is not specified for the message in which it appears, it MUST abort the handshake with an
// 'illegal_parameter' alert" (RFC 8446 §4.2, Extensions).
func (c *Conn) checkServerHelloExtensions(m *wire.ServerHello) error {
	if t, twice := wire.DuplicateExtension(m.Extensions); twice {
		return fmt.Errorf("%w: %v in %s", ErrExtensionTwice, t, helloName(m))
	}
	for _, e := range m.Extensions {
		switch {
		case e.Type == wire.ExtSupportedVersions || e.Type == wire.ExtKeyShare:
		case e.Type == wire.ExtCookie && m.IsHelloRetryRequest():
		case !c.hs.hello.Has(e.Type):
			return fmt.Errorf("%w: %v in %s", ErrUnofferedExtension, e.Type, helloName(m))
		case e.Type == wire.ExtPreSharedKey && !m.IsHelloRetryRequest():
		case e.Type == extECH && m.IsHelloRetryRequest():
			// A server that knows ECH may answer GREASE ECH here; it is no confirmation of ours.
		default:
			return fmt.Errorf("%w: %v in %s", ErrForbiddenExtension, e.Type, helloName(m))
		}
	}
	return nil
}

// extECH is encrypted_client_hello (draft-ietf-tls-esni): sent as GREASE by profiles.
const extECH wire.ExtensionType = 0xfe0d

func helloName(m *wire.ServerHello) string {
	if m.IsHelloRetryRequest() {
		return "HelloRetryRequest"
	}
	return "ServerHello"
}

// acceptServerHello13 agrees on keys and turns to the protected part of the handshake.
func (c *Conn) acceptServerHello13(m *wire.ServerHello) (state, error) {
	h := c.hs.h13
	h.suite = keys.Lookup13(m.Suite)
	if !c.hs.transcript.started() {
		c.hs.transcript.start(h.suite.Hash)
	}
	if err := c.acceptPSK(m); err != nil {
		return 0, err
	}
	shared, err := c.agree13(m)
	if err != nil {
		return 0, err
	}
	c.facts.Version, c.facts.Suite = wire.TLS13, m.Suite
	c.deriveHandshake(shared)
	if err := c.setRead(h.half(h.serverHS)); err != nil {
		return 0, err
	}
	if h.early != earlyOffered { // else the end of 0-RTT data goes out under its own keys first
		c.sendCCSOnce()
		c.setWrite(h.half(h.clientHS))
	}
	c.emit(Event{Kind: EventServerHello})
	return stateWaitEE, nil
}

// acceptPSK starts the key schedule from the PSK that the server selected, or from nothing.
func (c *Conn) acceptPSK(m *wire.ServerHello) error {
	h := c.hs.h13
	data, ok := findExt(m.Extensions, wire.ExtPreSharedKey)
	if !ok {
		h.schedule = keys.StartSchedule13(h.suite.Hash, nil)
		return nil
	}
	if len(data) != 2 {
		return &wire.DecodeError{What: "ServerHello", Reason: fmt.Sprintf("pre_shared_key of %d bytes, not 2", len(data))}
	}
	if n := int(data[0])<<8 | int(data[1]); n != 0 || h.psk == nil {
		return fmt.Errorf("%w: identity %d", ErrSelectedIdentity, n)
	}
	if keys.Lookup13(h.psk.Suite).Hash != h.suite.Hash {
		return fmt.Errorf("%w: the PSK's hash is that of %v, suite %v", ErrSelectedIdentity, h.psk.Suite, m.Suite)
	}
	h.resuming = true
	c.facts.Resumed = ByPSK
	h.schedule = keys.StartSchedule13(h.suite.Hash, h.psk.Secret)
	return nil
}

// agree13 computes the (EC)DHE secret with the server's share; nil under psk_ke.
func (c *Conn) agree13(m *wire.ServerHello) ([]byte, error) {
	h := c.hs.h13
	data, ok := findExt(m.Extensions, wire.ExtKeyShare)
	if !ok {
		if h.resuming && c.hs.hello.OffersPSKMode(wire.PSKOnly) {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: key_share in ServerHello", ErrMissingExtension)
	}
	if h.resuming && !c.hs.hello.OffersPSKMode(wire.PSKDHE) {
		return nil, fmt.Errorf("%w: key_share, though psk_dhe_ke was not offered", ErrForbiddenExtension)
	}
	group, public, ok := wire.ServerKeyShare(data)
	if !ok {
		return nil, &wire.DecodeError{What: "ServerHello", Reason: fmt.Sprintf("key_share of %d bytes", len(data))}
	}
	share := c.shareOf(group)
	if share == nil {
		return nil, fmt.Errorf("%w: %v, shares sent for %v", ErrWrongGroup, group, sharedGroups(c.hs.hello))
	}
	c.facts.Group = group
	return share.Agree(nil, public)
}

// shareOf finds the private half of the share that the last hello carried for group.
func (c *Conn) shareOf(group wire.Group) *keys.Share {
	h := c.hs.h13
	if h.retryGroup != 0 {
		if group != h.retryGroup {
			return nil
		}
		return h.retryShare
	}
	if !c.hs.hello.Shares(group) {
		return nil
	}
	for _, s := range c.client.Shares {
		if s.Group() == group {
			return s
		}
	}
	return nil
}

func sharedGroups(ch *hello.ClientHello) []wire.Group {
	shares := ch.KeyShares()
	groups := make([]wire.Group, len(shares))
	for i := range shares {
		groups[i] = shares[i].Group
	}
	return groups
}
