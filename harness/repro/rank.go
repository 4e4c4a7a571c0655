package repro

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/symptom"
	"tlsurge/harness/trial"
	"tlsurge/results"
)

// Candidate is a cause that is tried: a recipe without its visitors, and why it may be that.
type Candidate struct {
	Cause  string `json:"cause"`
	Why    string `json:"why"`
	Recipe Recipe `json:"recipe"`
	Case   string `json:"case,omitempty"` // of the library
}

// String is what the candidate does, in a line.
func (c Candidate) String() string {
	if c.Case != "" {
		return "case " + c.Case
	}
	r := c.Recipe
	r.Visitors = nil
	var where []string
	for _, s := range r.Acts {
		where = append(where, s.String())
	}
	what := "nothing damaged"
	if len(r.Faults) > 0 {
		what = r.Faults[0].String()
		if r.Faults[0].Attempts == everyAttempt {
			what += ", every attempt"
		}
	}
	return what + "; " + strings.Join(where, ", then ")
}

// cause is a rule of ranking: which signatures it explains, and what is tried for them.
type cause struct {
	name   string
	words  *regexp.Regexp // in what was said or logged, lower case
	alerts []int
	class  []results.Class
	at     stage.Stage // where the connection ended; zero: anywhere
	why    string
	faults []trial.Fault // each is a candidate
	// settings gives the servers for a signature, likeliest first; nil: the stacks of the era, as they are.
	settings func(k *ranking, t target) []Setting
	kase     string         // of the library, where no trial in memory can play it
	only     symptom.Origin // whose words; empty: anybody's
	plain    bool           // it explains what every site's log has now and then
	marked   bool           // it needs browsers that mark a fallback (RFC 7507), which began in October 2014
	of2015   bool           // a matter of that time: it stands back where the report is from another
}

// bag is all the words of a signature.
func bag(s symptom.Signature) string {
	return strings.ToLower(strings.Join([]string{s.UserSees, s.Reason, s.Text, string(s.Class)}, " "))
}

func (c *cause) explains(s symptom.Signature) bool {
	if c.only != "" && c.only != s.Origin {
		return false
	}
	if c.at != 0 && c.at.String() != s.Stage {
		return false
	}
	return s.Alert >= 0 && slices.Contains(c.alerts, s.Alert) || slices.Contains(c.class, s.Class) || c.words != nil && c.words.MatchString(bag(s))
}

var none = []trial.Fault{{}}

// causes is what is known about how such reports come about, the most particular first. What each rule says of
// browsers and servers is not repeated here: the trial finds out.
var causes = []cause{
	{name: "first handshake cut, fallback refused", alerts: []int{86}, words: regexp.MustCompile(`inappropriate.?fallback`),
		why: "a browser marks a hello with TLS_FALLBACK_SCSV only after an earlier attempt of its failed: the refusal is the second link, " +
			"and something cut the first handshake",
		faults: cuts, settings: (*ranking).aboveTLS10},
	{name: "first handshake cut, fallback has no suite left", alerts: []int{47},
		words: regexp.MustCompile(`required cipher missing|no_cypher_overlap|no_cipher_overlap|illegal.?param|-9830`),
		why: "the first OpenSSL releases with TLS_FALLBACK_SCSV ignore every suite behind it, and NSS and Apple put it first: a fallback that follows " +
			"a cut handshake then offers nothing that a TLS 1.0 server sees",
		faults: cuts, settings: (*ranking).onlyTLS10, marked: true, of2015: true},
	{name: "HelloRetryRequest cut", at: stage.HelloRetryRequest, class: []results.Class{results.ClassReset, results.ClassEOF, results.ClassHandshakeTimeout},
		why: "the server asks for another key share, and the connection ends before the second ClientHello is answered: a box on the way that " +
			"knows one hello per connection, or a server that does not get over its own request",
		faults: all([]trial.Fault{{Action: faults.Reset, At: stage.HelloRetryRequest}, {Action: faults.FIN, At: stage.HelloRetryRequest},
			{Action: faults.Stall, At: stage.HelloRetryRequest}}), settings: (*ranking).otherGroups},
	{name: "no suite in common", alerts: []int{40, 71},
		words:  regexp.MustCompile(`no shared cipher|no_cypher_overlap|no_cipher_overlap|version_or_cipher|handshake.?fail|-9824|-9801|insufficient|no ciphers`),
		why:    "browser and server know no cipher suite, or key, in common: no fault is needed for that",
		faults: none, settings: (*ranking).otherSuites},
	{name: "no version in common", alerts: []int{70},
		words:  regexp.MustCompile(`unsupported.?(protocol|version)|unknown protocol|version too low|wrong.?version|protocol.?version|version_or_cipher|-9836|obsolete`),
		why:    "the server no longer speaks, or does not speak yet, any version of TLS that the browser offers",
		faults: none, settings: (*ranking).otherVersions},
	{name: "first handshake cut, fallback has no suite left", alerts: []int{40}, words: regexp.MustCompile(`no shared cipher|version_or_cipher|-9824`),
		why:    "as with required cipher missing, from browsers that do not send a session with TLS_FALLBACK_SCSV",
		faults: cuts, settings: (*ranking).onlyTLS10, marked: true, of2015: true},
	{name: "certificate out of its time", alerts: []int{45}, words: regexp.MustCompile(`expired|date_invalid|-9814|-9815`),
		why: "the certificate's time is over, on one edge or all", faults: []trial.Fault{{Action: faults.CertExpired}}},
	{name: "certificate refused", alerts: []int{42, 43, 46, 48, 49}, class: []results.Class{results.ClassCertificate},
		words: regexp.MustCompile(`cert|authority_invalid|unknown_issuer|-9807|-9813|-9843`),
		why:   "the browser does not accept the chain: what stands in it is the library's cases"},
	{name: "name refused", alerts: []int{112}, words: regexp.MustCompile(`unrecognized.?name|handshake rejected`),
		why: "the server has no certificate for the name that was asked for", faults: none, settings: (*ranking).rejecting},
	{name: "no group in common", alerts: []int{40}, words: regexp.MustCompile(`key share|no suitable`),
		why: "the server knows none of the browser's key exchange groups", faults: none, settings: (*ranking).otherGroups},
	{name: "weak Diffie-Hellman parameters", words: regexp.MustCompile(`ephemeral|weak.*key|dh key|too small`),
		why: "the server's Diffie-Hellman parameters are too small for the browser", faults: none, settings: (*ranking).weakDH},
	{name: "plain HTTP on the port of TLS", only: symptom.User, kase: "plain-http-on-tls-port",
		words: regexp.MustCompile(`record_too_long|record too long|wrong version number|wrong_version_number|plaintext connection|does not look like a tls|ssl_protocol_error`),
		why:   "the listen directive lacks \"ssl\", and the answer in the clear is read as a record"},
	{name: "plain HTTP on the port of TLS", kase: "plain-http-on-tls-port",
		words: regexp.MustCompile(`invalid method|tls spoken to a plain port|server answered in`),
		why:   "the server reads the ClientHello as a request and answers it in the clear"},
	{name: "nobody listens", kase: "nobody-listens", class: []results.Class{results.ClassConnectRefused}, words: regexp.MustCompile(`connection.?refused`),
		why: "the server's process has ended, or is bound to another address or port: the kernel answers the SYN with RST"},
	{name: "bytes damaged on the way", alerts: []int{10, 20, 21, 22, 50, 51},
		words: regexp.MustCompile(`bad.?record.?mac|bad.?mac|decrypt|digest check|length mismatch|decode|unexpected.?(message|msg)|malformed|-9820|-9846|ssl_protocol_error|-9800|-9810`),
		why:   "a box on the way changes bytes and makes TCP's checksum right again", faults: corruptions()},
	{name: "every handshake cut", plain: true, class: []results.Class{results.ClassReset, results.ClassEOF, results.ClassConnectReset},
		words: regexp.MustCompile(`reset|closed|end_of_file|eof|interrupted|-1005|-9806|connection.?(was )?lost|handshake failure|secure connection|establish`),
		why:   "the connection ends before the handshake does, and the browser's own retries meet the same",
		faults: all([]trial.Fault{{Action: faults.Reset, At: stage.ClientHello}, {Action: faults.FIN, At: stage.ClientHello},
			{Action: faults.Reset, At: stage.ServerHello}, {Action: faults.FIN, At: stage.ServerHello},
			{Action: faults.Reset, At: stage.Finished}, {Action: faults.FIN, At: stage.Finished}})},
	{name: "first handshake cut, error of the fallback hidden", plain: true, words: regexp.MustCompile(`err_connection_(reset|closed)|reset by peer|peer closed`),
		why:    "Chrome of 2015 shows the error that began a fallback in the place of the fallback's own",
		faults: cuts, settings: (*ranking).aboveTLS10},
	{name: "request cut", plain: true, class: []results.Class{results.ClassRequestReset, results.ClassRequestEOF, results.ClassTruncated},
		words: regexp.MustCompile(`empty_response|dropped|reset|closed`), why: "the connection ends under a request that was sent",
		faults: all([]trial.Fault{{Action: faults.Reset, At: stage.Request}, {Action: faults.FIN, At: stage.Request},
			{Action: faults.Reset, At: stage.Response}, {Action: faults.FIN, At: stage.Response}})},
	{name: "silence", plain: true, class: []results.Class{results.ClassHandshakeTimeout, results.ClassRequestTimeout, results.ClassConnectTimeout},
		words: regexp.MustCompile(`timed?.?out|-1001|isn't responding|took too long`),
		why:   "bytes are lost, or held, until somebody gives up waiting",
		faults: all([]trial.Fault{{Action: faults.Drop, At: stage.ClientHello}, {Action: faults.Drop, At: stage.Finished}, {Action: faults.Stall, At: stage.ServerHello},
			{Action: faults.Blackhole, At: stage.ServerHello}, {Action: faults.Stall, At: stage.Response}})},
}

// corruptions are those of damages that flip bits.
func corruptions() (list []trial.Fault) {
	for _, attempts := range []int{1, everyAttempt} {
		for _, f := range damages() {
			if f.Action == faults.Corrupt {
				f.Attempts = attempts
				list = append(list, f)
			}
		}
	}
	return list
}

// ranking is a report on its way to candidates.
type ranking struct {
	config  string
	targets []target
	era     era
}

// candidates are the causes that explain something of the report, those that explain most of it first; in the
// order of the table where they explain as much.
func (k *ranking) candidates() (list []Candidate) {
	type scored struct {
		c     *cause
		score int
		for_  []target
	}
	var found []scored
	for i := range causes {
		s := scored{c: &causes[i]}
		for j, t := range k.targets {
			if k.explains(&causes[i], t) {
				s.for_ = append(s.for_, t)
				s.score += 100 - min(j, 50) // what stands first in a report counts a little more
				if s.c.of2015 && k.era.stacks[0] != stacksOf2015[0] {
					s.score -= 40
				}
			}
		}
		if len(s.for_) > 0 {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	if chain, ok := k.chain(); ok {
		list = append(list, chain...)
	}
	chained := len(list)
	for _, s := range found {
		if s.c.kase != "" && k.config == "" {
			list = append(list, Candidate{Cause: s.c.name, Why: s.c.why, Case: s.c.kase})
			continue
		}
		for _, t := range s.for_ {
			for _, setting := range k.settings(s.c, t) {
				for _, f := range s.c.faults {
					c := Candidate{Cause: s.c.name, Why: s.c.why, Recipe: Recipe{Acts: []Setting{setting}}}
					if f.Action != "" {
						c.Recipe.Faults = []trial.Fault{f}
					}
					if !slices.ContainsFunc(list, func(o Candidate) bool { return o.Case == "" && same(o.Recipe, c.Recipe) }) {
						list = append(list, c)
					}
				}
			}
		}
	}
	slices.SortStableFunc(list[chained:], func(a, b Candidate) int { return cmp.Compare(k.foreign(a), k.foreign(b)) })
	return list
}

// firstMarked is when the first browser marked its fallbacks: Chrome did, then Firefox and its ESR.
var firstMarked = time.Date(2014, time.October, 1, 0, 0, 0, 0, time.UTC)

// explains is the cause's own word, but for what did not exist yet when the line was logged.
func (k *ranking) explains(c *cause, t target) bool {
	return c.explains(t.Signature) && (!c.marked || t.Last.IsZero() || !t.Last.Before(firstMarked))
}

// foreign is 1 for a server that is not of the report's era: all causes are looked for among its own first.
func (k *ranking) foreign(c Candidate) int {
	if c.Case != "" {
		return 0 // it names its own
	}
	if slices.Contains(k.era.stacks[:k.era.own], c.Recipe.Acts[0].Stack) {
		return 0
	}
	return 1
}

func same(a, b Recipe) bool {
	return slices.EqualFunc(a.Acts, b.Acts, func(x, y Setting) bool { return x.id() == y.id() }) && slices.Equal(a.Faults, b.Faults)
}

// chain joins the two faces of a cut first handshake: where a report has both, the server was changed meanwhile,
// and one fault explains it before and after.
func (k *ranking) chain() (list []Candidate, ok bool) {
	var acts []Setting
	for i := range causes {
		for _, t := range k.targets {
			c := &causes[i]
			if !slices.Equal(c.faults, cuts) || c.plain || !k.explains(c, t) {
				continue
			}
			if s := k.settings(c, t); len(s) > 0 && !slices.ContainsFunc(acts, func(a Setting) bool { return a.id() == s[0].id() }) {
				acts = append(acts, s[0])
			}
		}
	}
	if len(acts) < 2 {
		return nil, false
	}
	slices.SortFunc(acts, func(a, b Setting) int { return cmp.Compare(age(a.Stack), age(b.Stack)) })
	for _, f := range cuts {
		list = append(list, Candidate{Cause: "first handshakes cut, before and after a change of the server",
			Why: "one cause with two faces: browsers answer a cut first handshake with a marked fallback, which the older server finds without suites and the " +
				"newer one refuses", Recipe: Recipe{Acts: acts, Faults: []trial.Fault{f}}})
	}
	return list, true
}

func (k *ranking) settings(c *cause, t target) []Setting {
	if c.settings != nil {
		return c.settings(k, t)
	}
	return k.bases(t)
}

func (k *ranking) bases(t target) (list []Setting) {
	for _, s := range k.era.likely(t) {
		list = append(list, base(k.config, s))
	}
	return list
}

// aboveTLS10 are servers that speak more than TLS 1.0, so that a lowered hello can be told.
func (k *ranking) aboveTLS10(t target) []Setting {
	return slices.DeleteFunc(k.bases(t), func(s Setting) bool { return strings.HasPrefix(s.Stack, "openssl-0.9.8") })
}

// onlyTLS10 are servers of TLS 1.0 with the defect of the first releases that knew TLS_FALLBACK_SCSV.
func (k *ranking) onlyTLS10(t target) (list []Setting) {
	for _, s := range k.era.likely(t) {
		switch {
		case s == "openssl-0.9.8zc":
			list = append([]Setting{base(k.config, s)}, list...)
		case s == "openssl-1.0.1j" && k.config == "":
			list = append(list, base("", s).with("ssl_protocols", "TLSv1"))
		}
	}
	return list
}

// changed are the variants in which one of the directives is another, or the key.
func (k *ranking) changed(t target, names ...string) (list []Setting) {
	if k.config != "" {
		return k.bases(t)
	}
	for _, s := range k.era.likely(t) {
		plain := base("", s)
		for _, v := range variants("", s) {
			if v.Key != plain.Key && slices.Contains(names, "key") || slices.ContainsFunc(names, func(n string) bool { return v.Set[n] != plain.Set[n] }) {
				list = append(list, v)
			}
		}
	}
	return list
}

func (k *ranking) otherSuites(t target) []Setting {
	return append(k.bases(t), k.changed(t, "ssl_ciphers", "key")...)
}
func (k *ranking) otherVersions(t target) []Setting {
	return append(k.bases(t), k.changed(t, "ssl_protocols")...)
}
func (k *ranking) rejecting(t target) []Setting   { return k.changed(t, "ssl_reject_handshake") }
func (k *ranking) otherGroups(t target) []Setting { return k.changed(t, "ssl_ecdh_curve") }
func (k *ranking) weakDH(t target) []Setting      { return k.changed(t, "ssl_ciphers") }

// String names the ranking's targets.
func (k *ranking) String() string { return fmt.Sprintf("%d signatures", len(k.targets)) }
