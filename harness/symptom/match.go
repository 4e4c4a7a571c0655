package symptom

import (
	"strings"

	"tlsurge/results"
)

// Observed is what a trial or a row of a run's outcomes showed. Empty fields were not seen; Alert is -1
// where there was none.
type Observed struct {
	Software string // the profile's browser, or the edge's server
	UserSees string
	Class    results.Class
	Alert    int
	Sender   string
	Code     string
	Reason   string
	Level    string
	Stage    string
}

// Matches says whether the observation is the signature's.
func (s Signature) Matches(o Observed) bool {
	return (s.UserSees == "" || strings.EqualFold(s.UserSees, o.UserSees)) &&
		(s.Class == "" || s.Class == o.Class) && (s.Alert < 0 || s.Alert == o.Alert) &&
		(s.Sender == "" || s.Sender == o.Sender) &&
		(s.Code == "" && (s.Reason == "" || strings.EqualFold(s.Reason, o.Reason)) || s.Code != "" && strings.EqualFold(s.Code, o.Code)) &&
		(s.Stage == "" || s.Stage == o.Stage)
}
