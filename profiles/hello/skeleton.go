package hello

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"tlsurge/profiles/wire"
)

// Skeleton gives what does not change from one connection of a client to the next: the random, session
// ID, host name, ticket, key shares, PSK and ECH contents are zeroed or emptied, GREASE becomes 0x0a0a,
// and the bodies that follow from other lengths (padding) are emptied. Two hellos of one client and
// kind have equal skeletons, unless it shuffles.
func (ch *ClientHello) Skeleton() *ClientHello {
	s := ch.Clone()
	s.Random, s.Fragments = [32]byte{}, nil
	clear(s.SessionID)
	for i, c := range s.Suites {
		s.Suites[i] = wire.CipherSuite(degrease(uint16(c)))
	}
	for i := range s.Extensions {
		e := &s.Extensions[i]
		e.Data = skeletonBody(e.Type, e.Data)
		e.Type = wire.ExtensionType(degrease(uint16(e.Type)))
	}
	return s
}

func degrease(v uint16) uint16 {
	if wire.IsGREASE(v) {
		return wire.GREASEPlaceholder
	}
	return v
}

// skeletonBody gives the lasting part of one extension's body.
func skeletonBody(t wire.ExtensionType, body []byte) []byte {
	switch t {
	case wire.ExtServerName, wire.ExtSessionTicket, wire.ExtPadding, wire.ExtPaddingDraft, wire.ExtPreSharedKey, wire.ExtCookie:
		return nil
	case wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms:
		return degreaseList(body, 2)
	case wire.ExtSupportedVersions:
		return degreaseList(body, 1)
	case wire.ExtKeyShare:
		shares := (&ClientHello{Extensions: []Extension{{Type: t, Data: body}}}).KeyShares()
		if shares == nil {
			return body
		}
		var out []byte
		for _, s := range shares {
			out = wire.AppendU16(out, degrease(uint16(s.Group)))
			out = wire.AppendVec16(out, make([]byte, len(s.Public)))
		}
		return wire.AppendVec16(nil, out)
	case wire.ExtEncryptedClientHello:
		r := wire.NewReader(body)
		kind, kdf := r.U8(), r.U16()
		r.U16()
		r.U8()
		enc := r.Vec16()
		if r.Vec16(); !r.Done() {
			return body
		}
		out := append(wire.AppendU16([]byte{kind}, kdf), 0, 0, 0)
		return append(wire.AppendVec16(out, make([]byte, len(enc))), 0, 0)
	}
	return body
}

func degreaseList(body []byte, skip int) []byte {
	out := append([]byte(nil), body...)
	for i := skip; i+1 < len(out); i += 2 {
		if v := uint16(out[i])<<8 | uint16(out[i+1]); wire.IsGREASE(v) {
			out[i], out[i+1] = wire.GREASEPlaceholder>>8, wire.GREASEPlaceholder&0xff
		}
	}
	return out
}

// Identity names the skeleton with twelve hex digits; equal identities are the same client and kind of hello.
func (ch *ClientHello) Identity() string { return identity(ch.Skeleton()) }

// UnorderedIdentity is Identity with the extensions sorted: for clients that shuffle them.
func (ch *ClientHello) UnorderedIdentity() string {
	s := ch.Skeleton()
	slices.SortFunc(s.Extensions, func(a, b Extension) int {
		if a.Type != b.Type {
			return int(a.Type) - int(b.Type)
		}
		return bytes.Compare(a.Data, b.Data)
	})
	return identity(s)
}

func identity(s *ClientHello) string {
	sum := sha256.Sum256(s.AppendRecords(nil))
	return hex.EncodeToString(sum[:6])
}
