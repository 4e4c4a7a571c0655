package site

import (
	"fmt"
	"regexp"
	"slices"
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
	numbered, names := withoutNames(text)
	slow, slowErr := regexp2.Compile(numbered, options)
	if slowErr != nil {
		return nil, fmt.Errorf("regular expression %q: %v", text, err)
	}
	slow.MatchTimeout = backtracking
	return &Regex{slow: slow, names: names}, nil
}

var (
	groupName = regexp.MustCompile(`^\(\?(?:P?<(\w+)>|'(\w+)')`)
	backName  = regexp.MustCompile(`^(?:\\[kg](?:<(\w+)>|\{(\w+)\}|'(\w+)')|\(\?P=(\w+)\))`)
)

// withoutNames makes every named group one with a number alone, and gives the names by number: the backtracking engine
// counts named groups behind the others, PCRE in the order in which they open.
func withoutNames(text string) (string, []string) {
	var out strings.Builder
	names := []string{""}
	class := false
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		if m := backName.FindStringSubmatch(rest); m != nil && !class {
			if n := slices.Index(names, strings.Join(m[1:], "")); n > 0 {
				fmt.Fprintf(&out, `(?:\%d)`, n)
				i += len(m[0]) - 1
				continue
			}
		}
		switch c := text[i]; {
		case c == '\\' && len(rest) > 1:
			out.WriteString(rest[:2])
			i++
			continue
		case class:
			class = c != ']'
		case c == '[':
			class = true
			if open := strings.TrimPrefix(rest[1:], "^"); strings.HasPrefix(open, "]") { // the first in a class is itself
				n := len(rest) - len(open)
				out.WriteString(rest[:n])
				i += n
				out.WriteByte(']')
				continue
			}
		case c == '(':
			if m := groupName.FindStringSubmatch(rest); m != nil {
				names = append(names, m[1]+m[2])
				out.WriteByte('(')
				i += len(m[0]) - 1
				continue
			}
			if !strings.HasPrefix(rest, "(?") && !strings.HasPrefix(rest, "(*") {
				names = append(names, "")
			}
		}
		out.WriteByte(text[i])
	}
	return out.String(), names
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
