package engine

import "tlsurge/profiles/wire"

// Rules is the personality of a server: where releases of OpenSSL answer one and the same hello
// differently, the difference is a field here. The zero value is what the RFCs say.
type Rules struct {
	// SCSV is what TLS_FALLBACK_SCSV among the suites does.
	SCSV SCSVRule

	// VersionRefusal is what a hello gets whose version is not enabled.
	VersionRefusal VersionRefusal

	// SessionFirst looks a session up before reading the suites, so that a refused fallback drops the
	// session too (OpenSSL before 1.1.0).
	SessionFirst bool

	// AnyResumeVersion resumes a session made at another version than this hello's (OpenSSL before 1.0.1k).
	AnyResumeVersion bool

	// ExtensionOrder is the order in which a ServerHello lists its extensions; what is missing here is
	// never sent. Nil: the order of the ClientHello.
	ExtensionOrder []wire.ExtensionType

	// AckServerName answers server_name with an empty extension.
	AckServerName bool

	// IgnoreExtensions are ClientHello extensions that this server has never heard of.
	IgnoreExtensions []wire.ExtensionType

	// NoRenegotiationInfo: TLS_EMPTY_RENEGOTIATION_INFO_SCSV and renegotiation_info are unknown (0.9.8e).
	NoRenegotiationInfo bool

	// IgnoreGroups chooses ECDHE on the first configured group without looking at supported_groups (0.9.8).
	IgnoreGroups bool

	// NeedsGroups: without supported_groups in the hello no ECDHE suite is usable (OpenSSL from 1.1.1 on).
	NeedsGroups bool

	// Heartbeat acknowledges heartbeat (1.0.1 and 1.0.2).
	Heartbeat bool

	// OnlyUncompressed lists one point format instead of OpenSSL's three.
	OnlyUncompressed bool

	// Alerts is where this server sends another alert than the RFC names: the first cause that fits counts.
	Alerts []CauseAlert

	// StrictSchemes refuses a TLS 1.2 hello whose signature_algorithms share nothing with ours even where the
	// suite needs no signature (OpenSSL from 1.0.2 on).
	StrictSchemes bool

	// NoSHA1 signs nothing with SHA-1. In TLS 1.2 it so refuses a hello without signature_algorithms, which
	// stands for SHA-1, and below TLS 1.2 every hello, whatever the suite (OpenSSL 3.0 at security level 1 and above).
	NoSHA1 bool

	// Statem reads a hello as OpenSSL's state machine since 1.1.0 does: see statem.go.
	Statem bool

	// TakesDuplicates reads an extension that comes twice as if it came once (OpenSSL before 1.1.0).
	TakesDuplicates bool

	// SilentRecordVersion closes without an alert on a record with a wrong version (measured on 1.0.x and 3.0).
	SilentRecordVersion bool
}

// SCSVRule is how a server treats TLS_FALLBACK_SCSV (RFC 7507).
type SCSVRule uint8

const (
	SCSVChecked   SCSVRule = iota // inappropriate_fallback if a higher version is enabled
	SCSVIgnored                   // unknown number: before October 2014
	SCSVSkipsRest                 // checked, and where it passes, every suite after it is overlooked (0.9.8zc, 1.0.0o, 1.0.1j)
)

// VersionRefusal is the answer to a hello whose version is not enabled.
type VersionRefusal uint8

const (
	RefuseWithAlert VersionRefusal = iota // protocol_version; in an SSL 3.0 record handshake_failure
	// RefuseAsSSL23 is OpenSSL before 1.1.0: a version for which nothing lower is enabled either, other
	// than SSL 3.0, is closed upon without an alert.
	RefuseAsSSL23
)

// CauseAlert says which alert answers a cause.
type CauseAlert struct {
	Cause error
	Alert wire.AlertDescription
}
