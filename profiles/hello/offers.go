package hello

import "tlsurge/profiles/wire"

// The questions below read an extension's list in place: a client asks them in each handshake, where the
// lists themselves would have to be made.

// Offers says whether a server may negotiate v with this hello (RFC 8446 §4.2.1: with
// supported_versions, that list alone decides).
func (ch *ClientHello) Offers(v wire.Version) bool {
	if !ch.Has(wire.ExtSupportedVersions) {
		return v <= ch.Version && v < wire.TLS13
	}
	return ch.ListsVersion(v)
}

// ListsVersion says whether v stands in supported_versions.
func (ch *ClientHello) ListsVersion(v wire.Version) bool {
	data, _ := ch.Extension(wire.ExtSupportedVersions)
	r := wire.NewReader(data)
	list := r.Vec8()
	return r.Done() && holds(list, uint16(v))
}

// OffersGroup says whether g stands in supported_groups.
func (ch *ClientHello) OffersGroup(g wire.Group) bool {
	return ch.lists(wire.ExtSupportedGroups, uint16(g))
}

// OffersScheme says whether s stands in signature_algorithms.
func (ch *ClientHello) OffersScheme(s wire.SignatureScheme) bool {
	return ch.lists(wire.ExtSignatureAlgorithms, uint16(s))
}

func (ch *ClientHello) lists(t wire.ExtensionType, v uint16) bool {
	data, _ := ch.Extension(t)
	r := wire.NewReader(data)
	list := r.Vec16()
	return r.Done() && holds(list, v)
}

// holds says whether v stands in a list of uint16; a list of odd length holds nothing.
func holds(list []byte, v uint16) bool {
	if len(list)%2 != 0 {
		return false
	}
	for i := 0; i < len(list); i += 2 {
		if uint16(list[i])<<8|uint16(list[i+1]) == v {
			return true
		}
	}
	return false
}

// Shares says whether key_share has a share of g.
func (ch *ClientHello) Shares(g wire.Group) bool {
	data, _ := ch.Extension(wire.ExtKeyShare)
	r := wire.NewReader(data)
	found := false
	for l := wire.NewReader(r.Vec16()); l.Len() > 0; {
		found = wire.Group(l.U16()) == g || found
		if l.Vec16(); !l.OK() {
			return false
		}
	}
	return found
}

// OffersPSKMode says whether m stands in psk_key_exchange_modes.
func (ch *ClientHello) OffersPSKMode(m wire.PSKMode) bool {
	data, _ := ch.Extension(wire.ExtPSKKeyExchangeModes)
	r := wire.NewReader(data)
	for _, have := range r.Vec8() {
		if wire.PSKMode(have) == m {
			return true
		}
	}
	return false
}
