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
	"sync/atomic"
	"time"

	"tlsurge/harness/proxy/site"
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
	// words of the status line; empty: nginx's
	words string
	// keep: the connection stays open after this answer.
	keep       bool
	chunked    bool
	noBody     bool // HEAD, 204, 304: the header speaks for a body that is not sent
	length     int64
	sent       int64 // bytes of body
	total      int64 // bytes in all
	hijacked   bool
	headerDone bool
	continued  bool // 100 Continue was sent
	err        error
}

func newResponse(c *conn, r *http.Request, keep bool) *response {
	return &response{c: c, req: r, hdr: http.Header{}, keep: keep, length: -1}
}

// buffer gives the answer its buffer, which it has from its first byte on: not while an upstream is waited for.
func (w *response) buffer() *bufio.Writer {
	if w.w == nil {
		w.w = writerBuffers.Get().(*bufio.Writer)
		w.w.Reset(sender{w.c})
	}
	return w.w
}

// sender writes to the client within send_timeout: a bound on each write, so that one who does not read does not
// hold the connection for ever.
type sender struct{ c *conn }

func (s sender) Write(p []byte) (int, error) {
	s.c.raw.SetWriteDeadline(time.Now().Add(s.c.server0().SendTimeout))
	return s.c.stream.Write(p)
}

func (w *response) Header() http.Header { return w.hdr }

// WriteHeader decides how the end of the body is marked: by Content-Length, by chunks in HTTP/1.1, or by
// closing.
func (w *response) WriteHeader(code int) {
	if w.headerDone || w.hijacked {
		return
	}
	if code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		w.continued = w.continued || code == http.StatusContinue
		w.text(fmt.Sprintf("HTTP/1.1 %d %s\r\n\r\n", code, http.StatusText(code)))
		w.err = errors.Join(w.err, w.buffer().Flush())
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
	w.text("HTTP/1.1 ")
	w.text(strconv.Itoa(w.code))
	w.text(" ")
	w.text(w.phrase())
	w.text("\r\n")
	if w.hdr["Server"] == nil {
		w.line("Server", serverToken)
	}
	if w.hdr["Date"] == nil {
		w.line("Date", httpDate())
	}
	if w.chunked {
		w.hdr["Transfer-Encoding"] = chunkedValue
	}
	switch {
	case w.code == http.StatusSwitchingProtocols:
	case w.keep:
		w.hdr["Connection"] = keepAliveValue
	default:
		w.hdr["Connection"] = closeValue
	}
	for _, k := range headerOrder {
		for _, v := range w.hdr[k] {
			w.line(k, v)
		}
	}
	var store [16]string
	rest := store[:0]
	for k := range w.hdr {
		if !slices.Contains(headerOrder, k) {
			rest = append(rest, k)
		}
	}
	slices.Sort(rest)
	for _, k := range rest {
		for _, v := range w.hdr[k] {
			w.line(k, v)
		}
	}
	w.text("\r\n")
}

var (
	chunkedValue   = []string{"chunked"}
	keepAliveValue = []string{"keep-alive"}
	closeValue     = []string{"close"}
)

// dateNow is the Date header of the current second.
var dateNow atomic.Pointer[struct {
	second int64
	text   string
}]

func httpDate() string {
	now := time.Now()
	if d := dateNow.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &struct {
		second int64
		text   string
	}{now.Unix(), now.UTC().Format(http.TimeFormat)}
	dateNow.Store(d)
	return d.text
}

var headerOrder = []string{"Server", "Date", "Content-Type", "Content-Length", "Last-Modified", "Location",
	"Transfer-Encoding", "Connection"}

func (w *response) line(key, value string) {
	w.text(key)
	w.text(": ")
	w.text(value)
	w.text("\r\n")
}

// text writes a piece of the head, or of the framing.
func (w *response) text(s string) {
	n, err := w.buffer().WriteString(s)
	w.total += int64(n)
	if err != nil && w.err == nil {
		w.err = err
	}
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
		w.text(strconv.FormatInt(int64(len(p)), 16))
		w.text("\r\n")
		w.total += 2
	}
	n, err := w.buffer().Write(p)
	if w.chunked && err == nil {
		_, err = w.buffer().WriteString("\r\n")
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
	if err := w.buffer().Flush(); err != nil && w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *response) Flush() { w.FlushError() }

// Hijack hands the connection over (101 Switching Protocols): what was read ahead goes with it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.buffer().Flush(); err != nil {
		return nil, nil, err
	}
	w.hijacked, w.keep = true, false
	return w.c.stream, bufio.NewReadWriter(w.c.br, w.buffer()), nil
}

var errAborted = errors.New("answer broken off")

// Abort ends the answer where it is: the connection is closed without marking an end.
func (w *response) Abort() {
	w.keep, w.chunked = false, false
	w.headerDone = true
	w.err = errors.Join(w.err, w.buffer().Flush(), errAborted)
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
			w.text("0\r\n\r\n")
		}
		if err := w.buffer().Flush(); err != nil && w.err == nil {
			w.err = err
		}
	}
	short := w.length >= 0 && !w.noBody && w.sent < w.length
	if w.w != nil {
		w.w.Reset(io.Discard)
		writerBuffers.Put(w.w)
		w.w = nil
	}
	return w.keep && w.err == nil && !short && !w.hijacked
}

// Phrase sets the words of the status line: an upstream's own are passed on.
func (w *response) Phrase(text string) { w.words = text }

func (w *response) phrase() string {
	if w.words != "" {
		return w.words
	}
	if w.code == http.StatusSwitchingProtocols {
		return "Switching Protocols"
	}
	return site.Reason(w.code)
}
