package browser

import (
	"errors"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/classify"
	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// mark is a class that a request gave its connection's attempt, though the connection went on.
type mark struct {
	verdict classify.Verdict
	shown   string
}

// count notes that an attempt begins.
func (c *conn) count(t *try) {
	if c.b.visit != nil {
		return
	}
	c.b.agent.live++
	c.b.agent.rec.Start(t.start - t.intended)
}

// countEstablished notes a completed handshake.
func (c *conn) countEstablished(t *try) {
	if c.b.visit != nil {
		return
	}
	rec := c.b.agent.rec
	rec.Latency(results.Handshake, t.handshake-t.intended, t.handshake-t.connected)
	r := results.Attempt{Edge: c.b.agent.cfg.Edges[t.edge].Name}
	t.negotiated(&r)
	rec.Established(&r)
}

// countClosed notes an established connection that ended without failing.
func (c *conn) countClosed(by results.Side) {
	if c.b.visit != nil {
		return
	}
	a := c.b.agent
	a.live--
	a.rec.Closed(by)
	r := c.try.final()
	// Where an edge is made to close connections, those that it closed are the evidence of it.
	r.Keep = r.Keep || by == results.ByServer && a.edgeStrikes
	a.rec.Attempt(r)
}

// countFailed notes an attempt that failed, before or after its handshake.
func (c *conn) countFailed(t *try, v classify.Verdict, shown string) {
	if c.b.visit != nil {
		return
	}
	a := c.b.agent
	a.live--
	if t.handshake >= 0 {
		a.rec.Closed(results.ByFailure)
	}
	a.rec.Attempt(t.record(v, shown))
}

// final is the record of an attempt whose connection ended well, or is open at the end of the phase.
func (t *try) final() *results.Attempt {
	if t.mark != nil {
		return t.record(t.mark.verdict, t.mark.shown)
	}
	return t.record(classify.Verdict{Class: results.ClassOK, Alert: -1}, "")
}

// record fills in the line of outcomes.jsonl. The recorder copies it, so one will do for all.
func (t *try) record(v classify.Verdict, shown string) *results.Attempt {
	c, a := t.conn, t.conn.b.agent
	r := &a.line
	*r = results.Attempt{
		Key: t.key(), Tuple: t.tuple(), Profile: c.b.host.profile.Name, Edge: a.cfg.Edges[t.edge].Name, Kind: t.kind(),
		Class: v.Class, Page: t.page, UserSees: shown, Alert: v.Alert, Sender: v.Sender, Stage: t.stage().String(),
		Errno: v.Errno, Detail: v.Detail,
		Intended: a.loop.Wall(t.intended), StartNs: int64(t.start - t.intended), ConnectedNs: since(t.intended, t.connected),
		HandshakeNs: since(t.intended, t.handshake), EndNs: int64(a.loop.Now() - t.intended),
		BytesSent: c.Sent, BytesReceived: c.Received, Retransmits: c.Retransmits(),
		OfferedVersion: t.plan.MaxVersion.String(), SCSV: t.plan.SCSV,
	}
	t.negotiated(r)
	if c.origin != nil {
		r.Origin, r.HasOrigin = *c.origin, true
	}
	r.Keep = t.rule != nil // armed: the join looks for its firing
	if t.struck {
		r.Fault = t.rule.Name
	}
	return r
}

// negotiated fills in what the handshake came to.
func (t *try) negotiated(r *results.Attempt) {
	if r.Asked = t.asked.String(); t.asked != engine.NotResumed {
		r.Issuer = t.conn.b.agent.cfg.Edges[t.issuer].Name
	}
	if t.tls != nil {
		f := t.tls.Facts()
		if f.Version != 0 {
			r.Version, r.Suite, r.Resumed = f.Version.String(), f.Suite.String(), f.Resumed.String()
		}
		switch {
		case f.EarlyOK:
			r.Early = results.EarlyAccepted
		case f.EarlySent > 0:
			r.Early = results.EarlyRejected
		}
		if f.Group != 0 {
			r.Group = f.Group.String()
		}
	}
}

// tuple is both ends as this side sees them: with a relay in between, the relay is the server.
func (t *try) tuple() faults.Tuple { return faults.Tuple{Client: t.local(), Server: *t.target} }

// since is at in nanoseconds after from; -1 where it was never reached.
func since(from, at time.Duration) int64 {
	if at < 0 {
		return -1
	}
	return int64(at - from)
}

// stage is the point that the connection has reached, in the words that faults use.
func (t *try) stage() stage.Stage {
	switch {
	case t.connected < 0:
		return stage.Syn
	case t.tls == nil, t.handshake < 0 && t.tls.AwaitingServerHello():
		return stage.ClientHello
	case t.handshake < 0 && strings.HasPrefix(t.tls.State(), "WAIT_C") && !strings.HasPrefix(t.tls.State(), "WAIT_CCS"):
		return stage.ServerHello
	case t.handshake < 0:
		return stage.Finished
	case t.conn.stage == busy && t.conn.x.parser.Started():
		return stage.Response
	case t.conn.stage == busy:
		return stage.Request
	}
	return stage.Idle
}

// decide asks the browser what it does about the end of the present attempt.
func (c *conn) decide(v classify.Verdict, err error) profiles.Decision {
	t := c.try
	f := c.failure(v, err)
	if f.Kind == profiles.FailNoResource {
		return c.noResource()
	}
	if t.handshake >= 0 && c.x == nil {
		return profiles.Decision{} // nothing depended on it
	}
	if r := (*refusal)(nil); errors.As(err, &r) {
		return profiles.Decision{UserSees: r.words.Shown, Wording: r.words}
	}
	d := c.b.memory.Failed(*t.plan, f)
	if d.NextAddress {
		// A name's addresses are tried once each: a browser does not go round.
		if c.hops++; int(c.hops) >= len(c.b.agent.cfg.Edges) {
			d.Retry, d.NextAddress = false, false
		}
	}
	if c.x == nil {
		d.Retry = false // opened ahead of need: there is nothing to try again for
	}
	return d
}

// noResource: this machine ran out of something. No browser is told of it; the attempt is made again,
// a little later each time, and given up without a word to the user.
func (c *conn) noResource() profiles.Decision {
	if c.attempts >= maxNoResource {
		return profiles.Decision{}
	}
	return profiles.Decision{Retry: true, Next: *c.try.plan, Delay: time.Duration(c.attempts) * 200 * time.Millisecond}
}

const maxNoResource = 5

// failure is the verdict in the terms that browsers decide on.
func (c *conn) failure(v classify.Verdict, err error) profiles.Failure {
	t := c.try
	f := FailureOf(v, err)
	f.Version, f.AwaitingServerHello = t.plan.MaxVersion, true
	if t.tls != nil {
		f.AwaitingServerHello = t.tls.AwaitingServerHello()
		f.Negotiated = t.tls.Facts().Version
	}
	f.HandshakeDone = t.handshake >= 0
	// A connection that was opened ahead of need and has lain idle counts as reused: Chromium treats
	// UNUSED_IDLE sockets so, Firefox those older than mConsiderReusedAfterInterval.
	f.ReusedConnection = c.answered > 0 || t.idleSince > 0
	if c.x != nil {
		f.Idempotent = c.x.url.idempotent()
		if c.x.out && c.x.parser.Started() {
			f.AnswerBytes = max(1, c.x.parser.Length)
		}
	}
	return f
}

// FailureOf is what the error itself tells of a failure; how far the attempt was, its caller knows.
func FailureOf(v classify.Verdict, err error) profiles.Failure {
	f := profiles.Failure{Kind: failureKinds[v.Class]}
	if v.Alert >= 0 {
		f.Alert = wire.AlertDescription(v.Alert)
	}
	f.NoCommonVersion = errors.Is(err, engine.ErrNoCommonVersion)
	f.UnofferedSuite = errors.Is(err, engine.ErrUnofferedSuite)
	f.WeakDH = errors.Is(err, engine.ErrWeakDH)
	switch {
	case errors.Is(err, engine.ErrCertificateExpired):
		f.Certificate = profiles.CertificateExpired
	case errors.Is(err, engine.ErrCertificateNotYet):
		f.Certificate = profiles.CertificateNotYet
	case errors.Is(err, engine.ErrUnknownCA):
		f.Certificate = profiles.CertificateIssuer
	case errors.Is(err, engine.ErrCertificateHostname):
		f.Certificate = profiles.CertificateName
	}
	f.NotTLS = errors.Is(err, engine.ErrRecordType) || errors.Is(err, engine.ErrHTTPRequest)
	return f
}

// failureKinds says what each class looks like to a browser.
var failureKinds = map[results.Class]profiles.FailureKind{
	results.ClassConnectRefused:   profiles.FailRefused,
	results.ClassConnectTimeout:   profiles.FailConnectTimeout,
	results.ClassConnectReset:     profiles.FailReset,
	results.ClassReset:            profiles.FailReset,
	results.ClassEOF:              profiles.FailEOF,
	results.ClassHandshakeTimeout: profiles.FailTimeout,
	results.ClassPeerAlert:        profiles.FailAlert,
	results.ClassLocalAlert:       profiles.FailLocal,
	results.ClassCertificate:      profiles.FailCertificate,
	results.ClassRequestReset:     profiles.FailReset,
	results.ClassRequestEOF:       profiles.FailEOF,
	results.ClassTruncated:        profiles.FailEOF,
	results.ClassRequestTimeout:   profiles.FailTimeout,
	results.ClassHTTPMalformed:    profiles.FailHTTP,
	results.ClassALPN:             profiles.FailLocal,
	results.ClassNoResource:       profiles.FailNoResource,
}
