package hello

import (
	"fmt"

	"tlsurge/profiles/wire"
)

// Extension gives the body of the first extension of type t.
func (ch *ClientHello) Extension(t wire.ExtensionType) (data []byte, ok bool) {
	for i := range ch.Extensions {
		if ch.Extensions[i].Type == t {
			return ch.Extensions[i].Data, true
		}
	}
	return nil, false
}

// Has says whether an extension of type t is there.
func (ch *ClientHello) Has(t wire.ExtensionType) bool {
	_, ok := ch.Extension(t)
	return ok
}

// HasSuite says whether s is among the suites, signals included.
func (ch *ClientHello) HasSuite(s wire.CipherSuite) bool {
	for _, c := range ch.Suites {
		if c == s {
			return true
		}
	}
	return false
}

// ServerName gives the host_name of server_name (RFC 6066 §3), "" where there is none.
func (ch *ClientHello) ServerName() string {
	data, _ := ch.Extension(wire.ExtServerName)
	r := wire.NewReader(data)
	for l := wire.NewReader(r.Vec16()); l.Len() > 0; {
		kind, name := l.U8(), l.Vec16()
		if l.OK() && kind == 0 {
			return string(name)
		}
	}
	return ""
}

// U16s reads a vector of uint16 with a two-byte length that fills data; nil if it does not.
func U16s[T ~uint16](data []byte) []T {
	r := wire.NewReader(data)
	v := r.Vec16()
	if !r.Done() || len(v)%2 != 0 {
		return nil
	}
	out := make([]T, len(v)/2)
	for i := range out {
		out[i] = T(uint16(v[2*i])<<8 | uint16(v[2*i+1]))
	}
	return out
}

// Groups gives supported_groups (RFC 8446 §4.2.7) in order, GREASE included; nil where absent.
func (ch *ClientHello) Groups() []wire.Group {
	data, _ := ch.Extension(wire.ExtSupportedGroups)
	return U16s[wire.Group](data)
}

// PointFormats gives ec_point_formats (RFC 8422 §5.1.2); nil where absent.
func (ch *ClientHello) PointFormats() []uint8 {
	data, _ := ch.Extension(wire.ExtECPointFormats)
	r := wire.NewReader(data)
	return r.Vec8()
}

// SignatureAlgorithms gives signature_algorithms in order; nil where absent.
func (ch *ClientHello) SignatureAlgorithms() []wire.SignatureScheme {
	data, _ := ch.Extension(wire.ExtSignatureAlgorithms)
	return U16s[wire.SignatureScheme](data)
}

// SupportedVersions gives supported_versions (RFC 8446 §4.2.1) in order, GREASE and drafts included.
func (ch *ClientHello) SupportedVersions() []wire.Version {
	data, _ := ch.Extension(wire.ExtSupportedVersions)
	r := wire.NewReader(data)
	v := r.Vec8()
	if !r.Done() || len(v)%2 != 0 {
		return nil
	}
	out := make([]wire.Version, len(v)/2)
	for i := range out {
		out[i] = wire.Version(uint16(v[2*i])<<8 | uint16(v[2*i+1]))
	}
	return out
}

// MaxVersion is the highest version offered that this program knows: from supported_versions where
// present (drafts and GREASE left out), else client_version.
func (ch *ClientHello) MaxVersion() wire.Version {
	if !ch.Has(wire.ExtSupportedVersions) {
		return ch.Version
	}
	var best wire.Version
	for _, v := range ch.SupportedVersions() {
		if v >= wire.SSL30 && v <= wire.TLS13 {
			best = max(best, v)
		}
	}
	return best
}

// KeyShares gives the shares of key_share (RFC 8446 §4.2.8) in order, GREASE included.
func (ch *ClientHello) KeyShares() []KeyShare {
	data, _ := ch.Extension(wire.ExtKeyShare)
	r := wire.NewReader(data)
	var out []KeyShare
	for l := wire.NewReader(r.Vec16()); l.Len() > 0; {
		s := KeyShare{wire.Group(l.U16()), l.Vec16()}
		if !l.OK() {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// ALPN gives the protocol names of application_layer_protocol_negotiation (RFC 7301) in order.
func (ch *ClientHello) ALPN() []string {
	data, _ := ch.Extension(wire.ExtALPN)
	return Protocols(data)
}

// Protocols reads a list of protocol names as in application_layer_protocol_negotiation; nil if data is none.
func Protocols(data []byte) []string {
	r := wire.NewReader(data)
	var out []string
	for l := wire.NewReader(r.Vec16()); l.Len() > 0; {
		p := l.Vec8()
		if !l.OK() {
			return nil
		}
		out = append(out, string(p))
	}
	return out
}

// SessionTicket gives the body of session_ticket (RFC 5077 §3.2); ok with an empty ticket asks for one.
func (ch *ClientHello) SessionTicket() (ticket []byte, ok bool) {
	return ch.Extension(wire.ExtSessionTicket)
}

// PSKModes gives psk_key_exchange_modes (RFC 8446 §4.2.9); nil where absent.
func (ch *ClientHello) PSKModes() []wire.PSKMode {
	data, _ := ch.Extension(wire.ExtPSKKeyExchangeModes)
	r := wire.NewReader(data)
	v := r.Vec8()
	if len(v) == 0 {
		return nil
	}
	out := make([]wire.PSKMode, len(v))
	for i, m := range v {
		out[i] = wire.PSKMode(m)
	}
	return out
}

// Cookie gives the cookie of a second ClientHello (RFC 8446 §4.2.2).
func (ch *ClientHello) Cookie() []byte {
	data, _ := ch.Extension(wire.ExtCookie)
	r := wire.NewReader(data)
	return r.Vec16()
}

// CertCompressions gives compress_certificate's algorithms (RFC 8879 §3).
func (ch *ClientHello) CertCompressions() []wire.CertCompression {
	data, _ := ch.Extension(wire.ExtCompressCertificate)
	r := wire.NewReader(data)
	v := r.Vec8()
	var out []wire.CertCompression
	for i := 0; i+1 < len(v); i += 2 {
		out = append(out, wire.CertCompression(uint16(v[i])<<8|uint16(v[i+1])))
	}
	return out
}

// RecordSizeLimit gives record_size_limit (RFC 8449 §4).
func (ch *ClientHello) RecordSizeLimit() (limit uint16, ok bool) {
	data, ok := ch.Extension(wire.ExtRecordSizeLimit)
	if !ok || len(data) != 2 {
		return 0, false
	}
	return uint16(data[0])<<8 | uint16(data[1]), true
}

// PSKIdentity is one identity of pre_shared_key.
type PSKIdentity struct {
	Identity      []byte
	ObfuscatedAge uint32 // obfuscated_ticket_age
}

// PSK is pre_shared_key as a client sends it (RFC 8446 §4.2.11, Pre-Shared Key Extension).
type PSK struct {
	Identities []PSKIdentity
	Binders    [][]byte
	// BindersLen is the length of the binders list with its two bytes of length: what the partial
	// transcript of RFC 8446 §4.2.11.2 leaves off the end of the message.
	BindersLen int
}

// PSK decodes pre_shared_key; ok is false where it is absent or malformed. The binders alias the hello.
func (ch *ClientHello) PSK() (psk PSK, ok bool) {
	data, ok := ch.Extension(wire.ExtPreSharedKey)
	if !ok {
		return PSK{}, false
	}
	return parsePSK(data)
}

func parsePSK(data []byte) (psk PSK, ok bool) {
	r := wire.NewReader(data)
	for l := wire.NewReader(r.Vec16()); l.Len() > 0; {
		id := PSKIdentity{l.Vec16(), l.U32()}
		if !l.OK() || len(id.Identity) == 0 {
			return PSK{}, false
		}
		psk.Identities = append(psk.Identities, id)
	}
	psk.BindersLen = r.Len()
	for l := wire.NewReader(r.Vec16()); l.Len() > 0; {
		b := l.Vec8()
		// The grammar wants 32 bytes at least; a binder of a length that no hash has is left to the server,
		// who owes it decrypt_error.
		if !l.OK() || len(b) == 0 {
			return PSK{}, false
		}
		psk.Binders = append(psk.Binders, b)
	}
	return psk, r.Done() && len(psk.Identities) > 0 && len(psk.Binders) == len(psk.Identities)
}

// SetBinder writes binder i in place: the engine computes it over the hello it is part of. It fails if
// the hello has no such binder or one of another length.
func (ch *ClientHello) SetBinder(i int, binder []byte) error {
	psk, ok := ch.PSK()
	if !ok || i >= len(psk.Binders) || len(psk.Binders[i]) != len(binder) {
		return fmt.Errorf("hello has no binder %d of %d bytes", i, len(binder))
	}
	copy(psk.Binders[i], binder)
	return nil
}

// Check decodes every extension body that the accessors know and fails with *wire.DecodeError at the
// first that does not follow its grammar, at a repeated extension, and at a pre_shared_key that is not
// last. The accessors themselves treat a malformed body as an absent one.
func (ch *ClientHello) Check() error {
	seen := make(map[wire.ExtensionType]bool, len(ch.Extensions))
	for i, e := range ch.Extensions {
		if seen[e.Type] {
			return decodeErr("extension %v twice", e.Type)
		}
		seen[e.Type] = true
		if e.Type == wire.ExtPreSharedKey && i != len(ch.Extensions)-1 {
			return decodeErr("pre_shared_key is not the last extension")
		}
		if f, ok := bodies[e.Type]; ok && !f(e.Data) {
			return decodeErr("extension %v has a malformed body of %d bytes", e.Type, len(e.Data))
		}
	}
	if len(ch.SessionID) > 32 {
		return decodeErr("session_id of %d bytes, at most 32 allowed", len(ch.SessionID))
	}
	return nil
}

var bodies = map[wire.ExtensionType]func([]byte) bool{
	wire.ExtServerName: func(d []byte) bool {
		r := wire.NewReader(d)
		l := wire.NewReader(r.Vec16())
		if !r.Done() || l.Len() == 0 {
			return false
		}
		for l.Len() > 0 {
			l.U8()
			if len(l.Vec16()) == 0 {
				return false
			}
		}
		return l.OK()
	},
	wire.ExtSupportedGroups:     evenVec16,
	wire.ExtSignatureAlgorithms: evenVec16,
	wire.ExtSignatureAlgsCert:   evenVec16,
	wire.ExtECPointFormats:      fullVec8,
	wire.ExtPSKKeyExchangeModes: fullVec8,
	wire.ExtSupportedVersions: func(d []byte) bool {
		r := wire.NewReader(d)
		v := r.Vec8()
		return r.Done() && len(v) >= 2 && len(v)%2 == 0
	},
	wire.ExtCookie: func(d []byte) bool {
		r := wire.NewReader(d)
		return len(r.Vec16()) > 0 && r.Done()
	},
	wire.ExtALPN: func(d []byte) bool {
		r := wire.NewReader(d)
		l := wire.NewReader(r.Vec16())
		if !r.Done() || l.Len() == 0 {
			return false
		}
		for l.Len() > 0 {
			if len(l.Vec8()) == 0 {
				return false
			}
		}
		return l.OK()
	},
	wire.ExtKeyShare: func(d []byte) bool {
		r := wire.NewReader(d)
		l := wire.NewReader(r.Vec16())
		if !r.Done() {
			return false
		}
		for l.Len() > 0 {
			l.U16()
			if len(l.Vec16()) == 0 {
				return false
			}
		}
		return l.OK()
	},
	wire.ExtPreSharedKey: func(d []byte) bool { _, ok := parsePSK(d); return ok },
	wire.ExtRenegotiationInfo: func(d []byte) bool {
		r := wire.NewReader(d)
		r.Vec8()
		return r.Done()
	},
	wire.ExtExtendedMasterSecret: func(d []byte) bool { return len(d) == 0 },
}

func evenVec16(d []byte) bool {
	r := wire.NewReader(d)
	v := r.Vec16()
	return r.Done() && len(v) >= 2 && len(v)%2 == 0
}

func fullVec8(d []byte) bool {
	r := wire.NewReader(d)
	return len(r.Vec8()) > 0 && r.Done()
}
