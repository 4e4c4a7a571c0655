// Package trial plays one page load in memory and in virtual time: a profile's hellos, policies and words
// against a server personality, with a fault in between. No socket, no clock, no goroutine: thousands a
// second, and the same seed gives the same trial.
//
// It is for searching and for tables. What it finds is a claim about rules, not about a network: a recipe
// counts when the real fleet has confirmed it.
package trial

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/classify"
	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// Fault is what happens to the first Attempts attempts of the page load; the zero Fault is none.
type Fault struct {
	Action   faults.Action // Reset, FIN or Stall
	At       stage.Stage   // ClientHello, ServerHello or Finished
	Attempts int           // how many attempts it hits; 0 with an Action is 1
}

// String is the scenario's words: "reset at client_hello".
func (f Fault) String() string {
	if f.Action == "" {
		return "none"
	}
	return fmt.Sprintf("%s at %v", f.Action, f.At)
}

// Setup is one trial.
type Setup struct {
	Profile *profiles.Profile
	Server  *Server
	Fault   Fault
	// Returning: the browser made one undisturbed visit before, whose session it may offer.
	Returning bool
	Seed      uint64
}

// Attempt is one connection attempt of a trial.
type Attempt struct {
	Kind      string        `json:"attempt_kind"`
	Offered   string        `json:"offered_version"`
	SCSV      bool          `json:"fallback_scsv,omitempty"`
	Class     results.Class `json:"class"`
	Alert     int           `json:"alert"` // -1: none
	Sender    string        `json:"alert_sender,omitempty"`
	Version   string        `json:"version,omitempty"` // negotiated
	Resumed   string        `json:"resumed,omitempty"`
	LogCode   string        `json:"log_code,omitempty"` // what the server logs, where its TLS library refused
	LogLevel  string        `json:"log_level,omitempty"`
	LogReason string        `json:"log_reason,omitempty"`
}

// Result is what came of the page load.
type Result struct {
	Attempts []Attempt           `json:"attempts"`
	Verdict  results.PageVerdict `json:"verdict"`
	UserSees string              `json:"user_sees,omitempty"` // with SawError
}

// mostAttempts ends a page load that never ends: no browser tries as often without showing an error.
const mostAttempts = 64

// browser is the virtual browser of one trial.
type browser struct {
	Setup
	memory  *profiles.Memory
	random  io.Reader
	now     time.Time
	session *engine.Session
	key     string // the plan's SessionKey under which session was made
}

// Play plays the trial.
func Play(s Setup) (Result, error) {
	if s.Fault.Action != "" && s.Fault.Attempts == 0 {
		s.Fault.Attempts = 1
	}
	var seed [32]byte
	for i := range 8 {
		seed[i] = byte(s.Seed >> (8 * i))
	}
	b := &browser{Setup: s, memory: s.Profile.NewMemory(), random: rand.NewChaCha8(seed), now: time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)}
	s.Server.reset(b.random)
	reference, err := b.visit(Fault{})
	if err != nil {
		return Result{}, err
	}
	if !s.Returning {
		// A new process: what the reference visit taught is forgotten.
		b.memory, b.session = s.Profile.NewMemory(), nil
	}
	b.now = b.now.Add(time.Second)
	r, err := b.visit(s.Fault)
	if err == nil && r.Verdict == results.SavedByRetry && lower(r, reference) {
		r.Verdict = results.Downgraded
	}
	return r, err
}

// lower says whether the visit was served below the version of the undisturbed one.
func lower(r, reference Result) bool {
	return reference.Verdict == results.Fine && last(r).Version != last(reference).Version
}

func last(r Result) Attempt { return r.Attempts[len(r.Attempts)-1] }

// visit is one page load: attempts until one is served or the browser shows an error.
func (b *browser) visit(f Fault) (Result, error) {
	var r Result
	plan := b.memory.First()
	for n := 1; n <= mostAttempts; n++ {
		hit := f
		if n > f.Attempts {
			hit = Fault{}
		}
		a, failure, err := b.attempt(plan, hit)
		if err != nil {
			return r, err
		}
		r.Attempts = append(r.Attempts, a)
		if failure.Kind == profiles.FailNone {
			if words, refused := b.memory.Refuses(plan); refused {
				r.Verdict, r.UserSees = results.SawError, words.Shown
				return r, nil
			}
			r.Verdict = results.Fine
			if n > 1 {
				r.Verdict = results.SavedByRetry
			}
			return r, nil
		}
		d := b.memory.Failed(plan, failure)
		if d.DropSession {
			b.session = nil
		}
		if !d.Retry {
			r.Verdict, r.UserSees = results.SawError, d.UserSees
			return r, nil
		}
		plan, b.now = d.Next, b.now.Add(d.Delay)
	}
	return r, fmt.Errorf("%s against %s with %v: still trying after %d attempts", b.Profile.Name, b.Server.Name, f, mostAttempts)
}

// attempt is one connection.
func (b *browser) attempt(plan profiles.Plan, f Fault) (Attempt, profiles.Failure, error) {
	a := Attempt{Kind: plan.Kind, Offered: plan.MaxVersion.String(), SCSV: plan.SCSV, Alert: -1}
	client, err := b.client(plan, &a)
	if err != nil {
		return a, profiles.Failure{}, err
	}
	server := b.Server.conn(b.random)
	failed := b.exchange(client, server, f)
	if refusal := server.Err(); refusal != nil && !errors.Is(refusal, engine.ErrTruncated) {
		line := b.Server.stack.Queue(refusal)
		a.LogCode, a.LogLevel, a.LogReason = line.Code, line.Level, line.Reason
	}
	v := classify.Of(failed, classify.Handshaking)
	a.Class, a.Alert, a.Sender = v.Class, v.Alert, v.Sender
	facts := client.Facts()
	if failed == nil {
		a.Version, a.Resumed = facts.Version.String(), facts.Resumed.String()
		b.memory.Succeeded(plan, facts.Version)
		return a, profiles.Failure{}, nil
	}
	failure := profiles.Failure{Kind: failureKind[v.Class], Version: plan.MaxVersion, Negotiated: facts.Version,
		AwaitingServerHello: client.AwaitingServerHello(),
		NoCommonVersion:     errors.Is(failed, engine.ErrNoCommonVersion), UnofferedSuite: errors.Is(failed, engine.ErrUnofferedSuite)}
	if v.Alert >= 0 {
		failure.Alert = wire.AlertDescription(v.Alert)
	}
	if failure.Kind == profiles.FailNone {
		return a, failure, fmt.Errorf("%s against %s: an outcome that no browser knows: %w", b.Profile.Name, b.Server.Name, failed)
	}
	return a, failure, nil
}

// failureKind is what a class is to a browser.
var failureKind = map[results.Class]profiles.FailureKind{
	results.ClassReset: profiles.FailReset, results.ClassEOF: profiles.FailEOF, results.ClassHandshakeTimeout: profiles.FailTimeout,
	results.ClassPeerAlert: profiles.FailAlert, results.ClassLocalAlert: profiles.FailLocal, results.ClassCertificate: profiles.FailCertificate,
}

// client builds the attempt's hello and the engine behind it.
func (b *browser) client(plan profiles.Plan, a *Attempt) (*engine.Conn, error) {
	cfg := &engine.ClientConfig{ServerName: b.Server.host, Rand: b.random}
	p := profiles.HelloParams{ServerName: b.Server.host, Random: b.random, Now: b.now}
	plan.Params(&p)
	if s := b.session; s != nil && plan.SessionKey == b.key && b.Profile.MayOffer(plan, s.Version, s.Suite) {
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
		if a.Kind == profiles.KindFirst {
			a.Kind = results.KindResumed
		}
	}
	var shareErr error
	p.Shares = func(g wire.Group) []byte {
		share, err := keys.GenerateShare(g, b.random)
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

// mostFlights bounds an exchange: a handshake with a HelloRetryRequest and tickets has six.
const mostFlights = 24

// exchange carries bytes between the two until the client's handshake is over, with its tickets read, or
// somebody gives up. The error is what the client's network layer sees.
func (b *browser) exchange(client, server *engine.Conn, f Fault) error {
	at := stage.ClientHello
	for range mostFlights {
		out := client.AppendOutput(nil)
		if f.Action != "" && f.At == at && at != stage.ServerHello {
			return b.strike(client, server, f)
		}
		_ = server.Receive(b.now, out) // what it refuses is in its output, and in server.Err
		drain(server)
		if in := server.AppendOutput(nil); len(in) > 0 {
			if f.Action != "" && f.At == stage.ServerHello && at == stage.ClientHello {
				return b.strike(client, server, f)
			}
			if err := client.Receive(b.now, in); err != nil {
				_ = server.Receive(b.now, client.AppendOutput(nil)) // our alert, for the server's log
				return err
			}
			b.keep(client)
		} else if server.Err() != nil {
			return client.ReceiveEOF(b.now) // it closed without a word
		} else if client.HandshakeDone() {
			return nil
		}
		at = stage.Finished
	}
	return fmt.Errorf("no end after %d flights", mostFlights)
}

// strike is the fault, as the client feels it.
func (b *browser) strike(client, server *engine.Conn, f Fault) error {
	_ = server.ReceiveEOF(b.now)
	switch f.Action {
	case faults.Reset:
		return syscall.ECONNRESET
	case faults.FIN:
		return client.ReceiveEOF(b.now)
	}
	return classify.ErrTimeout
}

// keep drains the client's events and stores the session that a visit may leave.
func (b *browser) keep(client *engine.Conn) {
	manners := b.Profile.Manners().Sessions
	for e := client.Next(); e.Kind != engine.EventNone; e = client.Next() {
		if e.Kind != engine.EventSession {
			continue
		}
		s := e.Session
		if s.Version >= wire.TLS13 && manners.PSK || s.Version < wire.TLS13 && (len(s.Ticket) > 0 && manners.Ticket || len(s.ID) > 0 && manners.ID) {
			b.session, b.key = s, b.memory.First().SessionKey
		}
	}
}

func drain(c *engine.Conn) {
	for e := c.Next(); e.Kind != engine.EventNone; e = c.Next() {
	}
}
