package site

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

// Regex is an expression of the configuration. It is Go's (RE2) where that knows the syntax; what PCRE has beyond
// it, look-around and back references, is matched by a backtracking engine with a bound on its time.
type Regex struct {
	fast  *regexp.Regexp
	slow  *regexp2.Regexp // where fast is nil
	names []string        // of the groups; "" has no name
}

// backtracking bounds one match of an expression that RE2 does not know.
const backtracking = time.Second

// CompileRegex compiles an expression in PCRE's syntax; fold: regardless of case.
func CompileRegex(text string, fold bool) (*Regex, error) {
	options := regexp2.RegexOptions(regexp2.None)
	pattern := strings.ReplaceAll(strings.ReplaceAll(text, "(?<", "(?P<"), "(?P<=", "(?<=")
	pattern = strings.ReplaceAll(pattern, "(?P<!", "(?<!")
	if fold {
		pattern, options = "(?i)"+pattern, regexp2.IgnoreCase
	}
	fast, err := regexp.Compile(pattern)
	if err == nil {
		return &Regex{fast: fast, names: fast.SubexpNames()}, nil
	}
	slow, slowErr := regexp2.Compile(strings.ReplaceAll(text, "(?P<", "(?<"), options)
	if slowErr != nil {
		return nil, fmt.Errorf("regular expression %q: %v", text, err)
	}
	slow.MatchTimeout = backtracking
	r := &Regex{slow: slow, names: []string{""}}
	for _, n := range slow.GetGroupNumbers()[1:] {
		if name := slow.GroupNameFromNumber(n); name != fmt.Sprint(n) {
			r.names = append(r.names, name)
		} else {
			r.names = append(r.names, "")
		}
	}
	return r, nil
}

// Names are the named groups.
func (r *Regex) Names() (out []string) {
	for _, n := range r.names {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}

// Match says whether the expression is found in s.
func (r *Regex) Match(s string) bool {
	if r.fast != nil {
		return r.fast.MatchString(s)
	}
	ok, err := r.slow.MatchString(s)
	return ok && err == nil
}

// groups are the whole match and its groups; nil: none.
func (r *Regex) groups(s string) []string {
	if r.fast != nil {
		return r.fast.FindStringSubmatch(s)
	}
	m, err := r.slow.FindStringMatch(s)
	if m == nil || err != nil {
		return nil
	}
	var out []string
	for _, g := range m.Groups() {
		out = append(out, g.String())
	}
	return out
}

func (b *builder) compileRegex(text string, fold bool) (*Regex, error) {
	r, err := CompileRegex(text, fold)
	if err != nil {
		return nil, err
	}
	for _, n := range r.Names() {
		b.capture[n] = true
	}
	return r, nil
}

// Captures is what an expression has found: its groups, of which some have names.
type Captures struct {
	names  []string
	groups []string
}

// Capture is the whole match and its groups; nil: none.
func (r *Regex) Capture(s string) *Captures {
	if groups := r.groups(s); groups != nil {
		return &Captures{r.names, groups}
	}
	return nil
}

// match tests s; with an exchange, the groups become $1 to $9 and named variables.
func (r *Regex) match(s string, x *exchange) bool {
	if x == nil {
		return r.Match(s)
	}
	c := r.Capture(s)
	if c != nil {
		x.captured(c)
	}
	return c != nil
}

// tests is match for rewrite and if, where an expression that is not found takes the groups of the one before away.
func (r *Regex) tests(s string, x *exchange) bool {
	ok := r.match(s, x)
	if !ok {
		x.captures = nil
	}
	return ok
}

func (x *exchange) captured(c *Captures) {
	x.captures = c.groups
	for i, n := range c.names {
		if n != "" && i < len(c.groups) {
			x.set(n, c.groups[i])
		}
	}
}
