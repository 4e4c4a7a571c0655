package browser

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strconv"
	"time"

	"tlsurge/harness/browser/http1"
	"tlsurge/harness/classify"
	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// exchange is one request with its answer. Exchanges are used again and again: an agent has as many as
// were ever under way at once.
type exchange struct {
	url       *URL
	number    int // index of url
	intended  time.Duration
	sent      time.Duration
	scheduled bool // intended comes from the schedule, not from its connection
	page      bool // the first request of a page load
	part      bool // a resource of a page of the closed model
	document  bool // a later page of the closed model
	out       bool // on the wire, unanswered
	first     bool // its first byte has come
	parser    http1.Parser
	body      []byte // kept only where a check wants to see it
}

// maxBody bounds what is kept for a check.
const maxBody = 16 << 20

// defaultURLs is the load of a scenario that names none.
var defaultURLs = []URL{{Weight: 1, Method: "GET", Path: "/"}}

func (l *Load) urls() []URL {
	if len(l.URLs) == 0 {
		return defaultURLs
	}
	return l.URLs
}

func (u *URL) method() string {
	if u.Method == "" {
		return "GET"
	}
	return u.Method
}

func (u *URL) idempotent() bool { return u.method() != "POST" }

// request is the whole request as bytes, the same for every browser of a profile.
func (u *URL) request(host, profile string) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tlsurge (%s)\r\nAccept: */*\r\n", u.method(), u.Path, host, profile)
	for _, h := range u.Headers {
		b = fmt.Appendf(b, "%s: %s\r\n", h[0], h[1])
	}
	if u.method() == "POST" {
		b = fmt.Appendf(b, "Content-Length: %s\r\n", strconv.Itoa(len(u.Body)))
	}
	b = append(b, "\r\n"...)
	return append(b, u.Body...)
}

// url draws the URL of a request by weight.
func (a *Agent) url(id uint64) int {
	urls := a.cfg.Load.urls()
	if len(urls) == 1 {
		return 0
	}
	var sum float64
	for i := range urls {
		sum += urls[i].Weight
	}
	u := a.draws.unit(saltURL, id) * sum
	for i := range urls {
		if u -= urls[i].Weight; u < 0 {
			return i
		}
	}
	return len(urls) - 1
}

// newExchange takes a used one, or makes one.
func (a *Agent) newExchange(number int) *exchange {
	var x *exchange
	if n := len(a.free); n > 0 {
		x, a.free = a.free[n-1], a.free[:n-1]
		*x = exchange{}
	} else {
		x = new(exchange)
	}
	x.number, x.url = number, &a.cfg.Load.urls()[number]
	return x
}

// drop puts an exchange back that was never sent.
func (a *Agent) drop(x *exchange) {
	if x != nil {
		x.body = nil
		a.free = append(a.free, x)
	}
}

// early sends the request that waits before the server's Finished is there (RFC 7918), as browsers do
// where the engine finds it safe. A filter that waits for the request's own flight keeps it back.
func (c *conn) early() {
	l := &c.b.agent.cfg.Load
	if c.x == nil || c.b.visit != nil || !l.holds() || c.try.weapon != nil || c.isSlow(l.SendRate) {
		return
	}
	c.transmit(c.x)
}

// send writes the request.
func (c *conn) send(x *exchange) {
	c.stage, c.x = busy, x
	c.awaitAnswer()
	c.transmit(x)
}

// awaitAnswer sets the browser's patience with the answer, where it has a limit.
func (c *conn) awaitAnswer() {
	a := c.b.agent
	if d := c.b.host.manners.ResponseTimeout; d > 0 {
		a.loop.Schedule(&c.timer, a.loop.Now()+d)
	} else {
		a.loop.Cancel(&c.timer)
	}
}

func (c *conn) transmit(x *exchange) {
	b, a := c.b, c.b.agent
	c.sending(x)
	request := b.host.requests[x.number]
	if c.isSlow(a.cfg.Load.SendRate) {
		request = c.begins(request)
	}
	if err := c.Send(request); err != nil {
		c.over(err)
	}
}

// sending notes that a request goes out now.
func (c *conn) sending(x *exchange) {
	a := c.b.agent
	x.sent = a.loop.Now()
	if !x.scheduled && x.intended == 0 {
		x.intended = x.sent
	}
	x.out, x.first = true, false
	x.parser.Reset(x.url.method() == "HEAD")
	if c.b.visit == nil {
		a.rec.Request(results.RequestSent)
	}
}

// zeroRTT is the request that goes out with the ClientHello, nil for none: one that may be repeated without
// harm, where browser and ticket allow it (RFC 8446 §2.3, 0-RTT Data). A filter that waits for the request's own
// flight keeps it back.
func (c *conn) zeroRTT(s *engine.Session) []byte {
	b := c.b
	l := &b.agent.cfg.Load
	if s == nil || s.Version < wire.TLS13 || !b.host.manners.Sessions.EarlyData || b.visit != nil || !l.holds() ||
		c.x == nil || !c.x.url.idempotent() || c.try.weapon != nil || c.isSlow(l.SendRate) {
		return nil
	}
	request := b.host.requests[c.x.number]
	if uint64(len(request)) > uint64(s.MaxEarly) {
		return nil
	}
	return request
}

// resend makes a request that was lost ready for its next connection.
func (c *conn) resend() {
	c.x.out, c.x.body = false, nil
	c.x.scheduled = true // it keeps its intended start, whatever connection carries it
	if c.b.visit == nil {
		c.b.agent.rec.Request(results.RequestRetried)
	}
}

// lose gives a request up.
func (b *browser) lose(x *exchange) {
	switch {
	case b.visit != nil:
	case x.out:
		b.agent.rec.Request(results.RequestFailed)
	case x.scheduled:
		b.agent.rec.Request(results.RequestUnsent)
	}
	part := x.part || x.document
	b.agent.drop(x)
	if part {
		b.loading = max(b.loading, 1) // a document that is lost leaves nothing to wait for
		b.partDone(false)
	}
}

// receive takes bytes of an answer.
func (c *conn) receive(p []byte) {
	if c.stage != busy {
		if len(p) > 0 && c.stage == idle {
			c.spent = true // nobody asked for this: the connection is not to be trusted again
		}
		return
	}
	x, a := c.x, c.b.agent
	if !x.first && len(p) > 0 {
		x.first = true
		if c.b.visit == nil {
			now := a.loop.Now()
			a.rec.Latency(results.FirstByte, now-x.intended, now-x.sent)
		}
	}
	c.lag(len(p))
	for {
		n, piece, kind, err := x.parser.Next(p)
		if err != nil {
			c.over(fmt.Errorf("%w: %w", classify.ErrHTTP, err))
			return
		}
		p = p[n:]
		switch kind {
		case http1.Body:
			if x.url.Check.Contains != "" && len(x.body)+len(piece) <= maxBody {
				x.body = append(x.body, piece...)
			}
		case http1.More:
			return
		case http1.Done:
			c.spent = c.spent || x.parser.Close || len(p) > 0
			c.complete()
			return
		}
	}
}

// complete ends the exchange with a whole answer.
func (c *conn) complete() {
	b, a, x := c.b, c.b.agent, c.x
	a.loop.Cancel(&c.timer)
	c.spent = c.hurry() || c.spent // answered before it was asked in full: nothing more can be asked here
	now := a.loop.Now()
	c.answered++
	c.try.answered()
	c.x = nil
	err := x.check()
	if b.visit == nil {
		a.rec.Latency(results.Response, now-x.intended, now-x.sent)
		if err == nil {
			a.rec.Request(results.RequestOK)
		} else {
			a.rec.Request(results.RequestFailed)
		}
	}
	page, part, document := x.page, x.part, x.page || x.document
	status := x.parser.Status
	a.drop(x)
	c.stage = idle
	if err != nil {
		c.unwanted(err, status, page)
	} else if page {
		b.served(c)
	}
	if b.visit != nil {
		v := b.visit
		version := c.try.tls.Facts().Version
		c.shut(results.ByClient)
		v.done(version)
		return
	}
	if document || part {
		b.partDone(document)
	}
	if c.stage == idle {
		c.rest()
	}
}

// unwanted marks the attempt by an answer that is no good; the connection itself goes on.
func (c *conn) unwanted(err error, status int, page bool) {
	v := classify.Of(err, classify.Open)
	shown := ""
	if page && c.b.page == pagePending {
		shown = fmt.Sprintf("HTTP %d", status)
		c.try.page = results.SawError
	}
	if c.try.mark == nil {
		c.try.mark = &mark{v, shown}
		c.blame(c.try)
	}
	if page {
		c.b.sawError(0)
	}
}

// check holds the answer against what was asked for.
func (x *exchange) check() error {
	k, p := &x.url.Check, &x.parser
	switch {
	case k.Status != 0 && p.Status != k.Status:
		return fmt.Errorf("%w: status %d, want %d", classify.ErrStatus, p.Status, k.Status)
	case k.Status == 0 && p.Status >= 500:
		return fmt.Errorf("%w: status %d", classify.ErrStatus, p.Status)
	case k.Bytes != 0 && p.Length != k.Bytes:
		return fmt.Errorf("%w: body of %d bytes, want %d", classify.ErrStatus, p.Length, k.Bytes)
	case k.Contains == "":
		return nil
	}
	body := x.body
	if p.Gzip {
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(r, maxBody))
		}
		if err != nil {
			return fmt.Errorf("%w: gzip: %w", classify.ErrStatus, err)
		}
	}
	if !bytes.Contains(body, []byte(k.Contains)) {
		return fmt.Errorf("%w: body of %d bytes without %q", classify.ErrStatus, len(body), k.Contains)
	}
	return nil
}
