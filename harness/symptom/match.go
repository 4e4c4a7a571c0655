package symptom

import (
	"fmt"
	"slices"
	"strings"

	"tlsurge/faults/stage"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// Observed is what a trial or a row of a run's outcomes showed. Empty fields were not seen; Alert is -1
// where there was none.
type Observed struct {
	Software string // the profile's browser; of a server's line the server, or nothing
	UserSees string
	Class    results.Class
	Alert    int
	Sender   string
	Code     string // as the server logged it
	Reason   string
	Level    string
	Stage    string
	Offered  string
}

// Matches says whether the observation shows the signature. A field that the signature leaves empty
// restricts nothing; one that it has must be in the observation. In particular:
//
//   - UserSees stands for every text that a profile shows for the same error: a browser's title, code and
//     sentence are one, in any case and spelling, and plain English ("connection reset") is every text that
//     means nothing else. Words that no profile can show are compared by what they mean. Names that mean
//     different things stay different (ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION is no inappropriate fallback).
//   - Code is compared by samePacked: exactly within one era of OpenSSL, by its reason across eras. A
//     signature of a user has the client's code, which no server logs: it is not compared.
//   - Lines without a code are compared by their event: what nginx calls "peer closed connection in SSL
//     handshake" HAProxy calls "Connection closed during SSL handshake".
//     A server's line is compared by code and reason alone: they say which alert it was, and who sent it.
//   - Stage is compared by phase: connecting, before the ServerHello, after it, beyond the handshake.
//   - Offered tells a client that is too old from one that has no suite, which servers answer with one alert.
//   - Level is not compared: the same line moved between levels from one release to the next.
//   - Software restricts users' signatures to browsers of one family, where both are known.
func (s Signature) Matches(o Observed) bool {
	if s.Origin == ServerLog {
		return s.sameLine(o)
	}
	if s.literally(o) {
		return true
	}
	switch {
	case s.Class != "" && s.Class != o.Class,
		s.Alert >= 0 && s.Alert != o.Alert,
		s.Sender != "" && s.Sender != o.Sender,
		s.Offered != "" && o.Offered != "" && s.Offered != o.Offered,
		s.Stage != "" && o.Stage != "" && phaseOf(s.Stage) != phaseOf(o.Stage):
		return false
	}
	if s.Software != "" && o.Software != "" && !sameFamily(s.Software, o.Software) {
		return false
	}
	if s.Origin == User && o.UserSees == "" {
		return false // nothing reached the user
	}
	if s.UserSees == "" && s.Origin == User && s.Class == results.ClassLocalAlert && s.Alert < 0 && s.Reason != "" {
		// A library's complaint without an alert's number: that a client complained of something is not it.
		return strings.Contains(fold(o.UserSees), fold(s.Reason))
	}
	return s.UserSees == "" && (s.Class != "" || s.Alert >= 0) || s.UserSees != "" && s.sameWords(o)
}

// phaseOf is what a capture without keys and an engine can agree on: connecting, before the ServerHello, after
// it, and beyond the handshake.
func phaseOf(word string) int {
	switch at, _ := stage.Parse(word); {
	case at <= stage.SynAck:
		return 0
	case at <= stage.HelloRetryRequest, at == stage.Alert:
		return 1
	case at <= stage.ServerFinished:
		return 2
	}
	return 3
}

func (s Signature) sameLine(o Observed) bool {
	if s.Code != "" && o.Code != "" && (s.Reason == "" || o.Reason == "" || numbered(s.Code) && numbered(o.Code)) {
		return samePacked(strings.ToUpper(s.Code), strings.ToUpper(o.Code))
	}
	if s.Code == "" && s.Reason == "" {
		return s.Class != "" || s.Alert >= 0
	}
	if o.Code == "" && o.Reason == "" {
		return false
	}
	mine, seen := sameEvent(lineReason(s.Code, s.Reason)), sameEvent(lineReason(o.Code, o.Reason))
	if s.Code == "" && s.Alert >= 0 && s.Sender != "server" {
		mine = receivedAlert(s.Alert)
	}
	return mine == seen || mine == "any code" && o.Code != ""
}

// numbered says whether the number of a code tells its reason: not all of BoringSSL's are known.
func numbered(code string) bool {
	p, ok := parseCode(code)
	return !ok || p.reason != 0
}

func receivedAlert(a int) string { return fmt.Sprintf("received alert %d", a) }

// lineReason is what a line says: the library's reason where there is a code, else its canonical words.
func lineReason(code, reason string) string {
	if p, ok := parseCode(code); ok {
		if a := p.alert(); a >= 0 {
			return receivedAlert(a)
		}
		if known := reasonTexts[p.reason]; known != "" && p.library == librarySSL {
			return known
		}
		return reason
	}
	if _, known := reasonNumbers[strings.ToLower(reason)]; known {
		return reason
	}
	return logReason(reason)
}

func (s Signature) sameWords(o Observed) bool {
	e := words().find(tokens(s.UserSees))
	switch {
	case e == nil, len(e.means) == 0:
		return fold(s.UserSees) == fold(o.UserSees)
	case e.concept:
		return e.mean(o) || o.Class == "" && e.stands[fold(o.UserSees)]
	case isName(e.says[0]) && isName(o.UserSees) && !e.is(o.UserSees):
		return false // one name is not another, whatever both mean
	case len(e.stands) == 0:
		return e.mean(o)
	case e.exact() && !covers(e.means, words().shown[fold(o.UserSees)]):
		return false // "Security warning" may be about any certificate, ERR_CERT_AUTHORITY_INVALID is not
	}
	return e.is(o.UserSees) && (!worded[o.Class] || e.mean(o))
}

// is says whether a browser's text may stand where somebody reports this wording.
func (e *entry) is(text string) bool {
	return e.stands[fold(text)] || slices.ContainsFunc(e.says, func(says string) bool { return fold(says) == fold(text) })
}

// exact says whether the wording is a name that tells why a certificate is refused, and that a browser here shows
// as it stands.
func (e *entry) exact() bool {
	return isName(e.says[0]) && len(e.means) > 0 && !slices.ContainsFunc(e.means, func(m Meaning) bool { return m.About == "" }) &&
		slices.ContainsFunc(e.says, func(says string) bool { return words().shown[fold(says)] != nil })
}

// literally says whether the user sees the reported words themselves, and they mean nothing else. Then it does not
// matter what the last attempt was: Chrome of 2015 shows the error that made it fall back (ERR_CONNECTION_CLOSED),
// where the fallback ended in another (alert 86).
func (s Signature) literally(o Observed) bool {
	if s.Origin != User || s.UserSees == "" || s.Software != "" && o.Software != "" && !sameFamily(s.Software, o.Software) {
		return false
	}
	e, shown := words().find(tokens(s.UserSees)), words().shown[fold(o.UserSees)]
	return e != nil && !e.concept && len(shown) > 0 && len(e.means) > 0 && e.is(o.UserSees) && covers(e.means, shown)
}

// worded are the classes that profiles have words for.
var worded = map[results.Class]bool{results.ClassConnectRefused: true, results.ClassConnectTimeout: true, results.ClassReset: true,
	results.ClassRequestReset: true, results.ClassEOF: true, results.ClassRequestEOF: true, results.ClassHandshakeTimeout: true,
	results.ClassRequestTimeout: true, results.ClassPeerAlert: true, results.ClassLocalAlert: true}

// mean says whether one of the wording's meanings is what was observed.
func (e *entry) mean(o Observed) bool {
	class, alert := o.Class, o.Alert
	if class == results.ClassConnectReset {
		class = results.ClassReset
	}
	if alert >= 0 && strings.HasPrefix(wire.AlertDescription(alert).String(), "alert(") {
		alert = 255 // see eachFailure
	}
	return slices.ContainsFunc(e.means, func(m Meaning) bool {
		return m.Class == class && (m.About == "" || slices.ContainsFunc(words().shown[fold(o.UserSees)], func(seen Meaning) bool { return seen.About == m.About })) && (m.Alert < 0 || m.Alert == alert || class == results.ClassLocalAlert && alert < 0)
	})
}

// families are programs that word a failure alike, because one library or engine stands behind them.
var families = [][]string{
	{"chrome", "edge", "opera", "googlebot", "android"},
	{"openssl", "curl", "python", "node", "wget", "php", "ruby", "libressl"},
	{"java", "android"},
	{"gnutls", "wget", "curl"},
	{"nss", "curl"},
	{"ie", "schannel", "edge"},
	{"securetransport", "curl"},
}

func sameFamily(a, b string) bool {
	a, b = Family(a), Family(b)
	if a == b || a == "" || b == "" {
		return true
	}
	return slices.ContainsFunc(families, func(f []string) bool { return slices.Contains(f, a) && slices.Contains(f, b) })
}
