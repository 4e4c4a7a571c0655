// Package trial plays one page load in memory and in virtual time: a profile's hellos, policies and words
// against a server personality, with a fault in between. No socket, no clock, no goroutine: thousands a
// second, and the same seed gives the same trial.
//
// It is for searching and for tables. What it finds is a claim about rules, not about a network: a recipe
// counts when the real fleet has confirmed it.
package trial

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/results"
)

// Setup is one trial.
type Setup struct {
	Profile *profiles.Profile
	Server  *Server
	Fault   Fault
	// More faults, which hit the attempts that those before them leave.
	More []Fault
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
	Stage     string        `json:"stage,omitempty"`    // the latest that bytes were seen of
	Hit       bool          `json:"hit,omitempty"`      // by a fault
	LogCode   string        `json:"log_code,omitempty"` // what the server logs, where its TLS library refused
	LogLevel  string        `json:"log_level,omitempty"`
	LogReason string        `json:"log_reason,omitempty"`
}

// Result is what came of the page load.
type Result struct {
	Attempts []Attempt           `json:"attempts"`
	Verdict  results.PageVerdict `json:"verdict"`
	UserSees string              `json:"user_sees,omitempty"` // with SawError
	Took     time.Duration       `json:"-"`                   // of virtual time
}

// mostAttempts ends a page load that never ends: no browser tries as often without showing an error.
const mostAttempts = 64

// visitor is the virtual browser of one trial.
type visitor struct {
	Setup
	memory  *profiles.Memory
	now     time.Time
	session *engine.Session
	key     string // the plan's SessionKey under which session was made
}

// began is when every trial begins: the second of the first line that the thread quotes.
var began = time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)

// Play plays the trial.
func Play(s Setup) (Result, error) {
	b := &visitor{Setup: s, memory: s.Profile.NewMemory(), now: began}
	s.Server.reset(b.stream(0))
	if s.Returning {
		if _, err := b.visit(nil); err != nil {
			return Result{}, err
		}
	}
	b.now = began.Add(time.Second)
	from := b.now
	r, err := b.visit(append([]Fault{s.Fault}, s.More...))
	r.Took = b.now.Sub(from)
	if err != nil || r.Verdict != results.SavedByRetry {
		return r, err
	}
	undisturbed, err := b.reference()
	if err == nil && lower(r, undisturbed) {
		r.Verdict = results.Downgraded
	}
	return r, err
}

// reference is the undisturbed first visit of this browser to this server, which is always the same. Only a visit
// that a retry saved is held against it.
func (b *visitor) reference() (Result, error) {
	if r, ok := b.Server.references[b.Profile.Name]; ok {
		return r, nil
	}
	b.Server.reset(b.stream(0))
	fresh := &visitor{Setup: b.Setup, memory: b.Profile.NewMemory(), now: began}
	r, err := fresh.visit(nil)
	if err == nil {
		b.Server.references[b.Profile.Name] = r
	}
	return r, err
}

// lower says whether the visit was served below the version of the undisturbed one.
func lower(r, reference Result) bool {
	return reference.Verdict == results.Fine && last(r).Version != last(reference).Version
}

func last(r Result) Attempt { return r.Attempts[len(r.Attempts)-1] }

// stream is the randomness of an attempt. Attempts that make the same offer draw the same bytes, so that a
// server asked to sign the same thing again need not compute it again (Authority).
func (b *visitor) stream(salt uint64) io.Reader { return stream(b.Seed, salt) }

func stream(of, salt uint64) io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], of)
	binary.LittleEndian.PutUint64(seed[8:], salt)
	return rand.NewChaCha8(seed)
}

// hits gives the fault of attempt n: the first that still hits it, as the first rule in order does in a run.
func hits(list []Fault, n int) Fault {
	for _, f := range list {
		if f.Action != "" && n <= max(f.Attempts, 1) {
			return f
		}
	}
	return Fault{}
}

// visit is one page load: attempts until one is served or the browser shows an error.
func (b *visitor) visit(list []Fault) (Result, error) {
	var r Result
	plan := b.memory.First()
	for n := 1; n <= mostAttempts; n++ {
		a, end, err := b.attempt(plan, hits(list, n))
		if err != nil {
			return r, err
		}
		r.Attempts = append(r.Attempts, a)
		if end.refused != "" {
			r.Verdict, r.UserSees = results.SawError, end.refused
			return r, nil
		}
		if end.failure.Kind == profiles.FailNone {
			r.Verdict = results.Fine
			if n > 1 {
				r.Verdict = results.SavedByRetry
			}
			return r, nil
		}
		d := b.memory.Failed(plan, end.failure)
		if d.DropSession {
			b.session = nil
		}
		if !d.Retry {
			r.Verdict, r.UserSees = results.SawError, d.UserSees
			return r, nil
		}
		plan, b.now = d.Next, b.now.Add(d.Delay)
	}
	return r, fmt.Errorf("%s against %s with %v: still trying after %d attempts", b.Profile.Name, b.Server.Name, list, mostAttempts)
}
