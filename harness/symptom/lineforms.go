package symptom

import (
	"bytes"
	"strconv"
	"strings"
)

// parseLine takes a line of a log apart. f are the forms that its needles hint at; ok is false where it
// tells nothing about connections after all.
func parseLine(line []byte, f forms) (e event, ok bool) {
	e.Alert = -1
	lib, at, coded := sslError(line, f)
	if coded {
		e.Code, e.Alert = lib.code, lib.alert()
		e.reason = lib.reason
		if e.Alert >= 0 {
			e.Sender = "client"
		}
	}
	switch {
	case nginxLine(line, f, &e), goLine(line, f, &e), apacheLine(line, f, &e), haproxyLine(line, f, &e), kernelLine(line, f, &e):
	case coded:
		if at > 0 && line[0] != '{' && !hasLevel(line[:at]) && e.at.IsZero() && stamp(line).IsZero() {
			return e, false // no log's line: words that somebody quotes
		}
		e.Level, _ = level(line)
		if bytes.Contains(line, []byte("SSL_do_handshake()")) {
			e.Software = "nginx"
		}
		e.client = addressBehind(line, "client")
	case f&formAccess != 0 && accessLine(line, &e):
	default:
		return e, false
	}
	e.at = stamp(line)
	return e, true
}

// sslError finds the first error of the SSL library in a line; where there is none, the first of any.
func sslError(line []byte, f forms) (first libraryError, at int, ok bool) {
	if f&formCode == 0 {
		return first, 0, false
	}
	for from := 0; ; {
		e, i, found := findLibraryError(line, from)
		if !found {
			return first, at, ok
		}
		if !ok || e.library == librarySSL && first.library != librarySSL {
			first, at, ok = e, i, true
		}
		if first.library == librarySSL {
			return first, at, true
		}
		from = max(e.end, i+1)
	}
}

var levels = []string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg", "warning"}

// level finds "[crit]" or Apache's "[ssl:error]" in a line, and where it ends.
func level(line []byte) (string, int) {
	for from := 0; from < len(line); {
		i := bytes.IndexByte(line[from:], '[')
		if i < 0 || from+i > 200 {
			break
		}
		i += from
		end := bytes.IndexByte(line[i:], ']')
		if end > 1 && end < 24 {
			word := line[i+1 : i+end]
			if c := bytes.LastIndexByte(word, ':'); c >= 0 {
				word = word[c+1:]
			}
			for _, l := range levels {
				if string(word) == l {
					return l, i + end + 1
				}
			}
		}
		from = i + 1
	}
	return "", 0
}

func hasLevel(line []byte) bool {
	l, _ := level(line)
	return l != ""
}

// nginxLine reads nginx's error log: [level] pid#tid: *connection message, client: …, server: …
func nginxLine(line []byte, f forms, e *event) bool {
	l, end := level(line)
	if l == "" {
		return false
	}
	rest := bytes.TrimLeft(line[end:], " ")
	n := digits(rest)
	if n == 0 || n+1 >= len(rest) || rest[n] != '#' {
		return false
	}
	colon := bytes.Index(rest, []byte(": "))
	if colon < 0 || colon > 24 {
		return false
	}
	text := rest[colon+2:]
	if len(text) > 0 && text[0] == '*' {
		text = text[1+digits(text[1:]):]
		text = bytes.TrimLeft(text, " ")
	}
	e.Software, e.Level = "nginx", l
	e.client, e.server = field(text, ", client:"), field(text, ", server:")
	if bytes.Contains(text, []byte("SSL handshaking to upstream")) || bytes.Contains(text, []byte("to upstream")) && e.Code != "" {
		e.Stage = "upstream"
		if e.Alert >= 0 {
			e.Sender = "upstream"
		}
	}
	if e.Code != "" {
		return true
	}
	if i := bytes.Index(text, []byte(", client:")); i >= 0 {
		text = text[:i]
	}
	if f&(formNginx|formHAProxy) == 0 && !bytes.Contains(text, []byte("SSL")) {
		return false
	}
	e.Reason = logReason(string(text))
	if bytes.Contains(text, []byte("while waiting for request")) || bytes.Contains(text, []byte("while keepalive")) {
		e.Stage = "idle"
	}
	return true
}

// goLine reads net/http's "http: TLS handshake error from 192.0.2.1:5678: tls: …".
func goLine(line []byte, f forms, e *event) bool {
	const mark = "TLS handshake error from "
	i := bytes.Index(line, []byte(mark))
	if i < 0 {
		return false
	}
	e.Software = "go"
	rest := line[i+len(mark):]
	colon := bytes.Index(rest, []byte(": "))
	if colon < 0 {
		return false
	}
	e.client = host(rest[:colon])
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimRight(string(rest[colon+2:]), "\"}"), `\n`))
	if _, name, ok := strings.Cut(text, "remote error: tls: "); ok {
		e.Alert, e.Reason, e.Sender = goAlert(name), "remote error: tls: "+general(name), "client"
		return true
	}
	if text == "EOF" {
		e.Reason = "EOF"
		return true
	}
	e.Reason = logReason(text)
	return true
}

// goAlert is the number behind crypto/tls's words for an alert ("bad certificate").
func goAlert(name string) int {
	name = strings.ToLower(strings.TrimSpace(name))
	if n, ok := goAlerts[name]; ok {
		return n
	}
	if e := words().find(tokens(name)); e != nil && len(e.means) > 0 {
		return e.means[0].Alert
	}
	return -1
}

// goAlerts are those whose words are not the registry's.
var goAlerts = map[string]int{"error decoding message": 50, "error decrypting message": 51, "unknown certificate authority": 48,
	"protocol version not supported": 70, "insufficient security level": 71, "expired certificate": 45, "revoked certificate": 44,
	"unknown certificate": 46, "unsupported certificate": 43, "bad record mac": 20, "handshake failure": 40, "bad certificate": 42,
	"inappropriate fallback": 86, "user canceled": 90, "no application protocol": 120, "certificate required": 116, "internal error": 80,
	"illegal parameter": 47, "access denied": 49, "unexpected message": 10, "unrecognized name": 112, "missing extension": 109}

// apacheLine reads mod_ssl's lines: [ssl:info] [pid 1:tid 2] [client 192.0.2.1:5678] AH02008: …
func apacheLine(line []byte, f forms, e *event) bool {
	if f&(formApache|formCode) == 0 {
		return false
	}
	l, end := level(line)
	i := bytes.Index(line, []byte("AH0"))
	if l == "" || i < 0 && !(line[0] == '[' && weekday(line[1:min(4, len(line))])) && indexFold(line, "ssl library error") < 0 {
		return false
	}
	rest := line[end:]
	e.client = addressBehind(line, "[client")
	e.Software, e.Level = "apache", l
	if e.Code != "" {
		return true
	}
	for j := bytes.Index(rest, []byte("] ")); j >= 0; j = bytes.Index(rest, []byte("] ")) {
		rest = rest[j+2:]
	}
	text := string(rest)
	number := ""
	if i >= 0 && len(line) >= i+7 {
		number = string(line[i : i+7])
	}
	if routine[number] {
		return false
	}
	e.Reason = logReason(text)
	return true
}

// routine are Apache's messages about connections that go well.
var routine = map[string]bool{"AH01964": true, "AH01998": true, "AH02001": true, "AH02034": true, "AH00489": true, "AH00094": true,
	"AH00163": true, "AH01914": true, "AH01887": true, "AH01876": true, "AH02568": true, "AH00170": true, "AH00169": true, "AH00558": true}

// haproxyLine reads HAProxy's errors on a connection and its tcplog and httplog, of which the termination
// state tells who ended the session and when.
func haproxyLine(line []byte, f forms, e *event) bool {
	if f&formHAProxy == 0 {
		return false
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
		if (len(w) == 2 || len(w) == 4) && strings.IndexByte("CSPLRIDUKk", w[0]) >= 0 && strings.IndexByte("RQCHDLT-", w[1]) >= 0 &&
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

func kernelLine(line []byte, f forms, e *event) bool {
	if f&formKernel == 0 {
		return false
	}
	e.Software, e.Reason = "kernel", logReason(string(line))
	return true
}

// accessLine reads the status of a request that went wrong for the connection's sake, in the combined format
// and in JSON.
func accessLine(line []byte, e *event) bool {
	request, status, rest := accessStatus(line)
	if status == "" || len(rest) == 0 && status == "" {
		return false
	}
	e.Software, e.Level = "access log", ""
	switch {
	case status == "400" && (len(request) == 0 || string(request) == "-"):
		e.Reason = "400 without a request"
	case status == "400" && (bytes.HasPrefix(request, []byte(`\x16\x03`)) || bytes.HasPrefix(request, []byte(`\x16`))):
		e.Reason = "400: TLS spoken to a plain port"
	case strings.Contains("400 408 421 425 494 495 496 497 499 500 502 503 504", status):
		e.Reason = "status " + status
	default:
		return false
	}
	if i := bytes.Index(rest, []byte("TLSv1")); i >= 0 {
		e.Reason += ", " + string(word(rest[i:]))
	} else if i := bytes.Index(rest, []byte("SSLv3")); i >= 0 {
		e.Reason += ", SSLv3"
	}
	if i := bytes.IndexByte(line, ' '); i > 0 && line[0] != '{' {
		e.client = line[:i]
	}
	return true
}

// accessStatus splits an access line at its request.
func accessStatus(line []byte) (request []byte, status string, rest []byte) {
	if i := bytes.Index(line, []byte(`"status":`)); i >= 0 {
		rest = bytes.TrimLeft(line[i+len(`"status":`):], `" `)
		if n := digits(rest); n == 3 {
			return []byte("?"), string(rest[:3]), line
		}
		return nil, "", nil
	}
	for from := 0; ; {
		i := bytes.Index(line[from:], []byte(`" `))
		if i < 0 {
			return nil, "", nil
		}
		i += from
		rest = line[i+2:]
		if digits(rest) == 3 && len(rest) > 3 && rest[3] == ' ' {
			open := bytes.LastIndexByte(line[:i], '"')
			return bytes.TrimSuffix(line[open+1:i], []byte(`\`)), string(rest[:3]), rest[4:]
		}
		from = i + 2
	}
}

func word(b []byte) []byte {
	if i := bytes.IndexFunc(b, func(r rune) bool { return r != '.' && r != 'v' && !(r >= '0' && r <= '9') && !(r >= 'A' && r <= 'Z') }); i >= 0 {
		return b[:i]
	}
	return b
}

func digits(b []byte) int {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return n
}

// field is the value behind a key, up to the next comma.
func field(text []byte, key string) []byte {
	i := bytes.Index(text, []byte(key))
	if i < 0 {
		return nil
	}
	v := bytes.TrimLeft(text[i+len(key):], " ")
	if j := bytes.IndexAny(v, ",\\\""); j >= 0 {
		v = v[:j]
	}
	return bytes.TrimRight(v, " .\r")
}

// addressBehind is the address that follows a word, its port left out.
func addressBehind(line []byte, key string) []byte {
	i := bytes.Index(line, []byte(key))
	if i < 0 {
		return nil
	}
	v := bytes.TrimLeft(line[i+len(key):], ": ")
	if j := bytes.IndexAny(v, " ,]\"\\"); j >= 0 {
		v = v[:j]
	}
	return host(v)
}

// host is an address without its port and brackets.
func host(a []byte) []byte {
	if i := bytes.LastIndexByte(a, ':'); i > 0 {
		if _, err := strconv.ParseUint(string(a[i+1:]), 10, 16); err == nil && (bytes.IndexByte(a, ':') == i || a[0] == '[') {
			a = a[:i]
		}
	}
	return bytes.TrimPrefix(bytes.Trim(a, "[]"), []byte("::ffff:"))
}
