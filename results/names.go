package results

import (
	"fmt"
	"slices"
	"strings"
)

// Names are what the rows of a run can be called, as far as that is known before it begins. A nil list knows
// nothing.
type Names struct {
	Phases, Profiles, Edges, Faults []string
}

// of lists the names that a field of the rows of a list can have; nil where anything may stand there.
func (n *Names) of(list, field string) []string {
	switch {
	case field == "phase", list == "phases" && field == "name":
		return n.Phases
	case field == "profile":
		return n.Profiles
	case list == "edges" && field == "name", field == "resumer":
		return n.Edges
	case list == "faults" && field == "name":
		return n.Faults
	case field == "class":
		return classNames
	case field == "verdict":
		return []string{string(Fine), string(SavedByRetry), string(Downgraded), string(SawError)}
	}
	return nil
}

var classNames = []string{
	string(ClassOK), string(ClassConnectRefused), string(ClassConnectTimeout), string(ClassConnectReset), string(ClassReset),
	string(ClassEOF), string(ClassHandshakeTimeout), string(ClassPeerAlert), string(ClassLocalAlert), string(ClassCertificate),
	string(ClassRequestReset), string(ClassRequestEOF), string(ClassTruncated), string(ClassRequestTimeout), string(ClassHTTPStatus),
	string(ClassHTTPMalformed), string(ClassALPN), string(ClassNoResource),
}

// Fits tells whether a run with these names can have a row that the threshold's filters fit. The error names the
// filter that none fits, and what there is.
func (t Threshold) Fits(names Names) error {
	for _, s := range t.path.segments {
		left := map[string][]string{}
		for _, f := range s.filters {
			there := names.of(s.name, f.field)
			if there == nil {
				continue
			}
			if _, begun := left[f.field]; !begun {
				left[f.field] = there
			}
			left[f.field] = slices.DeleteFunc(slices.Clone(left[f.field]), func(name string) bool { return globMatches(f.glob, name) == f.not })
			if len(left[f.field]) > 0 {
				continue
			}
			op := "="
			if f.not {
				op = "!="
			}
			return &ThresholdError{t.Path, t.Condition, fmt.Sprintf("no row of %s can have %s%s%s", s.name, f.field, op, f.glob), strings.Join(there, ", ")}
		}
	}
	return nil
}
