package profiles

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// HelloData is the [hello] table of a profile: the ClientHello in names. An extension stands in
// Extensions by its name; what is inside it stands in the field of the same meaning.
type HelloData struct {
	Format        string   `toml:"format,omitempty"` // "tls" or "sslv2"
	RecordVersion string   `toml:"record_version,omitempty"`
	Version       string   `toml:"version"`
	Random        string   `toml:"random"`               // "random" or "clock" (gmt_unix_time in the first four bytes)
	Challenge     int      `toml:"challenge,omitempty"`  // SSLv2 format: bytes of challenge
	SessionID     string   `toml:"session_id,omitempty"` // "random": 32 random bytes (TLS 1.3 compatibility mode); else empty
	Suites        []string `toml:"suites"`
	Compression   []string `toml:"compression,omitempty"`
	NoExtensions  bool     `toml:"no_extensions,omitempty"` // the extensions block itself is missing
	Extensions    []string `toml:"extensions,omitempty"`    // in order
	Shuffle       bool     `toml:"shuffle,omitempty"`       // new order on each connection, but for GREASE

	Groups                  []string `toml:"groups,omitempty"`
	PointFormats            []string `toml:"point_formats,omitempty"`
	SignatureAlgorithms     []string `toml:"signature_algorithms,omitempty"`
	SignatureAlgorithmsCert []string `toml:"signature_algorithms_cert,omitempty"`
	ALPN                    []string `toml:"alpn,omitempty"`
	Versions                []string `toml:"supported_versions,omitempty"`
	KeyShares               []string `toml:"key_shares,omitempty"`
	PSKModes                []string `toml:"psk_modes,omitempty"`
	CertCompression         []string `toml:"compress_certificate,omitempty"`
	RecordSizeLimit         int      `toml:"record_size_limit,omitempty"`
	DelegatedCredentials    []string `toml:"delegated_credentials,omitempty"`
	ALPS                    []string `toml:"application_settings,omitempty"`
	Heartbeat               string   `toml:"heartbeat,omitempty"` // "peer_allowed_to_send" or "peer_not_allowed_to_send"
	// GREASEBodies are the bodies in hex of the GREASE extensions, in order.
	GREASEBodies []string `toml:"grease_bodies,omitempty"`
	// Bodies are the bodies in hex of extensions that have no field of their own.
	Bodies map[string]string `toml:"bodies,omitempty"`

	Padding *PaddingData           `toml:"padding,omitempty"`
	ECH     *ECHData               `toml:"ech,omitempty"`
	Resume  ResumeData             `toml:"resume,omitempty"`
	Second  SecondData             `toml:"second,omitempty"`
	Lower   LowerData              `toml:"lower,omitempty"`
	Variant map[string]VariantData `toml:"variant,omitempty"`
}

// PaddingData is the rule of RFC 7685 §4: a ClientHello message of From to To-1 bytes is lifted to To.
type PaddingData struct {
	Extension string `toml:"extension"` // "padding", or "padding_pre_iana" for 0x8b47
	From      int    `toml:"from"`
	To        int    `toml:"to"`
	Min       int    `toml:"min"` // the least body, where fewer bytes than a whole extension are missing
}

// ECHData is a GREASE encrypted_client_hello (RFC 9849 §6.2).
type ECHData struct {
	KDF        int   `toml:"kdf"`
	AEADs      []int `toml:"aeads"`       // one of them, at random
	EncLength  int   `toml:"enc_length"`  // bytes of encapsulated key
	Payloads   []int `toml:"payloads"`    // one of these lengths, at random
	PSKRounded int   `toml:"psk_rounded"` // with a PSK the payload grows by the PSK's bytes, rounded up to this; 0: not
}

// ResumeData is how a hello that offers a session differs.
type ResumeData struct {
	// TicketSessionID: a ticket of TLS 1.2 goes with 32 random bytes of session ID.
	TicketSessionID bool `toml:"ticket_session_id,omitempty"`
	// SessionVersion: client_version is the session's, not the maximum (NSS of that time).
	SessionVersion bool `toml:"session_version,omitempty"`
	// NoSCSV: TLS_FALLBACK_SCSV is not sent together with a session (NSS).
	NoSCSV bool `toml:"no_scsv,omitempty"`
	// AnySuite: a session is offered even where the hello no longer offers its suite (NSS before 3.28).
	AnySuite bool `toml:"any_suite,omitempty"`
	// Drops are the extensions left out when a session of TLS 1.2 or below is offered (Chrome on NSS: channel_id).
	Drops []string `toml:"drops,omitempty"`
	// PSKDrops are the extensions left out when pre_shared_key is there.
	PSKDrops []string `toml:"psk_drops,omitempty"`
}

// SecondData is how the hello after a HelloRetryRequest differs besides what RFC 8446 §4.1.2 asks.
type SecondData struct {
	RecordVersion string `toml:"record_version,omitempty"`
}

// LowerData is how the hello of a fallback differs.
type LowerData struct {
	SCSV       string `toml:"scsv,omitempty"`        // "first" (behind a leading 0x00ff) or "last"
	KeepSuites bool   `toml:"keep_suites,omitempty"` // a lower hello drops GCM, but keeps CBC with SHA-256 and SHA-384 (coreTLS)
	// SSL30Signal: an SSL 3.0 hello, which has no extensions, says 0x00ff in front (NSS).
	SSL30Signal bool `toml:"ssl30_signal,omitempty"`
}

// VariantData changes the hello under a name.
type VariantData struct {
	Note       string       `toml:"note,omitempty"`
	Padding    *PaddingData `toml:"padding,omitempty"`
	Suites     []string     `toml:"suites,omitempty"`
	SuitesWith string       `toml:"suites_with,omitempty"` // keep only suites whose name has this in it
	Without    []string     `toml:"without,omitempty"`     // extensions left out
	Bare       bool         `toml:"bare,omitempty"`        // no extensions at all
	ALPN       []string     `toml:"alpn,omitempty"`
	Extensions []string     `toml:"extensions,omitempty"`
}

// extKind says where the body of an extension comes from.
type extKind uint8

const (
	extStatic extKind = iota
	extSNI
	extTicket
	extKeyShare
	extGroups   // holds GREASE
	extVersions // holds GREASE
	extSchemes  // holds GREASE
	extGREASE
	extECH
)

// extSpec is one extension, compiled.
type extSpec struct {
	typ  wire.ExtensionType
	kind extKind
	data []byte // the body where static; with GREASE placeholders where it has some
}

// spec is a HelloData, compiled: numbers instead of names.
type spec struct {
	format      hello.Format
	record      wire.Version
	version     wire.Version
	clock       bool
	challenge   int
	randomID    bool
	suites      []wire.CipherSuite
	sslv2       []uint32
	compression []uint8
	block       bool // the extensions block is there
	exts        []extSpec
	shuffle     bool
	shares      []wire.Group
	greaseBody  [][]byte
	padding     *paddingSpec
	ech         *ECHData
	resume      ResumeData
	drops       []wire.ExtensionType
	pskDrops    []wire.ExtensionType
	second      wire.Version
	lower       LowerData
}

type paddingSpec struct {
	typ           wire.ExtensionType
	from, to, min int
}

// compile turns names into numbers and refuses what it does not know, naming the key.
func (d *HelloData) compile() (*spec, error) {
	s := &spec{challenge: d.Challenge, shuffle: d.Shuffle, block: !d.NoExtensions, ech: d.ECH, resume: d.Resume, lower: d.Lower}
	for _, v := range []struct {
		key, text string
		to        *wire.Version
	}{{"version", d.Version, &s.version}, {"record_version", d.RecordVersion, &s.record}, {"second.record_version", d.Second.RecordVersion, &s.second}} {
		if v.text == "" && v.key != "version" {
			continue
		}
		var err error
		if *v.to, err = wire.ParseVersion(v.text); err != nil {
			return nil, fmt.Errorf("hello.%s: %w", v.key, err)
		}
	}
	switch d.Random {
	case "clock":
		s.clock = true
	case "random":
	default:
		return nil, fmt.Errorf("hello.random is %q, allowed are \"random\" and \"clock\"", d.Random)
	}
	switch d.SessionID {
	case "random":
		s.randomID = true
	case "":
	default:
		return nil, fmt.Errorf("hello.session_id is %q, allowed are \"random\" and none", d.SessionID)
	}
	switch s.lower.SCSV {
	case "", "first", "last":
	default:
		return nil, fmt.Errorf("hello.lower.scsv is %q, allowed are \"first\" and \"last\"", s.lower.SCSV)
	}
	var err error
	switch d.Format {
	case "sslv2":
		s.format, s.block = hello.FormatSSLv2, false
		if s.challenge < 16 || s.challenge > 32 {
			return nil, fmt.Errorf("hello.challenge is %d, 16 to 32 allowed", s.challenge)
		}
		for _, n := range d.Suites {
			v, err := wire.ParseSSLv2Spec(n)
			if err != nil {
				return nil, fmt.Errorf("hello.suites: %w", err)
			}
			s.sslv2 = append(s.sslv2, v)
			if v <= 0xffff {
				s.suites = append(s.suites, wire.CipherSuite(v))
			}
		}
		if len(s.sslv2) == 0 {
			return nil, fmt.Errorf("hello.suites is empty")
		}
		return s, nil
	case "", "tls":
	default:
		return nil, fmt.Errorf("hello.format is %q, allowed are \"tls\" and \"sslv2\"", d.Format)
	}
	if s.version>>8 != 3 {
		return nil, fmt.Errorf("hello.version is %v, SSL 3.0 to TLS 1.2 expected (TLS 1.3 stands in supported_versions)", s.version)
	}
	if s.record>>8 != 3 {
		return nil, fmt.Errorf("hello.record_version is %v, SSL 3.0 to TLS 1.2 allowed", s.record)
	}
	if s.suites, err = parseAll("hello.suites", d.Suites, wire.ParseCipherSuite); err != nil {
		return nil, err
	}
	if len(s.suites) == 0 {
		return nil, fmt.Errorf("hello.suites is empty")
	}
	if s.compression, err = parseAll("hello.compression", d.Compression, parseCompression); err != nil {
		return nil, err
	}
	if s.drops, err = parseAll("hello.resume.drops", d.Resume.Drops, wire.ParseExtensionType); err != nil {
		return nil, err
	}
	if s.pskDrops, err = parseAll("hello.resume.psk_drops", d.Resume.PSKDrops, wire.ParseExtensionType); err != nil {
		return nil, err
	}
	if d.Padding != nil {
		t, err := wire.ParseExtensionType(d.Padding.Extension)
		if err != nil {
			return nil, fmt.Errorf("hello.padding.extension: %w", err)
		}
		s.padding = &paddingSpec{t, d.Padding.From, d.Padding.To, d.Padding.Min}
	}
	if d.ECH != nil && (len(d.ECH.AEADs) == 0 || len(d.ECH.Payloads) == 0) {
		return nil, fmt.Errorf("hello.ech needs at least one of aeads and one of payloads")
	}
	for _, b := range d.GREASEBodies {
		raw, err := hex.DecodeString(b)
		if err != nil {
			return nil, fmt.Errorf("hello.grease_bodies: %q is not hex", b)
		}
		s.greaseBody = append(s.greaseBody, raw)
	}
	grease := 0
	for _, name := range d.Extensions {
		e, err := d.compileExtension(s, name, &grease)
		if err != nil {
			return nil, err
		}
		s.exts = append(s.exts, e)
	}
	return s, nil
}

func parseAll[T any](key string, names []string, parse func(string) (T, error)) ([]T, error) {
	out := make([]T, len(names))
	for i, n := range names {
		v, err := parse(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out[i] = v
	}
	return out, nil
}

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

// vary gives the hello that the variant makes of d.
func (d HelloData) vary(v VariantData) HelloData {
	if len(v.Suites) > 0 {
		d.Suites = v.Suites
	}
	if v.SuitesWith != "" {
		d.Suites = slices.DeleteFunc(slices.Clone(d.Suites), func(n string) bool {
			return !strings.Contains(n, v.SuitesWith) && !strings.HasSuffix(n, "_SCSV")
		})
	}
	if len(v.Extensions) > 0 {
		d.Extensions = v.Extensions
	}
	if v.ALPN != nil {
		d.ALPN = v.ALPN
	}
	if v.Padding != nil {
		d.Padding = v.Padding
	}
	if v.Bare {
		d.Extensions, d.NoExtensions = nil, true
	}
	d.Extensions = slices.DeleteFunc(slices.Clone(d.Extensions), func(n string) bool { return slices.Contains(v.Without, n) })
	return d
}
