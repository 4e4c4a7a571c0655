package symptom

import (
	"bytes"
	"strconv"
	"strings"
)

// haproxyLine reads HAProxy's errors on a connection and its tcplog and httplog, of which the termination
// state tells who ended the session and when.
func haproxyLine(line []byte, f forms, e *event) bool {
	if f&formHAProxy == 0 {
		return false
	}
	if text, ok := checked(line); ok {
		e.Software, e.Stage, e.Reason = "haproxy", "upstream", text
		return true
	}
	// 192.0.2.1:33317 [13/Jan/2015:12:22:59.123] frontend/listener: message
	bracket := bytes.Index(line, []byte(" ["))
	for bracket > 0 && !(bracket+2 < len(line) && isDigit(line[bracket+2]) && bytes.IndexByte(line[bracket+2:], '/') == 2) {
		next := bytes.Index(line[bracket+2:], []byte(" ["))
		if next < 0 {
			return false
		}
		bracket += 2 + next
	}
	if bracket <= 0 {
		return false
	}
	start := bytes.LastIndexByte(line[:bracket], ' ') + 1
	e.client = host(line[start:bracket])
	end := bytes.IndexByte(line[bracket:], ']')
	if end < 0 {
		return false
	}
	rest := bytes.TrimLeft(line[bracket+end+1:], " ")
	e.Software = "haproxy"
	if i := bytes.IndexAny(rest, " :"); i > 0 {
		e.server = bytes.TrimRight(rest[:i], "~:")
	}
	if i := bytes.Index(rest, []byte(": ")); i > 0 && bytes.IndexByte(rest[:i], ' ') < 0 {
		if e.Code == "" {
			e.Reason = logReason(string(rest[i+2:]))
		}
		return true
	}
	state := termination(rest)
	switch {
	case bytes.Contains(rest, []byte("<BADREQ>")) || bytes.Contains(rest, []byte(`\u003cBADREQ\u003e`)):
		e.Reason = "<BADREQ>"
		if state != "" {
			e.Reason += " " + state
		}
	case state != "":
		e.Reason = "termination state " + state + ": " + ended(state)
	default:
		return false
	}
	return true
}

// termination finds the state in a tcplog or httplog: two or four characters between blanks, the first two
// from HAProxy's table. Sessions that ended well have "--" and are none.
func termination(rest []byte) string {
	for _, w := range bytes.Fields(rest) {
		if (len(w) == 2 || len(w) == 4) && strings.IndexByte("CSPLRIDUKkcs", w[0]) >= 0 && strings.IndexByte("RQCHDLT-", w[1]) >= 0 &&
			(len(w) == 2 || strings.IndexByte("NIDEVOPRU-", w[2]) >= 0 && strings.IndexByte("NIPRDU-", w[3]) >= 0 && !isDigit(w[3])) {
			return string(w[:2])
		}
	}
	return ""
}

// ended puts a termination state into words.
func ended(state string) string {
	who := map[byte]string{'C': "the client aborted", 'S': "the server aborted or refused", 'c': "the client-side timeout expired",
		's': "the server-side timeout expired", 'P': "the proxy aborted", 'R': "a resource was exhausted", 'L': "handled locally",
		'I': "an internal error", 'D': "killed because the server went down", 'K': "killed by the operator", 'U': "killed because the server came back"}[state[0]]
	if who == "" {
		who = "aborted"
	}
	when := map[byte]string{'R': "waiting for the request", 'Q': "in the queue", 'C': "connecting to the server", 'H': "waiting for the server's headers",
		'D': "in the data", 'L': "sending the last data", 'T': "in the tarpit"}[state[1]]
	if when == "" {
		return who
	}
	return who + ", " + when
}

// checked reads what HAProxy says of its servers: "Server be/s1 is DOWN, reason: Layer6 invalid response, info:
// "SSL handshake failure", …".
func checked(line []byte) (reason string, ok bool) {
	const down = " is DOWN, reason: "
	if i := bytes.Index(line, []byte(down)); i >= 0 {
		why := string(line[i+len(down):])
		if j := strings.Index(why, ", check duration"); j >= 0 {
			why = why[:j]
		}
		return "server DOWN: " + strings.ReplaceAll(why, `"`, ""), true
	}
	if bytes.Contains(line, []byte("has no server available")) {
		return "no server available", true
	}
	return "", false
}

// otherLine reads the lines of stunnel, of mail servers, of Envoy, and of Windows' event log.
func otherLine(line []byte, f forms, e *event) bool {
	if f&formOther == 0 {
		return false
	}
	has := func(s string) bool { return bytes.Contains(line, []byte(s)) }
	switch {
	case has("OPENSSL_internal"):
		e.Software, e.Level = "envoy", ""
		if has("upstream") || has("remote_connection_failure") || has("transport failure reason") {
			if e.Stage = "upstream"; e.Alert >= 0 {
				e.Sender = "upstream"
			}
		}
	case has("SSL_accept") && has("LOG"):
		e.Software = "stunnel"
	case has("postfix/"):
		e.Software = "postfix"
	case has("dovecot"):
		e.Software = "dovecot"
	case indexFold(line, "schannel") >= 0:
		return schannelLine(line, e)
	case has("SSL_accept"):
	default:
		return false
	}
	e.client = clientOf(line)
	if e.Code == "" {
		i := bytes.Index(line, []byte("SSL_accept"))
		if i < 0 {
			return false
		}
		e.Reason = logReason(string(line[i:]))
	}
	return true
}

// sentFor is what a server has found when it sends an alert, in the words of OpenSSL's servers.
var sentFor = map[int]string{40: "no shared cipher", 70: "unsupported protocol", 86: "inappropriate fallback", 20: "decryption failed or bad record mac",
	120: "no application protocol"}

// schannelLine reads the System log of Windows: events 36874 (no suite in common), 36887 (an alert was received)
// and 36888 (one was sent).
func schannelLine(line []byte, e *event) bool {
	e.Software = "schannel"
	if indexFold(line, "none of the cipher suites supported by the client") >= 0 {
		e.Reason = logReason(string(line))
		return true
	}
	i := indexFold(line, "fatal alert")
	if i < 0 {
		return false
	}
	sent := indexFold(line[i:], "generated") >= 0
	for _, key := range []string{"code is ", "alert was received: ", "alert was generated: "} {
		if j := indexFold(line[i:], key); j >= 0 {
			rest := line[i+j+len(key):]
			if n := digits(rest); n > 0 && n <= 3 {
				e.Alert, _ = strconv.Atoi(string(rest[:n]))
			}
			break
		}
	}
	if e.Alert < 0 || e.Alert > 255 {
		e.Alert = -1
		return false
	}
	if sent { // by the machine whose log it is: a server, most likely
		e.Sender, e.Reason = "server", "fatal alert sent"
		if why := sentFor[e.Alert]; why != "" {
			e.Reason = why
		}
	} else {
		e.Sender, e.Reason = "client", "fatal alert received"
	}
	return true
}
