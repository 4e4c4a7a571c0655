package stack

import (
	"errors"
	"fmt"

	"tlsurge/harness/engine"
	"tlsurge/harness/record"
	"tlsurge/profiles/wire"
)

// Line is a failed handshake as the library's error queue and nginx's log have it.
type Line struct {
	Level  string // what nginx of the time logs it at
	Code   string // packed error code, eight upper-case digits; empty: the queue is empty
	Reason string
	// Text is what stands after "SSL: ": error:CODE:library:function:reason, with what nginx appends.
	Text string
}

// fn is a library function with its number in the packed codes.
type fn struct {
	number int
	name   string
}

// The functions of OpenSSL up to 1.0.2, upper case, and of 1.1.1, lower case (ssl.h, sslerr.h). 3.0 has no
// function in its codes.
var (
	getClientHello    = fn{138, "SSL3_GET_CLIENT_HELLO"}
	getCKE            = fn{139, "SSL3_GET_CLIENT_KEY_EXCHANGE"}
	getFinished       = fn{140, "SSL3_GET_FINISHED"}
	getMessage        = fn{142, "SSL3_GET_MESSAGE"}
	getRecord         = fn{143, "SSL3_GET_RECORD"}
	readBytes         = fn{148, "SSL3_READ_BYTES"}
	bytesToCipherList = fn{161, "SSL_BYTES_TO_CIPHER_LIST"}
	get23ClientHello  = fn{118, "SSL23_GET_CLIENT_HELLO"}

	earlyPost11   = fn{521, "tls_early_post_process_client_hello"}
	post11        = fn{378, "tls_post_process_client_hello"}
	process11     = fn{381, "tls_process_client_hello"}
	bytesList11   = fn{519, "bytes_to_cipher_list"}
	transition11  = fn{418, "ossl_statem_server_read_transition"}
	finalShare11  = fn{503, "final_key_share"}
	handleALPN11  = fn{562, "tls_handle_alpn"}
	getRecord11   = fn{143, "ssl3_get_record"}
	readBytes11   = fn{148, "ssl3_read_bytes"}
	finished11    = fn{364, "tls_process_finished"}
	cke11         = fn{382, "tls_process_cke_ecdhe"}
	pickVersion11 = fn{521, "tls_early_post_process_client_hello"}
)

// reason is one entry of the error queue.
type reason struct {
	cause      error // of the engine
	number     int
	text       string
	old, new11 fn
}

// reasons says which entry a refusal leaves on the queue. The first whose cause matches counts.
var reasons = []reason{
	{engine.ErrRequiredCipherMissing, 215, "required cipher missing", getClientHello, earlyPost11},
	{engine.ErrInappropriateFallback, 373, "inappropriate fallback", bytesToCipherList, earlyPost11},
	{engine.ErrNoSharedCipher, 193, "no shared cipher", getClientHello, post11},
	{engine.ErrNoCommonGroup, 101, "no suitable key share", getClientHello, finalShare11},
	{engine.ErrNoCertificateForHello, 193, "no shared cipher", getClientHello, post11},
	{engine.ErrNoCommonScheme, 193, "no shared cipher", getClientHello, post11},
	{engine.ErrNoStrongScheme, 118, "no suitable signature algorithm", getClientHello, post11},
	{engine.ErrNoCiphers, 183, "no ciphers specified", getClientHello, bytesList11},
	{engine.ErrNoNullCompression, 187, "no compression specified", getClientHello, earlyPost11},
	{engine.ErrNoCommonALPN, 235, "no application protocol", getClientHello, handleALPN11},
	{engine.ErrUnknownServerName, 234, "callback failed", getClientHello, process11},
	{engine.ErrInconsistentEMS, 104, "inconsistent extms", getClientHello, process11},
	{engine.ErrRecordVersion, 267, "wrong version number", getRecord, getRecord11},
	{engine.ErrRecordOverflow, 198, "packet length too long", getRecord, getRecord11},
	{record.ErrOverflow, 146, "data length too long", getRecord, getRecord11},
	{engine.ErrBadRecordMAC, 281, "decryption failed or bad record mac", getRecord, getRecord11},
	{record.ErrMAC, 281, "decryption failed or bad record mac", getRecord, getRecord11},
	{engine.ErrBadFinished, 149, "digest check failed", getFinished, finished11},
	{engine.ErrBadKeyShare, 306, "bad ecpoint", getCKE, cke11},
	{engine.ErrHTTPRequest, 156, "http request", get23ClientHello, getRecord11},
	{engine.ErrDuplicateExtension, 226, "clienthello tlsext", getClientHello, process11},
	{engine.ErrRecordType, 245, "unexpected record", readBytes, readBytes11},
	{engine.ErrExcessMessage, 244, "unexpected message", getMessage, transition11},
	{engine.ErrUnexpectedMessage, 244, "unexpected message", getMessage, transition11},
	{engine.ErrEmptyRecord, 244, "unexpected message", getMessage, transition11},
	{engine.ErrTooManyEmpty, 298, "record too small", getRecord, getRecord11},
	{engine.ErrTooManyWarnings, 409, "too many warn alerts", readBytes, readBytes11},
	{engine.ErrMessageSize, 152, "excessive message size", getMessage, process11},
	{engine.ErrDecode, 159, "length mismatch", getClientHello, process11},
}

// Queue turns the engine's refusal, or the client's alert, into the line that this library's queue and the
// nginx of its time make of it.
func (s *Stack) Queue(err error) Line {
	var peer *engine.PeerAlert
	if errors.As(err, &peer) {
		return s.received(peer.Description)
	}
	var decode *wire.DecodeError
	r := reason{nil, 244, "unexpected message", getMessage, transition11}
	switch {
	case errors.Is(err, engine.ErrNoCommonVersion), errors.Is(err, engine.ErrVersionTooLow), errors.Is(err, engine.ErrUnknownProtocol):
		r = s.versionReason(err)
	case errors.As(err, &decode):
		r = reason{nil, 159, "length mismatch", getClientHello, process11}
	default:
		for _, e := range reasons {
			if errors.Is(err, e.cause) {
				r = e
				break
			}
		}
	}
	if r.number == 101 && s.era < era111 { // no TLS 1.3: the suites that need a group fall away
		r.number, r.text = 193, "no shared cipher"
	}
	return s.line(r, "")
}

// versionReason: which words a version that is not enabled gets depends on the library and on how low it is.
func (s *Stack) versionReason(err error) reason {
	low := errors.Is(err, engine.ErrVersionTooLow)
	switch {
	case s.era >= era110 && low:
		return reason{nil, 396, "version too low", pickVersion11, pickVersion11}
	case s.era >= era110 && errors.Is(err, engine.ErrUnknownProtocol):
		return reason{nil, 252, "unknown protocol", getRecord11, getRecord11}
	case s.era >= era110:
		return reason{nil, 258, "unsupported protocol", pickVersion11, pickVersion11}
	case low && !silent(err):
		return reason{nil, 267, "wrong version number", getClientHello, getClientHello}
	}
	return reason{nil, 252, "unknown protocol", get23ClientHello, get23ClientHello}
}

func silent(err error) bool {
	var refused *engine.LocalAlert
	return errors.As(err, &refused) && refused.Silent
}

// received is a fatal alert from the client: reason 1000 plus its number.
func (s *Stack) received(a wire.AlertDescription) Line {
	text, ok := alertTexts[a]
	if !ok {
		text = fmt.Sprintf("reason(%d)", 1000+int(a))
	}
	return s.line(reason{nil, 1000 + int(a), text, readBytes, readBytes11}, fmt.Sprintf(":SSL alert number %d", a))
}

// line packs the code: library<<24 | function<<12 | reason before 3.0, library<<23 | reason since.
func (s *Stack) line(r reason, tail string) Line {
	const sslLibrary = 20
	f := r.old
	var code uint32
	switch {
	case s.era >= era30:
		code, f.name = sslLibrary<<23|uint32(r.number), ""
	case s.era >= era110:
		f = r.new11
		fallthrough
	default:
		code = sslLibrary<<24 | uint32(f.number)<<12 | uint32(r.number)
	}
	l := Line{Code: fmt.Sprintf("%08X", code), Reason: r.text, Level: s.Nginx.levels(r.number)}
	l.Text = fmt.Sprintf("error:%s:SSL routines:%s:%s%s", l.Code, f.name, r.text, tail)
	if r.number == 281 && s.era >= era30 {
		// The provider's own error is queued first, and nginx before 1.23.4 judges by the first
		// (known for TLS 1.2; under TLS 1.3 only the second is queued).
		l.Text = "error:1C800066:Provider routines::cipher operation failed " + l.Text
		l.Level = "crit"
	}
	return l
}

// alertTexts are OpenSSL's words for received alerts.
var alertTexts = map[wire.AlertDescription]string{
	wire.AlertCloseNotify: "sslv3 alert close notify", wire.AlertUnexpectedMessage: "sslv3 alert unexpected message",
	wire.AlertBadRecordMAC: "sslv3 alert bad record mac", wire.AlertDecryptionFailed: "tlsv1 alert decryption failed",
	wire.AlertRecordOverflow: "tlsv1 alert record overflow", wire.AlertDecompressionFailure: "sslv3 alert decompression failure",
	wire.AlertHandshakeFailure: "sslv3 alert handshake failure", wire.AlertNoCertificate: "sslv3 alert no certificate",
	wire.AlertBadCertificate: "sslv3 alert bad certificate", wire.AlertUnsupportedCertificate: "sslv3 alert unsupported certificate",
	wire.AlertCertificateRevoked: "sslv3 alert certificate revoked", wire.AlertCertificateExpired: "sslv3 alert certificate expired",
	wire.AlertCertificateUnknown: "sslv3 alert certificate unknown", wire.AlertIllegalParameter: "sslv3 alert illegal parameter",
	wire.AlertUnknownCA: "tlsv1 alert unknown ca", wire.AlertAccessDenied: "tlsv1 alert access denied",
	wire.AlertDecodeError: "tlsv1 alert decode error", wire.AlertDecryptError: "tlsv1 alert decrypt error",
	wire.AlertExportRestriction: "tlsv1 alert export restriction", wire.AlertProtocolVersion: "tlsv1 alert protocol version",
	wire.AlertInsufficientSecurity: "tlsv1 alert insufficient security", wire.AlertInternalError: "tlsv1 alert internal error",
	wire.AlertInappropriateFallback: "tlsv1 alert inappropriate fallback", wire.AlertUserCanceled: "tlsv1 alert user cancelled",
	wire.AlertNoRenegotiation: "tlsv1 alert no renegotiation", wire.AlertUnsupportedExtension: "tlsv1 unsupported extension",
	wire.AlertUnrecognizedName: "tlsv1 unrecognized name", wire.AlertBadCertStatusResponse: "tlsv1 bad certificate status response",
	wire.AlertMissingExtension: "tlsv13 alert missing extension", wire.AlertCertificateRequired: "tlsv13 alert certificate required",
}

// levelRule makes ngx_ssl_connection_error's choice: info for the reasons in the list and for the received
// alerts in it, crit for all else.
func levelRule(info ...int) func(int) string {
	set := map[int]bool{}
	for _, r := range info {
		set[r] = true
	}
	for _, alert := range []int{0, 10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 90, 100} {
		set[1000+alert] = true
	}
	return func(reason int) string {
		if set[reason] {
			return "info"
		}
		return "crit"
	}
}

// The lists, by OpenSSL's reason numbers. Neither has required cipher missing (215): it is crit to this day.
// Inappropriate fallback (373) came with 1.7.8, version too low (396) and unsupported protocol (258) with
// 1.15.2, no suitable key share (101) with 1.15.4.
var (
	level162 = levelRule(129, 149, 151, 152, 159, 182, 183, 187, 193, 213, 227, 244, 245, 246, 252, 267, 281,
		335, 336, 337, 338, 345)
	level1221 = levelRule(101, 103, 118, 129, 149, 151, 152, 155, 156, 159, 182, 183, 187, 193, 213, 226, 227, 234,
		235, 244, 245, 246, 252, 258, 267, 281, 335, 336, 337, 338, 345, 373, 396)
)
