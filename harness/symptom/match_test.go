package symptom

import "testing"

// TestMatches: what is the same symptom, and what only looks like it.
func TestMatches(t *testing.T) {
	word := func(text string) Signature {
		found, _, _ := Words(text)
		if len(found) != 1 {
			t.Fatalf("%q reads as %v", text, found)
		}
		return found[0]
	}
	log := func(code, reason string) Signature {
		return Signature{Origin: ServerLog, Alert: -1, Code: code, Reason: reason}
	}
	line := func(code, reason string) Observed { return Observed{Alert: -1, Code: code, Reason: reason} }
	for _, c := range []struct {
		why  string
		s    Signature
		o    Observed
		want bool
	}{
		{"one code in another case", word("SSL_ERROR_NO_CYPHER_OVERLAP"), Observed{UserSees: "ssl_error_no_cypher_overlap", Class: "peer_alert", Alert: 40, Sender: "server"}, true},
		{"the same words for a server that speaks SSL 3.0 alone", word("ssl_error_no_cypher_overlap"), Observed{UserSees: "ssl_error_no_cypher_overlap", Class: "local_alert", Alert: 70, Sender: "client"}, true},
		{"another code of the same browser", word("ssl_error_no_cypher_overlap"), Observed{UserSees: "ssl_error_illegal_parameter_alert", Class: "peer_alert", Alert: 47, Sender: "server"}, false},
		{"Chrome's refusal of a fallback that worked is no refusal by the server", word("ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION"), Observed{UserSees: "ssl_error_inappropriate_fallback_alert", Class: "peer_alert", Alert: 86, Sender: "server"}, false},
		{"and is itself", word("ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION"), Observed{UserSees: "ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION", Class: "ok", Alert: -1}, true},
		{"a title and the code of a later version", word("PR_CONNECT_RESET_ERROR"), Observed{UserSees: "The connection was reset", Class: "reset", Alert: -1}, true},
		{"plain English and a code", word("connection reset by peer"), Observed{UserSees: "ERR_CONNECTION_RESET", Class: "reset", Alert: -1}, true},
		{"plain English for something else", word("connection reset by peer"), Observed{UserSees: "ERR_CONNECTION_CLOSED", Class: "eof", Alert: -1}, false},
		{"a sentence stands for every code below it", word("Safari can't establish a secure connection to the server"), Observed{UserSees: "errSSLPeerHandshakeFail (-9824)", Class: "peer_alert", Alert: 40, Sender: "server"}, true},
		{"IE's hint of TLS settings is not shown for a reset", word("Turn on TLS 1.0, TLS 1.1, and TLS 1.2 in Advanced settings"), Observed{UserSees: "This page can't be displayed", Class: "reset", Alert: -1}, false},
		{"IE's page alone may be a reset", word("This page can't be displayed"), Observed{UserSees: "This page can't be displayed", Class: "reset", Alert: -1}, true},
		{"an alert by number, in any browser", word("alert 40"), Observed{UserSees: "ERR_SSL_VERSION_OR_CIPHER_MISMATCH", Class: "peer_alert", Alert: 40, Sender: "server"}, true},
		{"a failure that no user saw", word("ERR_CONNECTION_RESET"), Observed{Class: "reset", Alert: -1}, false},
		{"words that no profile has, by their meaning", word("SSLV3_ALERT_HANDSHAKE_FAILURE"), Observed{UserSees: "curl: (35) error:0A000410:SSL routines::sslv3 alert handshake failure", Class: "peer_alert", Alert: 40, Sender: "server"}, true},
		{"an expired certificate in plain English", word("the certificate has expired"), Observed{UserSees: "SEC_ERROR_EXPIRED_CERTIFICATE", Class: "certificate", Alert: 45, Sender: "client"}, true},
		{"which is not one of an unknown issuer", word("the certificate has expired"), Observed{UserSees: "SEC_ERROR_UNKNOWN_ISSUER", Class: "certificate", Alert: 48, Sender: "client"}, false},
		{"Chrome of 2015 shows what made it fall back, and the fallback ended in alert 86", word("ERR_CONNECTION_CLOSED"), Observed{Software: "Chrome", UserSees: "ERR_CONNECTION_CLOSED", Class: "peer_alert", Alert: 86, Sender: "server", Stage: "client_hello"}, true},
		{"the same of an alert", word("ERR_SSL_BAD_RECORD_MAC_ALERT"), Observed{Software: "Chrome", UserSees: "ERR_SSL_BAD_RECORD_MAC_ALERT", Class: "peer_alert", Alert: 86, Sender: "server"}, true},
		{"which is not so for a title of many errors", word("ERR_CONNECTION_CLOSED"), Observed{Software: "Android browser", UserSees: "Web page not available", Class: "peer_alert", Alert: 86, Sender: "server"}, false},
		{"a name and a warning about any certificate", word("ERR_CERT_AUTHORITY_INVALID"), Observed{UserSees: "Security warning", Class: "certificate", Alert: -1}, false},
		{"a name of a certificate", word("NET::ERR_CERT_AUTHORITY_INVALID"), Observed{Software: "Chrome", UserSees: "ERR_CERT_AUTHORITY_INVALID", Class: "certificate", Alert: -1}, true},
		{"and of another", word("ERR_CERT_AUTHORITY_INVALID"), Observed{Software: "Chrome", UserSees: "ERR_CERT_DATE_INVALID", Class: "certificate", Alert: -1}, false},
		{"a weak key", word("ERR_SSL_WEAK_SERVER_EPHEMERAL_DH_KEY"), Observed{Software: "Chrome", UserSees: "ERR_SSL_WEAK_SERVER_EPHEMERAL_DH_KEY", Class: "local_alert", Alert: 71, Sender: "client"}, true},
		{"is no protocol error", word("ERR_SSL_WEAK_SERVER_EPHEMERAL_DH_KEY"), Observed{Software: "Chrome", UserSees: "ERR_SSL_PROTOCOL_ERROR", Class: "local_alert", Alert: 71, Sender: "client"}, false},
		{"a name that no browser here shows is not another name", word("ERR_TLS13_DOWNGRADE_DETECTED"), Observed{Software: "Chrome", UserSees: "ERR_SSL_PROTOCOL_ERROR", Class: "local_alert", Alert: 47, Sender: "client"}, false},
		{"a revoked certificate is not one of an unknown issuer", word("SEC_ERROR_REVOKED_CERTIFICATE"), Observed{Software: "Firefox", UserSees: "sec_error_unknown_issuer", Class: "certificate", Alert: 48, Sender: "client"}, false},
		{"an exception that was received", word("javax.net.ssl.SSLException: Received fatal alert: internal_error"), Observed{Class: "peer_alert", Alert: 80, Sender: "server", UserSees: "javax.net.ssl.SSLHandshakeException: Received fatal alert: internal_error"}, true},

		{"one code", log("140A1175", "inappropriate fallback"), line("140A1175", "inappropriate fallback"), true},
		{"two codes of one era", log("1408A10B", "wrong version number"), line("1408F10B", "wrong version number"), false},
		{"OpenSSL 1.1.0's function and 1.1.1's", log("1417D18C", "version too low"), line("1420918C", "version too low"), true},
		{"one reason across three eras", log("140A1175", ""), line("0A000175", ""), true},
		{"one reason across two eras", log("14209175", ""), line("140A1175", ""), true},
		{"another reason", log("0A000175", ""), line("0A0000C1", ""), false},
		{"HAProxy's word for any code", log("", "SSL handshake failure"), line("1408A0C1", "no shared cipher"), true},
		{"HAProxy's word is not for closed connections", log("", "SSL handshake failure"), line("", "peer closed connection in SSL handshake"), false},
		{"HAProxy's and nginx's words for one event", log("", "Connection closed during SSL handshake"), line("", "peer closed connection in SSL handshake while SSL handshaking"), true},
		{"Go's words and OpenSSL's code", log("", "tls: client using inappropriate protocol fallback"), line("0A000175", "inappropriate fallback"), true},
		{"Go's received alert and OpenSSL's code", Signature{Origin: ServerLog, Alert: 48, Sender: "client", Reason: "remote error: tls: unknown certificate authority"}, line("0A000418", "tlsv1 alert unknown ca"), true},
		{"BoringSSL's number and OpenSSL's", log("100000B8", "no shared cipher"), line("1408A0C1", "no shared cipher"), true},
		{"BoringSSL's number and another of OpenSSL's", log("100000B8", "no shared cipher"), line("1408A0D7", "required cipher missing"), false},
		{"an alert in BoringSSL", log("10000418", "tlsv1 alert unknown ca"), line("0A000418", "tlsv1 alert unknown ca"), true},
		{"a number of BoringSSL's that is not known, by its text", log("1000008F", "inappropriate fallback"), line("0A000175", "inappropriate fallback"), true},
		{"and by another text", log("1000008F", "inappropriate fallback"), line("0A0000C1", "no shared cipher"), false},
		{"Java's words and OpenSSL's code", log("", "no cipher suites in common"), line("0A0000C1", "no shared cipher"), true},
		{"what Windows sent an alert for", Signature{Origin: ServerLog, Alert: 40, Sender: "server", Reason: "no shared cipher"}, line("1408A0C1", "no shared cipher"), true},
		{"and what it received is another matter", Signature{Origin: ServerLog, Alert: 40, Sender: "client", Reason: "fatal alert received"}, line("1408A0C1", "no shared cipher"), false},
		{"a line without a code is none with one", log("", "client timed out"), line("1408A0D7", "required cipher missing"), false},

		{"a capture's reset before the ServerHello", Signature{Origin: Capture, Class: "reset", Alert: -1, Stage: "client_hello"}, Observed{Class: "reset", Alert: -1, Stage: "client_hello"}, true},
		{"one alert, of a client that offers as much", Signature{Origin: Capture, Class: "peer_alert", Alert: 40, Offered: "TLS 1.2"}, Observed{Class: "peer_alert", Alert: 40, Offered: "TLS 1.2"}, true},
		{"and of one that is too old", Signature{Origin: Capture, Class: "peer_alert", Alert: 40, Offered: "TLS 1.2"}, Observed{Class: "peer_alert", Alert: 40, Offered: "TLS 1.0"}, false},
		{"where a run does not say what was offered", Signature{Origin: Capture, Class: "peer_alert", Alert: 40, Offered: "TLS 1.2"}, Observed{Class: "peer_alert", Alert: 40}, true},
		{"a client's own complaint is its words", word("curl: (35) error:0A000152:SSL routines::unsafe legacy renegotiation disabled"), Observed{Software: "curl", UserSees: "curl: (35) error:0A00010B:SSL routines::wrong version number", Class: "local_alert", Alert: 10, Sender: "client"}, false},
		{"and after it", Signature{Origin: Capture, Class: "reset", Alert: -1, Stage: "client_hello"}, Observed{Class: "reset", Alert: -1, Stage: "finished"}, false},
	} {
		if got := c.s.Matches(c.o); got != c.want {
			t.Errorf("%s: %v, want %v\n%+v\n%+v", c.why, got, c.want, c.s, c.o)
		}
	}
}

// TestUnpack: codes are taken apart by rule.
func TestUnpack(t *testing.T) {
	for code, want := range map[string]packed{
		"1408A0D7": {LayoutOld, 20, 138, 215}, "140A1175": {LayoutOld, 20, 161, 373}, "14209175": {Layout11, 20, 521, 373},
		"0A000175": {Layout3, 20, 0, 373}, "0A000410": {Layout3, 20, 0, 1040}, "14094410": {LayoutOld, 20, 148, 1040},
		"1C800066": {Layout3, 57, 0, 102}, "0906D06C": {LayoutOld, 9, 109, 108},
	} {
		if got, ok := parseCode(code); !ok || got != want {
			t.Errorf("%s: %+v, want %+v", code, got, want)
		}
	}
	if p, _ := parseCode("0A00043E"); p.alert() != 86 {
		t.Errorf("0A00043E is the received alert %d, want 86", p.alert())
	}
}
