package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/harness/proxy/site"
)

// serveRequests reads and answers requests while bytes are there. true: the connection is idle and may be
// parked; false: it is over.
func (c *conn) serveRequests() bool {
	if c.br == nil {
		c.br = readerBuffers.Get().(*bufio.Reader)
		c.br.Reset(c.stream)
	}
	for {
		if c.phase == phaseIdle || c.phase == phaseWaiting {
			if !c.awaitFirstByte() {
				return false
			}
		}
		if !c.exchange() {
			return false
		}
		c.phase = phaseIdle
		if !c.hasInput() && c.goTLS == nil {
			return true
		}
	}
}

// awaitFirstByte waits for a request to begin. Where the connection was parked the byte is there already;
// one on crypto/tls waits here, for keepalive_timeout.
func (c *conn) awaitFirstByte() bool {
	vs := c.server0()
	wait := vs.KeepaliveTimeout
	if c.phase == phaseWaiting {
		wait = vs.HeaderTimeout
	}
	c.raw.SetReadDeadline(time.Now().Add(wait))
	c.idle.Store(true)
	_, err := c.br.Peek(1)
	c.idle.Store(false)
	if err != nil {
		c.ended(err)
	}
	return err == nil
}

// ended says in the log how an idle connection ended, as nginx does.
func (c *conn) ended(err error) {
	if c.phase == phaseIdle {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || !isTimeout(err) && isReset(err) {
			// the ordinary end of a connection: a line, and no evidence
			c.s.errorLine(c.server0().ErrorLog, "info", c.id, fmt.Sprintf("client %s closed keepalive connection%s", c.client.Addr(), resetText(err)))
			c.s.count.line("info", "", "client closed keepalive connection")
		}
	} else if isTimeout(err) {
		c.log("info", "", "client timed out", "client timed out (110: Connection timed out)"+c.while("waiting for request"))
	} else {
		c.log("info", "", "client closed connection", "client closed connection"+c.while("waiting for request"))
	}
	if c.secure != nil && !isReset(err) {
		c.secure.closeNotify()
	}
}

func isReset(err error) bool { no, _ := errnoText(err); return no == 104 || no == 32 }

func resetText(err error) string {
	if !isReset(err) {
		return ""
	}
	no, text := errnoText(err)
	return fmt.Sprintf(" (%d: %s)", no, text)
}

// exchange is one request and its answer. true: the connection goes on.
func (c *conn) exchange() bool {
	c.phase = phaseBusy
	vs := c.server0()
	start := time.Now()
	c.raw.SetReadDeadline(start.Add(vs.HeaderTimeout))
	r, rawLine, err := readRequest(c.br, vs.limits())
	c.requests++
	c.info.Requests = c.requests
	var bad *badRequest
	switch {
	case err == nil:
	case errors.As(err, &bad):
		c.answerBad(start, bad)
		return false
	case isTimeout(err):
		c.log("info", "", "client timed out", "client timed out (110: Connection timed out)"+c.while("reading client request headers"))
		c.dropBad(start, rawLine, http.StatusRequestTimeout)
		return false
	default:
		c.log("info", "", "client prematurely closed connection", "client prematurely closed connection"+c.while("reading client request headers"))
		if rawLine != "" {
			c.dropBad(start, rawLine, http.StatusBadRequest)
		}
		return false
	}
	var captures *site.Captures
	c.vs, captures = c.ln.pick(r.Host, c.vs)
	vs = c.vs
	if r.Body != http.NoBody {
		r.Body = &timedBody{ReadCloser: r.Body, c: c, timeout: vs.BodyTimeout}
	}
	c.s.count.requests.Add(1)
	keep := !r.Close && vs.KeepaliveTimeout > 0 && c.requests < vs.KeepaliveRequests && !c.s.stopping()
	w := newResponse(c, r, keep)
	if vs.KeepaliveHeader > 0 && keep {
		w.hdr.Set("Keep-Alive", fmt.Sprintf("timeout=%d", int(vs.KeepaliveHeader.Seconds())))
	}
	req := &site.Request{HTTP: r, Line: rawLine, Captures: captures, Gone: c.gone, Conn: c.info, Start: start, Context: context.Background()}
	if c.plain {
		const text = "client sent plain HTTP request to HTTPS port"
		c.log("info", "", text, fmt.Sprintf("%s while reading client request headers, client: %s, server: %s, request: %q, host: %q", text, c.client.Addr(), vs.block.Name, rawLine, r.Host))
		w.keep = false
		vs.block.ServePlain(w, req)
		c.s.count.status(w.code)
		w.finish()
		c.linger(unread(bodyOf(r)))
		return false
	}
	if !c.answer(vs, w, req) {
		w.finish()
		return false
	}
	c.s.count.status(w.code)
	goOn := w.finish()
	if w.hijacked {
		return false
	}
	goOn = goOn && c.discard(r, w)
	if !goOn {
		c.linger(unread(bodyOf(r)))
		if c.secure != nil {
			c.secure.closeNotify()
		}
	}
	return goOn
}

// maxDiscard is how much of an unread body is read and thrown away to keep a connection.
const maxDiscard = 256 << 10

// discard reads what the handler left of the body; false: too much, or the client waits for a 100 that never
// comes, and the connection is closed.
func (c *conn) discard(r *http.Request, w *response) bool {
	if !unread(bodyOf(r)) {
		return true
	}
	if !w.continued && r.ProtoMinor == 1 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return false
	}
	n, err := io.CopyN(io.Discard, r.Body, maxDiscard)
	return n < maxDiscard && err == io.EOF
}

// The times of nginx's lingering_close: between two reads, and in all. One who seems to have sent everything is listened to for
// a moment only: what he sends may be under way.
const (
	lingerPause  = 5 * time.Second
	lingerTime   = 30 * time.Second
	lingerMoment = time.Second
)

// linger reads what the client still sends, so that closing does not become a reset that overtakes the answer
// (RFC 9112 §9.6, Tear-down). more says that a body is still to come.
func (c *conn) linger(more bool) {
	if more || c.hasInput() || c.unreadInput() {
		c.drain(!more, lingerPause)
	}
}

// drain throws away what comes until the client closes, pauses for too long, or has sent for long enough. half: he sees our
// end at once.
func (c *conn) drain(half bool, pause time.Duration) {
	if half {
		c.raw.CloseWrite()
	}
	c.idle.Store(true) // an edge that stops waits no longer
	buf := make([]byte, 4<<10)
	for end := time.Now().Add(lingerTime); time.Now().Before(end) && !c.s.stopping(); {
		c.raw.SetReadDeadline(time.Now().Add(pause))
		if _, err := c.raw.Read(buf); err != nil {
			return
		}
		pause = lingerPause
	}
}

// bodyOf is the body on the wire, without what is wrapped around it.
func bodyOf(r *http.Request) io.Reader {
	body := r.Body
	if b, ok := body.(*timedBody); ok {
		body = b.ReadCloser
	}
	return body
}

// timedBody is client_body_timeout: a bound on each wait for more of a body, not on the whole.
type timedBody struct {
	io.ReadCloser
	c       *conn
	timeout time.Duration
}

// Broken says whether what has come of the body already is malformed.
func (b *timedBody) Broken() bool {
	c, ok := b.ReadCloser.(*chunkedBody)
	return ok && c.Broken()
}

// Limit bounds a body in chunks.
func (b *timedBody) Limit(n int64) {
	if c, ok := b.ReadCloser.(*chunkedBody); ok {
		c.limit = n
	}
}

func (b *timedBody) Read(p []byte) (int, error) {
	if b.c.br.Buffered() == 0 {
		b.c.raw.SetReadDeadline(time.Now().Add(b.timeout))
	}
	return b.ReadCloser.Read(p)
}

// answerBad sends the error page for a request that could not be read, and closes.
func (c *conn) answerBad(start time.Time, bad *badRequest) {
	if bad.reason != "" {
		c.log("info", "", bad.reason, fmt.Sprintf("%s, client: %s, server: %s", whileIn(bad.reason), c.client.Addr(), c.ln.text))
	}
	r := bad.req
	if r == nil {
		r = emptyRequest()
	}
	r.Body = http.NoBody
	w := newResponse(c, r, false)
	c.raw.SetWriteDeadline(time.Now().Add(5 * time.Second))
	c.server0().block.ServeError(w, &site.Request{HTTP: r, Line: bad.line, Conn: c.info, Start: start, Context: context.Background()}, bad.status)
	c.s.count.status(w.code)
	w.finish()
	if c.secure != nil {
		c.secure.closeNotify()
	}
	c.drain(true, lingerMoment)
}

// dropBad closes on a request that never became whole: there is a line in the log and no answer.
func (c *conn) dropBad(start time.Time, line string, status int) {
	w := newResponse(c, emptyRequest(), false)
	c.server0().block.Drop(w, &site.Request{HTTP: emptyRequest(), Line: line, Conn: c.info, Start: start, Context: context.Background()}, status)
	w.finish()
	c.s.count.status(status)
}

func whileIn(reason string) string {
	if strings.Contains(reason, " while ") {
		return reason
	}
	return reason + " while reading client request headers"
}

// unreadInput says whether the kernel holds bytes that we have not read.
func (c *conn) unreadInput() bool {
	if c.fd < 0 {
		return false
	}
	n, err := unix.IoctlGetInt(c.fd, unix.TIOCINQ)
	return err == nil && n > 0
}

// gone says whether the client has closed its side, as nginx sees it: whatever it sent before.
func (c *conn) gone() bool {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return c.fd >= 0 && err == nil && n > 0
}

// emptyRequest stands for a request that could not be read.
func emptyRequest() *http.Request {
	return &http.Request{URL: &url.URL{}, ProtoMajor: 1, Header: http.Header{}}
}

func (vs *VirtualServer) limits() requestLimits {
	return requestLimits{line: vs.lineLimit, header: vs.MaxHeaderBytes, underscores: vs.underscores, lax: vs.anyHeader, merge: vs.block.MergesSlashes()}
}
