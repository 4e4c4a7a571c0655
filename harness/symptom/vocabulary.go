package symptom

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/BurntSushi/toml"

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
	stands  map[string]bool
	concept bool   // plain English for a kind of failure, rather than the words of one program
	context bool   // counts only close to "alert", "fatal" or "tls": else it is everyday language
	plain   *entry // what the words mean elsewhere, if anything
	line    string // what a server's log says, quoted without the line around it: its canonical words
}

// vocabulary is every wording that is understood: what the profiles can show, and words.toml.
type vocabulary struct {
	root    phrase
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

//go:embed words.toml
var wordsFile string

// wordsData is words.toml.
type wordsData struct {
	Word []struct {
		Says     []string        `toml:"says"`
		Software string          `toml:"software"`
		Class    []results.Class `toml:"class"`
		Alert    *int            `toml:"alert"`
		About    string          `toml:"about"`
		Concept  bool            `toml:"concept"`
		Context  bool            `toml:"context"`
	} `toml:"word"`
	// Names lists error names of a program that mean more than one thing or something outside TLS.
	Names map[string][]string `toml:"names"`
	// Numbers are error numbers that some programs print without the name.
	Numbers []struct {
		Software string         `toml:"software"`
		Behind   []string       `toml:"behind"` // what stands before the number
		Codes    map[string]int `toml:"codes"`  // name -> number
	} `toml:"numbers"`
}

// words is the vocabulary, built at first use from embedded data: it is the same in every process.
var words = sync.OnceValue(func() *vocabulary {
	v := &vocabulary{shown: map[string][]Meaning{}, spelled: map[string]string{}}
	v.learnProfiles()
	v.root.each(func(e *entry) {
		maps.DeleteFunc(e.stands, func(text string, _ bool) bool { return v.shown[text] == nil }) // names that are never shown
	})
	var d wordsData
	md, err := toml.Decode(wordsFile, &d)
	if err == nil && len(md.Undecoded()) > 0 {
		err = fmt.Errorf("unknown key %v", md.Undecoded()[0])
	}
	if err != nil {
		panic(fmt.Sprint("words.toml: ", err)) // it is part of the program
	}
	v.learnWords(&d)
	v.learnAlerts()
	v.learnLines()
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

// learnWords adds words.toml: other spellings of what profiles say, names that no profile says, and plain
// English.
func (v *vocabulary) learnWords(d *wordsData) {
	for _, w := range d.Word {
		e := v.find(tokens(w.Says[0]))
		known := e != nil
		if !known {
			e = v.add(w.Says[0], &entry{software: map[string]bool{}, stands: map[string]bool{}, concept: w.Concept, context: w.Context})
			for _, c := range w.Class {
				e.means = append(e.means, meaningOf(c, w.Alert, w.About))
			}
		}
		switch {
		case w.Concept:
			e.concept, e.software = true, map[string]bool{}
			e.addMeanings(w.Class, w.Alert, w.About)
			v.standFor(e, w.Class, w.Alert)
		case w.Software != "" && !known:
			e.software[w.Software] = true
		}
		if distinctive(w.Says[0]) && !slices.Contains(v.names, w.Says[0]) {
			v.names = append(v.names, w.Says[0])
		}
		for _, s := range w.Says[1:] {
			if other := v.add(s, e); other != e && w.Concept {
				other.generalise(e) // one browser's title is everybody's English
			}
		}
	}
	for family, names := range d.Names {
		for _, n := range names {
			if v.find(tokens(n)) == nil {
				v.add(n, &entry{software: map[string]bool{family: true}})
			}
			if !slices.Contains(v.names, n) {
				v.names = append(v.names, n)
			}
		}
	}
	for _, n := range d.Numbers {
		for name, code := range n.Codes {
			e := v.find(tokens(name))
			if e == nil {
				e = v.add(name, &entry{software: map[string]bool{n.Software: true}})
			}
			for _, behind := range n.Behind {
				v.add(fmt.Sprintf("%s %d", behind, code), e)
			}
		}
	}
	slices.Sort(v.names)
}

func meaningOf(c results.Class, alert *int, about string) Meaning {
	m := Meaning{c, -1, "", about}
	if alert != nil {
		m.Alert = *alert
	}
	switch c {
	case results.ClassPeerAlert:
		m.Sender = "server"
	case results.ClassLocalAlert:
		m.Sender = "client"
	}
	return m
}

func (e *entry) addMeanings(classes []results.Class, alert *int, about string) {
	for _, c := range classes {
		if m := meaningOf(c, alert, about); !slices.Contains(e.means, m) {
			e.means = append(e.means, m)
		}
	}
}

// generalise lets a wording of one program mean what everybody means by it.
func (e *entry) generalise(plain *entry) {
	e.software = map[string]bool{}
	for _, m := range plain.means {
		if !slices.Contains(e.means, m) {
			e.means = append(e.means, m)
		}
	}
	for text := range plain.stands {
		e.stands[text] = true
	}
}

// standFor lets plain English stand for every text of a profile that means nothing else.
func (v *vocabulary) standFor(e *entry, classes []results.Class, alert *int) {
	for text, means := range v.shown {
		if !slices.ContainsFunc(means, func(m Meaning) bool {
			return !slices.Contains(classes, m.Class) || alert != nil && m.Alert != *alert
		}) {
			e.stands[text] = true
		}
	}
}

// everyday are the names of alerts that are ordinary English, too.
var everyday = map[string]bool{"access denied": true, "internal error": true, "protocol version": true, "decode error": true,
	"user canceled": true, "certificate expired": true, "certificate unknown": true, "bad certificate": true, "close notify": true,
	"unexpected message": true, "certificate revoked": true, "no certificate": true, "unsupported certificate": true,
	"certificate required": true, "missing extension": true, "unsupported extension": true, "certificate unobtainable": true}

// learnAlerts adds the registry's names, spelled with spaces as libraries print them.
func (v *vocabulary) learnAlerts() {
	for a := range 256 {
		name := wire.AlertDescription(a).String()
		if strings.HasPrefix(name, "alert(") {
			continue
		}
		e := &entry{concept: true, context: everyday[strings.ReplaceAll(name, "_", " ")], stands: map[string]bool{}}
		e.means = []Meaning{{results.ClassPeerAlert, a, "server", ""}, {results.ClassLocalAlert, a, "client", ""}}
		n := a
		v.standFor(e, []results.Class{results.ClassPeerAlert, results.ClassLocalAlert}, &n)
		if was := v.add(name, e); was != e && was.concept {
			e.says, e.context, e.plain = []string{name}, true, was
			v.node(name).is = e
		}
	}
}

// learnLines adds what only servers say, so that it is known for a line of a log without its frame.
func (v *vocabulary) learnLines() {
	for _, c := range canonical {
		if c.quotable && v.find(tokens(c.needle)) == nil {
			v.add(c.needle, &entry{line: c.reason})
		}
	}
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
