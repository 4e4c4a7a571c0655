package engine

import "tlsurge/profiles/wire"

// The personalities of OpenSSL's releases, as rules; package harness/proxy/stack ties them to names and
// to what else an edge of that time has. They are held against what real servers answered in
// reference_test.go.

// Where OpenSSL's alerts part from the RFCs' or from ours: s3_srvr.c before 1.1.0, statem_srvr.c and
// ssl_sess.c after.
var (
	alerts10x = []CauseAlert{{ErrNoNullCompression, wire.AlertDecodeError}}
	alerts11x = []CauseAlert{{ErrNoNullCompression, wire.AlertDecodeError}, {ErrInconsistentEMS, wire.AlertIllegalParameter},
		{ErrDuplicateExtension, wire.AlertIllegalParameter}}
)

// RulesOpenSSL098e is OpenSSL 0.9.8e without the tlsext extensions: it answers with no extension at all
// and knows neither signal among the suites.
func RulesOpenSSL098e() Rules {
	return Rules{
		SCSV: SCSVIgnored, VersionRefusal: RefuseAsSSL23, SilentRecordVersion: true, TakesDuplicates: true, Alerts: alerts10x, SessionFirst: true, AnyResumeVersion: true,
		ExtensionOrder: []wire.ExtensionType{}, NoRenegotiationInfo: true, IgnoreGroups: true,
		IgnoreExtensions: append([]wire.ExtensionType{wire.ExtServerName, wire.ExtSessionTicket, wire.ExtRenegotiationInfo}, after098...),
	}
}

// after098 is what no 0.9.8 has heard of.
var after098 = append([]wire.ExtensionType{
	wire.ExtSupportedGroups, wire.ExtECPointFormats, wire.ExtSignatureAlgorithms, wire.ExtHeartbeat,
	wire.ExtNextProtoNegotiation,
}, after101...)

// after101 and after102 likewise.
var (
	after101 = append([]wire.ExtensionType{wire.ExtALPN}, after102...)
	after102 = []wire.ExtensionType{
		wire.ExtExtendedMasterSecret, wire.ExtEncryptThenMAC, wire.ExtSCT, wire.ExtSupportedVersions, wire.ExtKeyShare,
		wire.ExtPreSharedKey, wire.ExtPSKKeyExchangeModes, wire.ExtEarlyData, wire.ExtCookie,
	}
)

// RulesOpenSSL098zc is OpenSSL 0.9.8zc, October 2014: TLS_FALLBACK_SCSV is checked, and where it passes
// the suites behind it are overlooked.
func RulesOpenSSL098zc() Rules {
	return Rules{
		SCSV: SCSVSkipsRest, VersionRefusal: RefuseAsSSL23, SilentRecordVersion: true, TakesDuplicates: true, Alerts: alerts10x, SessionFirst: true, AnyResumeVersion: true, IgnoreGroups: true,
		ExtensionOrder:   []wire.ExtensionType{wire.ExtServerName, wire.ExtRenegotiationInfo, wire.ExtSessionTicket, wire.ExtStatusRequest},
		IgnoreExtensions: after098,
	}
}

// order10x is the order of ssl_add_serverhello_tlsext in 1.0.1 and 1.0.2.
var order10x = []wire.ExtensionType{
	wire.ExtServerName, wire.ExtRenegotiationInfo, wire.ExtECPointFormats, wire.ExtSessionTicket, wire.ExtStatusRequest,
	wire.ExtHeartbeat, wire.ExtNextProtoNegotiation, wire.ExtALPN,
}

// RulesOpenSSL101j is OpenSSL 1.0.1j: the same defect, versions up to TLS 1.2.
func RulesOpenSSL101j() Rules {
	return Rules{
		SCSV: SCSVSkipsRest, VersionRefusal: RefuseAsSSL23, SilentRecordVersion: true, TakesDuplicates: true, Alerts: alerts10x, SessionFirst: true, AnyResumeVersion: true, Heartbeat: true,
		ExtensionOrder: order10x, IgnoreExtensions: after101,
	}
}

// RulesOpenSSL102 is OpenSSL 1.0.2: ALPN, the defect mended, resumption at the session's version only.
func RulesOpenSSL102() Rules {
	return Rules{
		SCSV: SCSVChecked, VersionRefusal: RefuseAsSSL23, SilentRecordVersion: true, TakesDuplicates: true, StrictSchemes: true, Alerts: alerts10x, SessionFirst: true, Heartbeat: true,
		ExtensionOrder: order10x, IgnoreExtensions: after102,
	}
}

// order11x is the order of the extension table of 1.1.1 and 3.0.
var order11x = []wire.ExtensionType{
	wire.ExtRenegotiationInfo, wire.ExtServerName, wire.ExtMaxFragmentLength, wire.ExtECPointFormats, wire.ExtSessionTicket,
	wire.ExtStatusRequest, wire.ExtNextProtoNegotiation, wire.ExtALPN, wire.ExtEncryptThenMAC, wire.ExtSCT, wire.ExtExtendedMasterSecret,
}

// RulesOpenSSL111 is OpenSSL 1.1.1.
func RulesOpenSSL111() Rules {
	return Rules{Statem: true, ExtensionOrder: order11x, AckServerName: true, SilentRecordVersion: true, StrictSchemes: true, NeedsGroups: true, Alerts: alerts11x}
}

// RulesOpenSSL30 is OpenSSL 3.0, which answers as 1.1.1 does.
func RulesOpenSSL30() Rules { return RulesOpenSSL111() }
