package repro

import (
	"cmp"
	"slices"

	"tlsurge/harness/symptom"
	"tlsurge/harness/trial"
	"tlsurge/profiles"
	"tlsurge/results"
)

// target is a signature that the search looks for.
type target struct {
	symptom.Signature
	index int // in the report
}

// telling says whether the signature names a failure of TLS or of the network, and not the traffic of a day.
func telling(s symptom.Signature) bool {
	if s.Ordinary() || s.Beyond() != "" {
		return false
	}
	return s.UserSees != "" || s.Code != "" || s.Alert >= 0 || s.Class != "" || s.Reason != ""
}

// mostTargets bounds what one report is searched for: a day's log of a large site names everything once.
const mostTargets = 8

// targets picks what to search for. A log of a large site names everything once, so what a particular cause
// explains comes before what only says that a connection ended, and both before what nobody here can explain (a
// scanner's plain HTTP, an upstream that is down).
func targets(r *symptom.Report) (list []target) {
	for i, s := range r.Signatures {
		if telling(s) {
			list = append(list, target{s, i})
		}
	}
	slices.SortStableFunc(list, func(a, b target) int { return cmp.Compare(causeOf(a.Signature), causeOf(b.Signature)) })
	return list[:min(len(list), mostTargets)]
}

// causeOf is the first cause that explains the signature; the number of causes where none does.
func causeOf(s symptom.Signature) int {
	for i := range causes {
		if causes[i].explains(s) {
			return i
		}
	}
	return len(causes)
}

// wanted are the targets that a search waits for: what users said and what a particular cause explains; where
// there is no such, what a plain one does; else all. The others are looked for on the way.
func wanted(list []target) (m mask) {
	var plain mask
	for i, t := range list {
		switch c := causeOf(t.Signature); {
		case c == len(causes):
		case t.Origin == symptom.User || !causes[c].plain:
			m |= 1 << i
		default:
			plain |= 1 << i
		}
	}
	switch {
	case m != 0:
		return m
	case plain != 0:
		return plain
	}
	return 1<<len(list) - 1
}

// by says whether the profile may be what the user had before him: package symptom knows which names of programs
// go together.
func (t target) by(profile string) bool {
	if t.Origin != symptom.User || t.Software == "" {
		return true
	}
	who := symptom.Signature{Origin: symptom.Capture, Software: t.Software, Class: results.ClassOK, Alert: -1}
	return who.Matches(symptom.Observed{Software: browserOf(profile), Class: results.ClassOK, Alert: -1})
}

// browserOf is the program behind a profile; nothing for a profile that is not built in.
func browserOf(profile string) string {
	p, err := profiles.Lookup(profile)
	if err != nil {
		return ""
	}
	return p.Browser
}

// shownBy is the attempt of a page load in memory that shows the signature, -1 where none does: what a user sees comes of the
// last that was not served, a line or a packet of the first that has it.
func (t target) shownBy(profile string, r trial.Result) int {
	if !t.by(profile) {
		return -1
	}
	switch t.Origin {
	case symptom.User:
		last := r.Attempts[len(r.Attempts)-1]
		if r.Verdict == results.SawError && t.Matches(symptom.Observed{UserSees: r.UserSees, Class: last.Class, Alert: last.Alert, Sender: last.Sender, Stage: last.Stage}) {
			return deciding(r.Attempts)
		}
		return -1
	case symptom.ServerLog:
		return slices.IndexFunc(r.Attempts, func(a trial.Attempt) bool {
			return a.LogReason != "" && t.Matches(symptom.Observed{Alert: -1, Code: a.LogCode, Reason: a.LogReason, Level: a.LogLevel})
		})
	}
	return slices.IndexFunc(r.Attempts, func(a trial.Attempt) bool {
		return a.Class != results.ClassOK && t.Matches(symptom.Observed{Class: a.Class, Alert: a.Alert, Sender: a.Sender, Stage: a.Stage, Offered: a.Offered})
	})
}

// Sighting is how often a run showed a signature.
type Sighting struct {
	Signature symptom.Signature `json:"signature"`
	Count     int64             `json:"count"`
	Where     []string          `json:"where,omitempty"` // "openssl-1.0.1j: firefox-35-osx"
}

// sightings counts the signature in a run.
func (t target) sightings(run *results.Run) Sighting {
	s := Sighting{Signature: t.Signature}
	add := func(n int64, phase, who string) {
		s.Count += n
		if w := phase + ": " + who; !slices.Contains(s.Where, w) {
			s.Where = append(s.Where, w)
		}
	}
	if t.Origin == symptom.ServerLog {
		for _, e := range run.Edges {
			for _, l := range e.LogLines {
				if t.Matches(symptom.Observed{Alert: -1, Code: l.Code, Reason: l.Reason, Level: l.Level}) {
					add(l.Count, e.Phase, e.Name)
				}
			}
		}
		return s
	}
	for _, o := range run.Outcomes {
		if o.Class == results.ClassOK || t.Origin == symptom.User && o.UserSees == "" || !t.by(o.Profile) {
			continue
		}
		if t.Matches(symptom.Observed{UserSees: o.UserSees, Class: o.Class, Alert: o.Alert, Sender: o.Sender, Stage: o.Stage}) {
			add(o.Count, o.Phase, o.Profile)
		}
	}
	return s
}

// lookup is a built-in profile; every name that reaches it is one.
func lookup(name string) *profiles.Profile {
	p, err := profiles.Lookup(name)
	if err != nil {
		panic("repro: " + err.Error())
	}
	return p
}
