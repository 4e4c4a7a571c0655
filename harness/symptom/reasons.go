package symptom

import "strings"

// canonical names what a line says, whatever stands around it. The first whose needle (lower case) is in the
// text counts; the words are those of this program's own edges where these write the same line. same joins
// lines of different servers that tell the same event. quotable are words that only servers say.
var canonical = []struct {
	needle, reason, same string
	quotable             bool
}{
	// nginx
	{"peer closed connection in ssl handshake", "peer closed connection in SSL handshake", "closed", true},
	{"worker_connections are not enough, reusing", "worker_connections are not enough, reusing connections", "", false},
	{"worker_connections are not enough", "worker_connections are not enough", "", true},
	{"worker_connections exceed open file resource limit", "worker_connections exceed open file resource limit", "", false},
	{"upstream timed out", "upstream timed out", "", true},
	{"upstream prematurely closed connection", "upstream prematurely closed connection", "", true},
	{"no live upstreams", "no live upstreams", "", true},
	{"connecting to upstream", "connect() to the upstream failed", "", false},
	{"ssl handshaking to upstream", "SSL handshake with the upstream failed", "", false},
	{"recv() failed (104: connection reset by peer) while reading", "upstream reset the connection", "", false},
	{"from upstream", "reading from the upstream failed", "", false},
	{"client sent plain http request to https port", "client sent plain HTTP request to HTTPS port", "plain", true},
	{"client sent invalid method while reading client request line", "client sent invalid method while reading client request line", "tls to a plain port", true},
	{"client sent no required ssl certificate", "client sent no required SSL certificate", "", true},
	{"upstream ssl certificate verify error", "upstream SSL certificate verify error", "", false},
	{"client ssl certificate verify error", "client SSL certificate verify error", "client certificate", false},
	{"client timed out", "client timed out", "timeout", false},
	{"client prematurely closed connection", "client prematurely closed connection", "", false},
	{"open socket", "open socket left in connection", "", false},
	{"could not allocate new session in ssl session shared cache", "could not allocate new session in SSL session shared cache", "cache", true},
	{"in ssl session shared cache", "no memory in SSL session shared cache", "cache", false},
	{"handshake rejected", "handshake rejected", "", true},
	{"\"ssl_certificate\" is defined", "no \"ssl_certificate\" is defined", "", false},
	{"limiting connections", "limiting connections", "", false},
	{"limiting requests", "limiting requests", "", false},
	{"too many open files", "accept() failed (24: Too many open files)", "files", true},
	// HAProxy
	{"connection closed during ssl handshake", "Connection closed during SSL handshake", "closed", true},
	{"connection reset during ssl handshake", "Connection reset during SSL handshake", "closed", true},
	{"timeout during ssl handshake", "Timeout during SSL handshake", "timeout", true},
	{"connection error during ssl handshake", "Connection error during SSL handshake", "closed", true},
	{"failed during ssl handshake", "Connection error during SSL handshake", "closed", false},
	{"ssl handshake failure (heartbeat)", "SSL handshake failure (heartbeat)", "", false},
	{"ssl client ca chain cannot be verified", "SSL client CA chain cannot be verified", "client certificate", false},
	{"ssl client certificate not trusted", "SSL client certificate not trusted", "client certificate", false},
	{"proxy protocol header", "PROXY protocol header missing or wrong", "", false},
	{"ssl handshake failure", "SSL handshake failure", "any code", true},
	{"badreq", "<BADREQ>", "", false},
	{"maxconn", "maxconn reached", "", false},
	// Apache
	{"http spoken on https port", "HTTP spoken on HTTPS port", "plain", true},
	{"invalid method in request", "Invalid method in request", "tls to a plain port", false},
	{"interrupted by system", "SSL handshake interrupted by system", "closed", false},
	{"ssl handshake was not completed", "SSL handshake was not completed", "closed", false},
	{"certificate verification: error", "Certificate Verification: Error", "client certificate", false},
	{"maxrequestworkers", "MaxRequestWorkers reached", "", false},
	{"maxclients", "MaxRequestWorkers reached", "", false},
	{"no hostname was provided via sni", "No hostname was provided via SNI", "no name", false},
	{"provided via sni, but no hostname", "Hostname provided via SNI, but none via HTTP", "", false},
	{"provided via sni and hostname", "Hostname provided via SNI differs from the one via HTTP", "", false},
	{"ssl library error", "SSL Library Error", "any code", false},
	{"ssl input filter read failed", "SSL input filter read failed", "", false},
	// Go
	{"client offered only unsupported versions", "tls: client offered only unsupported versions", "versions", true},
	{"no cipher suite supported by both", "tls: no cipher suite supported by both client and server", "no shared cipher", true},
	{"inappropriate protocol fallback", "tls: client using inappropriate protocol fallback", "inappropriate fallback", true},
	{"does not look like a tls handshake", "tls: first record does not look like a TLS handshake", "plain", false},
	{"client sent an http request to an https server", "client sent an HTTP request to an HTTPS server", "plain", true},
	{"unsupported sslv2 handshake", "tls: unsupported SSLv2 handshake received", "", false},
	{"no certificates configured", "tls: no certificates configured", "", false},
	{"i/o timeout", "i/o timeout", "timeout", false},
	{"tls: bad record mac", "local error: tls: bad record MAC", "decryption failed or bad record mac", false},
	{"client requested unsupported application protocols", "tls: client requested unsupported application protocols", "no application protocol", false},
	{"tls: client didn't provide a certificate", "tls: client didn't provide a certificate", "peer did not return a certificate", false},
	{"no certificate found for domain", "no certificate for the name that was asked for", "no name", false},
	{"missing server name", "no server name in the ClientHello", "no name", false},
	// Java, Schannel, stunnel, mail servers
	{"no cipher suites in common", "no cipher suites in common", "no shared cipher", true},
	{"none of the cipher suites supported by the client application", "none of the client's cipher suites are supported", "no shared cipher", true},
	{"client requested protocol", "Client requested a protocol that is not enabled", "versions", true},
	{"null cert chain", "null cert chain", "peer did not return a certificate", true},
	{"empty client certificate chain", "empty client certificate chain", "peer did not return a certificate", true},
	{"peer suddenly disconnected", "Peer suddenly disconnected", "closed", true},
	{"ssl_accept error from", "SSL_accept error", "any code", true},
	// access logs
	{"400: tls spoken to a plain port", "400: TLS spoken to a plain port", "tls to a plain port", false},
	// the kernel
	{"syn flooding", "possible SYN flooding: the listen queue is full", "", true},
	{"table full", "conntrack: table full, dropping packets", "", false},
	{"bucket table overflow", "TCP: time wait bucket table overflow", "", true},
	{"orphaned sockets", "TCP: too many orphaned sockets", "", false},
	{"tcp: out of memory", "TCP: out of memory", "", false},
	// whoever says so
	{"connection reset by peer", "connection reset by peer", "closed", false},
	{"client closed connection", "client closed connection", "closed", false},
	{"ssl_do_handshake()", torn, "any code", false}, // cut off before the code
	{"accept4() failed", "accept() failed", "", false},
	{"accept() failed", "accept() failed", "", false},
	{"unexpected eof", "EOF", "closed", false},
}

// ordinary are lines that a healthy server writes all day.
var ordinary = map[string]bool{"client closed connection": true, "client prematurely closed connection": true,
	"400 without a request": true, "status 499": true, "status 408": true, "<BADREQ>": true}

// Ordinary says whether the signature is of the kind that every public server logs on a good day, such as a
// client that goes away between two requests: nothing to look for.
func (s Signature) Ordinary() bool {
	reason, _, _ := strings.Cut(s.Reason, ", ")
	if s.Origin == ServerLog && s.Stage == "idle" && strings.HasPrefix(s.Reason, "unexpected eof") {
		return true
	}
	return s.Origin == ServerLog && s.Code == "" && (ordinary[reason] || s.Stage == "idle" || strings.HasPrefix(s.Reason, "<BADREQ> C") ||
		strings.HasPrefix(s.Reason, "<BADREQ> c") || strings.HasPrefix(s.Reason, "termination state C") || strings.HasPrefix(s.Reason, "termination state c"))
}

// beyondPlay are events, as sameEvent has them, whose cause is plain from the line alone and that no fleet here can
// show: it is told, and not looked for.
var beyondPlay = map[string]string{
	"plain": "a client spoke HTTP in the clear to a port of TLS: somebody's link, health check or proxy says http:// with that port " +
		"(nginx can send such a client on with error_page 497); browsers here speak TLS, so it is not played",
	"no client certificate": "the server asks for a client's certificate and got none: the client has none from an authority that the server names, or " +
		"its user picked none; clients' own keys are not played",
	"client certificate": "the server does not accept the client's own certificate (its authority, its time, or ssl_verify_depth); clients' own keys are not played",
}

// Beyond says what the signature is about where nothing here can play it; empty for all others.
func (s Signature) Beyond() string {
	if s.Origin != ServerLog {
		return ""
	}
	switch event := sameEvent(lineReason(s.Code, s.Reason)); event {
	case "http request", "https proxy request":
		return beyondPlay["plain"]
	case "peer did not return a certificate", "client sent no required ssl certificate":
		return beyondPlay["no client certificate"]
	default:
		return beyondPlay[event]
	}
}

// torn is a line that was cut off before its code.
const torn = "SSL_do_handshake() failed"

// logReason gives the canonical words of a line without an error code. Applied to its own result it changes
// nothing.
func logReason(text string) string {
	low := strings.ToLower(text)
	for _, c := range canonical {
		if strings.Contains(low, c.needle) || low == strings.ToLower(c.reason) {
			return c.reason
		}
	}
	return general(text)
}

// sameEvent is what lines of different servers have in common: the word of canonical's third column, the
// library's reason, or the line's own words.
func sameEvent(reason string) string {
	low := strings.ToLower(reason)
	for _, c := range canonical {
		if low == strings.ToLower(c.reason) {
			if c.same != "" {
				return c.same
			}
			return low
		}
	}
	switch low {
	case "eof":
		return "closed"
	case "unsupported protocol", "unknown protocol", "version too low":
		return "versions"
	case "http request":
		return "plain"
	}
	return low
}

// general takes out of a text what differs from one line to the next: numbers, and what is quoted.
func general(text string) string {
	const most = 100
	var b strings.Builder
	quoted, space := false, false
	for i := 0; i < len(text) && b.Len() < most; i++ {
		c := text[i]
		switch {
		case c == '"':
			if quoted = !quoted; quoted {
				b.WriteString("\"…\"")
			}
		case quoted:
		case isDigit(c):
			if i == 0 || !isDigit(text[i-1]) {
				b.WriteByte('N')
			}
		case c == ' ' || c == '\t':
			space = true
			continue
		default:
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteByte(c)
		}
		space = false
	}
	return strings.ToValidUTF8(strings.TrimSpace(b.String()), "?")
}
