package evidence

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/results"
)

// mostStories is how many browsers the picture shows.
const mostStories = 3

// story is one page load: the attempts that led to what the user got, and how many others went the same way.
type story struct {
	attempts []*record
	alike    int
}

func (s *story) last() *record { return s.attempts[len(s.attempts)-1] }

// path is what makes two page loads alike: the browser, and how each attempt went.
func (s *story) path() string {
	var b strings.Builder
	b.WriteString(s.last().Profile + s.last().UserSees)
	for _, r := range s.attempts {
		fmt.Fprintf(&b, "|%s %s %v %s %d %s", r.Kind, r.OfferedVersion, r.SCSV, r.Class, r.Alert, r.ServerLogs)
	}
	return b.String()
}

// gravity orders stories: what hurts a user most comes first.
func (s *story) gravity() int {
	switch s.last().Page {
	case results.SawError:
		return 0
	case results.Downgraded:
		return 1
	case results.SavedByRetry:
		return 2
	}
	if s.last().UserSees != "" {
		return 0
	}
	return 3
}

// stories picks the page loads to tell of: the gravest, then the most frequent, one of each kind, and each
// browser once before any comes twice.
func stories(recs []*record) []*story {
	byKey := map[faults.Key]*record{}
	groups := map[faults.Key][]*record{}
	for _, r := range recs {
		byKey[r.Key] = r
		k := r.Key
		k.Attempt = 0
		groups[k] = append(groups[k], r)
	}
	kinds := map[string]*story{}
	var list []*story
	for _, r := range recs { // in order of time, so that the first of its kind is the one shown
		k := r.Key
		k.Attempt = 0
		if r.Page == "" && r.UserSees == "" {
			continue
		}
		s := &story{attempts: upTo(groups[k], r)}
		if o := byKey[r.Origin]; r.HasOrigin && o != nil && !slices.Contains(s.attempts, o) && !started(o.Attempt).After(started(s.attempts[0].Attempt)) {
			s.attempts = append([]*record{o}, s.attempts...) // what the browser remembers
		}
		if kinds[s.path()] == nil {
			kinds[s.path()] = s
			list = append(list, s)
		}
		kinds[s.path()].alike++
	}
	slices.SortStableFunc(list, func(a, b *story) int {
		return cmp.Or(cmp.Compare(a.gravity(), b.gravity()), cmp.Compare(b.alike, a.alike), cmp.Compare(len(b.attempts), len(a.attempts)))
	})
	if len(list) == 0 {
		return nil
	}
	var picked, spare []*story
	shown := map[string]bool{}
	for _, s := range list {
		switch {
		case s.gravity() > list[0].gravity(): // lesser harm tells nothing where there is worse
		case shown[s.last().Profile]:
			spare = append(spare, s)
		default:
			shown[s.last().Profile] = true
			picked = append(picked, s)
		}
	}
	picked = append(picked, spare...)
	return picked[:min(len(picked), mostStories)]
}

// upTo are the attempts of a chain that ends with last: those of its connection since the page load began.
func upTo(group []*record, last *record) (list []*record) {
	for _, r := range group {
		if r.Attempt.Attempt > last.Attempt.Attempt {
			continue
		}
		list = append(list, r)
		if r != last && (r.Page != "" || r.UserSees != "") {
			list = nil // another page load before
		}
	}
	return list
}

// writeTimeline draws the stories; without any there is no picture.
func writeTimeline(path string, recs []*record) error {
	list := stories(recs)
	if len(list) == 0 {
		return nil
	}
	return os.WriteFile(path, []byte(draw(list)), 0o600)
}

// rows of the picture, top to bottom.
type rowKind int

const (
	rowHead  rowKind = iota // an attempt begins
	rowRight                // browser to edge
	rowLeft                 // edge to browser
	rowFault
	rowLog
	rowWait
	rowEnd
)

type row struct {
	kind   rowKind
	at     time.Duration // since the story began; rowWait: how long
	text   string
	more   string // second line
	cut    bool   // the arrow ends at the fault, or begins there
	bad    bool
	silent bool // rowLeft: nothing comes
}

// rows tells the story.
func (s *story) rows() (list []row) {
	begin := started(s.attempts[0].Attempt)
	var before *record
	for _, r := range s.attempts {
		a := r.Attempt
		if before != nil {
			list = append(list, row{kind: rowWait, at: max(0, started(a).Sub(ended(before.Attempt)))})
		}
		before = r
		where := "to " + a.Edge + ", " + r.atServer().Server.String()
		if r.upstream != nil {
			where += " through a relay"
		}
		list = append(list, row{kind: rowHead, at: started(a).Sub(begin),
			text: fmt.Sprintf("attempt %d: %s", a.Attempt, a.Kind), more: where})
		list = append(list, r.exchange(begin)...)
	}
	a := s.last().Attempt
	end := row{kind: rowEnd, at: ended(a).Sub(begin), text: sees(a), bad: s.gravity() == 0}
	return append(list, end)
}

// struckAt words a firing: "reset at client_hello".
func struckAt(f *faults.Firing) string {
	if f.Stage == "" || f.Stage == stage.None.String() {
		return f.Action
	}
	return f.Action + " at " + f.Stage
}

// exchange is what went to and fro in one attempt, as far as it is known.
func (r *record) exchange(begin time.Time) (list []row) {
	a := r.Attempt
	hello := row{kind: rowRight, text: "ClientHello, " + a.OfferedVersion, at: started(a).Sub(begin)}
	if t, ok := after(a, a.ConnectedNs); ok {
		hello.at = t.Sub(begin)
	} else {
		hello.text = "SYN"
	}
	if a.SCSV {
		hello.more = "with TLS_FALLBACK_SCSV"
	} else if a.Asked != "" {
		hello.more = "offers a session (" + strings.ReplaceAll(a.Asked, "_", " ") + ")"
	}
	var struck *faults.Firing
	if len(r.firings) > 0 {
		struck = &r.firings[0]
	}
	early := struck != nil && struck.Direction == stage.ClientToServer.String() && (struck.Stage == stage.Syn.String() || struck.Stage == stage.ClientHello.String())
	hello.cut = early
	list = append(list, hello)
	blows := make([]row, 0, len(r.firings))
	for _, f := range r.firings {
		blows = append(blows, row{kind: rowFault, at: f.Time.Sub(begin), text: struckAt(&f), more: "rule " + f.Rule})
	}
	logs := make([]row, 0, len(r.events))
	for _, e := range r.events {
		if e.Code == "" && a.Class == results.ClassOK {
			continue // the ordinary end of a good connection
		}
		logs = append(logs, row{kind: rowLog, at: e.Time.Sub(begin), text: strings.TrimSpace("[" + e.Level + "] " + e.Code), more: e.Reason, bad: e.Level == "crit" || e.Level == "alert" || e.Level == "error"})
	}
	answer := row{kind: rowLeft, at: ended(a).Sub(begin), text: outcome(a), bad: a.Class != results.ClassOK, cut: struck != nil && a.Class != results.ClassOK && a.Alert < 0}
	switch {
	case a.Class == results.ClassOK:
		answer.text = "served: " + strings.TrimPrefix(outcome(a), "ok, ")
		if t, ok := after(a, a.HandshakeNs); ok {
			answer.at = t.Sub(begin)
		}
	case a.Sender == "client":
		answer.kind = rowRight
	case strings.HasSuffix(string(a.Class), "_timeout"):
		answer.silent, answer.text = true, "nothing comes: "+outcome(a)
	}
	if answer.kind == rowLeft && !answer.cut && !answer.silent {
		// The edge wrote its lines when it refused, before or after something befell its answer.
		between := append(logs, blows...)
		slices.SortStableFunc(between, func(x, y row) int { return cmp.Compare(x.at, y.at) })
		return append(append(list, between...), answer)
	}
	return append(append(append(list, blows...), answer), logs...)
}
