package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// started is when the attempt's socket was opened.
func started(a *results.Attempt) time.Time {
	return a.Intended.Add(time.Duration(max(0, a.StartNs)))
}

// after is a moment of the attempt; ok is false where it was never reached. Moments count from the intended
// start.
func after(a *results.Attempt, ns int64) (t time.Time, ok bool) {
	return a.Intended.Add(time.Duration(ns)), ns >= 0
}

func ended(a *results.Attempt) time.Time {
	t, ok := after(a, a.EndNs)
	if !ok {
		return started(a)
	}
	return t
}

// who names the attempt: "firefox-35-osx, browser 12, connection 0, attempt 2 (fallback) to edge-1".
func who(a *results.Attempt) string {
	return fmt.Sprintf("%s, browser %d, connection %d, attempt %d (%s) to %s", a.Profile, a.Browser, a.Connection, a.Attempt, a.Kind, a.Edge)
}

// offer says what the hello offers.
func offer(a *results.Attempt) string {
	t := "offers " + a.OfferedVersion
	if a.SCSV {
		t += " with TLS_FALLBACK_SCSV"
	}
	if a.Asked != "" {
		t += ", asks to resume by " + strings.ReplaceAll(a.Asked, "_", " ")
	}
	return t
}

// outcome says how the attempt ended.
func outcome(a *results.Attempt) string {
	t := strings.ReplaceAll(string(a.Class), "_", " ")
	if a.Alert >= 0 {
		t += fmt.Sprintf(" %v (%d)", wire.AlertDescription(a.Alert), a.Alert)
		if a.Sender != "" {
			t += " by the " + a.Sender
		}
	}
	if a.Errno != "" {
		t += " " + a.Errno
	}
	if a.Class == results.ClassOK && a.Version != "" {
		t += ", " + a.Version
		if a.Suite != "" {
			t += " " + a.Suite
		}
		if a.Resumed != "" {
			t += ", resumed by " + strings.ReplaceAll(a.Resumed, "_", " ")
		}
	}
	return t
}

// sees says what the person in front of it got; empty where this attempt ended no page load.
func sees(a *results.Attempt) string {
	switch {
	case a.UserSees != "":
		return "the user sees " + a.UserSees
	case a.Page == "":
		return ""
	}
	return "the page load is " + strings.ReplaceAll(string(a.Page), "_", " ")
}

// logged words a line of an edge's error log.
func logged(e *results.ServerEvent) string {
	t := fmt.Sprintf("%s logs [%s]", e.Edge, e.Level)
	if e.Code != "" {
		t += " " + e.Code
	}
	return t + " " + e.Reason
}

// record is all that is known of one attempt.
type record struct {
	*results.Attempt
	firings        []faults.Firing
	events         []*results.ServerEvent
	upstream       *faults.Tuple // a relay's own connection for it
	client, server *flow         // nil: not seen
}

// records joins by key, in the order of the attempts' starts.
func records(j *results.Joined) []*record {
	byKey := map[faults.Key]*record{}
	var list []*record
	for i := range j.Attempts {
		r := &record{Attempt: &j.Attempts[i]}
		byKey[r.Key] = r
		list = append(list, r)
	}
	for i := range j.Firings {
		f := &j.Firings[i]
		if r := byKey[f.Key]; r != nil && f.HasKey {
			r.firings = append(r.firings, *f)
			if f.Upstream != nil {
				r.upstream = f.Upstream
			}
		}
	}
	for i := range j.Events {
		e := &j.Events[i]
		if r := byKey[e.Key]; r != nil && e.HasKey {
			r.events = append(r.events, &e.ServerEvent)
		}
	}
	slices.SortStableFunc(list, func(a, b *record) int { return cmp.Or(started(a.Attempt).Compare(started(b.Attempt))) })
	return list
}

// atServer is the connection's tuple as the edge knows it.
func (r *record) atServer() faults.Tuple {
	if r.upstream != nil {
		return *r.upstream
	}
	return r.Tuple
}

// marks comments the packets with which the attempt begins and ends.
func (r *record) marks() (list []mark) {
	a := r.Attempt
	begins := "ATTEMPT: " + who(a) + ": " + offer(a)
	if r.client != nil {
		list = append(list, mark{clientEnd, r.client.first, r.client.start, begins})
	}
	if r.server != nil {
		text := begins
		if r.upstream != nil {
			text += fmt.Sprintf(" (its own connection, %s to %s, ends at the relay, whose connection this is)", a.Tuple.Client, a.Tuple.Server)
		}
		list = append(list, mark{serverEnd, r.server.first, r.server.start, text})
	}
	if a.Class == results.ClassOK {
		return list
	}
	if s := r.client.lastBefore(ended(a).Add(time.Millisecond)); s != nil {
		text := "END: " + who(a) + " ends: " + outcome(a)
		if said := sees(a); said != "" {
			text += "; " + said
		}
		list = append(list, r.client.mark(s, text))
	}
	for _, e := range r.events {
		within := time.Millisecond
		if e.Time.Nanosecond() == 0 {
			within = time.Second // nginx's log has whole seconds
		}
		if s := r.server.lastBefore(e.Time.Add(within)); s != nil {
			list = append(list, r.server.mark(s, "LOG: "+logged(e)))
		}
	}
	return list
}

// lastBefore finds the last packet up to a time.
func (fl *flow) lastBefore(at time.Time) (last *sighting) {
	for _, s := range fl.from(0) {
		if !s.at.After(at) {
			last = s
		}
	}
	return last
}
