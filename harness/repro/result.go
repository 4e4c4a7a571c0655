package repro

import (
	"time"

	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// Result is what came of it.
type Result struct {
	Reproduced bool                `json:"reproduced"`
	Signatures []symptom.Signature `json:"signatures"`
	UserSees   string              `json:"user_sees"` // in the browser's words, as the confirming run had it
	Scenario   string              `json:"scenario"`  // the file that reproduces it
	Rate       *Rate               `json:"rate"`      // of the most telling signature
	Interval   *[2]float64         `json:"interval"`  // its 95 % interval

	// Unconfirmed is what was found and not shown on the fleet, where nothing was reproduced.
	Unconfirmed *Unconfirmed `json:"unconfirmed,omitempty"`

	// Alternatives are the causes that show the whole report, the likeliest first; the confirmed one is among them.
	Alternatives []Alternative `json:"alternatives,omitempty"`

	Cause   string          `json:"cause,omitempty"`
	Why     string          `json:"why,omitempty"`
	Recipe  *Recipe         `json:"recipe,omitempty"`
	Case    string          `json:"case,omitempty"`    // of the library, where that is the recipe
	Seen    []Sighting      `json:"seen"`              // in the confirming run, by signature
	NotSeen []string        `json:"not_seen"`          // signatures that the recipe does not show, and why not
	Chains  []results.Chain `json:"chains"`            // how it comes about
	Tried   int             `json:"candidates_tried"`  // until the one that was confirmed
	First   []string        `json:"first_candidates"`  // the ranking's first ones, in words
	Trials  int64           `json:"trials_in_memory"`  // page loads played
	Shrunk  []Step          `json:"shrunk"`            // what could be left out, and what could not
	Fix     *FixResult      `json:"fix,omitempty"`     // --fix
	Effects []Effect        `json:"what_if,omitempty"` // --what-if, the strongest first
	Run     string          `json:"run,omitempty"`     // directory of the confirming run
	// Evidence is a directory: packets of both ends with keys and comments, joined logs, a timeline; empty where
	// this machine records none.
	Evidence string        `json:"evidence,omitempty"`
	Dir      string        `json:"dir"`
	Seed     uint64        `json:"seed"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Notes    []string      `json:"notes"`
}
