package symptom

import (
	"bytes"
	"net/netip"
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
	case nginxLine(line, f, &e), goLine(line, f, &e), apacheLine(line, f, &e), haproxyLine(line, f, &e), kernelLine(line, f, &e),
		otherLine(line, f, &e):
	case coded:
		if line[0] != '{' && !hasLevel(line[:at]) && stamp(line).IsZero() {
			return e, false // no log's line: words that somebody quotes
		}
		if f&formClient != 0 && !hasLevel(line[:at]) && indexFold(line, "ssl_accept") < 0 {
			return e, false // a client's log
		}
		e.Level, _ = level(line)
		if bytes.Contains(line, []byte("SSL_do_handshake()")) {
			e.Software = "nginx"
		}
		e.client = clientOf(line)
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
	switch {
	case bytes.Contains(text, []byte("from upstream")) && e.Code != "":
		e.Stage = "upstream"
	case bytes.Contains(text, []byte("while waiting for request")) || bytes.Contains(text, []byte("while keepalive")):
		e.Stage = "idle"
	}
	if e.Code != "" {
		return true
	}
	if badMethod(text) {
		return false
	}
	if i := bytes.Index(text, []byte(", client:")); i >= 0 {
		text = text[:i]
	}
	if f&(formNginx|formHAProxy) == 0 && !bytes.Contains(text, []byte("SSL")) {
		return false
	}
	e.Reason = logReason(string(text))
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
	e.client = addressBehind(line, "[client")
	e.Software, e.Level = "apache", l
	if e.Code != "" {
		return true
	}
	text, number := "", ""
	if i >= 0 && len(line) >= i+9 {
		number, text = string(line[i:i+7]), string(line[i+9:])
	} else {
		text = string(behindBrackets(line[end:]))
	}
	if routine[number] || badMethod(line) {
		return false
	}
	e.Reason = logReason(text)
	return true
}

// behindBrackets is what stands behind "[pid 1:tid 2] [client 192.0.2.1:5678] ".
func behindBrackets(rest []byte) []byte {
	for {
		rest = bytes.TrimLeft(rest, " ")
		end := bytes.IndexByte(rest, ']')
		if len(rest) == 0 || rest[0] != '[' || end < 0 {
			return rest
		}
		rest = rest[end+1:]
	}
}

// routine are Apache's messages about connections that go well.
var routine = map[string]bool{"AH01964": true, "AH01906": true, "AH01907": true, "AH01909": true, "AH02292": true, "AH01930": true, "AH01998": true, "AH02001": true, "AH02034": true, "AH00489": true, "AH00094": true,
	"AH00163": true, "AH01914": true, "AH01887": true, "AH01876": true, "AH02568": true, "AH00170": true, "AH00169": true, "AH00558": true}

func kernelLine(line []byte, f forms, e *event) bool {
	if f&formKernel == 0 {
		return false
	}
	e.Software, e.Reason = "kernel", logReason(string(line))
	return true
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

// addressBehind is the address that follows a word, its port left out; nothing where no address does.
func addressBehind(line []byte, key string) []byte {
	i := bytes.Index(line, []byte(key))
	if i < 0 {
		return nil
	}
	v := bytes.TrimLeft(line[i+len(key):], ": ")
	if j := bytes.IndexAny(v, " ,\"\\)"); j >= 0 {
		v = v[:j]
	}
	if j := bytes.IndexByte(v, ']'); j >= 0 && (v[0] != '[' || j < len(v)-1 && v[j+1] != ':') {
		v = v[:j]
	}
	v = host(v)
	if _, err := netip.ParseAddr(string(v)); err != nil {
		return nil
	}
	return v
}

// clientKeys are what stands before a client's address in the logs of servers of any kind.
var clientKeys = []string{"client: ", "client ", "remote address:", "rip=", "src=", "remote_addr=", "unknown[", "(", "from "}

// clientOf is the client's address in a line of a server that is not known more closely.
func clientOf(line []byte) []byte {
	for _, k := range clientKeys {
		if a := addressBehind(line, k); a != nil {
			return a
		}
	}
	return nil
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
