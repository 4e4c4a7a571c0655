package engine

import (
	"errors"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/wire"
)

// What a peer can do wrong, each with its own name. They are wrapped with what was seen and what was
// allowed; alertFor alone says which alert answers them.
var (
	ErrUnexpectedMessage = errors.New("unexpected message")
	ErrExcessMessage     = errors.New("handshake bytes left over at a change of keys")
	ErrEmptyRecord       = errors.New("empty record not allowed")
	ErrRecordVersion     = errors.New("wrong record version")
	ErrRecordType        = errors.New("unknown record type")
	ErrRecordOverflow    = errors.New("record too long")
	ErrBadRecordMAC      = errors.New("decryption failed or bad record mac")
	ErrMessageSize       = errors.New("handshake message too long")
	ErrDecode            = errors.New("malformed message")
	ErrAlertLevel        = errors.New("unknown alert level")
	ErrTooManyWarnings   = errors.New("too many warning alerts in a row")
	ErrTooManyEmpty      = errors.New("too many empty records in a row")
	ErrHTTPRequest       = errors.New("plain HTTP request")
	ErrUnknownProtocol   = errors.New("unknown protocol")

	ErrNoCommonVersion       = errors.New("no common protocol version")
	ErrVersionTooLow         = errors.New("protocol version is switched off")
	ErrInappropriateFallback = errors.New("inappropriate fallback")
	ErrNoSharedCipher        = errors.New("no shared cipher")
	ErrSessionIDLength       = errors.New("session_id is too long")
	ErrNoCiphers             = errors.New("no ciphers specified")
	ErrRequiredCipherMissing = errors.New("required cipher missing")
	ErrNoNullCompression     = errors.New("null compression not offered")
	ErrNoCommonGroup         = errors.New("no common group")
	ErrNoCommonScheme        = errors.New("no common signature scheme")
	ErrNoStrongScheme        = errors.New("no signature scheme of this version is strong enough")
	ErrNoCommonALPN          = errors.New("no common application protocol")
	ErrUnknownServerName     = errors.New("unknown server name")
	ErrInconsistentEMS       = errors.New("extended_master_secret differs from the session's")
	ErrNoCertificateForHello = errors.New("no certificate suits the hello")

	ErrUnofferedSuite       = errors.New("server chose a suite that was not offered")
	ErrSuiteUnspoken        = errors.New("server chose a suite that the hello offers and this engine cannot speak")
	ErrUnofferedCompression = errors.New("server chose compression that was not offered")
	ErrUnofferedExtension   = errors.New("server answered an extension that was not offered")
	ErrDuplicateExtension   = errors.New("extension twice in one message")
	ErrUnofferedProtocol    = errors.New("server chose an application protocol that was not offered")
	ErrUnofferedSession     = errors.New("server resumed a session that was not offered")
	ErrSessionMismatch      = errors.New("server resumed with parameters that are not the session's")
	ErrDowngrade            = errors.New("downgrade sentinel in the server's random")
	ErrWrongGroup           = errors.New("server chose a group that was not offered")
	ErrWrongScheme          = errors.New("signature scheme not offered or not for this key")
	ErrBadKeyShare          = errors.New("key exchange value is invalid")
	ErrWeakKey              = errors.New("key too short")
	ErrWeakDH               = errors.New("ephemeral Diffie-Hellman group too small")
	ErrRenegotiation        = errors.New("renegotiation_info does not match")
	ErrNoRenegotiation      = errors.New("renegotiation is switched off")

	// ErrCertificate is wrapped by every refusal of the peer's certificate.
	ErrCertificate         = errors.New("certificate refused")
	ErrUnknownCA           = errors.New("unknown certificate authority")
	ErrCertificateExpired  = errors.New("certificate expired")
	ErrCertificateNotYet   = errors.New("certificate not yet valid")
	ErrCertificateHostname = errors.New("certificate is for another name")
	ErrBadCertificate      = errors.New("certificate is malformed")
	ErrWrongCertificate    = errors.New("certificate's key does not fit the suite")
	ErrKeyUsage            = errors.New("certificate may not be used so")
	ErrUnsupportedKey      = errors.New("key of an unsupported type")
	ErrNoCertificate       = errors.New("peer sent no certificate")
	ErrBadStapledResponse  = errors.New("certificate status is malformed")

	ErrBadSignature = errors.New("signature does not verify")
	ErrBadFinished  = errors.New("verify_data is wrong")

	// ErrTruncated is a FIN before close_notify: nothing is sent in answer.
	ErrTruncated = errors.New("connection closed without close_notify")
	// ErrNotConnected is our own caller's fault: Send before the handshake is done.
	ErrNotConnected = errors.New("handshake not complete")
	ErrClosed       = errors.New("connection is closed")
	ErrInternal     = errors.New("internal fault")
)

type causeAlert struct {
	cause error
	alert wire.AlertDescription
}

// causes12 says which alert answers which cause. The first that errors.Is finds counts, so the
// specific stand before the general.
var causes12 = []causeAlert{
	{ErrUnexpectedMessage, wire.AlertUnexpectedMessage},
	{ErrExcessMessage, wire.AlertUnexpectedMessage},
	{ErrEmptyRecord, wire.AlertUnexpectedMessage},
	{ErrTooManyEmpty, wire.AlertUnexpectedMessage},
	{ErrAlertLevel, wire.AlertIllegalParameter},
	{ErrTooManyWarnings, wire.AlertUnexpectedMessage},
	{ErrRecordType, wire.AlertUnexpectedMessage},
	{ErrRecordVersion, wire.AlertProtocolVersion},
	{ErrRecordOverflow, wire.AlertRecordOverflow},
	{record.ErrOverflow, wire.AlertRecordOverflow},
	{ErrBadRecordMAC, wire.AlertBadRecordMAC},
	{record.ErrMAC, wire.AlertBadRecordMAC},
	{ErrMessageSize, wire.AlertIllegalParameter},
	{ErrDecode, wire.AlertDecodeError},
	{ErrHTTPRequest, wire.AlertUnexpectedMessage},
	{ErrUnknownProtocol, wire.AlertProtocolVersion},

	{ErrNoCommonVersion, wire.AlertProtocolVersion},
	{ErrVersionTooLow, wire.AlertProtocolVersion},
	{ErrInappropriateFallback, wire.AlertInappropriateFallback},
	{ErrNoSharedCipher, wire.AlertHandshakeFailure},
	{ErrNoCiphers, wire.AlertIllegalParameter},
	{ErrSessionIDLength, wire.AlertIllegalParameter},
	{ErrRequiredCipherMissing, wire.AlertIllegalParameter},
	{ErrNoNullCompression, wire.AlertIllegalParameter},
	{ErrNoCommonGroup, wire.AlertHandshakeFailure},
	{ErrNoCommonScheme, wire.AlertHandshakeFailure},
	{ErrNoStrongScheme, wire.AlertInternalError}, // measured: OpenSSL 3.0
	{ErrNoCommonALPN, wire.AlertNoApplicationProtocol},
	{ErrUnknownServerName, wire.AlertUnrecognizedName},
	{ErrInconsistentEMS, wire.AlertHandshakeFailure},
	{ErrNoCertificateForHello, wire.AlertHandshakeFailure},

	{ErrUnofferedSuite, wire.AlertIllegalParameter},
	{ErrSuiteUnspoken, wire.AlertHandshakeFailure},
	{ErrUnofferedCompression, wire.AlertIllegalParameter},
	{ErrUnofferedExtension, wire.AlertUnsupportedExtension},
	{ErrDuplicateExtension, wire.AlertDecodeError},
	{ErrUnofferedProtocol, wire.AlertIllegalParameter},
	{ErrUnofferedSession, wire.AlertIllegalParameter},
	{ErrSessionMismatch, wire.AlertIllegalParameter},
	{ErrDowngrade, wire.AlertIllegalParameter},
	{ErrWrongGroup, wire.AlertIllegalParameter},
	{ErrWrongScheme, wire.AlertIllegalParameter},
	{ErrBadKeyShare, wire.AlertIllegalParameter},
	{keys.ErrGroup, wire.AlertIllegalParameter},
	{keys.ErrShareSize, wire.AlertIllegalParameter},
	{keys.ErrSharePoint, wire.AlertIllegalParameter},
	{keys.ErrDHValue, wire.AlertIllegalParameter},
	{ErrWeakKey, wire.AlertInsufficientSecurity},
	{ErrWeakDH, wire.AlertHandshakeFailure}, // as OpenSSL's clients answer "dh key too small"
	{ErrRenegotiation, wire.AlertHandshakeFailure},
	{ErrNoRenegotiation, wire.AlertNoRenegotiation},

	{ErrKeyUsage, wire.AlertIllegalParameter},
	{ErrUnsupportedKey, wire.AlertUnsupportedCertificate},
	{ErrUnknownCA, wire.AlertUnknownCA},
	{ErrCertificateExpired, wire.AlertCertificateExpired},
	// "A certificate has expired or is not currently valid" (RFC 5246 §7.2.2, Error Alerts)
	{ErrCertificateNotYet, wire.AlertCertificateExpired},
	{ErrCertificateHostname, wire.AlertBadCertificate},
	{ErrBadCertificate, wire.AlertBadCertificate},
	{ErrWrongCertificate, wire.AlertIllegalParameter},
	{ErrNoCertificate, wire.AlertHandshakeFailure},
	{ErrBadStapledResponse, wire.AlertBadCertStatusResponse},
	{ErrCertificate, wire.AlertBadCertificate},

	{ErrBadSignature, wire.AlertDecryptError},
	{ErrBadFinished, wire.AlertDecryptError},
}

// alertFor picks the alert that answers err: the one place where that is decided.
func alertFor(err error) wire.AlertDescription {
	var de *wire.DecodeError
	if errors.As(err, &de) {
		return wire.AlertDecodeError
	}
	for _, table := range [2][]causeAlert{causes12, causes13} {
		for i := range table {
			if errors.Is(err, table[i].cause) {
				return table[i].alert
			}
		}
	}
	return wire.AlertInternalError
}
