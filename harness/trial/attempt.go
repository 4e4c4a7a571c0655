package trial

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/relay"
	"tlsurge/faults/stage"
	"tlsurge/harness/browser"
	"tlsurge/harness/classify"
	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// ending is what an attempt came to, for the browser.
type ending struct {
	failure profiles.Failure // Kind FailNone: served
	refused string           // the words of an error page after a handshake that completed
}

// attempt is one connection: handshake, a request, its answer.
type attempt struct {
	b              *visitor
	plan           profiles.Plan
	random         io.Reader
	client, server *engine.Conn
	path           path
	asked          bool // the request is out
	answered       bool
	serverGaveUp   bool // at its deadline
	heard          bool // by the server: a byte of the handshake has come
	waited         time.Duration
}

// attempt makes one connection and says what the browser's network layer and the server's log make of it.
func (b *visitor) attempt(plan profiles.Plan, f Fault) (Attempt, ending, error) {
	out := Attempt{Kind: plan.Kind, Offered: plan.MaxVersion.String(), SCSV: plan.SCSV, Alert: -1}
	a := &attempt{b: b, plan: plan, random: b.stream(b.salt(plan))}
	expired := f.Action == faults.CertExpired
	if f.Action != "" && !expired {
		r, err := faults.Resolve(f.rule())
		if err != nil {
			return out, ending{}, err
		}
		a.path.rule = &r
	}
	var err error
	if a.client, err = a.dial(&out); err != nil {
		return out, ending{}, err
	}
	a.server = b.Server.conn(a.random, expired)
	failed := a.exchange()
	b.now = b.now.Add(a.path.delay + a.waited)
	a.log(&out)
	out.Hit = a.path.struck || expired
	out.Stage = a.reached()
	done := a.client.HandshakeDone()
	at := classify.Handshaking
	if done {
		at = classify.Open
	}
	facts := a.client.Facts()
	if done {
		out.Version, out.Resumed = facts.Version.String(), facts.Resumed.String()
		b.memory.Succeeded(plan, facts.Version)
		if words, refused := b.memory.Refuses(plan); refused {
			out.Class = results.ClassLocalAlert
			return out, ending{refused: words.Shown}, nil
		}
	}
	v := classify.Of(failed, at)
	out.Class, out.Alert, out.Sender = v.Class, v.Alert, v.Sender
	if failed == nil {
		return out, ending{}, nil
	}
	failure := browser.FailureOf(v, failed)
	failure.Version, failure.Negotiated, failure.AwaitingServerHello = plan.MaxVersion, facts.Version, a.client.AwaitingServerHello()
	failure.HandshakeDone, failure.Idempotent = done, true
	if failure.Kind == profiles.FailNone {
		return out, ending{}, fmt.Errorf("%s against %s: an outcome that no browser knows: %w", b.Profile.Name, b.Server.Name, failed)
	}
	return out, ending{failure: failure}, nil
}

// salt tells offers apart.
func (b *visitor) salt(p profiles.Plan) uint64 {
	n := uint64(p.MaxVersion) << 8
	if p.SCSV {
		n |= 1
	}
	if b.session != nil {
		n |= 2
	}
	for _, c := range []byte(p.Variant) {
		n = n*31 + uint64(c)<<24
	}
	return n | 1<<63
}

// dial builds the attempt's hello and the engine behind it.
func (a *attempt) dial(out *Attempt) (*engine.Conn, error) {
	b := a.b
	cfg := &engine.ClientConfig{ServerName: b.Server.host, Rand: a.random, Verifier: b.Server.verifier, MinDHBits: b.Profile.Manners().MinDHBits}
	p := profiles.HelloParams{ServerName: b.Server.host, Random: a.random, Now: b.now}
	a.plan.Params(&p)
	if s := b.session; s != nil && a.plan.SessionKey == b.key && b.Profile.MayOffer(a.plan, s.Version, s.Suite) {
		cfg.Session = s
		p.Resume = &profiles.ResumeOffer{Version: s.Version, Suite: s.Suite}
		switch {
		case s.Version >= wire.TLS13:
			p.Resume.Identity, p.Resume.BinderLen = s.Ticket, len(s.Secret)
			p.Resume.ObfuscatedAge = uint32(b.now.Sub(s.Created).Milliseconds()) + s.AgeAdd
		case len(s.Ticket) > 0:
			p.Resume.Ticket = s.Ticket
		default:
			p.Resume.ID = s.ID
		}
		if out.Kind == profiles.KindFirst {
			out.Kind = results.KindResumed
		}
	}
	var shareErr error
	p.Shares = func(g wire.Group) []byte {
		share, err := b.Server.share(g, b.Seed)
		if err != nil {
			shareErr = err
			return nil
		}
		cfg.Shares = append(cfg.Shares, share)
		return share.Public()
	}
	ch, err := b.Profile.Hello(&p)
	if err != nil {
		return nil, errors.Join(err, shareErr)
	}
	cfg.Retry = func(r *engine.HelloRetry) (*hello.ClientHello, error) {
		second := p
		if r.DropPSK {
			second.Resume = nil
		}
		second.Second = &profiles.SecondHello{First: ch, Group: r.Group, Cookie: r.Cookie}
		if r.Public != nil {
			second.Shares = func(wire.Group) []byte { return r.Public }
		}
		return b.Profile.Hello(&second)
	}
	return engine.NewClient(cfg, ch)
}

const (
	request = "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n"
	answer  = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
)

// mostFlights bounds an exchange: a handshake with a HelloRetryRequest, tickets, a request and its answer has
// eight.
const mostFlights = 24

// exchange carries bytes between the two until the answer is there or somebody gives up. The error is what the
// client's network layer sees.
func (a *attempt) exchange() error {
	for range mostFlights {
		up := a.path.carry(stage.ClientToServer, a.client.AppendOutput(nil))
		a.toServer(up)
		if a.path.ended != relay.Pass {
			return a.cut()
		}
		down := a.path.carry(stage.ServerToClient, a.server.AppendOutput(nil))
		if err := a.toClient(down); err != nil {
			a.toServer(a.path.carry(stage.ClientToServer, a.client.AppendOutput(nil))) // our alert, for the server's log
			return err
		}
		switch {
		case a.path.ended != relay.Pass:
			return a.cut()
		case a.late():
			return a.silence()
		case a.answered:
			return nil
		case a.client.HandshakeDone() && !a.asked:
			if p := a.client.Facts().ALPN; p == "h2" {
				return fmt.Errorf("%w: %s", classify.ErrALPN, p)
			}
			a.asked = true
			if err := a.client.Send([]byte(request)); err != nil {
				return err
			}
		case a.server.Err() != nil && a.path.closes():
			return a.client.ReceiveEOF(a.b.now) // it closed, with or without a word
		case len(up) == 0 && len(down) == 0:
			return a.silence()
		}
	}
	return fmt.Errorf("no end after %d flights", mostFlights)
}

// toServer delivers bytes to the server, which answers a request. What it refuses is in its output, and in Err.
func (a *attempt) toServer(p []byte) {
	if len(p) == 0 {
		return
	}
	a.heard = true
	_ = a.server.Receive(a.b.now, p)
	for e := a.server.Next(); e.Kind != engine.EventNone; e = a.server.Next() {
		if e.Kind == engine.EventData && len(e.Data) > 0 {
			_ = a.server.Send([]byte(answer)) // it fails where the server has, which Err tells
		}
	}
}

// toClient delivers bytes to the client and stores the session that a visit may leave.
func (a *attempt) toClient(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	err := a.client.Receive(a.b.now, p)
	b := a.b
	manners := b.Profile.Manners().Sessions
	for e := a.client.Next(); e.Kind != engine.EventNone; e = a.client.Next() {
		switch e.Kind {
		case engine.EventData:
			a.answered = a.answered || len(e.Data) > 0
		case engine.EventSession:
			s := e.Session
			if s.Version >= wire.TLS13 && manners.PSK || s.Version < wire.TLS13 && (len(s.Ticket) > 0 && manners.Ticket || len(s.ID) > 0 && manners.ID) {
				b.session, b.key = s, a.plan.SessionKey
			}
		}
	}
	return err
}

// cut is the end that the fault makes, as the client feels it.
func (a *attempt) cut() error {
	_ = a.server.ReceiveEOF(a.b.now)
	if a.path.ended == relay.Reset {
		return syscall.ECONNRESET
	}
	return a.eof()
}

// eof is a FIN at the client. Behind a complete handshake it is an answer that never came.
func (a *attempt) eof() error {
	if err := a.client.ReceiveEOF(a.b.now); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// patience is how long the client waits here, 0 for ever; the system's own limits are far away.
func (a *attempt) patience() time.Duration {
	m := a.b.Profile.Manners()
	if a.client.HandshakeDone() {
		return m.ResponseTimeout
	}
	return m.HandshakeTimeout
}

// late says whether what a fault has delayed came after somebody had lost patience.
func (a *attempt) late() bool {
	p := a.patience()
	return p > 0 && a.path.delay > p || !a.server.HandshakeDone() && a.path.delay > a.b.Server.deadline
}

// silence is what comes when nothing comes: the server closes at its handshake deadline, which the client sees
// if it is still there and the close gets through.
func (a *attempt) silence() error {
	p := a.patience()
	if !a.server.HandshakeDone() && (p == 0 || p > a.b.Server.deadline) {
		a.serverGaveUp, a.waited = true, a.b.Server.deadline
		if a.path.closes() {
			return a.eof()
		}
	}
	a.waited = p
	if p == 0 {
		a.waited = forEver
	}
	_ = a.server.ReceiveEOF(a.b.now)
	return classify.ErrTimeout
}

// forEver stands for the patience of a browser that has no limit of its own: its system's, of some minutes.
const forEver = 5 * time.Minute

// log is the line that the server writes about the attempt: its library's refusal, or what nginx says of a
// handshake that ended otherwise.
func (a *attempt) log(out *Attempt) {
	refusal := a.server.Err()
	switch {
	case a.serverGaveUp:
		out.LogLevel, out.LogReason = "info", "client timed out"
	case refusal != nil && !errors.Is(refusal, engine.ErrTruncated):
		line := a.b.Server.stack.Queue(refusal)
		out.LogCode, out.LogLevel, out.LogReason = line.Code, line.Level, line.Reason
	case !a.heard && a.path.ended == relay.Reset:
		out.LogLevel, out.LogReason = "info", "recv() failed"
	case !a.heard && a.path.ended != relay.Pass:
		out.LogLevel, out.LogReason = "info", "client closed connection"
	case !a.server.HandshakeDone() && (refusal != nil || a.path.ended != relay.Pass):
		out.LogLevel, out.LogReason = "info", "peer closed connection in SSL handshake"
	}
}

// reached is the latest stage that bytes were seen of, in either direction.
func (a *attempt) reached() string {
	up, down := a.path.observer.Last(stage.ClientToServer), a.path.observer.Last(stage.ServerToClient)
	return max(up, down).String()
}
