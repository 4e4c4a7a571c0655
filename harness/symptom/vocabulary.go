package symptom

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"tlsurge/profiles"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// Meaning is one thing that a wording stands for. Many wordings have several.
type Meaning struct {
	Class  results.Class `json:"class"`
	Alert  int           `json:"alert"` // -1: none, or any
	Sender string        `json:"alert_sender,omitempty"`
	About  string        `json:"about,omitempty"` // of a certificate: expired, not_yet, issuer, name; empty: any
}

// entry is one wording, in all its spellings.
type entry struct {
	says     []string // the first is how profiles and reports name it
	software map[string]bool
	means    []Meaning
	// stands are the texts, folded, that a profile of this program may show where somebody reports this
	// wording; empty where no profile can show it.
	stands     map[string]bool
	concept    bool   // plain English for a kind of failure, rather than the words of one program
	context    bool   // counts only close to "alert", "fatal" or "tls": else it is everyday language
	plain      *entry // what the words mean elsewhere, if anything
	registered bool   // the registry's name of an alert, which says nothing of who sent it
	wraps      bool   // an exception's or a program's name around the error that counts, if one is there
	beyond     string // why nothing here can show it: it is told, and not looked for
	line       string // what a server's log says, quoted without the line around it: its canonical words
}

// vocabulary is every wording that is understood: what the profiles can show, and the folder words.
type vocabulary struct {
	root    phrase
	alone   map[string]*entry    // numbers that are an error where nothing else is said
	names   []string             // error names, for suggestions
	shown   map[string][]Meaning // by folded text
	spelled map[string]string    // folded text to the first spelling
}

// phrase is a node of the tree of token sequences.
type phrase struct {
	next map[string]*phrase
	is   *entry
}

func (p *phrase) each(f func(*entry)) {
	if p.is != nil {
		f(p.is)
	}
	for _, n := range p.next {
		n.each(f)
	}
}

// words is the vocabulary, built at first use from embedded data: it is the same in every process.
var words = sync.OnceValue(func() *vocabulary {
	v := &vocabulary{alone: map[string]*entry{}, shown: map[string][]Meaning{}, spelled: map[string]string{}}
	v.learnProfiles()
	v.root.each(func(e *entry) {
		maps.DeleteFunc(e.stands, func(text string, _ bool) bool { return v.shown[text] == nil }) // names that are never shown
	})
	v.root.each(func(e *entry) { e.means = withReasons(e.means) })
	for text, means := range v.shown {
		v.shown[text] = withReasons(means)
	}
	for _, d := range wordsFiles() {
		v.learnWords(d)
	}
	v.learnAlerts()
	v.learnLines()
	v.learnSqueezed()
	slices.Sort(v.names)
	return v
})

// Meanings gives what a wording may stand for, by everything that is known of it; nil for unknown words.
func Meanings(userSees string) []Meaning {
	if e := words().find(tokens(userSees)); e != nil {
		return slices.Clone(e.means)
	}
	return nil
}

// find is the entry whose phrase is the whole of ts.
func (v *vocabulary) find(ts []token) *entry {
	at := &v.root
	for _, t := range ts {
		if at = at.next[t.text]; at == nil {
			return nil
		}
	}
	return at.is
}

// node is the place of a spelling in the tree.
func (v *vocabulary) node(spelling string) *phrase {
	at := &v.root
	for _, t := range tokens(spelling) {
		if at.next == nil {
			at.next = map[string]*phrase{}
		}
		if at.next[t.text] == nil {
			at.next[t.text] = &phrase{}
		}
		at = at.next[t.text]
	}
	return at
}

// add files a spelling under e, and gives the entry that has it: e, or the one that had it before.
func (v *vocabulary) add(spelling string, e *entry) *entry {
	at := v.node(spelling)
	if at == &v.root {
		return e
	}
	if at.is == nil {
		at.is = e
	}
	if !slices.Contains(at.is.says, spelling) {
		at.is.says = append(at.is.says, spelling)
	}
	return at.is
}

// say files a spelling with what it means to one program.
func (v *vocabulary) say(spelling, family string, m Meaning, shown string) {
	e := v.add(spelling, &entry{software: map[string]bool{}, stands: map[string]bool{}})
	e.software[family] = true
	if !slices.Contains(e.means, m) {
		e.means = append(e.means, m)
	}
	e.stands[fold(shown)] = true
}

// learnProfiles walks every failure that every profile has words for.
func (v *vocabulary) learnProfiles() {
	done := map[string]bool{} // behaviour and family
	for _, name := range profiles.Names() {
		p, err := profiles.Lookup(name)
		if err != nil {
			panic(err) // embedded data
		}
		family := Family(p.Browser)
		if key := p.Behaviour() + " " + family; done[key] {
			continue
		} else {
			done[key] = true
		}
		eachFailure(func(f profiles.Failure, m Meaning) { v.learnWording(family, p.Words(f), m) })
	}
}

// withReasons leaves out the certificate that is refused for no reason given, where a wording has reasons: a
// profile that tells them apart falls back on one of them.
func withReasons(means []Meaning) []Meaning {
	if !slices.ContainsFunc(means, func(m Meaning) bool { return m.About != "" }) {
		return means
	}
	return slices.DeleteFunc(means, func(m Meaning) bool { return m.Class == results.ClassCertificate && m.About == "" })
}

func (v *vocabulary) learnWording(family string, w profiles.Wording, m Meaning) {
	v.say(w.Shown, family, m, w.Shown)
	if v.spelled[fold(w.Shown)] == "" {
		v.spelled[fold(w.Shown)] = w.Shown
	}
	if means := v.shown[fold(w.Shown)]; !slices.Contains(means, m) {
		v.shown[fold(w.Shown)] = append(means, m)
	}
	if distinctive(w.Error) {
		v.say(w.Error, family, m, w.Shown)
		if !slices.Contains(v.names, w.Error) {
			v.names = append(v.names, w.Error)
		}
		// A browser that shows a title today may show the code in another version, and the other way round.
		v.say(w.Shown, family, m, w.Error)
	}
	if w.Sentence != "" {
		v.say(w.Sentence, family, m, w.Shown)
		// "Safari can't open the page <address> because …": the address stands inside the sentence.
		if _, reason, ok := strings.Cut(w.Sentence, " because "); ok {
			v.say(reason, family, m, w.Shown)
		}
	}
}

// eachFailure calls f with every kind of failure and the outcome it comes from.
func eachFailure(f func(profiles.Failure, Meaning)) {
	for _, k := range []struct {
		kind          profiles.FailureKind
		before, after results.Class
	}{
		{profiles.FailRefused, results.ClassConnectRefused, ""},
		{profiles.FailConnectTimeout, results.ClassConnectTimeout, ""},
		{profiles.FailReset, results.ClassReset, results.ClassRequestReset},
		{profiles.FailEOF, results.ClassEOF, results.ClassRequestEOF},
		{profiles.FailTimeout, results.ClassHandshakeTimeout, results.ClassRequestTimeout},
		{profiles.FailCertificate, results.ClassCertificate, ""},
	} {
		f(profiles.Failure{Kind: k.kind}, Meaning{k.before, -1, "", ""})
		if k.after != "" {
			f(profiles.Failure{Kind: k.kind, HandshakeDone: true}, Meaning{k.after, -1, "", ""})
		}
	}
	for c, about := range map[profiles.CertificateFault]string{profiles.CertificateExpired: "expired", profiles.CertificateNotYet: "not_yet",
		profiles.CertificateIssuer: "issuer", profiles.CertificateName: "name"} {
		f(profiles.Failure{Kind: profiles.FailCertificate, Certificate: c}, Meaning{results.ClassCertificate, -1, "", about})
	}
	f(profiles.Failure{Kind: profiles.FailLocal, WeakDH: true, Alert: wire.AlertInsufficientSecurity}, Meaning{results.ClassLocalAlert, -1, "client", ""})
	for a := range 256 {
		alert := wire.AlertDescription(a)
		if strings.HasPrefix(alert.String(), "alert(") && a != 255 {
			continue // unnamed numbers are worded alike: one stands for all
		}
		server, client := Meaning{results.ClassPeerAlert, a, "server", ""}, Meaning{results.ClassLocalAlert, a, "client", ""}
		f(profiles.Failure{Kind: profiles.FailAlert, Alert: alert}, server)
		f(profiles.Failure{Kind: profiles.FailAlert, Alert: alert, AwaitingServerHello: true}, server)
		f(profiles.Failure{Kind: profiles.FailLocal, Alert: alert}, client)
	}
	for _, l := range []profiles.Failure{
		{Alert: wire.AlertUnexpectedMessage, NotTLS: true}, {Alert: wire.AlertProtocolVersion, NoCommonVersion: true},
		{Alert: wire.AlertIllegalParameter, UnofferedSuite: true},
	} {
		l.Kind = profiles.FailLocal
		f(l, Meaning{results.ClassLocalAlert, int(l.Alert), "client", ""})
	}
}

// distinctive says whether an error's name in the profiles is a name that people quote, not a label.
func distinctive(name string) bool {
	if name == "ssl handshake failure" { // HAProxy's words, and everybody's
		return false
	}
	if strings.ContainsAny(name, "_=") || len(strings.Fields(name)) >= 3 {
		return true
	}
	upper := strings.IndexFunc(name, unicode.IsUpper) >= 0
	return upper && strings.ToUpper(name) != name && len(name) >= 12 && !strings.Contains(name, " ")
}

// fold makes texts comparable: lower case, one space, plain apostrophes.
func fold(s string) string {
	s = strings.NewReplacer("’", "'", "‘", "'", "“", "\"", "”", "\"").Replace(strings.ToLower(s))
	return strings.Join(strings.Fields(s), " ")
}

// Family names a program's maker and line in one lower-case word: what profiles call "Android stock browser"
// is android, Chromium is chrome.
func Family(browser string) string {
	switch b := strings.ToLower(browser); {
	case b == "":
		return ""
	case strings.HasPrefix(b, "android"):
		return "android"
	case b == "internet explorer", b == "iexplore", b == "msie":
		return "ie"
	case b == "chromium":
		return "chrome"
	case strings.HasPrefix(b, "go ") || b == "golang":
		return "go"
	default:
		return strings.Fields(b)[0]
	}
}
