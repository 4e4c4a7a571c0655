package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tlsurge/profiles/wire"
)

// attr is a set of attributes of a suite; a word of a cipher string selects by one set for each column.
type attr uint32

const ( // key exchange
	kRSA attr = 1 << iota
	kDHE
	kECDHE
	kPSK
	kRSAPSK
	kDHEPSK
	kECDHEPSK
	kSRP
	kAny // TLS 1.3
)

const ( // authentication
	aRSA attr = 1 << iota
	aDSS
	aECDSA
	aPSK
	aSRP
	aNULL
	aAny
)

const ( // encryption
	eAES128 attr = 1 << iota
	eAES256
	eAESGCM128
	eAESGCM256
	eAESCCM128
	eAESCCM256
	eAESCCM8128
	eAESCCM8256
	eCHACHA20
	eCAMELLIA128
	eCAMELLIA256
	eARIA128
	eARIA256
	e3DES
	eDES
	eRC4
	eRC2
	eIDEA
	eSEED
	eNULL
)

const ( // MAC
	mMD5 attr = 1 << iota
	mSHA1
	mSHA256
	mSHA384
	mAEAD
)

const ( // OpenSSL's strength classes
	gNONE attr = 1 << iota
	gEXP40
	gLOW
	gMEDIUM
	gHIGH
	gFIPS // beside one of the others; see suite.grades
)

const (
	eAESGCM   = eAESGCM128 | eAESGCM256
	eAESCCM8  = eAESCCM8128 | eAESCCM8256
	eAESCCM   = eAESCCM128 | eAESCCM256 | eAESCCM8
	eAES      = eAES128 | eAES256 | eAESGCM | eAESCCM
	eCAMELLIA = eCAMELLIA128 | eCAMELLIA256
	eCBC      = eAES128 | eAES256 | eCAMELLIA | e3DES | eDES | eRC2 | eIDEA | eSEED
	kAllPSK   = kPSK | kRSAPSK | kDHEPSK | kECDHEPSK
)

// suite is one row of suites.
type suite struct {
	id                 wire.CipherSuite
	name               string // OpenSSL's
	kx, auth, enc, mac attr
	bits               int
	grade              attr
	min                wire.Version // first version that has it
	since, until       era
}

// grades are the strength classes as OpenSSL 3.0 has them: what FIPS 140 allows is marked besides.
func (s *suite) grades() attr {
	if s.enc&(eAES128|eAES256|eAESGCM|e3DES|eNULL) != 0 && s.mac != mMD5 && s.kx != kSRP {
		return s.grade | gFIPS
	}
	return s.grade
}

// query is what a word selects: in each column where the set is not empty, the suite must be in it.
type query struct {
	kx, auth, enc, mac, grade attr
	notAuth, notEnc           attr
	notDefault                bool
	min                       wire.Version
	name                      string
}

// words are the aliases of the cipher-string language (ciphers(1), "CIPHER STRINGS").
var words = map[string]query{
	"ALL": {notEnc: eNULL}, "COMPLEMENTOFALL": {enc: eNULL}, "COMPLEMENTOFDEFAULT": {notDefault: true},
	"kRSA": {kx: kRSA}, "kEDH": {kx: kDHE}, "kDHE": {kx: kDHE}, "kEECDH": {kx: kECDHE}, "kECDHE": {kx: kECDHE},
	"DH": {kx: kDHE}, "EDH": {kx: kDHE, notAuth: aNULL}, "DHE": {kx: kDHE, notAuth: aNULL},
	"ECDH": {kx: kECDHE}, "EECDH": {kx: kECDHE, notAuth: aNULL}, "ECDHE": {kx: kECDHE, notAuth: aNULL},
	"ADH": {kx: kDHE, auth: aNULL}, "AECDH": {kx: kECDHE, auth: aNULL},
	"RSA": {kx: kRSA, auth: aRSA}, "aRSA": {auth: aRSA}, "aDSS": {auth: aDSS}, "DSS": {auth: aDSS},
	"aECDSA": {auth: aECDSA}, "ECDSA": {auth: aECDSA}, "aNULL": {auth: aNULL}, "aPSK": {auth: aPSK}, "aSRP": {auth: aSRP},
	"kPSK": {kx: kPSK}, "PSK": {kx: kAllPSK}, "kSRP": {kx: kSRP}, "SRP": {kx: kSRP},
	"kRSAPSK": {kx: kRSAPSK}, "kDHEPSK": {kx: kDHEPSK}, "kECDHEPSK": {kx: kECDHEPSK},
	"3DES": {enc: e3DES}, "DES": {enc: eDES}, "RC4": {enc: eRC4}, "RC2": {enc: eRC2}, "IDEA": {enc: eIDEA},
	"SEED": {enc: eSEED}, "eNULL": {enc: eNULL}, "NULL": {enc: eNULL},
	"AES128": {enc: eAES128 | eAESGCM128 | eAESCCM128 | eAESCCM8128}, "AES256": {enc: eAES256 | eAESGCM256 | eAESCCM256 | eAESCCM8256}, "AES": {enc: eAES},
	"AESGCM": {enc: eAESGCM}, "AESCCM": {enc: eAESCCM}, "AESCCM8": {enc: eAESCCM8}, "CHACHA20": {enc: eCHACHA20},
	"CAMELLIA128": {enc: eCAMELLIA128}, "CAMELLIA256": {enc: eCAMELLIA256}, "CAMELLIA": {enc: eCAMELLIA},
	"ARIA": {enc: eARIA128 | eARIA256}, "ARIAGCM": {enc: eARIA128 | eARIA256}, "CBC": {enc: eCBC}, "ARIA128": {enc: eARIA128}, "ARIA256": {enc: eARIA256},
	"MD5": {mac: mMD5}, "SHA1": {mac: mSHA1}, "SHA": {mac: mSHA1}, "SHA256": {mac: mSHA256}, "SHA384": {mac: mSHA384},
	"SSLv3": {min: wire.SSL30}, "TLSv1": {min: wire.TLS10}, "TLSv1.0": {min: wire.TLS10}, "TLSv1.2": {min: wire.TLS12},
	"EXP": {grade: gEXP40}, "EXPORT": {grade: gEXP40}, "EXPORT40": {grade: gEXP40},
	"LOW": {grade: gLOW}, "MEDIUM": {grade: gMEDIUM}, "HIGH": {grade: gHIGH},
	// Known, and empty here: suites with fixed (EC)DH certificates, Kerberos and GOST are not in the table.
	"aECDH": {name: "-"}, "aDH": {name: "-"}, "kECDHr": {name: "-"}, "kECDHe": {name: "-"}, "kDHr": {name: "-"},
	"kDHd": {name: "-"}, "KRB5": {name: "-"}, "kKRB5": {name: "-"}, "aKRB5": {name: "-"}, "EXPORT56": {name: "-"},
	"aGOST": {name: "-"}, "kGOST": {name: "-"},
	"FIPS": {grade: gFIPS, notEnc: eNULL},
}

func (q query) selects(s *suite) bool {
	if q.name != "" && q.name != s.name {
		return false
	}
	in := func(want, have attr) bool { return want == 0 || want&have != 0 }
	return in(q.kx, s.kx) && in(q.auth, s.auth) && in(q.enc, s.enc) && in(q.mac, s.mac) && in(q.grade, s.grades()) &&
		(!q.notDefault || s.enc != eNULL && (s.auth&(aDSS|aNULL) != 0 || s.enc&(eCAMELLIA|eARIA128|eARIA256|eAESCCM) != 0)) &&
		q.notAuth&s.auth == 0 && q.notEnc&s.enc == 0 && (q.min == 0 || q.min == s.min)
}

// and narrows q to what both select ("kEDH+AESGCM"). Two sets for one column intersect; if that leaves
// nothing, nothing is selected.
func (q query) and(r query) query {
	both := func(a, b *attr) bool {
		switch {
		case *a == 0:
			*a = *b
		case *b != 0:
			*a &= *b
			return *a != 0
		}
		return true
	}
	first := q.grade == 0 && r.grade != 0
	ok := both(&q.kx, &r.kx) && both(&q.auth, &r.auth) && both(&q.enc, &r.enc) && both(&q.mac, &r.mac) && both(&q.grade, &r.grade)
	q.notAuth |= r.notAuth
	q.notEnc |= r.notEnc
	// The library keeps both in one word, and the first strength class overwrites what stood there.
	q.notDefault = q.notDefault && !first || r.notDefault
	if q.min == 0 {
		q.min = r.min
	} else if r.min != 0 && r.min != q.min {
		ok = false
	}
	switch {
	case !ok || q.name == "-":
		q.name = "-"
	case r.name != "":
		q.name = r.name
	}
	return q
}

// CipherList is a cipher string as the library expanded it.
type CipherList struct {
	// Listed is what `openssl ciphers` prints, TLS 1.2 and below, in order of preference.
	Listed []wire.CipherSuite
	// Suites is Listed without what the security level refuses in a handshake.
	Suites        []wire.CipherSuite
	SecurityLevel int
}

// Expand turns a cipher string into the library's list, in its order of preference.
//
// The language is that of ciphers(1): words joined by '+', separated by ':', each with an operator in front
// ('-' takes away, '!' takes away for good, '+' moves to the end), and @STRENGTH and @SECLEVEL=n. Words that
// nobody knows select nothing, as in the library; an empty result is an error ("no cipher match").
func (s *Stack) Expand(text string) (CipherList, error) {
	b := s.arranged()
	out := CipherList{SecurityLevel: s.SecurityLevel}
	if s.era >= era102 {
		text = suiteB(text)
	}
	if strings.HasPrefix(text, "DEFAULT") {
		if err := b.run(s.defaultString(), &out); err != nil {
			return out, err
		}
		text = strings.TrimPrefix(text, "DEFAULT")
	}
	if err := b.run(text, &out); err != nil {
		return out, err
	}
	for _, e := range b {
		if !e.active {
			continue
		}
		out.Listed = append(out.Listed, e.id)
		if s.allowed(e.suite, out.SecurityLevel) {
			out.Suites = append(out.Suites, e.id)
		}
	}
	if len(out.Listed) == 0 {
		return out, fmt.Errorf("no cipher match: %q selects no suite of %s", text, s.Name)
	}
	return out, nil
}

// suiteB: a string that begins with one of these words is that profile of RFC 6460, and the rest does not count.
func suiteB(text string) string {
	const with128, with256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
	for _, p := range [...]struct{ word, suites string }{
		{"SUITEB128ONLY", with128}, {"SUITEB128C2", with128 + ":" + with256}, {"SUITEB128", with128 + ":" + with256}, {"SUITEB192", with256},
	} {
		if strings.HasPrefix(text, p.word) {
			return p.suites
		}
	}
	return text
}

func (s *Stack) defaultString() string {
	switch {
	case s.era >= era110:
		return "ALL:!COMPLEMENTOFDEFAULT:!eNULL"
	case s.era >= era100:
		return "ALL:!EXPORT:!aNULL:!eNULL:!SSLv2"
	}
	return "ALL:!aNULL:!eNULL:+RC4:@STRENGTH"
}

// allowed applies the security level: SSL_CTX_set_security_level(3), "DEFAULT CALLBACK BEHAVIOUR".
func (s *Stack) allowed(c *suite, level int) bool {
	if s.era < era110 || level == 0 {
		return true
	}
	need := [...]int{0, 80, 112, 128, 192, 256}[min(level, 5)]
	switch {
	case c.bits < need, c.auth == aNULL, c.mac == mMD5:
		return false
	case level >= 2 && c.enc == eRC4, level >= 3 && c.kx&(kRSA|kPSK|kRSAPSK) != 0:
		return false
	}
	return true
}

// entry is a suite in the working list; inactive ones keep their place so that a later word finds them in
// the arranged order.
type entry struct {
	*suite
	active bool
}

type board []entry

// arranged is the list before the first word: the library's own order, nothing active.
func (s *Stack) arranged() board {
	var b board
	for i := len(suites) - 1; i >= 0; i-- { // the library walks its table from the end
		c := &suites[i]
		if c.kx != kAny && c.since <= s.era && (c.until == 0 || s.era < c.until) {
			b = append(b, entry{suite: c})
		}
	}
	if s.era < era100 {
		return b
	}
	b.add(query{kx: kECDHE, auth: aECDSA}, s.era >= era110)
	b.add(query{kx: kECDHE}, true)
	b.del(query{kx: kECDHE})
	if s.era >= era110 {
		b.add(query{enc: eAESGCM}, true)
		b.add(query{enc: eCHACHA20}, true)
	}
	b.add(query{enc: eAES}, true)
	b.add(query{}, true)
	b.order(query{mac: mMD5})
	b.order(query{auth: aNULL})
	b.order(query{kx: kRSA})
	b.order(query{kx: kPSK})
	b.order(query{enc: eRC4})
	b.byStrength()
	if s.era >= era110 {
		b.bump(query{min: wire.TLS12})
		b.bump(query{mac: mAEAD})
		b.bump(query{kx: kDHE | kECDHE})
		b.bump(query{kx: kDHE | kECDHE, mac: mAEAD})
	}
	b.del(query{})
	return b
}

// run carries out one cipher string.
func (b *board) run(text string, out *CipherList) error {
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(":, ;", r) }) {
		switch op := item[0]; op {
		case '@':
			if err := b.command(item, out); err != nil {
				return err
			}
		case '-', '!', '+':
			q, ok := parseQuery(item[1:])
			if !ok {
				continue
			}
			switch op {
			case '-':
				b.del(q)
			case '!':
				*b = slices.DeleteFunc(*b, func(e entry) bool { return q.selects(e.suite) })
			case '+':
				b.order(q)
			}
		default:
			if q, ok := parseQuery(item); ok {
				b.add(q, true)
			}
		}
	}
	return nil
}

func (b *board) command(item string, out *CipherList) error {
	if item == "@STRENGTH" {
		b.byStrength()
		return nil
	}
	if text, ok := strings.CutPrefix(item, "@SECLEVEL="); ok {
		level, err := strconv.Atoi(text)
		if err == nil && level >= 0 && level <= 5 {
			out.SecurityLevel = level
			return nil
		}
	}
	return fmt.Errorf("%q: the commands of a cipher string are @STRENGTH and @SECLEVEL=0 to 5", item)
}

func parseQuery(item string) (query, bool) {
	var q query
	if item == "" {
		return q, false
	}
	for i, word := range strings.Split(item, "+") {
		r, ok := words[word]
		if !ok {
			if r, ok = named(word); !ok {
				return q, false
			}
		}
		if i == 0 {
			q = r
		} else {
			q = q.and(r)
		}
	}
	return q, true
}

// named is a suite by OpenSSL's name (the registry's have an underscore, at which OpenSSL up to 3.0 stops reading). Beside others ("AES128-SHA+kRSA") its attributes count as theirs do.
func named(word string) (query, bool) {
	for i := range suites {
		if s := &suites[i]; s.kx != kAny && s.name == word {
			return query{kx: s.kx, auth: s.auth, enc: s.enc, mac: s.mac, grade: s.grades(), name: s.name}, true
		}
	}
	return query{}, false
}

// move takes the entries that pick chooses out of the list, applies set to them, and puts them back at the
// end or at the head, their order kept.
func (b board) move(toHead bool, pick func(entry) bool, set func(*entry)) {
	var moved, kept []entry
	for _, e := range b {
		if pick(e) {
			set(&e)
			moved = append(moved, e)
		} else {
			kept = append(kept, e)
		}
	}
	if toHead {
		copy(b, append(moved, kept...))
	} else {
		copy(b, append(kept, moved...))
	}
}

// add appends the selected suites that are not active yet.
func (b board) add(q query, do bool) {
	if do {
		b.move(false, func(e entry) bool { return !e.active && q.selects(e.suite) }, func(e *entry) { e.active = true })
	}
}

// del makes the selected suites inactive; they go to the head, so that a later word finds them first.
func (b board) del(q query) {
	b.move(true, func(e entry) bool { return e.active && q.selects(e.suite) }, func(e *entry) { e.active = false })
}

func (b board) order(q query) {
	b.move(false, func(e entry) bool { return e.active && q.selects(e.suite) }, func(*entry) {})
}

func (b board) bump(q query) {
	b.move(true, func(e entry) bool { return e.active && q.selects(e.suite) }, func(*entry) {})
}

func (b board) byStrength() {
	for _, bits := range []int{256, 168, 128, 112, 56, 40, 0} {
		b.move(false, func(e entry) bool { return e.active && e.bits == bits }, func(*entry) {})
	}
}

// Name gives OpenSSL's name of a suite, as in $ssl_cipher; suites that it does not know keep the registry's.
func Name(id wire.CipherSuite) string {
	for i := range suites {
		if suites[i].id == id {
			return suites[i].name
		}
	}
	return id.String()
}
