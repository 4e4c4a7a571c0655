package repro

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tlsurge/harness/cases"
	"tlsurge/harness/symptom"
	"tlsurge/harness/trial"
	"tlsurge/results"
)

// Alternative is a cause that shows the whole report, in memory.
type Alternative struct {
	Cause  string `json:"cause"`
	Why    string `json:"why"`
	Recipe string `json:"recipe,omitempty"` // in words
	Case   string `json:"case,omitempty"`   // of the library, instead
	// What tells it from the others.
	Alert     int    `json:"alert"` // of the attempt that decided; -1: none
	Sender    string `json:"alert_sender,omitempty"`
	Logs      string `json:"server_logs,omitempty"` // "[info] 0A0000C1 no shared cipher"
	Browser   string `json:"browser"`               // the likeliest that shows it
	Confirmed bool   `json:"confirmed,omitempty"`   // on the fleet
	reason    string // of Logs, which libraries of several years share
	Old       bool   `json:"old,omitempty"` // only by browsers years older than the report
}

// mechanism is what a server or a browser did, where nothing was damaged: a rule of ranking is a place to look,
// and what was found there may be its neighbour.
type mechanism struct {
	name, why string
	words     *regexp.Regexp // in what the server logs
	alerts    []int
}

var mechanisms = []mechanism{
	{"nothing to sign with", "below TLS 1.2 a server signs with MD5 and SHA-1, and OpenSSL 3 counts that as too weak for any security level but 0: it chooses the old " +
		"version and then cannot sign", regexp.MustCompile(`no suitable (signature|digest)`), nil},
	{"no suite in common", "browser and server know no cipher suite, or kind of key, in common", regexp.MustCompile(`no shared cipher|no ciphers`), nil},
	{noVersion, "the server no longer speaks any version of TLS that the browser offers",
		regexp.MustCompile(`unsupported protocol|unknown protocol|version too low|wrong (ssl )?version|wrong version`), []int{70}},
	{"no group in common", "the server knows none of the browser's key exchange groups", regexp.MustCompile(`key share|no suitable key|shared group`), nil},
	{"name refused", "the server has no certificate for the name that was asked for", regexp.MustCompile(`unrecognized name|rejected`), []int{112}},
	{"no application protocol in common", "the server speaks none of the protocols that the client offers by ALPN", regexp.MustCompile(`application protocol`), []int{120}},
}

const noVersion = "no version in common"

// of says which mechanism a hit shows; the candidate's own cause where a fault did it, or where none is known.
func (c Candidate) of(h hit) (name, why string) {
	if len(c.Recipe.Faults) > 0 || c.Case != "" {
		return c.Cause, c.Why
	}
	for _, m := range mechanisms {
		switch {
		case (h.end.LogReason == "" || !m.words.MatchString(strings.ToLower(h.end.LogReason))) && !slices.Contains(m.alerts, h.end.Alert):
		case m.name == noVersion && h.ahead:
			return "no version in common, the server is too old", "the browser no longer speaks any version of TLS that the server has left"
		case m.name == noVersion:
			return "no version in common, the browser is too old", m.why
		default:
			return m.name, m.why
		}
	}
	return c.Cause, c.Why
}

// mostSurveyed bounds how many candidates are played for what else a report may be, and mostAlternatives how many
// of them are told, of one cause the first.
const (
	mostSurveyed     = 80
	mostAlternatives = 8
	mostOfACause     = 2
)

// survey plays the ranked causes behind the one that was confirmed: an error's name alone often has several.
//
// First visits are enough for that.
func (t *task) survey(ctx context.Context) {
	t.search.people = slices.DeleteFunc(slices.Clone(t.search.people), func(v Visitor) bool { return v.Returning })
	for t.search.count < mostSurveyed && t.left() > t.reserve() {
		c, ok := t.search.next(ctx)
		if !ok || c.Cause == enumerated {
			break
		}
		t.Progress.Tick(t.search.count, "what else it may be: "+c.String(), t.share())
		if c.shows&t.search.want() == t.search.want() {
			t.complete = append(t.complete, c)
		}
	}
	var first, rest, old, shelf []Alternative
	for _, c := range t.complete {
		a := t.alternative(c)
		switch {
		case c.number == t.number && t.recipe != nil:
			a.Confirmed, a.Recipe, a.Old = true, t.recipe.words(), false
			first = append(first, a)
		case a.Old:
			old = append(old, a)
		default:
			rest = append(rest, a)
		}
	}
	for _, c := range t.library() {
		a := t.ofLibrary(c)
		own := t.kase != nil && t.kase.Name == c.Name
		if !own && slices.ContainsFunc(t.result.Chains, func(w results.Chain) bool {
			return slices.ContainsFunc(w.Steps, func(s results.ChainStep) bool { return a.reason != "" && s.LogReason == a.reason })
		}) {
			continue // the confirmed chain goes through the case's own line
		}
		if own {
			a.Confirmed = true
			first = append(first, a)
			continue
		}
		if t.literal(c) {
			rest = slices.Insert(rest, 0, a)
		} else {
			shelf = append(shelf, a)
		}
	}
	for _, a := range slices.Concat(first, rest, old, shelf) {
		of := 0
		for _, b := range t.result.Alternatives {
			if a.Cause == b.Cause {
				of++
			}
		}
		if of < mostOfACause && len(t.result.Alternatives) < mostAlternatives && !slices.ContainsFunc(t.result.Alternatives, a.like) {
			t.result.Alternatives = append(t.result.Alternatives, a)
		}
	}
}

// ofLibrary is a case as one of several causes.
func (t *task) ofLibrary(c *cases.Case) Alternative {
	a := Alternative{Cause: c.Title, Why: strings.Join(strings.Fields(c.Mechanism), " "), Case: c.Name, Alert: -1}
	for _, e := range c.Expect {
		if e.Origin == symptom.ServerLog && a.Logs == "" {
			a.reason = e.Reason
			a.Logs = strings.Join(strings.Fields(e.Code+" "+e.Reason), " ")
			if e.Level != "" {
				a.Logs = "[" + e.Level + "] " + a.Logs
			}
		}
		if slices.ContainsFunc(t.targets, func(g target) bool { return g.expected(e) }) && e.Class == results.ClassPeerAlert {
			a.Alert = e.Alert
		}
	}
	return a
}

// like says whether two alternatives are one as far as anybody could tell. A case of the library that expects the
// line of a cause that is already told is that cause.
func (a Alternative) like(b Alternative) bool {
	if a.Case != "" || b.Case != "" {
		return a.reason != "" && a.reason == b.reason
	}
	return a.Cause == b.Cause && a.Alert == b.Alert && a.reason == b.reason
}

func (t *task) alternative(c tried) Alternative {
	r := c.Recipe
	r.Visitors, _, _ = choose(c.hits, t.search.want())
	first := c.hits[slices.IndexFunc(c.hits, func(h hit) bool { return h.visitor == r.Visitors[0] })]
	a := Alternative{Recipe: r.words(), Alert: first.end.Alert, Sender: first.end.Sender, Browser: r.Visitors[0].Profile, Old: t.unlikely(c)}
	a.Cause, a.Why = c.of(first)
	a.reason = first.end.LogReason
	a.Logs = strings.Join(strings.Fields(first.end.LogCode+" "+first.end.LogReason), " ")
	if a.Logs != "" && first.end.LogLevel != "" {
		a.Logs = "[" + first.end.LogLevel + "] " + a.Logs
	}
	return a
}

// otherLines are the causes besides the one that was shown, and what would tell them apart.
func (r *Result) otherLines() (lines []string) {
	if len(r.Alternatives) < 2 {
		return nil
	}
	for i, a := range r.Alternatives {
		line := fmt.Sprintf("%d. %s: %s", i+1, a.Cause, a.Recipe)
		if a.Case != "" {
			line = fmt.Sprintf("%d. %s", i+1, a.Cause)
		}
		switch {
		case a.Confirmed:
			line += " (the one above, shown on the fleet)"
		case a.Case != "":
			line += " (in the library: tlsurge repro --case " + a.Case + ")"
		case a.Old:
			line += " (in memory, by browsers of years before the report)"
		default:
			line += " (in memory)"
		}
		lines = append(lines, line)
	}
	return append(lines, r.apart()...)
}

// apart says which further evidence would decide.
func (r *Result) apart() (lines []string) {
	differ := func(of func(Alternative) string) (words []string, yes bool) {
		seen := map[string]bool{}
		for i, a := range r.Alternatives {
			if w := of(a); w != "" {
				seen[w] = true
				words = append(words, fmt.Sprintf("%s for %d", w, i+1))
			}
		}
		return words, len(seen) > 1
	}
	has := func(o symptom.Origin) bool {
		return slices.ContainsFunc(r.Signatures, func(s symptom.Signature) bool { return s.Origin == o })
	}
	logs, other := differ(func(a Alternative) string {
		if a.Logs == "" {
			return "nothing"
		}
		return a.Logs
	})
	switch {
	case other && !has(symptom.ServerLog):
		lines = append(lines, "- the server's error.log of that minute, at level info: "+strings.Join(logs, "; ")+".")
	case other && slices.ContainsFunc(r.Signatures, func(s symptom.Signature) bool { return s.Software == "haproxy" && s.Code == "" }):
		lines = append(lines, "- HAProxy's line with the reason, which an error-log-format with %[ssl_fc_err_str] gives (2.5 and later): "+strings.Join(logs, "; ")+".")
	}
	alerts, other := differ(func(a Alternative) string {
		switch {
		case a.Alert < 0 && a.Case != "":
			return "" // it does not say
		case a.Alert < 0:
			return "no alert"
		}
		return fmt.Sprintf("alert %d", a.Alert)
	})
	if other && !has(symptom.Capture) {
		lines = append(lines, "- a capture of one failing connection: "+strings.Join(alerts, "; ")+".")
	}
	if _, other := differ(func(a Alternative) string { return fmt.Sprint(a.Old) }); other {
		lines = append(lines, "- the version of the browser that fails.")
	}
	if len(lines) > 0 {
		return append([]string{"What would tell them apart:"}, lines...)
	}
	return lines
}

// deciding is the attempt that a page load came to its end with: the last that was not served.
func deciding(list []trial.Attempt) int {
	for i, a := range slices.Backward(list) {
		if a.Class != results.ClassOK {
			return i
		}
	}
	return len(list) - 1
}
