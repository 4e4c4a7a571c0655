package engine

import (
	"bytes"
	"fmt"
	"slices"

	"tlsurge/profiles/wire"
)

// encryptedOnly are the extensions that RFC 8446 §4.2, Extensions, allows in EncryptedExtensions among
// those that this program knows.
var encryptedOnly = []wire.ExtensionType{
	wire.ExtServerName, wire.ExtSupportedGroups, wire.ExtALPN, wire.ExtEarlyData, wire.ExtRecordSizeLimit,
	wire.ExtHeartbeat, extECH,
}

// elsewhere are those that belong in other messages only.
var elsewhere = []wire.ExtensionType{
	wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtPreSharedKey, wire.ExtCookie, wire.ExtPSKKeyExchangeModes,
	wire.ExtSignatureAlgorithms, wire.ExtSignatureAlgsCert, wire.ExtStatusRequest, wire.ExtSCT, wire.ExtPadding,
	wire.ExtCompressCertificate, wire.ExtExtendedMasterSecret, wire.ExtSessionTicket, wire.ExtRenegotiationInfo,
	wire.ExtECPointFormats, wire.ExtEncryptThenMAC, wire.ExtNextProtoNegotiation, wire.ExtDelegatedCredentials,
}

// onEncryptedExtensions reads the server's answers to the hello's extensions.
func (c *Conn) onEncryptedExtensions(m wire.EncryptedExtensions) (state, error) {
	h := c.hs.h13
	if t, twice := wire.DuplicateExtension(m.Extensions); twice {
		return 0, fmt.Errorf("%w: %v in EncryptedExtensions", ErrDuplicateExtension, t)
	}
	accepted := false
	for _, e := range m.Extensions {
		if !c.hs.hello.Has(e.Type) {
			return 0, fmt.Errorf("%w: %v in EncryptedExtensions", ErrUnofferedExtension, e.Type)
		}
		if slices.Contains(elsewhere, e.Type) {
			return 0, fmt.Errorf("%w: %v in EncryptedExtensions", ErrForbiddenExtension, e.Type)
		}
		if !slices.Contains(encryptedOnly, e.Type) {
			return 0, fmt.Errorf("%w: %v", ErrUnspokenExtension, e.Type)
		}
		if err := c.readEncryptedExtension(e); err != nil {
			return 0, err
		}
		accepted = accepted || e.Type == wire.ExtEarlyData
	}
	if err := c.settleEarlyData(accepted); err != nil {
		return 0, err
	}
	if h.resuming {
		c.facts.Scheme = 0
		return stateWaitFinished, nil
	}
	return stateWaitCertCR, nil
}

func (c *Conn) readEncryptedExtension(e wire.Extension) error {
	malformed := func() error {
		return &wire.DecodeError{What: "EncryptedExtensions", Reason: fmt.Sprintf("%v of %d bytes", e.Type, len(e.Data))}
	}
	switch e.Type {
	case wire.ExtServerName, wire.ExtEarlyData:
		if len(e.Data) != 0 {
			return malformed()
		}
	case wire.ExtALPN:
		r := wire.NewReader(e.Data)
		list := wire.NewReader(r.Vec16())
		name := list.Vec8()
		if !r.Done() || !list.Done() || len(name) == 0 {
			return malformed()
		}
		if !slices.Contains(c.hs.hello.ALPN(), string(name)) {
			return fmt.Errorf("%w: %q, offered %q", ErrUnofferedProtocol, name, c.hs.hello.ALPN())
		}
		c.facts.ALPN = string(name)
	case wire.ExtRecordSizeLimit:
		if len(e.Data) != 2 {
			return malformed()
		}
		limit := uint16(e.Data[0])<<8 | uint16(e.Data[1])
		if limit < 64 {
			return fmt.Errorf("%w: record_size_limit %d, at least 64", ErrForbiddenExtension, limit)
		}
		c.peerLimit = limit - 1 // the content type counts (RFC 8449 §4)
	case wire.ExtSupportedGroups:
		r := wire.NewReader(e.Data)
		if v := r.Vec16(); !r.Done() || len(v) < 2 || len(v)%2 != 0 {
			return malformed()
		}
	}
	return nil
}

// settleEarlyData: accepted 0-RTT data ends with EndOfEarlyData after the server's Finished; rejected,
// the client goes on at once under its handshake keys.
func (c *Conn) settleEarlyData(accepted bool) error {
	h := c.hs.h13
	switch {
	case !accepted && h.early == earlyOffered:
		h.early = earlyRejected
		c.setWrite(h.half(h.clientHS))
		c.emit(Event{Kind: EventEarlyRejected})
	case !accepted:
	case h.early != earlyOffered || !h.resuming:
		return fmt.Errorf("%w: offered %v, PSK selected %v", ErrEarlyDataAnswer, h.early == earlyOffered, h.resuming)
	case h.psk.ALPN != c.facts.ALPN || h.psk.Suite != c.facts.Suite:
		return fmt.Errorf("%w: under %q and %v, the session has %q and %v", ErrEarlyDataAnswer,
			c.facts.ALPN, c.facts.Suite, h.psk.ALPN, h.psk.Suite)
	default:
		h.early = earlyAccepted
		c.facts.EarlyOK = true
	}
	return nil
}

// onCertificateRequest13 notes what the server wants; the answer follows its Finished.
func (c *Conn) onCertificateRequest13(m *wire.CertificateRequest13) (state, error) {
	if len(m.Context) != 0 {
		return 0, fmt.Errorf("%w: %d bytes in the handshake, expected none", ErrCertContext, len(m.Context))
	}
	if t, twice := wire.DuplicateExtension(m.Extensions); twice {
		return 0, fmt.Errorf("%w: %v in CertificateRequest", ErrDuplicateExtension, t)
	}
	if _, ok := findExt(m.Extensions, wire.ExtSignatureAlgorithms); !ok {
		return 0, fmt.Errorf("%w: signature_algorithms in CertificateRequest", ErrMissingExtension)
	}
	if data, ok := findExt(m.Extensions, extCertificateAuthorities); ok && !authorities(data) {
		return 0, &wire.DecodeError{What: "CertificateRequest", Reason: "certificate_authorities is malformed or empty"}
	}
	h := c.hs.h13
	if h.requestSchemes = m.Schemes(); len(h.requestSchemes) == 0 {
		return 0, &wire.DecodeError{What: "CertificateRequest", Reason: "signature_algorithms is malformed or empty"}
	}
	h.certRequested = true
	return stateWaitCert, nil
}

// authorities judges certificate_authorities (RFC 8446 §4.2.4): one name at least, none of them empty.
func authorities(data []byte) bool {
	r := wire.NewReader(data)
	l := wire.NewReader(r.Vec16())
	if !r.Done() || l.Len() == 0 {
		return false
	}
	for l.Len() > 0 {
		if len(l.Vec16()) == 0 {
			return false
		}
	}
	return l.OK()
}

// onCompressedCertificate undoes RFC 8879.
func (c *Conn) onCompressedCertificate(m *wire.CompressedCertificate) (state, error) {
	if !slices.Contains(c.hs.hello.CertCompressions(), m.Algorithm) {
		return 0, fmt.Errorf("%w: %v, offered %v", ErrCertCompression, m.Algorithm, c.hs.hello.CertCompressions())
	}
	body, err := decompressCertificate(m)
	if err != nil {
		return 0, err
	}
	cert, err := wire.ParseCertificate13(body)
	if err != nil {
		return 0, err
	}
	c.facts.CertCompression = m.Algorithm
	return c.onServerCertificate13(cert)
}

// onServerCertificate13 judges the chain (RFC 8446 §4.4.2, Certificate).
func (c *Conn) onServerCertificate13(m *wire.Certificate13) (state, error) {
	if len(m.Context) != 0 {
		return 0, fmt.Errorf("%w: %d bytes from a server, expected none", ErrCertContext, len(m.Context))
	}
	if len(m.Entries) == 0 {
		return 0, ErrEmptyCertificate
	}
	for _, e := range m.Entries {
		if t, twice := wire.DuplicateExtension(e.Extensions); twice {
			return 0, fmt.Errorf("%w: %v in Certificate", ErrDuplicateExtension, t)
		}
		for _, x := range e.Extensions {
			if err := c.checkEntryExtension(x); err != nil {
				return 0, err
			}
		}
	}
	if err := c.acceptChain13(c.now.Add(c.client.Clock), c.client.Verifier, c.client.ServerName, m); err != nil {
		return 0, err
	}
	return stateWaitCV, nil
}

// checkEntryExtension: "Extensions in the Certificate message from the server MUST correspond to ones
// from the ClientHello message" (§4.4.2).
func (c *Conn) checkEntryExtension(x wire.Extension) error {
	switch {
	case !c.hs.hello.Has(x.Type):
		return fmt.Errorf("%w: %v in Certificate", ErrUnofferedExtension, x.Type)
	case x.Type == wire.ExtDelegatedCredentials:
		return fmt.Errorf("%w: %v", ErrUnspokenExtension, x.Type)
	case x.Type == wire.ExtStatusRequest:
		r := wire.NewReader(x.Data)
		typ, resp := r.U8(), r.Vec24()
		if !r.Done() || typ != 1 || len(resp) == 0 {
			return &wire.DecodeError{What: "Certificate", Reason: fmt.Sprintf("status_request of %d bytes", len(x.Data))}
		}
		if c.facts.Stapled == nil {
			c.facts.Stapled = bytes.Clone(resp)
		}
	case x.Type == wire.ExtSCT:
		r := wire.NewReader(x.Data)
		if list := r.Vec16(); !r.Done() || len(list) == 0 {
			return &wire.DecodeError{What: "Certificate", Reason: fmt.Sprintf("signed_certificate_timestamp of %d bytes", len(x.Data))}
		}
	default:
		return fmt.Errorf("%w: %v in Certificate", ErrForbiddenExtension, x.Type)
	}
	return nil
}

// onServerCertificateVerify13 verifies the signature over the transcript so far (RFC 8446 §4.4.3).
func (c *Conn) onServerCertificateVerify13(m wire.CertificateVerify13) (state, error) {
	if !c.hs.hello.OffersScheme(m.Scheme) {
		return 0, fmt.Errorf("%w: %v, offered %v", ErrWrongScheme, m.Scheme, c.hs.hello.SignatureAlgorithms())
	}
	if err := c.verifyPeer13(m, serverContext); err != nil {
		return 0, err
	}
	c.hs.transcript.add(c.msg)
	return stateWaitFinished, nil
}
