package results

import (
	"cmp"
	"encoding/json"
	"slices"

	"tlsurge/faults"
)

// chainsTable walks every attempt that a fault stands behind, from the attempt it hit along retries,
// fallbacks and the browser's memory to what the user saw, and counts equal walks together.
func (j *join) chainsTable() []Chain {
	count := map[string]*Chain{}
	for start := 0; start < len(j.attempts); {
		end := start + 1
		for end < len(j.attempts) && sameConnection(j.attempts[start].Key, j.attempts[end].Key) {
			end++
		}
		for _, c := range j.chainsOf(start, end) {
			p, err := json.Marshal(c)
			if err != nil {
				panic("results: a chain does not encode: " + err.Error()) // cannot happen: strings and numbers
			}
			if count[string(p)] == nil {
				count[string(p)] = c
			}
			count[string(p)].Count++
		}
		start = end
	}
	chains := []Chain{}
	texts := map[*Chain]string{}
	var list []*Chain
	for text, c := range count {
		texts[c] = text
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *Chain) int {
		return cmp.Or(comparePhases(j.order, a.Phase, b.Phase), cmp.Compare(a.Profile, b.Profile), cmp.Compare(b.Count, a.Count), cmp.Compare(texts[a], texts[b]))
	})
	for _, c := range list {
		chains = append(chains, *c)
	}
	return chains
}

func sameConnection(a, b faults.Key) bool {
	return a.Phase == b.Phase && a.Browser == b.Browser && a.Connection == b.Connection
}

// chainsOf gives the chains among the attempts of one connection, [start, end): runs of attempts with
// one root cause.
func (j *join) chainsOf(start, end int) (chains []*Chain) {
	for start < end {
		first := &j.attempts[start]
		if first.Fault == "" {
			start++
			continue
		}
		root := j.root(first.Key)
		c := &Chain{Phase: first.Phase, Profile: first.Profile, Fault: first.Fault}
		if fs := j.own[root]; len(fs) > 0 {
			c.Action, c.At = fs[0].Action, fs[0].Stage
		}
		for start < end && j.attempts[start].Fault == first.Fault && j.root(j.attempts[start].Key) == root {
			c.add(j, start, !sameConnection(root, j.attempts[start].Key))
			start++
		}
		if !c.unharmed() {
			chains = append(chains, c)
		}
	}
	return chains
}

// unharmed: a fault struck the attempt, and nobody noticed: an idle connection that was closed, a
// packet that was sent again. The faults table counts it; a way to the user it is not.
func (c *Chain) unharmed() bool {
	return len(c.Steps) == 1 && c.Steps[0].Class == ClassOK && !c.Steps[0].Remembered && (c.Verdict == "" || c.Verdict == Fine)
}

// add appends an attempt. The last one added decides what the user saw.
func (c *Chain) add(j *join, i int, remembered bool) {
	a := &j.attempts[i]
	step := ChainStep{
		Kind: a.Kind, Offered: a.OfferedVersion, SCSV: a.SCSV, Class: a.Class, Alert: a.Alert, Sender: a.Sender, Stage: a.Stage,
		Version: a.Version, ServerLogs: a.ServerLogs, Remembered: remembered,
	}
	for _, e := range j.logged[i] {
		if a.Class == ClassOK && e.Code == "" {
			continue // the ordinary end of a good connection
		}
		if e.Code != "" || step.LogReason == "" {
			step.LogLevel, step.LogReason = e.Level, e.Reason
		}
		if e.Code != "" {
			break
		}
	}
	c.Steps = append(c.Steps, step)
	c.UserSees, c.Verdict = a.UserSees, a.Page
	if c.Verdict == "" && a.UserSees != "" {
		c.Verdict = SawError
	}
}
