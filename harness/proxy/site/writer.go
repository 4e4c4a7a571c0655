package site

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// writer is the way of every answer: it adds the headers of the location, compresses, counts.
type writer struct {
	http.ResponseWriter
	x        *exchange
	override int // status that an error page answers with; -1: the page's own
	close    bool
	code     int
	sent     int64
	plain    int64 // before compression
	began    bool
	varied   bool // Vary was added
	cut      bool // the answer broke off
	judged   bool // the conditions of the request were asked
	replaced bool // a condition of the request has put another answer in the place of the one that is being made
	gz       *gzip.Writer
}

// WriteHeader applies add_header, expires and gzip, then hands the header on.
func (w *writer) WriteHeader(code int) {
	if w.began || w.replaced {
		return
	}
	if code >= 100 && code < 200 && code != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	if w.override > 0 {
		code = w.override
	}
	if code == http.StatusOK && !w.x.passed && !w.judged && w.unchanged() {
		return
	}
	w.began, w.code = true, code
	h, c := w.Header(), w.x.conf
	switch code {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified, http.StatusNoContent:
	default:
		h.Del("Last-Modified")
	}
	if decorated(code) && c.expires != nil {
		c.expires.set(h, time.Now())
	}
	for _, a := range c.headers {
		if a.always || decorated(code) {
			if v := a.value.eval(w.x); v != "" {
				h.Add(a.name, v)
			}
		}
	}
	if code == http.StatusNoContent {
		h.Del("Content-Length")
	}
	w.charset(code)
	if w.close {
		h.Set("Connection", "close")
	}
	if w.compresses(code) {
		h.Set("Content-Encoding", "gzip")
		h.Del("Content-Length")
		h.Del("Accept-Ranges")
		if e := h.Get("Etag"); e != "" && !strings.HasPrefix(e, "W/") {
			h.Set("Etag", "W/"+e)
		}
		if w.x.r.HTTP.Method != http.MethodHead {
			w.gz = takeGzip(c.gzip.level)
			w.gz.Reset((*counting)(w))
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

// unchanged asks the conditions of the request about an answer that would be 200. true: the answer is 304 or 412.
func (w *writer) unchanged() bool {
	w.judged = true // once: an error page for 412 would be asked the same
	h := w.Header()
	code := w.x.conf.conditions(w.x.header(), h.Get("Last-Modified"), h.Get("Etag"))
	switch code {
	case http.StatusNotModified:
		for _, k := range []string{"Content-Type", "Content-Length", "Accept-Ranges", "Content-Encoding"} {
			h.Del(k)
		}
		w.override = 0
		w.WriteHeader(code)
	case http.StatusPreconditionFailed:
		clear(h)
		w.x.fail(code)
	default:
		return false
	}
	w.replaced = true
	return true
}

// whole says whether the answer was sent to its end.
func (w *writer) whole() bool { return w.began && !w.cut }

// charset adds the character set to the type of an answer that has none (charset).
func (w *writer) charset(code int) {
	c, h := w.x.conf, w.Header()
	typ := h.Get("Content-Type")
	if code == http.StatusMovedPermanently || code == http.StatusFound {
		return
	}
	if c.charset == "" || typ == "" || h.Get("Content-Encoding") != "" {
		return
	}
	media, has := typ, false
	if i := strings.IndexByte(typ, ';'); i >= 0 {
		media, has = strings.TrimSpace(typ[:i]), strings.Contains(strings.ToLower(typ[i:]), "charset=")
		if !has && !c.overrideCharset {
			return
		}
	}
	if has && !c.overrideCharset || !slices.Contains(c.charsetTypes, media) && !slices.Contains(c.charsetTypes, "*") {
		return
	}
	h.Set("Content-Type", media+"; charset="+c.charset)
}

// decorated says whether add_header and expires apply to a status.
func decorated(code int) bool {
	switch code {
	case 200, 201, 204, 206, 301, 302, 303, 304, 307, 308:
		return true
	}
	return false
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.began {
		w.WriteHeader(http.StatusOK)
	}
	if w.replaced || w.x.r.HTTP.Method == http.MethodHead {
		return len(p), nil
	}
	w.plain += int64(len(p))
	if w.gz != nil {
		return w.gz.Write(p)
	}
	return (*counting)(w).Write(p)
}

// counting is the writer below compression.
type counting writer

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

// FlushError sends what is there: an answer of unknown length goes on as it comes.
func (w *writer) FlushError() error {
	if w.gz != nil {
		w.gz.Flush()
	}
	if f, ok := w.ResponseWriter.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// Hijack hands the connection out, for a change of protocol.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h, ok := w.ResponseWriter.(http.Hijacker); ok {
		return h.Hijack()
	}
	return nil, nil, errors.New("this connection cannot change protocol")
}

func (w *writer) finish() {
	if w.gz != nil {
		w.gz.Close()
		putGzip(w.x.conf.gzip.level, w.gz)
		w.gz = nil
	}
}

// drop closes without an answer.
func (w *writer) drop(code int) {
	w.began, w.code = true, code
	if c, _, err := w.Hijack(); err == nil {
		c.Close()
	}
}

// total is $bytes_sent.
func (w *writer) total() int64 {
	if b, ok := w.ResponseWriter.(interface{ BytesSent() int64 }); ok {
		return b.BytesSent()
	}
	return w.sent
}

func (w *writer) ratio() string {
	if w.Header().Get("Content-Encoding") != "gzip" || w.sent == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(w.plain)/float64(w.sent))
}

// gzipConf is the gzip module's settings.
type gzipConf struct {
	on          bool
	level       int
	minLength   int64
	types       map[string]bool // "*" is every type
	vary        bool
	proxied     map[string]bool
	httpVersion int // minor of the lowest HTTP version
	disable     []*Regex
}

// compresses decides as the gzip filter does; it also sets Vary.
func (w *writer) compresses(code int) bool {
	g, h, r := &w.x.conf.gzip, w.Header(), w.x.r.HTTP
	if !g.on || code != 200 && code != 403 && code != 404 || h.Get("Content-Encoding") != "" {
		return false
	}
	typ, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || !g.types[typ] && !g.types["*"] {
		return false
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && n < g.minLength {
		return false
	}
	if g.vary && !w.varied {
		w.varied = true
		h.Add("Vary", "Accept-Encoding")
	}
	return (r.Method != http.MethodHead || h.Get("Content-Length") != "") && w.takesGzip()
}

// takesGzip says whether the client may have a compressed answer.
func (w *writer) takesGzip() bool {
	g, h, r := &w.x.conf.gzip, w.Header(), w.x.r.HTTP
	if r.ProtoMajor == 1 && r.ProtoMinor < g.httpVersion || !acceptsGzip(r.Header) {
		return false
	}
	for _, d := range g.disable {
		if d.match(r.Header.Get("User-Agent"), nil) {
			return false
		}
	}
	return r.Header.Get("Via") == "" || g.proxiedAllows(h, r.Header)
}

// proxiedAllows is gzip_proxied: may an answer to a request that came through a proxy be compressed?
func (g *gzipConf) proxiedAllows(h, req http.Header) bool {
	p, cache := g.proxied, strings.ToLower(h.Get("Cache-Control"))
	switch {
	case p["any"]:
		return true
	case p["off"]:
		return false
	case p["auth"] && req.Get("Authorization") != "":
		return true
	case h.Get("Expires") != "":
		if t, err := http.ParseTime(h.Get("Expires")); p["expired"] && err == nil && t.Before(time.Now()) {
			return true
		}
		return false
	case cache != "":
		for _, word := range []string{"no-cache", "no-store", "private"} {
			if p[word] && strings.Contains(cache, word) {
				return true
			}
		}
		return false
	case p["no_last_modified"] && h.Get("Last-Modified") == "":
		return true
	}
	return p["no_etag"] && h.Get("Etag") == ""
}

func acceptsGzip(h http.Header) bool {
	for _, item := range strings.Split(strings.Join(h["Accept-Encoding"], ","), ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(item), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q = strings.ReplaceAll(q, " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}

var gzipPools [10]sync.Pool

func takeGzip(level int) *gzip.Writer {
	if g, ok := gzipPools[level].Get().(*gzip.Writer); ok {
		return g
	}
	g, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		g = gzip.NewWriter(nil)
	}
	return g
}

func putGzip(level int, g *gzip.Writer) { gzipPools[level].Put(g) }

// broken ends an answer that cannot be completed: the connection is closed, so that the client sees it.
func (w *writer) broken() {
	w.cut = true
	if a, ok := w.ResponseWriter.(interface{ Abort() }); ok {
		a.Abort()
	}
}
