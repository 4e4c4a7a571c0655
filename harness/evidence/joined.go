package evidence

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

// moment is one thing that happened to an attempt, and who tells of it: the client, a fault, an edge's log.
type moment struct {
	At       time.Time `json:"at"`
	AfterNs  int64     `json:"after_ns"` // of the attempt's start
	Who      string    `json:"who"`
	What     string    `json:"what"`
	Level    string    `json:"level,omitempty"` // who = server
	Code     string    `json:"code,omitempty"`
	Rule     string    `json:"rule,omitempty"` // who = fault
	priority int       // orders what has one time
}

// joinedLine is a line of joined.jsonl: an attempt with what both ends and the ledger say of it, in order of
// time; or a line of an edge's log about a connection that is none of the attempts.
type joinedLine struct {
	*faults.Key
	Profile  string        `json:"profile,omitempty"`
	Edge     string        `json:"edge"`
	Kind     string        `json:"attempt_kind,omitempty"`
	Tuple    faults.Tuple  `json:"tuple"`
	Upstream *faults.Tuple `json:"upstream,omitempty"` // a relay's own connection for it
	Class    results.Class `json:"class,omitempty"`
	UserSees string        `json:"user_sees,omitempty"`
	Fault    string        `json:"fault,omitempty"` // the root cause
	// First and last frame in client.pcapng and server.pcapng; absent: not captured.
	ClientFrames []int    `json:"client_frames,omitempty"`
	ServerFrames []int    `json:"server_frames,omitempty"`
	Events       []moment `json:"events"`

	start time.Time
}

// writeJoined writes the attempts with their events, and behind them the edges' lines that no attempt
// explains (a warm-up visit, a scanner).
func writeJoined(path string, recs []*record, j *results.Joined) error {
	var lines []joinedLine
	for _, r := range recs {
		lines = append(lines, r.line())
	}
	for i := range j.Events {
		if e := &j.Events[i]; !e.HasKey {
			lines = append(lines, joinedLine{Edge: e.Edge, Tuple: e.Tuple, start: e.Time,
				Events: []moment{{At: e.Time.UTC(), Who: "server", What: logged(&e.ServerEvent), Level: e.Level, Code: e.Code}}})
		}
	}
	slices.SortStableFunc(lines, func(a, b joinedLine) int { return a.start.Compare(b.start) })
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range lines {
		err = errors.Join(err, enc.Encode(&lines[i]))
	}
	return errors.Join(err, w.Flush(), f.Close())
}

func (r *record) line() joinedLine {
	a := r.Attempt
	return joinedLine{Key: &a.Key, Profile: a.Profile, Edge: a.Edge, Kind: a.Kind, Tuple: a.Tuple, Upstream: r.upstream, Class: a.Class,
		UserSees: a.UserSees, Fault: a.Fault, ClientFrames: r.client.frames(), ServerFrames: r.server.frames(), Events: r.moments(), start: started(a)}
}

func (fl *flow) frames() []int {
	if fl == nil {
		return nil
	}
	return []int{fl.first, fl.last}
}

// moments is the attempt's story in order of time.
func (r *record) moments() []moment {
	a := r.Attempt
	list := []moment{{At: started(a), Who: "client", What: "connects to " + a.Tuple.Server.String() + " and " + offer(a)}}
	add := func(ns int64, what string) {
		if t, ok := after(a, ns); ok {
			list = append(list, moment{At: t, Who: "client", What: what, priority: 1})
		}
	}
	add(a.ConnectedNs, "TCP is up")
	if a.HandshakeNs >= 0 {
		add(a.HandshakeNs, fmt.Sprintf("the handshake is complete: %s %s", a.Version, a.Suite))
	}
	for _, f := range r.firings {
		b := blow{Firing: f}
		list = append(list, moment{At: f.Time, Who: "fault", What: b.words(), Rule: f.Rule, priority: 2})
	}
	for _, e := range r.events {
		list = append(list, moment{At: e.Time, Who: "server", What: logged(e), Level: e.Level, Code: e.Code, priority: 3})
	}
	end := "ends: " + outcome(a)
	if said := sees(a); said != "" {
		end += "; " + said
	}
	list = append(list, moment{At: ended(a), Who: "client", What: end, priority: 4})
	slices.SortStableFunc(list, func(x, y moment) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.priority, y.priority))
	})
	for i := range list {
		list[i].AfterNs = list[i].At.Sub(started(a)).Nanoseconds()
		list[i].At = list[i].At.UTC()
	}
	return list
}
