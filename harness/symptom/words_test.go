package symptom

import (
	"strings"
	"testing"

	"tlsurge/profiles"
	"tlsurge/results"
)

// TestEveryWordingIsUnderstood: whatever any profile can show is read back as itself, and matches.
func TestEveryWordingIsUnderstood(t *testing.T) {
	done := map[string]bool{}
	for _, name := range profiles.Names() {
		p, err := profiles.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		eachFailure(func(f profiles.Failure, m Meaning) {
			w := p.Words(f)
			for _, text := range []string{w.Shown, w.Sentence, "Our users tell us they see " + strings.ToUpper(w.Shown) + ", since Monday."} {
				key := text + string(m.Class)
				if text == "" || done[key] {
					continue
				}
				done[key] = true
				found, _, notes := Words(text)
				seen := Observed{Software: p.Browser, UserSees: w.Shown, Class: m.Class, Alert: m.Alert, Sender: m.Sender}
				ok := false
				for _, s := range found {
					ok = ok || s.Matches(seen)
				}
				if !ok {
					t.Errorf("%s: %q (%v) reads as %+v, which does not match; notes %v", name, text, m, found, notes)
				}
			}
		})
	}
}

// TestWords: reports as people write them. A report must give exactly the signatures named.
func TestWords(t *testing.T) {
	type want struct {
		sees  string
		class results.Class
		alert int
		from  string // software
	}
	for _, c := range []struct {
		text string
		want []want
	}{
		{"ssl_error_inappropriate_fallback_alert", []want{{"ssl_error_inappropriate_fallback_alert", "peer_alert", 86, "firefox"}}},
		{"SSL_ERROR_NO_CYPHER_OVERLAP", []want{{"SSL_ERROR_NO_CYPHER_OVERLAP", "", -1, "firefox"}}},
		{"Users say \"ssl error no cipher overlap\".", []want{{"ssl_error_no_cypher_overlap", "", -1, "firefox"}}},
		{"Secure Connection Failed\nAn error occurred during a connection to shop.example.com. Cannot communicate securely with\npeer: no common encryption algorithm(s). (Error code: ssl_error_no_cypher_overlap)",
			[]want{{"ssl_error_no_cypher_overlap", "", -1, "firefox"}}},
		{"net::ERR_CONNECTION_RESET", []want{{"ERR_CONNECTION_RESET", "", -1, ""}}},
		{"Error 101 (net::ERR_CONNECTION_RESET): The connection was reset.", []want{{"ERR_CONNECTION_RESET", "", -1, ""}}},
		{"err_ssl_version_or_cipher_mismatch", []want{{"ERR_SSL_VERSION_OR_CIPHER_MISMATCH", "", -1, ""}}},
		{"Safari can’t open the page “https://shop.example.com/” because Safari can’t establish a secure connection to the server “shop.example.com”.",
			[]want{{"Safari can't establish a secure connection to the server.", "", -1, "safari"}}},
		{"kCFURLErrorSecureConnectionFailed", []want{{"Safari can't open the page because Safari can't establish a secure connection to the server.", "", -1, "safari"}}},
		{"CFNetwork SSLHandshake failed (-9824)", []want{{"errSSLPeerHandshakeFail (-9824)", "peer_alert", 40, "safari"}}},
		{"Internet Explorer cannot display the webpage", []want{{"Internet Explorer cannot display the webpage", "", -1, "ie"}}},
		{"This page can’t be displayed. Turn on TLS 1.0, TLS 1.1, and TLS 1.2 in Advanced settings and try connecting to https://x again.",
			[]want{{"Turn on TLS 1.0, TLS 1.1, and TLS 1.2 in Advanced settings and try connecting again.", "", -1, "ie"}}},
		{"javax.net.ssl.SSLHandshakeException: Received fatal alert: handshake_failure",
			[]want{{"javax.net.ssl.SSLHandshakeException: Received fatal alert: handshake_failure", "peer_alert", 40, "java"}}},
		{"remote error: tls: handshake failure", []want{{"remote error: tls: handshake failure", "peer_alert", 40, "go"}}},
		{"Get \"https://x\": tls: first record does not look like a TLS handshake", []want{{"tls: first record does not look like a TLS handshake", "local_alert", 10, "go"}}},
		{"curl: (35) error:14094410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure", []want{{"", "peer_alert", 40, "curl"}}},
		{"140735:error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:../ssl/record/rec_layer_s3.c:1586:SSL alert number 40", []want{{"", "peer_alert", 40, "openssl"}}},
		{"alert 40", []want{{"", "", 40, ""}}},
		{"tlsv1 alert inappropriate fallback", []want{{"TLSV1_ALERT_INAPPROPRIATE_FALLBACK", "peer_alert", 86, ""}}},
		{"schannel: A fatal alert was received from the remote endpoint. The TLS protocol defined fatal alert code is 40.", []want{{"", "peer_alert", 40, ""}}},
		{"connection reset", []want{{"connection reset", "", -1, ""}}},
		{"the weather is fine today", nil},
		{"ERR_CONNECTION_RESET in Chrome, ssl_error_illegal_parameter_alert in Firefox",
			[]want{{"ERR_CONNECTION_RESET", "", -1, ""}, {"ssl_error_illegal_parameter_alert", "peer_alert", 47, "firefox"}}},
	} {
		found, _, _ := Words(c.text)
		var got []want
		for _, s := range found {
			got = append(got, want{s.UserSees, s.Class, s.Alert, s.Software})
		}
		same := len(got) == len(c.want)
		for i := range got {
			same = same && i < len(c.want) && fold(got[i].sees) == fold(c.want[i].sees) && got[i].class == c.want[i].class && got[i].alert == c.want[i].alert &&
				(c.want[i].from == "" || got[i].from == c.want[i].from)
		}
		if !same {
			t.Errorf("%q\n got %+v\nwant %+v", c.text, got, c.want)
		}
	}
}
