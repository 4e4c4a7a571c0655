package repro

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/symptom"
	"tlsurge/profiles"
)

// era is when a report is from, as far as it tells: which servers and browsers are looked at first. It excludes
// nothing.
type era struct {
	stacks []string // likeliest first
	own    int      // how many of them are of the era itself
	when   time.Time
}

// Stacks by age. The one of crypto/tls is none of the engine's and is not searched.
var (
	stacksOf2015  = []string{"openssl-1.0.1j", "openssl-0.9.8zc", "openssl-1.0.2", "openssl-0.9.8e"}
	stacksOf2018  = []string{"openssl-1.1.1", "openssl-1.0.2", "openssl-3.0"}
	stacksOfToday = []string{"openssl-3.0", "openssl-1.1.1"}
)

// eraOf reads the era off dates, off the codes of a library, and off how a browser spells its errors.
func eraOf(list []target) era {
	var when time.Time
	for _, t := range list {
		if when.IsZero() || !t.First.IsZero() && t.First.Before(when) {
			when = t.First
		}
	}
	first := stacksOfToday
	switch {
	case !when.IsZero() && when.Year() < 2017:
		first = stacksOf2015
	case !when.IsZero() && when.Year() < 2020:
		first = stacksOf2018
	case !when.IsZero():
	case slices.ContainsFunc(list, old):
		first, when = stacksOf2015, time.Date(2015, 1, 31, 0, 0, 0, 0, time.UTC)
	}
	e := era{when: when, own: len(first)}
	if e.when.IsZero() {
		for _, n := range profiles.Names() { // the newest
			if at := released(n); at.After(e.when) {
				e.when = at
			}
		}
	}
	for _, s := range slices.Concat(first, stacksOfToday, stacksOf2018, stacksOf2015) {
		if !slices.Contains(e.stacks, s) {
			e.stacks = append(e.stacks, s)
		}
	}
	return e
}

// old says whether the signature is spelled as in 2015: Firefox wrote its codes in small letters until 2018, and
// a code of OpenSSL before 1.1 names a function of that time.
func old(t target) bool {
	if t.Origin == symptom.ServerLog {
		s := librariesOf(t.Code)
		return len(s) > 0 && !slices.Contains(s, "openssl-1.1.1") && !slices.Contains(s, "openssl-3.0")
	}
	return strings.HasPrefix(t.UserSees, "ssl_error_") || strings.HasPrefix(t.UserSees, "sec_error_")
}

// librariesOf are the stacks whose library can write a packed code; nil for no code or one that tells nothing.
// Before 3.0 a code holds the number of a function: those of 1.1 begin at 360, but for two that stayed.
func librariesOf(code string) []string {
	if len(code) != 8 {
		return nil
	}
	if strings.HasPrefix(code, "0A") {
		return []string{"openssl-3.0"}
	}
	fn, err := strconv.ParseUint(code[2:5], 16, 16)
	if err != nil || !strings.HasPrefix(code, "14") {
		return nil
	}
	switch {
	case fn >= 360:
		return []string{"openssl-1.1.1"}
	case fn == 143 || fn == 148:
		return []string{"openssl-1.0.1j", "openssl-0.9.8zc", "openssl-1.0.2", "openssl-0.9.8e", "openssl-1.1.1"}
	}
	return stacksOf2015
}

// likely orders stacks by the era and leaves out those that could not have written the signature's code.
func (e era) likely(t target) []string {
	can := librariesOf(t.Code)
	return slices.DeleteFunc(slices.Clone(e.stacks), func(s string) bool { return can != nil && !slices.Contains(can, s) })
}

// age is a stack's place among all, oldest first.
func age(name string) int { return slices.Index(stack.Names(), name) }

// people is every visitor that the report does not exclude: those whose hellos a capture has, then those of the
// time, and of them first who was out already.
func (e era) people(list []target, captured []symptom.Hello) (out []Visitor) {
	var names []string
	for _, n := range profiles.Names() {
		if slices.ContainsFunc(list, func(t target) bool { return t.by(n) }) {
			names = append(names, n)
		}
	}
	distance := func(name string) int { // in months
		at := released(name)
		d := 12*(e.when.Year()-at.Year()) + int(e.when.Month()) - int(at.Month())
		switch {
		case at.IsZero(): // behind those that are known to be of the time
			d = 12 * 50
		case d < 0:
			d = -d + 12*10
		}
		if program(name) {
			d += 12 * 1000
		}
		return d
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(distance(a), distance(b)) })
	seen := map[string]int{}
	for i, h := range captured {
		for _, n := range h.Profiles[:min(len(h.Profiles), 1)] {
			if _, ok := seen[n]; !ok {
				seen[n] = len(captured) - i
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(seen[b], seen[a]) })
	for _, returning := range []bool{false, true} {
		for _, n := range names {
			out = append(out, Visitor{n, returning})
		}
	}
	return out
}

// released is the month of a profile's release; long ago where that is not known.
func released(profile string) time.Time {
	at, err := time.Parse("2006-01", lookup(profile).Released)
	if err != nil {
		return time.Time{}
	}
	return at
}

// program says whether a profile is a tool's or a library's, which users' reports are seldom about.
func program(profile string) bool {
	switch lookup(profile).Browser {
	case "OpenSSL", "GnuTLS", "curl", "Java", "Googlebot", "Go crypto/tls":
		return true
	}
	return false
}
