package results

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
)

// The join finds out which fault stands behind each attempt and what the edge logged about it.
//
//	firing  -> attempt   by key where the engine knew it, else by 4-tuple
//	event   -> attempt   by 4-tuple; behind a relay, by the relay's own connection to the edge; where a real
//	                     server's log tells no port, by the client's address and the time
//	attempt -> fault     its own firing; where it continues a chain, the firing at the chain's origin
//
// It is a pure function of its inputs and their order does not matter.
type join struct {
	attempts []Attempt
	firings  []faults.Firing
	events   []ServerEvent

	byKey   map[faults.Key]int // index into attempts
	byTuple map[faults.Tuple][]*seen
	byHost  map[faults.Tuple][]*seen        // with the client's port 0: all that a real server's log says of it
	own     map[faults.Key][]*faults.Firing // the firings that hit an attempt, root cause first
	logged  map[int][]*ServerEvent          // the lines about an attempt, in order of time
	order   map[string]int                  // phase name -> position in the run

	claimed int // failed attempts that name a fault the ledger does not have
}

// seen is a connection that once had a 4-tuple: ports come back within a long run.
type seen struct {
	start, end time.Time
	key        faults.Key
}

// clockGrain is how much too early a time may look: nginx's log has whole seconds.
const clockGrain = time.Second

func newJoin(phases []string, attempts []Attempt, firings []faults.Firing, events []ServerEvent) *join {
	j := &join{
		attempts: slices.Clone(attempts), firings: slices.Clone(firings), events: slices.Clone(events),
		byKey: map[faults.Key]int{}, byTuple: map[faults.Tuple][]*seen{}, byHost: map[faults.Tuple][]*seen{},
		own: map[faults.Key][]*faults.Firing{}, logged: map[int][]*ServerEvent{}, order: map[string]int{},
	}
	for i, name := range phases {
		j.order[name] = i
	}
	j.index()
	j.joinFirings()
	j.joinEvents()
	j.nameFaults()
	return j
}

// index sorts the attempts and makes them findable.
func (j *join) index() {
	slices.SortStableFunc(j.attempts, func(a, b Attempt) int {
		return cmp.Or(j.compareKeys(a.Key, b.Key), a.Intended.Compare(b.Intended))
	})
	for i := range j.attempts {
		a := &j.attempts[i]
		start := a.Intended.Add(time.Duration(max(0, a.StartNs)))
		if _, twice := j.byKey[a.Key]; !twice {
			j.byKey[a.Key] = i
		}
		j.remember(a.Tuple, &seen{start, a.ended(), a.Key})
	}
}

func (j *join) compareKeys(a, b faults.Key) int {
	return cmp.Or(cmp.Compare(j.order[a.Phase], j.order[b.Phase]), cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Browser, b.Browser),
		cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Attempt, b.Attempt))
}

func plain(t faults.Tuple) faults.Tuple {
	unmap := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
	return faults.Tuple{Client: unmap(t.Client), Server: unmap(t.Server)}
}

func (j *join) remember(t faults.Tuple, s *seen) {
	if !t.Client.IsValid() {
		return
	}
	t = plain(t)
	j.byTuple[t] = append(j.byTuple[t], s)
	host := portless(t)
	j.byHost[host] = append(j.byHost[host], s)
}

// ended is when the attempt's connection was over; one that is open at the end of the run lasts beyond any line.
func (a *Attempt) ended() time.Time {
	if a.EndNs < 0 {
		return a.Intended.Add(24 * time.Hour)
	}
	return a.Intended.Add(time.Duration(a.EndNs))
}

// portless is all of the tuple that nginx's log tells.
func portless(t faults.Tuple) faults.Tuple {
	t.Client = netip.AddrPortFrom(t.Client.Addr(), 0)
	return t
}

// find gives the connection that had the tuple at a time: the last one to start before it.
func (j *join) find(t faults.Tuple, phase string, at time.Time) (faults.Key, bool) {
	if t.Client.Port() == 0 {
		return j.findByHost(t, phase, at)
	}
	var best *seen
	for _, s := range j.byTuple[plain(t)] {
		if phase != "" && s.key.Phase != phase || s.start.After(at.Add(clockGrain)) {
			continue
		}
		if best == nil || s.start.After(best.start) {
			best = s
		}
	}
	if best == nil {
		return faults.Key{}, false
	}
	return best.key, true
}

// lineDelay is how long after a connection's end a busy server may still write its line about it.
const lineDelay = 2 * time.Second

// findByHost gives the one attempt that came from the address at that time. Where there were several, nobody knows:
// agents that load a real server change their address from connection to connection.
func (j *join) findByHost(t faults.Tuple, phase string, at time.Time) (key faults.Key, ok bool) {
	for _, s := range j.byHost[portless(plain(t))] {
		if phase != "" && s.key.Phase != phase || s.start.After(at.Add(clockGrain)) || s.end.Add(lineDelay).Before(at) {
			continue
		}
		if ok && s.key != key {
			return faults.Key{}, false
		}
		key, ok = s.key, true
	}
	return key, ok
}

// joinFirings gives every firing its key and every hit attempt its firings.
func (j *join) joinFirings() {
	slices.SortStableFunc(j.firings, compareFirings)
	// Those that know their attempt come first: a relay's tells under which tuple the edge saw it.
	for i := range j.firings {
		f := &j.firings[i]
		if !f.HasKey && f.Upstream != nil {
			f.Key, f.HasKey = j.find(f.Tuple, f.Key.Phase, f.Time)
		}
		if f.HasKey && f.Upstream != nil {
			start, end := f.Time, f.Time
			if a, ok := j.byKey[f.Key]; ok {
				start, end = j.attempts[a].Intended, j.attempts[a].ended()
			}
			j.remember(*f.Upstream, &seen{start, end, f.Key})
		}
	}
	for i := range j.firings {
		f := &j.firings[i]
		if !f.HasKey {
			phase := f.Key.Phase
			if f.Key, f.HasKey = j.find(f.Tuple, phase, f.Time); !f.HasKey {
				f.Key.Phase = phase
			}
		}
	}
	slices.SortStableFunc(j.firings, func(a, b faults.Firing) int {
		return cmp.Or(j.compareKeys(a.Key, b.Key), cmp.Compare(a.Rule, b.Rule), compareFirings(a, b))
	})
	for i := range j.firings {
		if f := &j.firings[i]; f.HasKey {
			j.own[f.Key] = append(j.own[f.Key], f)
		}
	}
	for _, fs := range j.own {
		slices.SortStableFunc(fs, rootFirst)
	}
}

func compareFirings(a, b faults.Firing) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Key.Browser, b.Key.Browser),
		cmp.Compare(a.Key.Connection, b.Key.Connection), cmp.Compare(a.Key.Attempt, b.Key.Attempt), a.Tuple.Client.Compare(b.Tuple.Client))
}

// rootFirst orders the firings that hit one connection. A handshake deadline that runs out because
// another rule kept the bytes from the edge is that rule's consequence, never the root.
func rootFirst(a, b *faults.Firing) int {
	consequence := func(f *faults.Firing) int {
		if faults.Action(f.Action) == faults.HandshakeDeadline {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(consequence(a), consequence(b)), a.Time.Compare(b.Time), cmp.Compare(a.Rule, b.Rule))
}

// joinEvents hangs each line of an error log on the attempt it is about.
func (j *join) joinEvents() {
	slices.SortStableFunc(j.events, func(a, b ServerEvent) int {
		return cmp.Or(cmp.Compare(j.order[a.Phase], j.order[b.Phase]), a.Time.Compare(b.Time), cmp.Compare(a.Edge, b.Edge),
			a.Tuple.Client.Compare(b.Tuple.Client), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Reason, b.Reason))
	})
	for i := range j.events {
		e := &j.events[i]
		key, ok := j.find(e.Tuple, e.Phase, e.Time)
		at, known := j.byKey[key]
		if !ok || !known {
			continue // a line about a good connection that is not in the evidence
		}
		j.logged[at] = append(j.logged[at], e)
	}
	for at, events := range j.logged {
		j.attempts[at].ServerLogs = codes(events)
	}
}

// Joined is the evidence of a finished run as the join left it: attempts in order of their keys with their
// root causes, firings and log lines with the attempts they belong to.
type Joined struct {
	Attempts []Attempt
	Firings  []faults.Firing
	Events   []JoinedEvent
}

// JoinedEvent is a line of an edge's log; HasKey is false where it is about no attempt of the evidence.
type JoinedEvent struct {
	ServerEvent
	Key    faults.Key
	HasKey bool
}

func (j *join) joined() *Joined {
	out := &Joined{Attempts: j.attempts, Firings: j.firings}
	about := map[*ServerEvent]faults.Key{}
	for at, events := range j.logged {
		for _, e := range events {
			about[e] = j.attempts[at].Key
		}
	}
	for i := range j.events {
		key, ok := about[&j.events[i]]
		out.Events = append(out.Events, JoinedEvent{j.events[i], key, ok})
	}
	return out
}

// codes lists the distinct packed codes of the lines, in the order they were written.
func codes(events []*ServerEvent) string {
	var list []string
	for _, e := range events {
		if code := strings.ToUpper(e.Code); code != "" && !slices.Contains(list, code) {
			list = append(list, code)
		}
	}
	return strings.Join(list, ",")
}

// nameFaults writes the root cause into every attempt.
func (j *join) nameFaults() {
	named := make([]string, len(j.attempts))
	for i := range j.attempts {
		root := j.root(j.attempts[i].Key)
		named[i] = j.ruleOf(root)
		if named[i] == "" {
			named[i] = j.ruleOf(j.attempts[i].Key)
		}
		if a := &j.attempts[i]; a.Fault != "" && a.Class != ClassOK && named[i] == "" {
			j.claimed++
		}
	}
	for i := range named {
		j.attempts[i].Fault = named[i]
	}
}

// root walks from an attempt to the one whose failure began its chain.
func (j *join) root(k faults.Key) faults.Key {
	for range 64 { // a chain is as long as a browser's patience; the bound breaks a circle
		i, ok := j.byKey[k]
		if !ok || !j.attempts[i].HasOrigin || j.attempts[i].Origin == k {
			return k
		}
		k = j.attempts[i].Origin
	}
	return k
}

// ruleOf is the rule that hit the attempt itself: by the ledger alone. What an agent armed and what
// struck are two things.
func (j *join) ruleOf(k faults.Key) string {
	if fs := j.own[k]; len(fs) > 0 {
		return fs[0].Rule
	}
	return ""
}

// stray counts the firings that no key or tuple leads to an attempt, rule by rule.
func (j *join) stray() []string {
	n := map[string]int{}
	for i := range j.firings {
		if !j.firings[i].HasKey {
			n[j.firings[i].Rule]++
		}
	}
	var list []string
	for _, rule := range slices.Sorted(maps.Keys(n)) {
		list = append(list, fmt.Sprintf("%d firings of %s", n[rule], rule))
	}
	return list
}
