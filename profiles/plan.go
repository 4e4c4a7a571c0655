package profiles

import (
	"time"

	"tlsurge/profiles/wire"
)

// Kinds of Plan: the words of run.json's attempt_kind. A first attempt that offers a session is counted
// as "resumed" by whoever knows that there was one.
const (
	KindFirst    = "first"
	KindRetry    = "retry"    // the same offer again
	KindFallback = "fallback" // a lowered or weakened offer
)

// Plan is how one connection attempt is to be made. It is fixed when the socket is created: what other
// connections learn meanwhile does not change it.
type Plan struct {
	Kind       string
	MaxVersion wire.Version // highest version offered; never 0
	SCSV       bool         // mark the hello with TLS_FALLBACK_SCSV
	Variant    string       // a changed hello of the profile ("rc4", "no_extensions"); "" is none
	Resume     bool         // a stored session may be offered
	// SessionKey says which of the host's stored sessions: sessions made under another key are not
	// offered here, and those made here are stored under it.
	SessionKey string
	// Attempt counts the attempts of one request or page load, from 1.
	Attempt int
	// Cause is the failure that led here; Kind FailNone for a first attempt.
	Cause Failure
	// step is the position on the profile's list of fallback steps; 0 is its own hello.
	step int
}

// Params writes the plan into the parameters of its hello.
func (p Plan) Params(h *HelloParams) {
	h.MaxVersion, h.SCSV, h.Variant = p.MaxVersion, p.SCSV, p.Variant
}

// Decision is what the browser does about a failed attempt.
type Decision struct {
	Retry bool
	Next  Plan          // with Retry
	Delay time.Duration // before Next
	// NextAddress: the attempt goes to the next address that the resolver gave. Only after a failed TCP
	// connect; never after a TLS failure.
	NextAddress bool
	// DropSession: the session that the attempt offered is forgotten.
	DropSession bool
	// UserSees is what the error page says, in the browser's own terms; set when Retry is false.
	UserSees string
	// Wording is UserSees with the sentence that stands below it.
	Wording Wording
	// Reload is the delay after which the error page loads itself again, 0 for never. The load starts
	// with Memory.First.
	Reload time.Duration
}

// Wording is how a browser words a failure.
type Wording struct {
	Error    string // the browser's internal name, the one its retry rules speak of
	Shown    string // what the user reads as the error's name; never empty
	Sentence string // the sentence of the error page, where known
}

// Memory is what one browser process remembers of one host and port. It is not safe for concurrent use:
// its browser owns it.
type Memory struct {
	p          *Profile
	tolerant   wire.Version // highest maximum that a completed handshake offered; 0 none
	intolerant wire.Version // lowest maximum that is believed to break the server; 0 none
	weak       bool         // Firefox 38+: strong suites alone failed, offer RC4 too
	strong     bool         // a handshake without RC4 has worked
	pages      uint8        // error pages that load again: picks the delay
}

// NewMemory gives the memory of a fresh process.
func (p *Profile) NewMemory() *Memory { return &Memory{p: p} }

// First plans a new connection that is not a retry.
func (m *Memory) First() Plan { return m.p.behaviour.first(m) }

// Failed decides what follows on the failure of an attempt that was made by plan.
func (m *Memory) Failed(plan Plan, f Failure) Decision { return m.p.behaviour.failed(m, plan, f) }

// Refuses says whether the browser shows an error although the handshake of this plan succeeded: Chrome 45
// to 49 did so below a minimum for lowered offers. It is asked after Succeeded.
func (m *Memory) Refuses(plan Plan) (Wording, bool) { return m.p.behaviour.refuses(plan) }

// Succeeded records that the attempt made by plan completed its handshake at version negotiated.
func (m *Memory) Succeeded(plan Plan, negotiated wire.Version) {
	m.p.behaviour.succeeded(m, plan, negotiated)
}
