package engine

import (
	"fmt"
	"slices"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// What OpenSSL's state machine since 1.1.0 (statem_srvr.c, extensions.c) makes of a hello where the RFCs leave it room:
//   - An alert before a version is chosen goes out in a record of TLS 1.2, one about the version in a record of the
//     version that the client asked for, however odd.
//   - Records of handshake bytes may be empty, up to a bound.
//   - Extensions are gathered before the version is chosen, parsed after it; each has a grammar of its own.

// collected are the types that it knows: of the others it does not even see that one comes twice.
var collected = []wire.ExtensionType{
	wire.ExtRenegotiationInfo, wire.ExtServerName, wire.ExtMaxFragmentLength, wire.ExtECPointFormats, wire.ExtSupportedGroups,
	wire.ExtSessionTicket, wire.ExtStatusRequest, wire.ExtNextProtoNegotiation, wire.ExtALPN, wire.ExtEncryptThenMAC, wire.ExtSCT,
	wire.ExtExtendedMasterSecret, wire.ExtSignatureAlgsCert, wire.ExtSignatureAlgorithms, wire.ExtSupportedVersions,
	wire.ExtPSKKeyExchangeModes, wire.ExtKeyShare, wire.ExtCookie, wire.ExtEarlyData, wire.ExtPadding, wire.ExtPreSharedKey,
	extCertificateAuthorities, wire.ExtPostHandshakeAuth, extSRP,
}

// below13 are those that it does not parse once TLS 1.3 is chosen.
var below13 = []wire.ExtensionType{
	wire.ExtRenegotiationInfo, wire.ExtECPointFormats, wire.ExtSessionTicket, wire.ExtNextProtoNegotiation, wire.ExtEncryptThenMAC,
	wire.ExtExtendedMasterSecret, extSRP,
}

// fromKeyShare are those that it parses last, key_share first among them.
var fromKeyShare = []wire.ExtensionType{
	wire.ExtKeyShare, wire.ExtCookie, wire.ExtEarlyData, extCertificateAuthorities, wire.ExtPadding, wire.ExtPreSharedKey,
}

// checkBeforeShares is what it notices before it looks at the first key share.
func (c *Conn) checkBeforeShares(ch *hello.ClientHello) error {
	if err := c.known(without(ch, fromKeyShare...)).Check(); err != nil {
		return err
	}
	data, ok := ch.Extension(wire.ExtKeyShare)
	r := wire.NewReader(data)
	if r.Vec16(); ok && !r.Done() {
		return &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("key_share of %d bytes", len(data))}
	}
	if ok && !ch.Has(wire.ExtSupportedGroups) {
		return fmt.Errorf("%w: key_share without supported_groups", ErrMissingExtension)
	}
	return nil
}

// misplaced are known too, and refused: one is for DTLS, the other for a ServerHello.
var misplaced = []wire.ExtensionType{extUseSRTP, extCryptoPro}

const (
	extSRP       wire.ExtensionType = 12
	extUseSRTP   wire.ExtensionType = 14
	extCryptoPro wire.ExtensionType = 0xfde8
)

// collect is tls_collect_extensions.
func collect(ch *hello.ClientHello) error {
	if len(ch.SessionID) > 32 {
		return &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("session_id of %d bytes, at most 32 allowed", len(ch.SessionID))}
	}
	for i, e := range ch.Extensions {
		if slices.Contains(misplaced, e.Type) {
			return fmt.Errorf("%w: %v in ClientHello", ErrForbiddenExtension, e.Type)
		}
		if !slices.Contains(collected, e.Type) {
			continue
		}
		if slices.ContainsFunc(ch.Extensions[:i], func(o hello.Extension) bool { return o.Type == e.Type }) {
			return fmt.Errorf("%w: %v in ClientHello", ErrDuplicateExtension, e.Type)
		}
		if e.Type == wire.ExtPreSharedKey && i != len(ch.Extensions)-1 {
			return ErrPSKNotLast
		}
	}
	return nil
}

// known is the hello without what this server's library does not look at: below OpenSSL 1.1.0 an extension
// that comes twice is read twice, from 1.1.1 on one that it does not know is not even counted.
func (c *Conn) known(ch *hello.ClientHello) *hello.ClientHello {
	rules := &c.server.Rules
	if !rules.Statem && !rules.TakesDuplicates {
		return ch
	}
	known := *ch
	known.Extensions = make([]hello.Extension, 0, len(ch.Extensions))
	for _, e := range ch.Extensions {
		switch {
		case rules.Statem && (!slices.Contains(collected, e.Type) || e.Type == wire.ExtCookie): // it verifies no cookie
		case rules.Statem && e.Type == wire.ExtServerName: // see checkStatem
		case rules.TakesDuplicates && known.Has(e.Type):
		default:
			if e.Type == wire.ExtRenegotiationInfo {
				e.Data = c.firstField(e.Data)
			}
			known.Extensions = append(known.Extensions, e)
		}
	}
	return &known
}

// firstField is what the state machine reads of renegotiation_info: it overlooks what follows its one field.
func (c *Conn) firstField(data []byte) []byte {
	if !c.server.Rules.Statem || len(data) == 0 {
		return data
	}
	return data[:min(len(data), 1+int(data[0]))]
}

// limitFragments obeys max_fragment_length (RFC 6066 §4) and gives its answer, nil for none.
func (c *Conn) limitFragments() []byte {
	code, ok := c.offered(wire.ExtMaxFragmentLength)
	if !ok || !c.server.Rules.Statem || len(code) != 1 || code[0] == 0 || code[0] > 4 {
		return nil
	}
	c.peerLimit = 256 << code[0]
	return code
}

// checkStatem is the grammar of extensions that ClientHello.Check leaves alone.
func checkStatem(ch *hello.ClientHello) error {
	for _, e := range ch.Extensions {
		r, ok := wire.NewReader(e.Data), true
		switch e.Type {
		case wire.ExtServerName: // one name, a host's
			l := wire.NewReader(r.Vec16())
			typ, name := l.U8(), l.Vec16()
			ok = r.Done() && l.Done() && typ == 0
			if ok && (len(name) > 255 || slices.Contains(name, 0)) {
				return fmt.Errorf("%w: %d bytes %q", ErrUnknownServerName, len(name), name)
			}
		case wire.ExtStatusRequest:
			typ := r.U8()
			if ok = r.OK(); ok && typ == 1 {
				ids := wire.NewReader(r.Vec16())
				for ids.Len() > 0 && ok {
					ok = len(ids.Vec16()) > 0 && ids.OK()
				}
				r.Vec16()
				ok = ok && r.Done()
			}
		case wire.ExtSignatureAlgorithms, wire.ExtSignatureAlgsCert:
			ok = len(r.Vec16()) > 0 && r.Done()
		case wire.ExtMaxFragmentLength:
			if ok = len(e.Data) == 1; ok && (e.Data[0] == 0 || e.Data[0] > 4) {
				return fmt.Errorf("%w: max_fragment_length of code %d, 1 to 4 are defined", ErrForbiddenExtension, e.Data[0])
			}
		case wire.ExtEarlyData, wire.ExtPostHandshakeAuth:
			ok = len(e.Data) == 0
		case extSRP:
			ok = !slices.Contains(r.Vec8(), 0) && r.Done()
		case wire.ExtExtendedMasterSecret:
			ok = len(e.Data) == 0
		}
		if !ok {
			return &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("%v of %d bytes %x", e.Type, len(e.Data), e.Data[:min(len(e.Data), 16)])}
		}
	}
	return nil
}

// statemBuffer is what its read buffer has room for: a record up to this length is waited for before it is
// found too long.
const statemBuffer = wire.MaxPlaintext + 320 + 7

// refusesBeforeHello: until it has chosen a version, the state machine takes any record but one of handshake bytes
// for an alert of a client, and refuses it.
func (c *Conn) refusesBeforeHello() bool {
	return !c.isClient && c.facts.Version == 0 && c.state == stateWaitCH && c.server.Rules.Statem
}

// refuseBeforeHello answers in the version of that record, but for a ChangeCipherSpec where a message would begin.
func (c *Conn) refuseBeforeHello(typ wire.RecordType, rec []byte) error {
	if typ != wire.RecordChangeCipherSpec || len(c.msgs) >= wire.MessageHeaderLen {
		if c.outVersion = wire.Version(uint16(rec[1])<<8 | uint16(rec[2])); c.outVersion == wire.TLS13 {
			c.outVersion = wire.TLS12
		}
	}
	return fmt.Errorf("%w: a record of type %v before the ClientHello", ErrUnexpectedMessage, typ)
}
