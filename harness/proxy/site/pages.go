package site

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// fail answers with a status of 300 or more: by the location's error_page, or with the built-in page.
func (x *exchange) fail(status int) { x.failWith(status, "") }

func (x *exchange) failWith(status int, location string) {
	p, has := x.conf.errorPages[status]
	if !has || x.errored && !x.conf.recursivePages || x.turns > maxCycles {
		x.w.override = 0
		x.plainPage(status, location)
		return
	}
	x.errored, x.passed = true, false
	x.expected = x.expected || p.status != -1 && p.status != http.StatusOK
	if x.w.override = p.status; p.status == 0 {
		x.w.override = shown(status)
	}
	if location != "" {
		x.w.Header().Set("Location", location)
	}
	switch target := p.target.eval(x); {
	case strings.HasPrefix(target, "@"):
		x.named(target)
	case strings.HasPrefix(target, "/"):
		if x.method != http.MethodHead {
			x.method = http.MethodGet
		}
		x.redirect(target, !p.target.constant() || strings.Contains(target, "?"))
	default:
		code := x.w.override
		switch code {
		case 301, 302, 303, 307, 308:
		default:
			code = http.StatusFound
		}
		x.w.override = 0
		x.plainPage(code, target)
	}
}

// shown is the status that a client sees: nginx has some of its own between 494 and 499.
func shown(status int) int {
	switch status {
	case 494, 495, 496, 497:
		return http.StatusBadRequest
	}
	return status
}

// plainPage is the built-in page of a status.
func (x *exchange) plainPage(status int, location string) {
	switch status {
	case http.StatusNoContent, http.StatusNotModified:
		x.w.WriteHeader(status)
		return
	case 444:
		x.w.drop(status)
		return
	}
	h := x.w.Header()
	if location != "" {
		h.Set("Location", location)
	}
	page := ErrorPage(status)
	if page != "" && status >= 400 && x.conf.msiePad && pads(x.header().Get("User-Agent")) {
		page += strings.Repeat("<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n", 6)
	}
	switch status {
	case 400, 408, 413, 414, 494, 495, 496, 497, 500, 501:
		x.w.close = true
	}
	x.w.close = x.w.close || x.brokenBody()
	h.Del("Content-Encoding")
	h.Del("Last-Modified")
	h.Del("Accept-Ranges")
	h.Del("Etag")
	if h.Del("Content-Type"); page != "" {
		h.Set("Content-Type", "text/html")
	}
	h.Set("Content-Length", strconv.Itoa(len(page)))
	x.w.WriteHeader(shown(status))
	x.w.Write([]byte(page))
}

func pads(agent string) bool {
	return strings.Contains(agent, "MSIE ") || strings.Contains(agent, "Chrome/")
}

// token is what stands at the foot of built-in pages.
const token = "tlsurge"

// ErrorPage is the built-in page for a status; empty where nginx has none.
func ErrorPage(status int) string {
	name := Reason(shown(status))
	switch status {
	case 302:
		name = "Found"
	case 401:
		name = "Authorization Required"
	}
	if name == "" || status < 300 || status == 304 {
		return ""
	}
	head := fmt.Sprintf("%d %s", shown(status), name)
	title, more := head, ""
	switch status {
	case 494:
		more = "Request Header Or Cookie Too Large"
	case 497:
		more = "The plain HTTP request was sent to HTTPS port"
	}
	if more != "" {
		title, more = "400 "+more, "<center>"+more+"</center>\r\n"
	}
	return fmt.Sprintf("<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n%s<hr><center>%s</center>\r\n</body>\r\n</html>\r\n",
		title, head, more, token)
}

// Reason is nginx's phrase for a status; it has none for many.
func Reason(status int) string {
	switch status {
	case 302:
		return "Moved Temporarily"
	case 405:
		return "Not Allowed"
	case 408:
		return "Request Time-out"
	case 413:
		return "Request Entity Too Large"
	case 414:
		return "Request-URI Too Large"
	case 416:
		return "Requested Range Not Satisfiable"
	case 503:
		return "Service Temporarily Unavailable"
	case 504:
		return "Gateway Time-out"
	case 203, 205, 300, 305, 306, 407, 417, 418, 506:
		return ""
	}
	if status > 100 && status <= 206 || status > 300 && status <= 308 || status >= 400 && status <= 416 || status == 421 || status == 429 || status >= 500 && status <= 507 {
		return http.StatusText(status)
	}
	return ""
}
