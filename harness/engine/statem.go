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
	extCertificateAuthorities,
}

// below13 are those that it does not parse once TLS 1.3 is chosen.
var below13 = []wire.ExtensionType{
	wire.ExtRenegotiationInfo, wire.ExtECPointFormats, wire.ExtSessionTicket, wire.ExtNextProtoNegotiation, wire.ExtEncryptThenMAC,
	wire.ExtExtendedMasterSecret,
}

// collect is tls_collect_extensions.
func collect(ch *hello.ClientHello) error {
	if len(ch.SessionID) > 32 {
		return &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("session_id of %d bytes, at most 32 allowed", len(ch.SessionID))}
	}
	for i, e := range ch.Extensions {
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
		case wire.ExtExtendedMasterSecret:
			ok = len(e.Data) == 0
		}
		if !ok {
			return &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("%v of %d bytes %x", e.Type, len(e.Data), e.Data[:min(len(e.Data), 16)])}
		}
	}
	return nil
}
