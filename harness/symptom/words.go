package symptom

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tlsurge/results"
)

// hit is a wording found in a text.
type hit struct {
	entry      *entry // nil for library errors and alert numbers
	sig        Signature
	means      []Meaning
	start, end int
}

// Words reads what a person or a client program says: every wording in it, in any spelling, with any prose
// around it. notes say what looks like an error's name and is none that is known.
func Words(text string) (found []Signature, mentioned, notes []string) {
	text = unpick(text)
	ts := tokens(text)
	hits := libraryErrors(text)
	said := phrases(text, ts, hits)
	hits = slices.DeleteFunc(hits, func(h hit) bool { // a whole line that a profile shows has its code inside
		return slices.ContainsFunc(said, func(p hit) bool { return p.start <= h.start && p.end >= h.end })
	})
	hits = append(hits, said...)
	hits = append(hits, alertNumbers(text, ts, hits)...)
	hits, notes = misspelled(text, hits)
	if h, ok := aloneNumber(text, ts); ok && len(hits) == 0 {
		hits = append(hits, h)
	}
	hits, notes = beyondReach(text, hits, notes)
	hits = dropImplied(unwrapped(hits))
	mentioned = mentions(ts)
	slices.SortStableFunc(hits, func(a, b hit) int { return a.start - b.start })
	spelled, last := map[*entry]string{}, map[*entry]int{} // one wording in two spellings is one
	for _, h := range hits {
		if h.entry != nil && (spelled[h.entry] == "" || isName(h.sig.UserSees) && !isName(spelled[h.entry])) {
			spelled[h.entry] = h.sig.UserSees
		}
	}
	for _, h := range hits {
		s := h.sig
		if h.entry != nil && s.Origin == User {
			s.UserSees = spelled[h.entry]
			if end, again := last[h.entry]; again && h.start-end <= near {
				s.Count = 0 // the code of the title just above
			}
			last[h.entry] = h.end
		}
		if s.Software == "" && s.Origin == User && len(mentioned) == 1 {
			s.Software = strings.Fields(mentioned[0])[0]
		}
		s.Text = around(text, h.start, h.end)
		found = addSignature(found, s)
	}
	return found, mentioned, notes
}

// addSignature counts a signature that was there before.
func addSignature(all []Signature, s Signature) []Signature {
	for i := range all {
		a := &all[i]
		if a.key() == s.key() {
			a.Count += s.Count
			return all
		}
	}
	return append(all, s)
}

// key is what makes two signatures one.
func (s Signature) key() [9]string {
	return [9]string{string(s.Origin), s.Software, fold(s.UserSees), string(s.Class), strconv.Itoa(s.Alert), s.Sender, s.Code, s.Reason, s.Level + s.Stage + s.Offered}
}

// phrases finds the wordings of the vocabulary, the longest first at each place.
func phrases(text string, ts []token, taken []hit) []hit {
	v := words()
	var out []hit
	for i := 0; i < len(ts); {
		at, best, end := &v.root, (*entry)(nil), i
		for j := i; j < len(ts); j++ {
			if at = at.next[ts[j].text]; at == nil {
				break
			}
			if at.is != nil {
				best, end = at.is, j+1
			}
		}
		if best != nil && best.context && !inContext(text, ts, i, end) {
			best = best.plain
		}
		if best == nil {
			i++
			continue
		}
		h := hit{entry: best, means: best.means, start: ts[i].start, end: ts[end-1].end}
		if best.registered && receivedBefore(ts, i) {
			h.means = best.means[:1]
		}
		i = end
		inside := slices.ContainsFunc(taken, func(t hit) bool { return h.start < t.end && t.start < h.end && (h.start > t.start || h.end < t.end) })
		if inside {
			continue // the reason of a library error is told by its code
		}
		h.sig = best.signature(text[h.start:h.end])
		if len(h.means) < len(best.means) {
			h.sig.agree(h.means)
		}
		out = append(out, h)
	}
	return out
}

// aloneNumber is for a report that is a number and no more: "-1200", "12157".
func aloneNumber(text string, ts []token) (h hit, ok bool) {
	if len(ts) != 1 {
		return h, false
	}
	e := words().alone[ts[0].text]
	if e == nil {
		return h, false
	}
	return hit{entry: e, means: e.means, start: ts[0].start, end: ts[0].end, sig: e.signature("")}, true
}

// beyondReach takes out what nothing here can show, and says why.
func beyondReach(text string, hits []hit, notes []string) ([]hit, []string) {
	kept := slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return h.entry != nil && h.entry.beyond != "" })
	for _, h := range hits {
		if h.entry == nil || h.entry.beyond == "" || slices.ContainsFunc(kept, func(k hit) bool { return k.start-h.end <= near && h.start-k.end <= near }) ||
			slices.ContainsFunc(notes, func(n string) bool { return strings.HasSuffix(n, h.entry.beyond) }) {
			continue
		}
		notes = append(notes, fmt.Sprintf("%s: %s", text[h.start:h.end], h.entry.beyond))
	}
	return kept, notes
}

// unwrapped leaves out names of exceptions around what an error says: SSLError(1, '[SSL: WRONG_VERSION_NUMBER] …').
func unwrapped(hits []hit) []hit {
	return slices.DeleteFunc(slices.Clone(hits), func(h hit) bool {
		return h.entry != nil && h.entry.wraps && slices.ContainsFunc(hits, func(o hit) bool {
			return (o.entry == nil || !o.entry.wraps && len(o.means) < 5) && o.start-h.end <= near && h.start-o.end <= near
		})
	})
}

func within(h hit, taken []hit) bool {
	return slices.ContainsFunc(taken, func(t hit) bool { return h.start < t.end && t.start < h.end })
}

// inContext says whether everyday words are meant as an alert's name here: spelled with an underscore, or
// behind "alert", "fatal" or "tls".
func inContext(text string, ts []token, from, to int) bool {
	if strings.Contains(text[ts[from].start:ts[to-1].end], "_") {
		return true
	}
	for _, t := range ts[max(0, from-4):from] {
		switch t.text {
		case "alert", "fatal", "tls", "sslv3", "tlsv1", "tlsv13":
			return true
		}
	}
	if to < len(ts) && ts[to].start-ts[to-1].end <= 2 { // "handshake failure (40)"
		if n, err := strconv.Atoi(ts[to].text); err == nil && n <= 255 {
			return true
		}
	}
	return to < len(ts) && ts[to].text == "alert"
}

// signature says what one use of the wording tells.
func (e *entry) signature(quoted string) Signature {
	if e.line != "" {
		return Signature{Origin: ServerLog, Alert: -1, Reason: e.line, Count: 1}
	}
	s := Signature{Origin: User, UserSees: e.says[0], Alert: -1, Count: 1}
	v := words()
	if !e.concept && len(e.stands) > 0 {
		if i := slices.IndexFunc(e.says, func(says string) bool { return v.shown[fold(says)] != nil }); i >= 0 {
			s.UserSees = e.says[i]
		}
	}
	for _, says := range e.says {
		if says == quoted && !e.concept && (v.shown[fold(says)] != nil || len(e.stands) == 0) {
			s.UserSees = says
		}
	}
	if len(e.stands) == 1 && !strings.HasPrefix(e.says[0], "CURLE_") && !e.stands[fold(s.UserSees)] && !e.concept {
		for text := range e.stands {
			if covers(e.means, v.shown[text]) {
				s.UserSees = v.spelled[text] // the one text that a profile shows for it, and it says no less
			}
		}
	}
	if len(e.software) == 1 {
		for s.Software = range e.software {
		}
	}
	s.agree(e.means)
	return s
}

// agree sets what all meanings have in common.
func (s *Signature) agree(means []Meaning) {
	for i, m := range means {
		if i == 0 {
			s.Class, s.Alert, s.Sender = m.Class, m.Alert, m.Sender
			continue
		}
		if s.Class != m.Class {
			s.Class = ""
		}
		if s.Alert != m.Alert {
			s.Alert = -1
		}
		if s.Sender != m.Sender {
			s.Sender = ""
		}
	}
	if s.Class == "" && s.Alert < 0 {
		s.Sender = ""
	}
}

// libraryErrors finds "error:14094410:SSL routines:…" and codes that stand alone ("140A1175").
func libraryErrors(text string) []hit {
	var out []hit
	raw := []byte(text)
	for at := 0; ; {
		e, start, ok := findLibraryError(raw, at)
		if !ok {
			break
		}
		at = max(e.end, start+1)
		if e.library == librarySSL {
			h := codeHit(e.code, string(e.reason), e.packed, start, e.end)
			if strings.Contains(text[max(0, start-40):start], "SSL_do_handshake() failed") { // nginx's line without its frame
				h.means, h.sig.Origin, h.sig.Software, h.sig.Class = nil, ServerLog, "nginx", ""
				if h.sig.Sender = ""; h.sig.Alert >= 0 {
					h.sig.Sender = "client"
				}
			}
			out = append(out, h)
		}
	}
	for _, m := range bareCode.FindAllStringIndex(text, -1) {
		code := strings.ToUpper(text[m[0]:m[1]])
		p, _ := parseCode(code)
		h := codeHit(code, reasonTexts[p.reason], p, m[0], m[1])
		if p.library == librarySSL && !within(h, out) {
			out = append(out, h)
		}
	}
	return out
}

// bareCode is an error code of the SSL library: 20<<24 or 20<<23 in front.
var bareCode = regexp.MustCompile(`\b(?i:14[0-9a-f]{6}|0a000[0-9a-f]{3})\b`)

// codeHit tells whose error it is: some refusals are a server's, and a client's own are its outcome.
func codeHit(code, reason string, p packed, start, end int) hit {
	s := Signature{Origin: User, Software: "openssl", Alert: p.alert(), Code: code, Reason: reason, Count: 1}
	switch {
	case s.Alert >= 0:
		s.Class, s.Sender = results.ClassPeerAlert, "server"
	case serverReasons[p.reason]:
		s.Origin, s.Software = ServerLog, ""
	default:
		s.Class = clientClass[p.reason]
		if s.Class == results.ClassLocalAlert {
			s.Sender = "client"
		}
	}
	h := hit{sig: s, start: start, end: end}
	if s.Class != "" {
		h.means = []Meaning{{s.Class, s.Alert, s.Sender, ""}}
	}
	return h
}

// alertNumbers finds "alert 40", "SSL alert number 40", "alert(40)", "fatal alert code is 40", "fatal error (40)".
func alertNumbers(text string, ts []token, taken []hit) []hit {
	var out []hit
	for i, t := range ts {
		if t.text != "alert" && !(t.text == "error" && i > 0 && ts[i-1].text == "fatal") {
			continue
		}
		for j := i + 1; j < min(i+6, len(ts)); j++ {
			n, err := strconv.Atoi(ts[j].text)
			if err == nil && n > 255 && n < 768 && t.text == "error" {
				n -= 512 // Opera counts alerts from 512
			}
			if err == nil && n >= 0 && n <= 255 && !precedesUnit(ts, j) {
				h := hit{start: t.start, end: ts[j].end, sig: Signature{Origin: User, Alert: n, Count: 1}}
				h.means = []Meaning{{results.ClassPeerAlert, n, "server", ""}, {results.ClassLocalAlert, n, "client", ""}}
				if receivedBefore(ts, i) {
					h.means = h.means[:1]
				}
				h.sig.agree(h.means)
				if !within(h, taken) {
					out = append(out, h)
				}
				break
			}
			switch ts[j].text {
			case "number", "code", "level", "fatal", "description", "is", "desc", "error", "tls", "ssl", "was", "received", "generated", "sent", "type":
				continue
			}
			break
		}
	}
	return out
}

func precedesUnit(ts []token, j int) bool {
	return j+1 < len(ts) && slices.Contains([]string{"times", "users", "minutes", "seconds", "hours", "days"}, ts[j+1].text)
}

// receivedBefore says whether the text says that the alert came from the other side: the word that is nearest
// decides.
func receivedBefore(ts []token, i int) bool {
	for j := i + 4; j >= max(0, i-14); j-- {
		if j >= len(ts) {
			continue
		}
		switch ts[j].text {
		case "received", "remote", "receive", "sslv3", "tlsv1", "got", "get", "read":
			return true
		case "sent", "generated", "local", "sending", "send", "write", "out": // "TLSv1.2 (OUT), TLS alert"
			return false
		}
	}
	return i > 0 && i+1 < len(ts) && ts[i-1].text == "ssl" && ts[i+1].text == "number" // OpenSSL's, of received ones
}

// near is how far apart, in bytes, a title, its explanation and its code stand at most.
const near = 200

// dropImplied leaves out what a more exact wording close by says better: the sentence above a code, plain
// English around a name.
func dropImplied(hits []hit) []hit {
	var out []hit
	gone := make([]bool, len(hits)) // what is left out implies nothing: of two that imply each other one stays
	for i, b := range hits {
		implied := false
		for j := range hits {
			a := &hits[j]
			if i == j || implied || gone[j] {
				continue
			}
			if implied = a.implies(b, max(a.start-b.end, b.start-a.end), j < i); implied && (a.sig.Software == "openssl" && b.sig.Software != "" || a.sig.Software == "" && a.certificate()) {
				a.sig.Software = b.sig.Software // "curl: (35)" in front of the library's error
			}
		}
		if gone[i] = implied; !implied {
			out = append(out, b)
		}
	}
	for i := range out { // after the names above have been handed on
		for _, h := range hits {
			if h.start == out[i].start && h.end == out[i].end && h.entry == out[i].entry {
				out[i].sig.Software = h.sig.Software
			}
		}
	}
	return out
}

func (a *hit) plain() bool {
	return a.entry == nil && a.sig.Code == "" || a.entry != nil && a.entry.concept
}

// certificate says whether the wording is about nothing but a certificate.
func (a *hit) certificate() bool {
	return len(a.means) > 0 && !slices.ContainsFunc(a.means, func(m Meaning) bool { return m.Class != results.ClassCertificate })
}

// implies says whether b adds nothing to a.
func (a *hit) implies(b hit, apart int, first bool) bool {
	if a.entry == nil && a.sig.Code != "" && len(b.means) == 0 && b.sig.Origin == User && apart <= near {
		return true // "EPROTO"
	}
	if a.sig.Origin != b.sig.Origin && b.sig.Origin != User || len(a.means) == 0 || len(b.means) == 0 {
		return false
	}
	curl := b.entry != nil && strings.HasPrefix(b.entry.says[0], "CURLE_")
	switch {
	case curl && apart <= near && !strings.HasPrefix(a.sig.UserSees, "CURLE_") && len(a.means) <= 3:
		return true // curl's number, in front of what its library says
	case b.entry != nil && apart <= near && b.certificate() && a.certificate() && covers(b.means, a.means) && !covers(a.means, b.means):
		return true // "certificate verify failed: certificate has expired"
	case a.plain() && !b.plain():
		return false
	case a.entry == nil && a.sig.Code != "" && b.entry != nil && apart <= near && len(b.means) > 3:
		return true // an exception's name around the library's error
	case b.plain() && apart > 4*near, !b.plain() && (apart > near || !sameFamily(a.sig.Software, b.sig.Software)):
		return false
	case !covers(b.means, a.means):
		return false
	case !covers(a.means, b.means):
		return true // a is more exact
	case a.plain() != b.plain():
		return b.plain()
	}
	// Of two that mean the same the name counts, then the first; the same wording twice is counted twice.
	if a.entry == b.entry && a.entry != nil {
		return false
	}
	if an, bn := isName(a.sig.UserSees), isName(b.sig.UserSees); an != bn {
		return an
	}
	return first
}

func isName(s string) bool { return s != "" && !strings.Contains(s, " ") }

// covers says whether every meaning of inner is one of outer.
func covers(outer, inner []Meaning) bool {
	return !slices.ContainsFunc(inner, func(m Meaning) bool {
		return !slices.ContainsFunc(outer, func(o Meaning) bool {
			return o.Class == m.Class && (o.Alert < 0 || o.Alert == m.Alert) && (o.About == "" || o.About == m.About)
		})
	})
}

// browsers that prose names, by their first word.
var browserNames = map[string]string{"firefox": "firefox", "safari": "safari", "chrome": "chrome", "chromium": "chrome", "opera": "opera",
	"android": "android", "curl": "curl", "java": "java", "ie": "ie", "ie6": "ie 6", "ie7": "ie 7", "ie8": "ie 8", "ie9": "ie 9",
	"ie10": "ie 10", "ie11": "ie 11", "ios": "safari", "iphone": "safari", "ipad": "safari", "okhttp": "java", "iceweasel": "firefox"}

// mentions lists the browsers that a text names, with a version where one follows ("firefox 35").
func mentions(ts []token) []string {
	var out []string
	for i, t := range ts {
		name := browserNames[t.text]
		if t.text == "internet" && i+1 < len(ts) && ts[i+1].text == "explorer" || t.text == "explorer" && i > 0 && ts[i-1].text == "internet" {
			name = "ie"
		}
		if t.text == "microsoft" && i+1 < len(ts) && ts[i+1].text == "edge" {
			name = "edge"
		}
		if name == "" || t.text == "internet" {
			continue
		}
		if i+1 < len(ts) && name != "ie" && name != "curl" || i+1 < len(ts) && t.text == "explorer" {
			if n, err := strconv.Atoi(ts[i+1].text); err == nil && n > 0 && n < 1000 {
				name += " " + ts[i+1].text
			}
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	// "firefox" beside "firefox 35" is the same browser.
	return slices.DeleteFunc(out, func(n string) bool {
		return slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, n+" ") })
	})
}

// around is the example: the line that holds the wording, cut to a length that a table can show.
func around(text string, start, end int) string {
	const most = 240
	from := strings.LastIndexByte(text[:start], '\n') + 1
	to := end
	if i := strings.IndexByte(text[end:], '\n'); i >= 0 {
		to += i
	} else {
		to = len(text)
	}
	if to-from > most {
		from, to = max(from, start-60), min(to, max(end, start+most-60))
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(text[from:to], "?")), " ")
}
