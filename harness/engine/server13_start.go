package engine

import (
	"bytes"
	"fmt"
	"slices"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// onClientHello13 answers a ClientHello that offers TLS 1.3 to a server that has it enabled.
func (c *Conn) onClientHello13(ch *hello.ClientHello) (state, error) {
	h := &handshake13{}
	c.hs.h13 = h
	c.family = family13
	c.outVersion = wire.TLS12
	if len(c.msgs) > 0 {
		return 0, fmt.Errorf("%w: %d bytes behind the ClientHello", ErrExcessMessage, len(c.msgs))
	}
	if len(ch.Suites) == 0 {
		return 0, fmt.Errorf("%w: cipher_suites is empty", ErrNoCiphers)
	}
	if h.suite = c.chooseSuite13(ch); h.suite == nil {
		return 0, fmt.Errorf("%w: offered %v", ErrNoSharedCipher, ch.Suites)
	}
	read := ch
	if c.server.Rules.Statem {
		read = without(ch, below13...)
		if err := checkStatem(read); err != nil {
			return 0, err
		}
	}
	if err := c.checkClientHello13(read); err != nil {
		return 0, err
	}
	if err := c.checkMandatory13(ch); err != nil {
		return 0, err
	}
	if ch.Has(wire.ExtEarlyData) {
		h.early = earlyOffered
	}
	share, group, err := c.chooseShare13(ch)
	if err != nil {
		return 0, err
	}
	// "For every TLS 1.3 ClientHello, this vector MUST contain exactly one byte, set to zero"
	if len(ch.Compression) != 1 {
		return 0, fmt.Errorf("%w: legacy_compression_methods %x", ErrMoreCompression, ch.Compression)
	}
	if share == nil {
		return c.sendHelloRetryRequest(ch, group)
	}
	return c.answerClientHello13(ch, share, nil)
}

// checkClientHello13 refuses what breaks the grammar of RFC 8446 §4.1.2, Client Hello, and §4.2.11.
func (c *Conn) checkClientHello13(ch *hello.ClientHello) error {
	psk := ch.Has(wire.ExtPreSharedKey)
	// "The 'pre_shared_key' extension MUST be the last extension in the ClientHello ... Servers MUST check
	// that it is the last extension and otherwise fail the handshake with an 'illegal_parameter' alert"
	if psk && ch.Extensions[len(ch.Extensions)-1].Type != wire.ExtPreSharedKey {
		return ErrPSKNotLast
	}
	if bytes.IndexByte(ch.Compression, 0) < 0 {
		return fmt.Errorf("%w: legacy_compression_methods %x", ErrNoNullCompression, ch.Compression)
	}
	if c.server.Rules.Statem {
		if err := c.checkBeforeShares(ch); err != nil {
			return err
		}
	}
	if err := checkBinderCount(ch); err != nil {
		return err
	}
	if err := c.known(ch).Check(); err != nil {
		return err
	}
	if data, ok := ch.Extension(extCertificateAuthorities); ok && !authorities(data) {
		return &wire.DecodeError{What: "ClientHello", Reason: "certificate_authorities is malformed or empty"}
	}
	return nil
}

// checkMandatory13 looks for what must stand together (RFC 8446 §9.2, Mandatory-to-Implement Extensions).
// It comes after the choice of the suite, as in OpenSSL: a hello without a suite for us hears that first.
func (c *Conn) checkMandatory13(ch *hello.ClientHello) error {
	psk := ch.Has(wire.ExtPreSharedKey)
	if c.server.Rules.Statem && ch.Has(wire.ExtSupportedGroups) { // it has read all before it misses any
		if err := c.checkShares(ch); err != nil {
			return err
		}
	}
	switch {
	case psk && !ch.Has(wire.ExtPSKKeyExchangeModes):
		return fmt.Errorf("%w: psk_key_exchange_modes beside pre_shared_key", ErrMissingExtension)
	case ch.Has(wire.ExtSupportedGroups) != ch.Has(wire.ExtKeyShare):
		return fmt.Errorf("%w: one of supported_groups and key_share without the other", ErrMissingExtension)
	case !psk && (!ch.Has(wire.ExtKeyShare) || !ch.Has(wire.ExtSignatureAlgorithms)):
		return fmt.Errorf("%w: key_share and signature_algorithms are needed without a PSK", ErrMissingExtension)
	}
	return c.checkShares(ch)
}

// checkBinderCount: pre_shared_key is two lists of one length. An empty list is malformed, and left to Check.
func checkBinderCount(ch *hello.ClientHello) error {
	data, _ := ch.Extension(wire.ExtPreSharedKey)
	r := wire.NewReader(data)
	identities, binders := 0, 0
	for l := wire.NewReader(r.Vec16()); l.Len() > 0 && l.OK(); identities++ {
		l.Vec16()
		l.U32()
	}
	for l := wire.NewReader(r.Vec16()); l.Len() > 0 && l.OK(); binders++ {
		l.Vec8()
	}
	if r.Done() && binders > 0 && identities != binders {
		return fmt.Errorf("%w: %d identities, %d binders", ErrBinderCount, identities, binders)
	}
	return nil
}

// checkShares: "Each KeyShareEntry value MUST correspond to a group offered in the 'supported_groups'
// extension ... Clients MUST NOT offer multiple KeyShareEntry values for the same group" (§4.2.8). OpenSSL
// looks no further than the first share that it can use.
func (c *Conn) checkShares(ch *hello.ClientHello) error {
	lax := c.server.Rules.Statem
	shares := ch.KeyShares()
	for i, s := range shares {
		twice := slices.ContainsFunc(shares[:i], func(o hello.KeyShare) bool { return o.Group == s.Group })
		if !lax && twice || !ch.OffersGroup(s.Group) {
			return fmt.Errorf("%w: share for %v twice or outside supported_groups %v", ErrWrongGroup, s.Group, ch.Groups())
		}
		if lax && c.enablesGroup(s.Group) {
			return keys.CheckPublic(s.Group, s.Public)
		}
	}
	return nil
}

// defaultSuites13 is the order of a server that was told none: OpenSSL's.
var defaultSuites13 = []wire.CipherSuite{
	wire.TLS_AES_256_GCM_SHA384, wire.TLS_CHACHA20_POLY1305_SHA256, wire.TLS_AES_128_GCM_SHA256,
}

func (c *Conn) chooseSuite13(ch *hello.ClientHello) *keys.Suite13 {
	ours := c.hs.config.Suites13
	if len(ours) == 0 {
		ours = defaultSuites13
	}
	first, second := ch.Suites, ours
	if c.hs.config.PreferServer {
		first, second = ours, ch.Suites
	}
	for _, s := range first {
		if slices.Contains(second, s) {
			if suite := keys.Lookup13(s); suite != nil {
				return suite
			}
		}
	}
	return nil
}

// chooseShare13 takes the client's first share of an enabled group; without one it names the client's
// first enabled group, for a HelloRetryRequest. OpenSSL chooses so.
func (c *Conn) chooseShare13(ch *hello.ClientHello) (*hello.KeyShare, wire.Group, error) {
	for _, s := range ch.KeyShares() {
		if c.enablesGroup(s.Group) {
			return &s, s.Group, nil
		}
	}
	for _, g := range ch.Groups() {
		if c.enablesGroup(g) {
			return nil, g, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: listed %v", ErrNoCommonGroup, ch.Groups())
}

func (c *Conn) enablesGroup(g wire.Group) bool {
	return keys.Supported(g) && (len(c.hs.config.Groups) == 0 || slices.Contains(c.hs.config.Groups, g))
}

// sendHelloRetryRequest asks for a share of group (RFC 8446 §4.1.4).
func (c *Conn) sendHelloRetryRequest(ch *hello.ClientHello, group wire.Group) (state, error) {
	h := c.hs.h13
	h.retrySuite, h.retryGroup, h.retryHello = h.suite.ID, group, ch
	h.retryPSK = c.knowsPSK(ch)
	if h.early == earlyOffered {
		c.rejectEarlyData()
	}
	m := wire.ServerHello{
		Version: wire.TLS12, Random: wire.HelloRetryRandom, SessionID: ch.SessionID, Suite: h.suite.ID, HasExtensions: true,
		Extensions: []wire.Extension{
			{Type: wire.ExtSupportedVersions, Data: []byte{3, 4}},
			{Type: wire.ExtKeyShare, Data: wire.AppendU16(nil, uint16(group))},
		},
	}
	msg := m.AppendMessage(nil)
	h.prefix = append(keys.MessageHash(h.suite.Hash, c.msg), msg...)
	c.hs.transcript.start(h.suite.Hash)
	c.hs.transcript.replace(h.prefix[:len(h.prefix)-len(msg)])
	c.sendMessage(msg)
	c.sendCCSOnce()
	return stateWaitCH2, nil
}

// onSecondClientHello answers the hello after our HelloRetryRequest.
func (c *Conn) onSecondClientHello(wire.Opaque) (state, error) {
	h := c.hs.h13
	ch, err := hello.ParseMessage(bytes.Clone(c.msg))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	first := h.retryHello
	switch {
	case ch.Version != first.Version, ch.Random != first.Random, !bytes.Equal(ch.SessionID, first.SessionID),
		!slices.Equal(ch.Suites, first.Suites), !bytes.Equal(ch.Compression, first.Compression):
		return 0, fmt.Errorf("%w: a field before the extensions", ErrSecondHello)
	case ch.Has(wire.ExtEarlyData):
		return 0, fmt.Errorf("%w: early_data is still there", ErrSecondHello)
	case h.retryPSK && !ch.Has(wire.ExtPreSharedKey):
		return 0, fmt.Errorf("%w: pre_shared_key of the first hello", ErrMissingExtension)
	}
	if err := c.checkClientHello13(ch); err != nil {
		return 0, err
	}
	if err := c.checkMandatory13(ch); err != nil {
		return 0, err
	}
	shares := ch.KeyShares()
	if len(shares) != 1 || shares[0].Group != h.retryGroup {
		return 0, fmt.Errorf("%w: shares for %v, asked for %v alone", ErrSecondHello, sharedGroups(ch), h.retryGroup)
	}
	c.hs.hello = ch
	return c.answerClientHello13(ch, &shares[0], h.prefix)
}

// rejectEarlyData lets the 0-RTT records that are on their way be skipped.
func (c *Conn) rejectEarlyData() {
	h := c.hs.h13
	h.early = earlyRejected
	// An eighth on top of what was allowed, for the tags of small records; BoringSSL has 16384 for 14336.
	allowed := int(min(c.hs.config.MaxEarlyData, 1<<24))
	h.skip = max(minSkippedEarly, allowed+allowed/8)
}
