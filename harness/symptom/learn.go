package symptom

import (
	"slices"
	"strconv"
	"strings"

	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// learnWords adds a file of words: other spellings of what profiles say, names that no profile says, and plain
// English.
func (v *vocabulary) learnWords(d *wordsData) {
	for i := range d.Word {
		w := &d.Word[i]
		if len(w.Says) > 0 {
			v.learnWord(w, w.Says)
		}
		for _, n := range w.Names {
			v.learnWord(w, []string{n})
		}
	}
	for _, n := range d.Numbers {
		for name, code := range n.Codes {
			v.learnNumber(n.Software, name, code, n.Forms)
		}
	}
}

// learnWord adds one wording in its spellings.
func (v *vocabulary) learnWord(w *wording, says []string) {
	e := v.find(tokens(says[0]))
	known := e != nil
	if !known {
		e = v.add(says[0], &entry{software: map[string]bool{}, stands: map[string]bool{}, concept: w.Concept, context: w.Context})
		for _, c := range w.Class {
			e.means = append(e.means, meaningOf(c, w.Alert, w.About))
		}
	}
	e.wraps = e.wraps || w.Wraps
	if !known {
		e.beyond = w.Beyond
	}
	switch {
	case w.Concept:
		e.concept, e.software = true, map[string]bool{}
		e.addMeanings(w.Class, w.Alert, w.About)
		v.standFor(e, w.Class, w.Alert)
	case w.Software != "" && !known:
		e.software[w.Software] = true
	}
	if distinctive(says[0]) && !slices.Contains(v.names, says[0]) {
		v.names = append(v.names, says[0])
	}
	if w.OpenSSL { // Node puts its own prefix before OpenSSL's name of the reason
		says = append(slices.Clone(says), "ERR_SSL_"+says[0])
	}
	for _, s := range says[1:] {
		if other := v.add(s, e); other != e && w.Concept {
			other.generalise(e) // one browser's title is everybody's English
		}
	}
}

// learnNumber adds the forms in which a program prints an error's number.
func (v *vocabulary) learnNumber(software, name string, code int, forms []string) {
	e := v.find(tokens(name))
	if e == nil {
		panic(name + " has a number and no meaning") // embedded data
	}
	for _, f := range forms {
		switch f {
		case "#":
			v.alone[strconv.Itoa(code)] = e
			continue
		case "…#…":
			f = "#"
		}
		v.add(strings.ReplaceAll(f, "#", strconv.Itoa(code)), e)
	}
}

// learnSqueezed adds the names without what stands between their words: errconnectionreset.
func (v *vocabulary) learnSqueezed() {
	for _, n := range v.names {
		if one := strings.ReplaceAll(n, "_", ""); one != n && !strings.ContainsAny(n, " (:=") {
			if e := v.find(tokens(n)); e != nil {
				v.node(one).is = e
			}
		}
	}
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
		e := &entry{concept: true, registered: true, context: everyday[strings.ReplaceAll(name, "_", " ")], stands: map[string]bool{}}
		e.means = []Meaning{{results.ClassPeerAlert, a, "server", ""}, {results.ClassLocalAlert, a, "client", ""}}
		n := a
		v.standFor(e, []results.Class{results.ClassPeerAlert, results.ClassLocalAlert}, &n)
		if was := v.add(name, e); was != e && was.concept {
			e.says, e.context, e.plain = []string{name}, true, was
			v.node(name).is = e
		}
		if one := v.node(strings.ReplaceAll(name, "_", "")); one.is == nil { // HandshakeFailure
			one.is = e
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
