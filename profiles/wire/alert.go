package wire

import "fmt"

// AlertLevel is warning or fatal (RFC 5246 §7.2, Alert Protocol).
type AlertLevel uint8

const (
	LevelWarning AlertLevel = 1
	LevelFatal   AlertLevel = 2
)

// AlertDescription is the number of an alert. It is not an error: who sent it, and why, is what
// engine.LocalAlert and engine.PeerAlert say.
type AlertDescription uint8

const (
	AlertCloseNotify            AlertDescription = 0
	AlertUnexpectedMessage      AlertDescription = 10
	AlertBadRecordMAC           AlertDescription = 20
	AlertDecryptionFailed       AlertDescription = 21
	AlertRecordOverflow         AlertDescription = 22
	AlertDecompressionFailure   AlertDescription = 30
	AlertHandshakeFailure       AlertDescription = 40
	AlertNoCertificate          AlertDescription = 41
	AlertBadCertificate         AlertDescription = 42
	AlertUnsupportedCertificate AlertDescription = 43
	AlertCertificateRevoked     AlertDescription = 44
	AlertCertificateExpired     AlertDescription = 45
	AlertCertificateUnknown     AlertDescription = 46
	AlertIllegalParameter       AlertDescription = 47
	AlertUnknownCA              AlertDescription = 48
	AlertAccessDenied           AlertDescription = 49
	AlertDecodeError            AlertDescription = 50
	AlertDecryptError           AlertDescription = 51
	AlertExportRestriction      AlertDescription = 60
	AlertProtocolVersion        AlertDescription = 70
	AlertInsufficientSecurity   AlertDescription = 71
	AlertInternalError          AlertDescription = 80
	AlertInappropriateFallback  AlertDescription = 86
	AlertUserCanceled           AlertDescription = 90
	AlertNoRenegotiation        AlertDescription = 100
	AlertMissingExtension       AlertDescription = 109
	AlertUnsupportedExtension   AlertDescription = 110
	AlertCertificateUnobtain    AlertDescription = 111
	AlertUnrecognizedName       AlertDescription = 112
	AlertBadCertStatusResponse  AlertDescription = 113
	AlertBadCertHashValue       AlertDescription = 114
	AlertUnknownPSKIdentity     AlertDescription = 115
	AlertCertificateRequired    AlertDescription = 116
	AlertNoApplicationProtocol  AlertDescription = 120
	AlertECHRequired            AlertDescription = 121
)

// String gives the registry's name in lower case ("handshake_failure"); unknown numbers read "alert(200)".
func (a AlertDescription) String() string {
	if s, ok := alertNames[a]; ok {
		return s
	}
	return fmt.Sprintf("alert(%d)", uint8(a))
}

var alertNames = map[AlertDescription]string{
	AlertCloseNotify: "close_notify", AlertUnexpectedMessage: "unexpected_message",
	AlertBadRecordMAC: "bad_record_mac", AlertDecryptionFailed: "decryption_failed",
	AlertRecordOverflow: "record_overflow", AlertDecompressionFailure: "decompression_failure",
	AlertHandshakeFailure: "handshake_failure", AlertNoCertificate: "no_certificate",
	AlertBadCertificate: "bad_certificate", AlertUnsupportedCertificate: "unsupported_certificate",
	AlertCertificateRevoked: "certificate_revoked", AlertCertificateExpired: "certificate_expired",
	AlertCertificateUnknown: "certificate_unknown", AlertIllegalParameter: "illegal_parameter",
	AlertUnknownCA: "unknown_ca", AlertAccessDenied: "access_denied", AlertDecodeError: "decode_error",
	AlertDecryptError: "decrypt_error", AlertExportRestriction: "export_restriction",
	AlertProtocolVersion: "protocol_version", AlertInsufficientSecurity: "insufficient_security",
	AlertInternalError: "internal_error", AlertInappropriateFallback: "inappropriate_fallback",
	AlertUserCanceled: "user_canceled", AlertNoRenegotiation: "no_renegotiation",
	AlertMissingExtension: "missing_extension", AlertUnsupportedExtension: "unsupported_extension",
	AlertCertificateUnobtain: "certificate_unobtainable", AlertUnrecognizedName: "unrecognized_name",
	AlertBadCertStatusResponse: "bad_certificate_status_response",
	AlertBadCertHashValue:      "bad_certificate_hash_value", AlertUnknownPSKIdentity: "unknown_psk_identity",
	AlertCertificateRequired: "certificate_required", AlertNoApplicationProtocol: "no_application_protocol",
	AlertECHRequired: "ech_required",
}
