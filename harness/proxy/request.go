package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/site"
)

// badRequest is a request that is answered with an error page and a close. reason is nginx's wording for
// the error log, at level info.
type badRequest struct {
	status int
	reason string
	line   string        // the request line, as far as it was read
	req    *http.Request // what was read of the request; nil: its first line was wrong
}

func (e *badRequest) Error() string { return e.reason }

// requestLimits is large_client_header_buffers: how long one line, and all lines, may be.
type requestLimits struct {
	line, header int
	underscores  bool
	lax          bool // headers of any name
	merge        bool // merge_slashes
}

// readRequest reads one HTTP/1 request as strictly as nginx does, where package net/http is milder (a second
// Host, Content-Length beside Transfer-Encoding, white space before a colon). io.EOF is a connection that
// ended before the first byte.
//
// rawLine is the request line as it came, for the log.
func readRequest(br *bufio.Reader, lim requestLimits) (r *http.Request, rawLine string, err error) {
	var begun *http.Request
	defer func() {
		if bad := (*badRequest)(nil); errors.As(err, &bad) {
			bad.req = begun
		}
	}()
	line, err := requestLine(br, lim.line)
	if err != nil {
		return nil, string(line), err
	}
	rawLine = string(line)
	fail := func(status int, format string, a ...any) (*http.Request, string, error) {
		return nil, rawLine, &badRequest{status: status, reason: fmt.Sprintf(format, a...), line: rawLine}
	}
	method, target, proto, bad := splitRequestLine(rawLine)
	if bad != nil {
		return fail(bad.status, "%s", bad.reason)
	}
	begun = &http.Request{Method: method, Proto: proto, ProtoMajor: 1, Header: http.Header{}, URL: &url.URL{}}
	if _, _, ok := site.Parse(originForm(target), lim.merge); !ok {
		return fail(400, "client sent invalid request while reading client request line")
	}
	r = &http.Request{Method: method, RequestURI: target, Proto: proto, ProtoMajor: 1, Header: http.Header{}}
	if proto == "HTTP/1.1" {
		r.ProtoMinor = 1
	}
	begun = r
	hosts, err := readHeader(br, r, lim, rawLine)
	if err != nil {
		return nil, rawLine, err
	}
	if err := setTarget(r, hosts); err != nil {
		return fail(400, "%s", err)
	}
	if status, err := setBody(r, br); err != nil {
		return fail(status, "%s", err)
	}
	r.Close = closesAfter(r)
	return r, rawLine, nil
}

var errLineTooLong = errors.New("line too long")

// readLine reads up to LF and cuts LF or CRLF off. The line is valid until the next read.
func readLine(br *bufio.Reader, limit int) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull && len(long) <= limit {
			line, err = br.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if len(line) > limit {
		return line, errLineTooLong
	}
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return line, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// readHeader reads the header into r and returns the Host lines. A line whose name holds a character that
// nginx calls invalid (an underscore, by default) is dropped, not refused.
func readHeader(br *bufio.Reader, r *http.Request, lim requestLimits, rawLine string) (hosts []string, err error) {
	total := 0
	for {
		line, err := readLine(br, lim.line)
		total += len(line)
		if errors.Is(err, errLineTooLong) || err == nil && total > lim.header {
			return nil, &badRequest{status: 494, reason: "client sent too long header line", line: rawLine}
		}
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if len(line) == 0 {
			return hosts, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if len(name) == 0 || name[0] <= ' ' || ok && bytes.ContainsAny(name, " \t") || bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0 {
			return nil, &badRequest{status: 400, reason: fmt.Sprintf("client sent invalid header line: %q", clip(line)), line: rawLine}
		}
		if !ok || !lim.lax && !validName(name, lim.underscores) {
			continue
		}
		key := http.CanonicalHeaderKey(string(name))
		v := string(bytes.Trim(value, " "))
		if once[key] && r.Header[key] != nil {
			return nil, &badRequest{status: 400, reason: fmt.Sprintf("client sent duplicate header line: %q", clip(line)), line: rawLine}
		}
		if key == "Host" {
			if hosts = append(hosts, v); len(hosts) > 1 || !validHost(v) {
				r.Header[key] = hosts
				return nil, &badRequest{status: 400, reason: map[bool]string{true: "client sent duplicate host header", false: "client sent invalid host header"}[len(hosts) > 1], line: rawLine}
			}
			continue
		}
		r.Header[key] = append(r.Header[key], v)
	}
}

// once are the headers that nginx takes once in a request.
var once = map[string]bool{"If-Modified-Since": true, "If-Unmodified-Since": true, "If-Match": true, "If-None-Match": true, "Content-Length": true,
	"Content-Range": true, "If-Range": true, "Transfer-Encoding": true, "Expect": true, "Authorization": true}

func validName(name []byte, underscores bool) bool {
	for _, c := range name {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
		case c == '_' && underscores:
		default:
			return false
		}
	}
	return true
}

// setTarget fills in URL and Host: one Host line, obligatory in HTTP/1.1; an absolute target's host wins.
func setTarget(r *http.Request, hosts []string) error {
	switch {
	case len(hosts) == 0 && r.ProtoMinor == 1:
		return errors.New("client sent HTTP/1.1 request without \"Host\" header while reading client request headers")
	case len(hosts) == 1:
		r.Host = hosts[0]
	}
	if hasScheme(r.RequestURI) {
		_, rest, _ := strings.Cut(r.RequestURI, "://")
		host, _, _ := strings.Cut(rest, "/")
		host, _, _ = strings.Cut(host, "?")
		path, query, _ := strings.Cut(originForm(r.RequestURI), "?")
		if hosts != nil {
			r.Header["Host"] = hosts // what the header said is $http_host all the same
		}
		r.Host, r.URL = host, &url.URL{Path: path, RawQuery: query}
		return nil
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	path, _, _ = strings.Cut(path, "#")
	r.URL = &url.URL{Path: path, RawQuery: query}
	return nil
}

func validHost(h string) bool {
	for i := 0; i < len(h); i++ {
		if c := h[i]; c <= ' ' || c == 0x7f || c == '/' || c == '\\' || c == '@' && i == 0 {
			return false
		}
	}
	return h != "" && !strings.Contains(h, "..")
}

// setBody attaches the body that the header announces (RFC 9112 §6, Message Body).
func setBody(r *http.Request, br *bufio.Reader) (status int, err error) {
	lengths, codings := r.Header["Content-Length"], r.Header["Transfer-Encoding"]
	r.Body = http.NoBody
	var length int64
	if len(lengths) > 0 {
		if length, err = strconv.ParseInt(lengths[0], 10, 64); err != nil || !digits(lengths[0]) {
			return 400, errors.New("client sent invalid \"Content-Length\" header")
		}
	}
	if len(codings) > 0 {
		switch {
		case r.ProtoMinor == 0:
			return 400, errors.New("client sent HTTP/1.0 request with \"Transfer-Encoding\" header")
		case !strings.EqualFold(codings[0], "chunked"):
			return 501, fmt.Errorf("client sent unknown \"Transfer-Encoding\": %q", codings[0])
		case len(lengths) > 0:
			return 400, errors.New("client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time")
		}
		delete(r.Header, "Transfer-Encoding")
		r.TransferEncoding = []string{"chunked"}
		r.ContentLength = -1
		r.Body = &chunkedBody{br: br}
		return 0, nil
	}
	if r.ContentLength = length; length > 0 {
		r.Body = &sizedBody{r: br, left: length}
	}
	return 0, nil
}

// sizedBody is a body of known length; early ends are errors.
type sizedBody struct {
	r    io.Reader
	left int64
}

func (b *sizedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *sizedBody) Close() error { return nil }

// unread says whether the body has bytes left on the wire.
func unread(body io.Reader) bool {
	switch b := body.(type) {
	case *sizedBody:
		return b.left > 0
	case *chunkedBody:
		return (b.err == nil || isTimeout(b.err)) && !b.Broken()
	}
	return false
}

// closesAfter says whether the client wants the connection closed: HTTP/1.0 unless it asks to keep it,
// HTTP/1.1 if it asks to close it.
func closesAfter(r *http.Request) bool {
	for _, line := range r.Header["Connection"] {
		for _, word := range strings.Split(line, ",") {
			switch strings.ToLower(strings.TrimSpace(word)) {
			case "close":
				return true
			case "keep-alive":
				if r.ProtoMinor == 0 {
					return false
				}
			}
		}
	}
	return r.ProtoMinor == 0
}
