package profiles

import (
	"slices"
	"strings"
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
