package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tlsurge/results"
)

// act is one phase of a run with the rows that are about it.
type act struct {
	results.Phase
	number, of int
	users      []results.UserRow
	edges      []results.EdgeRow
	faults     []results.FaultRow
	chains     []results.Chain
}

// acts puts the rows of a run under their phases.
func acts(run *results.Run) []act {
	var list []act
	for i, p := range run.Phases {
		a := act{Phase: p, number: i + 1, of: len(run.Phases)}
		for _, u := range run.Users {
			if u.Phase == p.Name {
				a.users = append(a.users, u)
			}
		}
		for _, e := range run.Edges {
			if e.Phase == p.Name {
				a.edges = append(a.edges, e)
			}
		}
		for _, f := range run.Faults {
			if f.Phase == p.Name {
				a.faults = append(a.faults, f)
			}
		}
		for _, c := range run.Chains {
			if c.Phase == p.Name {
				a.chains = append(a.chains, c)
			}
		}
		list = append(list, a)
	}
	return list
}

// sum adds the rows of all browsers.
func sum(users []results.UserRow) results.UserRow {
	var t results.UserRow
	for _, u := range users {
		t.PageLoads += u.PageLoads
		t.Fine += u.Fine
		t.SavedByRetry += u.SavedByRetry
		t.Downgraded += u.Downgraded
		t.SawError += u.SawError
	}
	return t
}

// words counts what a browser's own words were, most frequent first.
type words struct {
	text  string
	count int64
}

func sorted(counts map[string]int64) []words {
	var list []words
	for w, n := range counts {
		list = append(list, words{w, n})
	}
	slices.SortFunc(list, func(a, b words) int { return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.text, b.text)) })
	return list
}

// way is a cause chain as a reader wants it: browsers that went the same way together, whatever rule
// set them on it.
type way struct {
	steps    []results.ChainStep
	verdict  results.PageVerdict
	userSees string
	count    int64
	profiles map[string]int64
	causes   map[string]int64 // by the fault's name
	kinds    map[string]int64 // of the struck attempt: first, resumed
	blows    map[string]int64 // how it ended: "TCP reset at server_hello"
	logs     map[string]int64 // what the edge logged about it
}

// ending is all ways that end in the same thing for the user.
type ending struct {
	verdict  results.PageVerdict
	userSees string
	count    int64
	ways     []way
}

// endings groups chains by what the user got, errors first, then by how many.
func endings(chains []results.Chain) []ending {
	index := map[string]int{}
	var list []ending
	for _, w := range ways(chains) {
		key := string(w.verdict) + "\n" + w.userSees
		i, ok := index[key]
		if !ok {
			i = len(list)
			index[key] = i
			list = append(list, ending{verdict: w.verdict, userSees: w.userSees})
		}
		list[i].count += w.count
		list[i].ways = append(list[i].ways, w)
	}
	slices.SortStableFunc(list, func(a, b ending) int {
		return cmp.Or(cmp.Compare(rank(a.verdict), rank(b.verdict)), cmp.Compare(b.count, a.count))
	})
	return list
}

// rank orders what a page load was, the worst first.
func rank(v results.PageVerdict) int {
	return slices.Index([]results.PageVerdict{results.Fine, results.SavedByRetry, results.Downgraded, results.SawError}, v) * -1
}

// ways groups chains by what happened after the first blow, the most frequent first.
func ways(chains []results.Chain) []way {
	index := map[string]int{}
	var list []way
	for _, c := range chains {
		key := wayKey(c)
		i, ok := index[key]
		if !ok {
			i = len(list)
			index[key] = i
			list = append(list, way{steps: c.Steps, verdict: c.Verdict, userSees: c.UserSees,
				profiles: map[string]int64{}, causes: map[string]int64{},
				kinds: map[string]int64{}, blows: map[string]int64{}, logs: map[string]int64{}})
		}
		w := &list[i]
		w.count += c.Count
		w.profiles[c.Profile] += c.Count
		w.causes[c.Fault] += c.Count
		w.kinds[c.Steps[0].Kind] += c.Count
		w.blows[endWords(c.Steps[0])] += c.Count
		if l := logLine(c.Steps[0]); l != "" {
			w.logs[l] += c.Count
		}
	}
	slices.SortStableFunc(list, func(a, b way) int { return cmp.Compare(b.count, a.count) })
	return list
}

// struck tells whether a step is the attempt that was hit, with others following it: how it ended, and
// whether it offered a session, is then counted apart, so that a reset and a close that lead to the
// same retry are one way.
func struck(i int, steps []results.ChainStep) bool {
	return i == 0 && len(steps) > 1 && !steps[0].Remembered
}

func wayKey(c results.Chain) string {
	parts := []string{string(c.Verdict), c.UserSees}
	for i, s := range c.Steps {
		if struck(i, c.Steps) {
			parts = append(parts, s.Offered, fmt.Sprint(s.SCSV))
		} else {
			parts = append(parts, offerWords(s), endWords(s), s.ServerLogs)
		}
	}
	return strings.Join(parts, "\n")
}

// told is one step of a way, in words.
type told struct {
	offer, end string
	logs       []words // what the edge logged, with counts where there were several
	code       string  // the packed code of that line, if it has one
	bad        bool
}

// tell words the steps of a way.
func (w way) tell() []told {
	var list []told
	for i, s := range w.steps {
		step := told{offer: offerWords(s), end: endWords(s), code: s.ServerLogs, bad: s.Class != results.ClassOK}
		if struck(i, w.steps) {
			kinds := sorted(w.kinds)
			s.Kind = kinds[0].text
			for _, k := range kinds[1:] {
				s.Kind += "/" + k.text
			}
			step.offer, step.end, step.logs, step.code = offerWords(s), counted(sorted(w.blows)), sorted(w.logs), ""
		} else if l := logLine(s); l != "" {
			step.logs = []words{{l, w.count}}
		}
		list = append(list, step)
	}
	return list
}

// counted lists words with their counts, or the only one without.
func counted(list []words) string {
	if len(list) == 1 {
		return list[0].text
	}
	return listed(list, " × ")
}
