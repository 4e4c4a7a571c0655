package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
)

// requestLine reads the first line; empty lines before it are skipped, as nginx does.
func requestLine(br *bufio.Reader, limit int) ([]byte, error) {
	for {
		if first, err := br.Peek(1); err == nil && first[0] != '\r' && first[0] != '\n' && strings.IndexByte(methodLetters, first[0]) < 0 {
			ahead, _ := br.Peek(br.Buffered())
			ahead, _, _ = bytes.Cut(ahead, []byte("\n"))
			line := string(clip(bytes.TrimSuffix(ahead, []byte("\r"))))
			return nil, &badRequest{status: 400, reason: "client sent invalid method while reading client request line", line: line}
		}
		line, err := readLine(br, limit)
		if errors.Is(err, errLineTooLong) {
			return clip(line), &badRequest{status: http.StatusRequestURITooLong, reason: "client sent too long URI", line: string(clip(line))}
		}
		if err != nil {
			return line, err
		}
		if len(line) > 0 {
			return line, nil
		}
	}
}

func clip(line []byte) []byte { return line[:min(len(line), 1024)] }

// splitRequestLine takes a request line apart, and refuses what nginx refuses at the place where it does.
func splitRequestLine(line string) (method, target, proto string, bad *badRequest) {
	invalid := func(what string) (string, string, string, *badRequest) {
		return "", "", "", &badRequest{status: 400, reason: "client sent invalid " + what + " while reading client request line"}
	}
	method, rest, ok := strings.Cut(line, " ")
	if !ok || method == "" || strings.Trim(method, methodLetters) != "" {
		return invalid("method")
	}
	rest = strings.TrimLeft(rest, " ")
	target, rest, ok = strings.Cut(rest, " ")
	for i := 0; i < len(target); i++ {
		if target[i] <= ' ' || target[i] == 0x7f {
			return invalid("request")
		}
	}
	if target == "" || target[0] != '/' && !validAuthority(target) {
		return invalid("request")
	}
	if rest = strings.Trim(rest, " "); !ok || rest == "" {
		return invalid("request") // HTTP/0.9
	}
	version, has := strings.CutPrefix(rest, "HTTP/")
	if !has || version == "" || version[0] < '1' || version[0] > '9' {
		return invalid("request")
	}
	if version[0] > '1' {
		return "", "", "", &badRequest{status: 505, reason: "client sent invalid version while reading client request line"}
	}
	major, minor, ok := strings.Cut(version, ".")
	switch {
	case len(major) > 1 && digits(major):
		return "", "", "", &badRequest{status: 505, reason: "client sent invalid version while reading client request line"}
	case major != "1" || !ok || !digits(minor) || len(strings.TrimLeft(minor, "0")) > 3:
		return invalid("request")
	}
	if strings.Trim(minor, "0") != "" {
		return method, target, "HTTP/1.1", nil
	}
	return method, target, "HTTP/1.0", nil
}

const methodLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"

// validAuthority judges a target that begins with a scheme.
func validAuthority(target string) bool {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || scheme == "" || strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
		return false
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	host, port := rest, ""
	if end := strings.IndexByte(rest, ']'); strings.HasPrefix(rest, "[") {
		if end < 0 {
			return false
		}
		host, port = rest[1:end], rest[end+1:]
		return strings.Trim(strings.ToLower(host), "0123456789abcdefghijklmnopqrstuvwxyz.:-_~!$&'()*+,;=") == "" && (port == "" || port[0] == ':' && strings.Trim(port[1:], "0123456789") == "")
	}
	host, port, _ = strings.Cut(rest, ":")
	return host != "" && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && strings.Trim(port, "0123456789") == "" && validHost(host)
}

func hasScheme(target string) bool { return target != "" && target[0] != '/' }

// originForm is a target without scheme and host.
func originForm(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, _ := strings.Cut(target, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		if rest = rest[i:]; rest[0] == '/' {
			return rest
		}
		return "/" + rest
	}
	return "/"
}
