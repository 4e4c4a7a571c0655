package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// serverToken is what the edge calls itself in the Server header and at the foot of error pages.
const serverToken = "tlsurge"

var writerBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(io.Discard, maxPlain) }}

// response is the http.ResponseWriter of one HTTP/1 exchange.
type response struct {
	c    *conn
	req  *http.Request
	w    *bufio.Writer
	hdr  http.Header
	code int
	// keep: the connection stays open after this answer.
	keep       bool
	chunked    bool
	noBody     bool // HEAD, 204, 304: the header speaks for a body that is not sent
	length     int64
	sent       int64 // bytes of body
	total      int64 // bytes in all
	hijacked   bool
	headerDone bool
	err        error
}

func newResponse(c *conn, r *http.Request, keep bool) *response {
	w := writerBuffers.Get().(*bufio.Writer)
	w.Reset(c.stream)
	return &response{c: c, req: r, w: w, hdr: http.Header{}, keep: keep, length: -1}
}

func (w *response) Header() http.Header { return w.hdr }

// WriteHeader decides how the end of the body is marked: by Content-Length, by chunks in HTTP/1.1, or by
// closing.
func (w *response) WriteHeader(code int) {
	if w.headerDone || w.hijacked {
		return
	}
	if code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		w.total += int64(w.printf("HTTP/1.1 %d %s\r\n\r\n", code, http.StatusText(code)))
		w.err = errors.Join(w.err, w.w.Flush())
		return
	}
	w.headerDone, w.code = true, code
	w.noBody = w.req.Method == http.MethodHead || code == http.StatusNoContent || code == http.StatusNotModified
	if v := w.hdr.Get("Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			w.length = n
		} else {
			w.hdr.Del("Content-Length")
		}
	}
	switch {
	case code == http.StatusSwitchingProtocols, code == http.StatusNoContent, code == http.StatusNotModified, w.length >= 0:
	case w.req.ProtoMinor == 1 && w.req.ProtoMajor == 1:
		w.chunked = true
	case !w.noBody:
		w.keep = false
	}
	if w.hdr.Get("Connection") == "close" {
		w.keep = false
	}
	w.writeHead()
}

// writeHead writes status line and header: Server and Date first, then in nginx's order what it has an
// order for, then the rest by name.
func (w *response) writeHead() {
	n := w.printf("HTTP/1.1 %d %s\r\n", w.code, statusText(w.code))
	if w.hdr.Get("Server") == "" {
		w.hdr.Set("Server", serverToken)
	}
	if w.hdr.Get("Date") == "" {
		w.hdr.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if w.chunked {
		w.hdr.Set("Transfer-Encoding", "chunked")
	}
	switch {
	case w.code == http.StatusSwitchingProtocols:
	case w.keep:
		w.hdr.Set("Connection", "keep-alive")
	default:
		w.hdr.Set("Connection", "close")
	}
	for _, k := range headerOrder {
		n += w.line(k, w.hdr[k])
	}
	rest := make([]string, 0, len(w.hdr))
	for k := range w.hdr {
		if !slices.Contains(headerOrder, k) {
			rest = append(rest, k)
		}
	}
	slices.Sort(rest)
	for _, k := range rest {
		n += w.line(k, w.hdr[k])
	}
	n += w.printf("\r\n")
	w.total += int64(n)
}

var headerOrder = []string{"Server", "Date", "Content-Type", "Content-Length", "Last-Modified", "Location",
	"Transfer-Encoding", "Connection"}

func (w *response) line(key string, values []string) (n int) {
	for _, v := range values {
		n += w.printf("%s: %s\r\n", key, v)
	}
	return n
}

func (w *response) printf(format string, a ...any) int {
	n, err := fmt.Fprintf(w.w, format, a...)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n
}

func (w *response) Write(p []byte) (int, error) {
	if !w.headerDone {
		w.WriteHeader(http.StatusOK)
	}
	if w.noBody || len(p) == 0 {
		return len(p), w.err
	}
	if w.length >= 0 && w.sent+int64(len(p)) > w.length {
		p = p[:w.length-w.sent]
		if w.err == nil && len(p) == 0 {
			return 0, http.ErrContentLength
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.chunked {
		w.total += int64(w.printf("%x\r\n", len(p))) + 2
	}
	n, err := w.w.Write(p)
	if w.chunked && err == nil {
		_, err = w.w.WriteString("\r\n")
	}
	w.sent += int64(n)
	w.total += int64(n)
	if err != nil {
		w.err = err
	}
	return n, err
}

// FlushError sends what is buffered.
func (w *response) FlushError() error {
	if !w.headerDone {
		w.WriteHeader(http.StatusOK)
	}
	if err := w.w.Flush(); err != nil && w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *response) Flush() { w.FlushError() }

// Hijack hands the connection over (101 Switching Protocols): what was read ahead goes with it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.w.Flush(); err != nil {
		return nil, nil, err
	}
	w.hijacked, w.keep = true, false
	return w.c.stream, bufio.NewReadWriter(w.c.br, w.w), nil
}

var errAborted = errors.New("answer broken off")

// Abort ends the answer where it is: the connection is closed without marking an end.
func (w *response) Abort() {
	w.keep, w.chunked = false, false
	w.headerDone = true
	w.err = errors.Join(w.err, w.w.Flush(), errAborted)
}

// BytesSent is $bytes_sent.
func (w *response) BytesSent() int64 { return w.total }

// finish ends the answer and gives the buffer back. It says whether the connection can go on.
func (w *response) finish() bool {
	if !w.hijacked {
		if !w.headerDone {
			w.WriteHeader(http.StatusOK)
		}
		if w.chunked && !w.noBody {
			w.total += int64(w.printf("0\r\n\r\n"))
		}
		if err := w.w.Flush(); err != nil && w.err == nil {
			w.err = err
		}
	}
	short := w.length >= 0 && !w.noBody && w.sent < w.length
	w.w.Reset(io.Discard)
	writerBuffers.Put(w.w)
	return w.keep && w.err == nil && !short && !w.hijacked
}

func statusText(code int) string {
	switch code { // nginx's words where they are not net/http's
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
	}
	if t := http.StatusText(code); t != "" {
		return t
	}
	return "Unknown"
}
