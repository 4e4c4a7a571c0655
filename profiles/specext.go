package profiles

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tlsurge/profiles/wire"
)

// compileExtension builds the body of one extension from the fields that belong to it.
func (d *HelloData) compileExtension(s *spec, name string, grease *int) (extSpec, error) {
	t, err := wire.ParseExtensionType(name)
	if err != nil {
		return extSpec{}, fmt.Errorf("hello.extensions: %w", err)
	}
	e := extSpec{typ: t}
	if raw, ok := d.Bodies[name]; ok {
		if e.data, err = hex.DecodeString(raw); err != nil {
			return e, fmt.Errorf("hello.bodies.%s: %q is not hex", name, raw)
		}
		return e, nil
	}
	switch {
	case name == wire.GREASEName:
		e.kind = extGREASE
		if *grease < len(s.greaseBody) {
			e.data = s.greaseBody[*grease]
		}
		*grease++
		return e, nil
	case t == wire.ExtServerName:
		e.kind = extSNI
	case t == wire.ExtSessionTicket:
		e.kind = extTicket
	case t == wire.ExtEncryptedClientHello:
		e.kind = extECH
		if d.ECH == nil {
			return e, fmt.Errorf("hello.extensions has encrypted_client_hello, but there is no [hello.ech]")
		}
	case t == wire.ExtStatusRequest:
		e.data = []byte{1, 0, 0, 0, 0} // ocsp, no responder IDs, no request extensions (RFC 6066 §8)
	case t == wire.ExtRenegotiationInfo:
		e.data = []byte{0} // empty renegotiated_connection (RFC 5746 §3.4)
	case t == wire.ExtSupportedGroups:
		e.data, e.kind, err = numbers16("hello.groups", d.Groups, wire.ParseGroup, extGroups)
	case t == wire.ExtSignatureAlgorithms:
		e.data, e.kind, err = numbers16("hello.signature_algorithms", d.SignatureAlgorithms, wire.ParseSignatureScheme, extSchemes)
	case t == wire.ExtSignatureAlgsCert:
		e.data, _, err = numbers16("hello.signature_algorithms_cert", d.SignatureAlgorithmsCert, wire.ParseSignatureScheme, extStatic)
	case t == wire.ExtDelegatedCredentials:
		e.data, _, err = numbers16("hello.delegated_credentials", d.DelegatedCredentials, wire.ParseSignatureScheme, extStatic)
	case t == wire.ExtECPointFormats:
		var f []uint8
		f, err = parseAll("hello.point_formats", d.PointFormats, parsePointFormat)
		e.data = wire.AppendVec8(nil, f)
	case t == wire.ExtALPN:
		e.data = appendProtocols(nil, d.ALPN)
	case t == wire.ExtApplicationSettings || t == wire.ExtApplicationSettingsNew:
		e.data = appendProtocols(nil, d.ALPS)
	case t == wire.ExtSupportedVersions:
		var v []wire.Version
		v, err = parseAll("hello.supported_versions", d.Versions, wire.ParseVersion)
		e.data = []byte{byte(2 * len(v))}
		for _, x := range v {
			e.data = wire.AppendU16(e.data, uint16(x))
			if wire.IsGREASE(uint16(x)) {
				e.kind = extVersions
			}
		}
	case t == wire.ExtKeyShare:
		e.kind = extKeyShare
		s.shares, err = parseAll("hello.key_shares", d.KeyShares, wire.ParseGroup)
	case t == wire.ExtPSKKeyExchangeModes:
		var m []uint8
		m, err = parseAll("hello.psk_modes", d.PSKModes, parsePSKMode)
		e.data = wire.AppendVec8(nil, m)
	case t == wire.ExtCompressCertificate:
		var c []wire.CertCompression
		c, err = parseAll("hello.compress_certificate", d.CertCompression, wire.ParseCertCompression)
		e.data = []byte{byte(2 * len(c))}
		for _, x := range c {
			e.data = wire.AppendU16(e.data, uint16(x))
		}
	case t == wire.ExtRecordSizeLimit:
		if d.RecordSizeLimit < 64 || d.RecordSizeLimit > 16385 {
			err = fmt.Errorf("hello.record_size_limit is %d, 64 to 16385 allowed (RFC 8449 §4)", d.RecordSizeLimit)
		}
		e.data = wire.AppendU16(nil, uint16(d.RecordSizeLimit))
	case t == wire.ExtHeartbeat:
		switch d.Heartbeat {
		case "peer_allowed_to_send":
			e.data = []byte{1}
		case "peer_not_allowed_to_send":
			e.data = []byte{2}
		default:
			err = fmt.Errorf("hello.heartbeat is %q, allowed are \"peer_allowed_to_send\" and \"peer_not_allowed_to_send\"", d.Heartbeat)
		}
	case t == wire.ExtPadding || t == wire.ExtPaddingDraft || t == wire.ExtPreSharedKey:
		err = fmt.Errorf("hello.extensions has %q, which follows from its own rule and is not listed", name)
	}
	return e, err
}

// numbers16 builds a vector of uint16 with a two-byte length; with reports the kind only if it holds GREASE.
func numbers16[T ~uint16](key string, names []string, parse func(string) (T, error), with extKind) ([]byte, extKind, error) {
	vs, err := parseAll(key, names, parse)
	kind := extStatic
	data := wire.AppendU16(nil, uint16(2*len(vs)))
	for _, v := range vs {
		data = wire.AppendU16(data, uint16(v))
		if wire.IsGREASE(uint16(v)) {
			kind = with
		}
	}
	return data, kind, err
}

func appendProtocols(dst []byte, names []string) []byte {
	mark := len(dst)
	dst = append(dst, 0, 0)
	for _, n := range names {
		dst = wire.AppendVec8(dst, []byte(n))
	}
	n := len(dst) - mark - 2
	dst[mark], dst[mark+1] = byte(n>>8), byte(n)
	return dst
}

var pointFormats = []string{"uncompressed", "ansiX962_compressed_prime", "ansiX962_compressed_char2"}

func parsePointFormat(name string) (uint8, error) {
	if i := slices.Index(pointFormats, name); i >= 0 {
		return uint8(i), nil
	}
	return 0, fmt.Errorf("unknown point format %q: allowed are %s", name, strings.Join(pointFormats, ", "))
}

func parsePSKMode(name string) (uint8, error) {
	switch name {
	case "psk_ke":
		return uint8(wire.PSKOnly), nil
	case "psk_dhe_ke":
		return uint8(wire.PSKDHE), nil
	}
	return 0, fmt.Errorf("unknown PSK mode %q: allowed are psk_ke and psk_dhe_ke", name)
}
