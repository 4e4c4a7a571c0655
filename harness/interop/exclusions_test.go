package interop

import (
	"crypto"
	"slices"
	"strings"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// onOpenSSL are the peers that take their TLS from Debian's OpenSSL 3.0.
var onOpenSSL = []string{"openssl s_server", "openssl s_client", "nginx", "haproxy", "curl"}

// excluded says why a combination is not tried, or "". Every reason is about the peer, as Debian 12
// ships it; what our engine could not do would stand here too, and does not.
func excluded(c cell) string {
	suite := keys.Lookup12(c.suite)
	openssl := slices.Contains(onOpenSSL, c.peer)
	gnutls := strings.HasPrefix(c.peer, "gnutls")
	golang := strings.HasPrefix(c.peer, "crypto/tls")
	switch {
	case c.version == wire.SSL30 && !strings.HasPrefix(c.peer, "nss"):
		return "SSL 3.0 is compiled out of Debian's OpenSSL and GnuTLS, and crypto/tls has it no more"
	case suite != nil && suite.Cipher == keys.CipherDES:
		return "single DES is compiled out of every peer, or switched off for good"
	case openssl && suite != nil && (suite.Cipher == keys.CipherRC4 || suite.Cipher == keys.Cipher3DES):
		return "Debian's OpenSSL 3.0 is built without RC4 and 3DES suites"
	case c.group == wire.X25519MLKEM768 && !golang:
		return "X25519MLKEM768 is younger than the OpenSSL 3.0, GnuTLS 3.7 and NSS of Debian 12"
	case golang && suite != nil && suite.Kx == keys.KxDHE:
		return "crypto/tls has no DHE"
	case golang && c.mode == modeID:
		return "crypto/tls has no session-ID resumption"
	case golang && suite != nil && !goHas(c.suite):
		return "crypto/tls does not have this suite"
	}
	return excludedMode(c, openssl, gnutls, golang)
}

// excludedMode is about what a peer's program has not got or cannot be told to do.
func excludedMode(c cell, openssl, gnutls, golang bool) string {
	early := c.mode == modeEarly || c.mode == modeRefused
	if c.ours == "server" {
		if reason := excludedClient(c, early, gnutls, golang); reason != "" {
			return reason
		}
	}
	switch {
	case c.mode == modeComp && c.ours == "client":
		return "no server of Debian 12 compresses certificates: OpenSSL 3.0 and crypto/tls do not know how, GnuTLS is built without zlib, NSS leaves it to its caller"
	case early && c.peer == "openssl s_server":
		return "s_server cannot combine -www with -early_data: without -www, see TestTicketsAndEarlyDataOfSServer"
	case early && golang:
		return "crypto/tls has 0-RTT for QUIC only"
	case c.peer == "nss selfserv" && c.mode == modeEarly:
		return "selfserv's replay filter refuses 0-RTT for its first ten seconds; after that it answers and closes before it has read the client's Finished"
	case c.peer == "nss tstclnt" && c.version < wire.TLS13 && c.mode != modeFull && c.mode != modeClient && !nssDefault(c.suite):
		return "tstclnt aborts where -c and -L come together, and this suite is not among NSS's defaults"
	case c.peer == "curl" && c.mode == modeTicket:
		return "curl 7.88 switches session tickets off below TLS 1.3"
	case c.peer == "gnutls-serv" && c.mode == modeRefused:
		return "GnuTLS 3.7 answers bad_record_mac to 0-RTT records that follow the hello which it retried"
	}
	return ""
}

// excludedClient is about what a client's program cannot be told to do.
func excludedClient(c cell, early, gnutls, golang bool) string {
	switch {
	case c.mode == modeComp:
		return "no client of Debian 12 but the browsers asks for compressed certificates: see below"
	case c.mode == modeUpdate && golang:
		return "crypto/tls changes its keys only after 2^24 records"
	case c.mode == modeUpdate:
		return "s_client and gnutls-cli change keys on a typed command: see TestKeyUpdateTyped; tstclnt and curl know none"
	case early && c.peer == "curl":
		return "curl 7.88 sends no 0-RTT data"
	case c.mode == modeRefused && gnutls:
		return "gnutls-cli 3.7 breaks off where its 0-RTT meets a HelloRetryRequest, with nginx too"
	case early && c.peer == "nss tstclnt":
		return "tstclnt resumes only with -L, which sends nothing on its second connection"
	}
	return ""
}

// nssDefault says whether a suite is on without tstclnt's -c.
func nssDefault(id wire.CipherSuite) bool {
	s := keys.Lookup12(id)
	ecdhe := s.Kx == keys.KxECDHE
	return !(ecdhe && (s.Cipher == keys.CipherRC4 || s.Cipher == keys.Cipher3DES || s.MAC == crypto.SHA384))
}
