// Package symptom reads what somebody reports - a browser's words, a server's log, a capture, a
// configuration - into signatures: the ways in which one failure shows itself.
//
// It owns the vocabulary of those reports, the readers, and the rule by which a signature is recognised
// again in what a trial or a run showed. It opens files, but no connection; it looks for no cause.
package symptom

import (
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/results"
)

// Origin is where a signature was seen.
type Origin string

const (
	User      Origin = "user"       // words of a person or of a client program
	ServerLog Origin = "server_log" // a line of a server's or of the kernel's log
	Capture   Origin = "capture"    // packets
)

// Signature is one way in which a failure shows itself, to a user, in a server's log, or on the wire.
// Empty fields are unknown and restrict nothing.
type Signature struct {
	Origin   Origin        `json:"origin"`
	Software string        `json:"software,omitempty"`  // firefox, chrome, safari, ie, …; of servers nginx, haproxy, apache, go
	UserSees string        `json:"user_sees,omitempty"` // in the words of the profiles ("ssl_error_no_cypher_overlap")
	Class    results.Class `json:"class,omitempty"`
	Alert    int           `json:"alert"` // -1: none or unknown
	Sender   string        `json:"alert_sender,omitempty"`
	Code     string        `json:"code,omitempty"`   // packed OpenSSL code, upper case
	Reason   string        `json:"reason,omitempty"` // "inappropriate fallback"
	Level    string        `json:"level,omitempty"`
	Stage    string        `json:"stage,omitempty"`
	Offered  string        `json:"offered_version,omitempty"` // by the client's hello, in a capture: the highest
	Text     string        `json:"text"`                      // one example, as it was reported

	Count   int64     `json:"count"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	PerS    float64   `json:"per_s,omitempty"`
	Clients int       `json:"clients,omitempty"` // distinct addresses; beyond 1024 within about 2 %

	PeakPerS int64    `json:"peak_per_s,omitempty"` // most in one second
	Servers  []string `json:"servers,omitempty"`    // as logs name them, eight at most
}

// Report is all that was handed in.
type Report struct {
	Signatures []Signature `json:"signatures"` // most telling first
	Hellos     []Hello     `json:"hellos,omitempty"`
	Config     string      `json:"config,omitempty"` // path of an nginx configuration, if one was given
	Lines      int64       `json:"lines,omitempty"`
	Unreadable int64       `json:"unreadable,omitempty"`

	Chains    []Chain  `json:"chains,omitempty"`    // connections of one client that belong together
	Mentioned []string `json:"mentioned,omitempty"` // browsers that prose names: "safari", "firefox 35"
	Notes     []string `json:"notes,omitempty"`     // what could not be made sense of, and what was left out
}

// Hello is a ClientHello of a capture and whose it looks like.
type Hello struct {
	Time     time.Time          `json:"time,omitzero"`
	Client   string             `json:"client,omitempty"`
	Server   string             `json:"server,omitempty"`
	Version  string             `json:"offered_version"`
	SCSV     bool               `json:"fallback_scsv,omitempty"`
	JA3      string             `json:"ja3,omitempty"`
	JA4      string             `json:"ja4,omitempty"`
	Profiles []string           `json:"profiles,omitempty"` // best first
	Hello    *hello.ClientHello `json:"-"`
	near     bool               // the first profile is likely
}
