package symptom

import (
	"bytes"
	"strings"
)

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
	case status == "400" && quotesHello(request):
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

// quotesHello says whether a request line, as logs quote it, is the beginning of a ClientHello.
func quotesHello(request []byte) bool {
	return bytes.HasPrefix(request, []byte(`\x16`)) || bytes.HasPrefix(request, []byte(`\u0016`)) || bytes.HasPrefix(request, []byte{0x16, 3})
}

// badMethod says whether a line complains of a request's method that is no ClientHello: scanners send anything.
func badMethod(text []byte) bool {
	i := indexFold(text, "invalid method")
	if i < 0 {
		return false
	}
	for _, mark := range []string{`request: "`, "in request "} {
		if _, request, quoted := bytes.Cut(text[i:], []byte(mark)); quoted {
			return !quotesHello(request)
		}
	}
	return false
}
