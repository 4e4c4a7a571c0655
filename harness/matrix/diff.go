package matrix

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"

	"tlsurge/results"
)

// Change is how a cell differs from what it was.
type Change struct {
	Row               // as it is now
	Before *Row       `json:"before,omitempty"` // nil: it was not played before
	Change ChangeKind `json:"change"`
}

// ChangeKind says in which way.
type ChangeKind string

const (
	Worse  ChangeKind = "worse"
	Better ChangeKind = "better"
	Other  ChangeKind = "other" // the same for the user, by another way or in other words
	New    ChangeKind = "new"
)

// gravity orders what a user can get.
var gravity = map[results.PageVerdict]int{results.Fine: 0, results.SavedByRetry: 1, results.Downgraded: 2, results.SawError: 3}

type cell struct{ profile, stack, fault string }

func (r Row) cell() cell { return cell{r.Profile, r.Stack, r.Fault} }

// Diff keeps the cells that are not as they were. gone is how many were played before and are not now.
func Diff(before, now []Row) (changes []Change, gone int) {
	known := map[cell]Row{}
	for _, r := range before {
		known[r.cell()] = r
	}
	changes = []Change{}
	for _, r := range now {
		was, ok := known[r.cell()]
		delete(known, r.cell())
		switch {
		case !ok:
			changes = append(changes, Change{Row: r, Change: New})
		case was == r:
		default:
			c := Change{Row: r, Before: &was, Change: Other}
			if gravity[r.Verdict] > gravity[was.Verdict] {
				c.Change = Worse
			} else if gravity[r.Verdict] < gravity[was.Verdict] {
				c.Change = Better
			}
			changes = append(changes, c)
		}
	}
	return changes, len(known)
}

// Regressed says whether anybody is worse off: an error where there was none, a lower version, one more attempt.
func Regressed(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Change == Worse })
}

// Load reads a table that was written as JSON.
func Load(file string) ([]Row, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, inputf("%v", err)
	}
	var rows []Row
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&rows); err != nil {
		return nil, inputf("%s: not what 'tlsurge matrix --json' writes (is it a difference?): %v", file, err)
	}
	for i, r := range rows {
		if _, ok := gravity[r.Verdict]; !ok || r.Profile == "" || r.Stack == "" || r.Fault == "" {
			return nil, inputf("%s: row %d is not one that 'tlsurge matrix --json' writes", file, i+1)
		}
	}
	return rows, nil
}
