package profiles

import (
	"testing"

	"tlsurge/profiles/wire"
)

// TestWords is the table "alert -> what the user sees": one row for each failure, one column for each
// browser and era.
func TestWords(t *testing.T) {
	columns := []string{"firefox-35-osx", "chrome-40-osx", "chromium-156-linux", "safari-8-osx10.10", "firefox-153esr-linux"}
	later := func(a wire.AlertDescription) Failure { return Failure{Kind: FailAlert, Alert: a} }
	for _, c := range []struct {
		why  string
		f    Failure
		sees [5]string // "" is not part of the table
	}{
		{"alert 40 on the hello", hello40, [5]string{"ssl_error_no_cypher_overlap", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "errSSLPeerHandshakeFail (-9824)", "SSL_ERROR_NO_CYPHER_OVERLAP"}},
		{"alert 40 later", later(40), [5]string{"ssl_error_handshake_failure_alert", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLPeerHandshakeFail (-9824)", "SSL_ERROR_HANDSHAKE_FAILURE_ALERT"}},
		{"alert 47", alertOn(47), [5]string{"ssl_error_illegal_parameter_alert", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLIllegalParam (-9830)", "SSL_ERROR_ILLEGAL_PARAMETER_ALERT"}},
		{"alert 70", alertOn(70), [5]string{"ssl_error_protocol_version_alert", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "errSSLPeerProtocolVersion (-9836)", "SSL_ERROR_PROTOCOL_VERSION_ALERT"}},
		{"alert 86", hello86, [5]string{"ssl_error_inappropriate_fallback_alert", "ERR_SSL_INAPPROPRIATE_FALLBACK", "ERR_SSL_PROTOCOL_ERROR", "errSSLFatalAlert (-9802)", "SSL_ERROR_INAPPROPRIATE_FALLBACK_ALERT"}},
		{"alert 20", alertOn(20), [5]string{"ssl_error_bad_mac_alert", "ERR_SSL_BAD_RECORD_MAC_ALERT", "ERR_SSL_BAD_RECORD_MAC_ALERT", "errSSLPeerBadRecordMac (-9820)", "SSL_ERROR_BAD_MAC_ALERT"}},
		{"alert 51", later(51), [5]string{"ssl_error_decrypt_error_alert", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_DECRYPT_ERROR_ALERT", "errSSLPeerDecryptError (-9834)", "SSL_ERROR_DECRYPT_ERROR_ALERT"}},
		{"alert 71", alertOn(71), [5]string{"ssl_error_insufficient_security_alert", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "errSSLPeerInsufficientSecurity (-9837)", "SSL_ERROR_INSUFFICIENT_SECURITY_ALERT"}},
		{"alert 80", alertOn(80), [5]string{"ssl_error_internal_error_alert", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLPeerInternalError (-9838)", "SSL_ERROR_INTERNAL_ERROR_ALERT"}},
		{"alert 112", alertOn(112), [5]string{"ssl_error_unrecognized_name_alert", "ERR_SSL_UNRECOGNIZED_NAME_ALERT", "ERR_SSL_UNRECOGNIZED_NAME_ALERT", "errSSLFatalAlert (-9802)", "SSL_ERROR_UNRECOGNIZED_NAME_ALERT"}},
		{"alert 42", later(42), [5]string{"ssl_error_bad_cert_alert", "ERR_BAD_SSL_CLIENT_AUTH_CERT", "ERR_BAD_SSL_CLIENT_AUTH_CERT", "errSSLPeerBadCert (-9825)", "SSL_ERROR_BAD_CERT_ALERT"}},
		{"alert 48", later(48), [5]string{"ssl_error_unknown_ca_alert", "ERR_BAD_SSL_CLIENT_AUTH_CERT", "ERR_BAD_SSL_CLIENT_AUTH_CERT", "errSSLPeerUnknownCA (-9831)", "SSL_ERROR_UNKNOWN_CA_ALERT"}},
		{"alert 116", later(116), [5]string{"", "", "ERR_BAD_SSL_CLIENT_AUTH_CERT", "", "SSL_ERROR_RX_CERTIFICATE_REQUIRED_ALERT"}},
		{"alert 120", alertOn(120), [5]string{"", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLFatalAlert (-9802)", "SSL_ERROR_NEXT_PROTOCOL_NO_PROTOCOL"}},
		{"alert 121", later(121), [5]string{"", "", "ERR_SSL_PROTOCOL_ERROR", "", "SSL_ERROR_ECH_REQUIRED_ALERT"}},
		{"an alert that nobody lists", alertOn(200), [5]string{"ssl_error_rx_unknown_alert", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLFatalAlert (-9802)", "SSL_ERROR_RX_UNKNOWN_ALERT"}},
		{"RST", cutRST, [5]string{"The connection was reset", "ERR_CONNECTION_RESET", "ERR_CONNECTION_RESET", "NSURLErrorNetworkConnectionLost (-1005)", "PR_CONNECT_RESET_ERROR"}},
		{"EOF", cutFIN, [5]string{"The connection was interrupted", "ERR_CONNECTION_CLOSED", "ERR_CONNECTION_CLOSED", "errSSLClosedAbort (-9806)", "PR_END_OF_FILE_ERROR"}},
		{"silence", Failure{Kind: FailTimeout}, [5]string{"The connection has timed out", "ERR_CONNECTION_TIMED_OUT", "ERR_CONNECTION_TIMED_OUT", "NSURLErrorTimedOut (-1001)", "The connection has timed out"}},
		{"plain HTTP on the TLS port", Failure{Kind: FailLocal, Alert: 10, NotTLS: true}, [5]string{"ssl_error_rx_record_too_long", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLProtocol (-9800)", "SSL_ERROR_RX_RECORD_TOO_LONG"}},
		{"a ServerHello version out of range", Failure{Kind: FailLocal, Alert: 70, NoCommonVersion: true}, [5]string{"ssl_error_no_cypher_overlap", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "errSSLNegotiation (-9801)", "SSL_ERROR_UNSUPPORTED_VERSION"}},
		{"a ServerHello suite that was not offered", Failure{Kind: FailLocal, Alert: 47, UnofferedSuite: true}, [5]string{"ssl_error_no_cypher_overlap", "ERR_SSL_PROTOCOL_ERROR", "ERR_SSL_PROTOCOL_ERROR", "errSSLNegotiation (-9801)", "SSL_ERROR_NO_CYPHER_OVERLAP"}},
		{"an expired certificate", Failure{Kind: FailCertificate, Certificate: CertificateExpired}, [5]string{"sec_error_expired_certificate", "ERR_CERT_DATE_INVALID", "ERR_CERT_DATE_INVALID", "errSSLCertExpired (-9814)", "SEC_ERROR_EXPIRED_CERTIFICATE"}},
		{"a certificate of nobody", Failure{Kind: FailCertificate, Certificate: CertificateIssuer}, [5]string{"sec_error_unknown_issuer", "ERR_CERT_AUTHORITY_INVALID", "ERR_CERT_AUTHORITY_INVALID", "errSSLUnknownRootCert (-9812)", "SEC_ERROR_UNKNOWN_ISSUER"}},
		{"a certificate for another name", Failure{Kind: FailCertificate, Certificate: CertificateName}, [5]string{"ssl_error_bad_cert_domain", "ERR_CERT_COMMON_NAME_INVALID", "ERR_CERT_COMMON_NAME_INVALID", "errSSLHostNameMismatch (-9843)", "SSL_ERROR_BAD_CERT_DOMAIN"}},
		{"a small Diffie-Hellman group", Failure{Kind: FailLocal, Alert: 40, WeakDH: true}, [5]string{"", "", "ERR_SSL_WEAK_SERVER_EPHEMERAL_DH_KEY", "", "SSL_ERROR_WEAK_SERVER_EPHEMERAL_DH_KEY"}},
		{"a close under a request", Failure{Kind: FailEOF, HandshakeDone: true}, [5]string{"The connection was interrupted", "ERR_EMPTY_RESPONSE", "ERR_EMPTY_RESPONSE", "NSURLErrorNetworkConnectionLost (-1005)", "The connection was interrupted"}},
	} {
		for i, name := range columns {
			p, err := Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Words(c.f); c.sees[i] != "" && got.Shown != c.sees[i] {
				t.Errorf("%s: %s shows %q, expected %q", c.why, name, got.Shown, c.sees[i])
			}
		}
	}
}

// TestEveryFailureHasWords: no browser is ever without an answer.
func TestEveryFailureHasWords(t *testing.T) {
	for _, n := range Names() {
		p, err := Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []FailureKind{FailRefused, FailConnectTimeout, FailReset, FailEOF, FailTimeout, FailCertificate} {
			for _, done := range []bool{false, true} {
				if w := p.Words(Failure{Kind: k, HandshakeDone: done}); w.Shown == "" || w.Shown == "no resource" {
					t.Errorf("%s has no words for failure %d", n, k)
				}
			}
		}
		if w := p.Words(Failure{Kind: FailCertificate, Certificate: CertificateNotYet}); w.Shown == p.Words(Failure{Kind: FailCertificate}).Shown && p.Browser == "Firefox" {
			t.Errorf("%s says the same of a certificate that is not valid yet and of one from nobody: %q", n, w.Shown)
		}
		for a := range 256 {
			for _, k := range []FailureKind{FailAlert, FailLocal} {
				if w := p.Words(Failure{Kind: k, Alert: wire.AlertDescription(a)}); w.Shown == "" || w.Shown == "no resource" {
					t.Errorf("%s has no words for alert %d", n, a)
				}
			}
		}
	}
}
