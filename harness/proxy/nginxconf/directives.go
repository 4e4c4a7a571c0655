package nginxconf

import (
	_ "embed"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"tlsurge/profiles/wire"
)

// Context is where a directive may stand.
type Context uint16

const (
	Main Context = 1 << iota
	Events
	HTTP
	Server
	ServerIf
	Location
	LocationIf
	LimitExcept
	Upstream
	// Words are blocks of words that are no directives: types, map, geo, split_clients, charset_map.
	Words
	// Foreign are blocks that are not read: mail and stream.
	Foreign
)

// contextLetters are the contexts' letters in directives.txt, in their order.
const contextLetters = "mehsSlLxu"

func (c Context) String() string {
	names := []string{"main", "events", "http", "server", "if in server", "location", "if in location", "limit_except", "upstream"}
	var out []string
	for i, n := range names {
		if c&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return strings.Join(out, ", ")
}

// spec is one known directive: where it may stand, how many arguments it takes (max -1: any number), whether
// it opens a block and may come more than once in one, and, where it does nothing here or is refused, why.
type spec struct {
	in            Context
	min, max      int
	block, many   bool
	idle, refused string
}

//go:embed directives.txt
var directives string

// known is every directive of nginx. One that is not here is an error.
var known = readTable(directives)

// readTable reads directives.txt. A mistake there is one of the program.
func readTable(text string) map[string]spec {
	out := map[string]spec{}
	var kind, reason string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, " ") {
			kind, reason, _ = strings.Cut(line, " ")
			continue
		}
		f := strings.Fields(line)
		var s spec
		for _, c := range f[0] {
			s.in |= 1 << strings.IndexRune(contextLetters, c)
		}
		args, block := strings.CutSuffix(f[1], "{}")
		s.block = block
		lo, hi, isSpan := strings.Cut(args, "-")
		lo, open := strings.CutSuffix(lo, "+")
		s.min, _ = strconv.Atoi(lo)
		if s.max = s.min; isSpan {
			s.max, _ = strconv.Atoi(hi)
		} else if open {
			s.max = -1
		}
		switch kind {
		case "idle":
			s.idle = reason
		case "refused":
			s.refused = reason
		}
		for _, name := range f[2:] {
			name, s.many = strings.CutSuffix(name, "*")
			out[name] = s
		}
	}
	return out
}

// serverInUpstream is "server" inside upstream: a directive with arguments, not a block.
var serverInUpstream = spec{in: Upstream, min: 1, max: -1, many: true}

// Names lists the directives that have an effect.
func Names() []string {
	var out []string
	for name, s := range known {
		if s.idle == "" && s.refused == "" {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// All lists every directive of the table.
func All() []string {
	out := make([]string, 0, len(known))
	for name := range known {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// OpensBlock says whether a directive has a block.
func OpensBlock(name string) bool { return known[name].block }

// Known says whether the edge knows a directive of this name.
func Known(name string) bool { _, ok := known[name]; return ok }

// Inheritable says where a directive may stand, as Check sees it: an override of a directive goes into the
// outermost context that takes it.
func Inheritable(name string) Context { return known[name].in }

// Check walks a tree: every directive must be known, stand where it may and have the right number of
// arguments. Warnings name what is known and has no effect.
func Check(tree []*Directive) ([]Warning, error) {
	var warnings []Warning
	err := check(tree, Main, &warnings)
	return warnings, err
}

func check(block []*Directive, in Context, warnings *[]Warning) error {
	seen := map[string]bool{}
	for _, d := range block {
		if in == Words {
			if d.HasBlock {
				return &SyntaxError{d.File, d.Line, fmt.Sprintf("%q: no block may stand here", d.Name)}
			}
			continue
		}
		s, ok := known[d.Name]
		if d.Name == "server" && in == Upstream {
			s = serverInUpstream
		}
		if !ok {
			return unknown(d)
		}
		if err := d.fits(s, in); err != nil {
			return err
		}
		if seen[d.Name] && !s.many {
			return &SyntaxError{d.File, d.Line, fmt.Sprintf("%q directive is duplicate", d.Name)}
		}
		seen[d.Name] = true
		if s.refused != "" && !harmless(d) {
			return &SyntaxError{d.File, d.Line, fmt.Sprintf("%q is not supported: %s", d.Name, s.refused)}
		}
		if s.idle != "" {
			*warnings = append(*warnings, Warning{d.File, d.Line, fmt.Sprintf("%q has no effect: %s", d.Name, s.idle)})
		}
		if next := inside(d.Name, in); s.block && next != Foreign {
			if err := check(d.Block, next, warnings); err != nil {
				return err
			}
		}
	}
	return nil
}

// harmless: what is refused may still be switched off.
func harmless(d *Directive) bool { return len(d.Args) == 1 && d.Args[0] == "off" }

// fits holds a directive against its row, in nginx's words.
func (d *Directive) fits(s spec, in Context) error {
	fail := func(format string, a ...any) error {
		return &SyntaxError{d.File, d.Line, fmt.Sprintf(format, a...)}
	}
	switch n := len(d.Args); {
	case s.in&in == 0:
		return fail("%q directive is not allowed here (in %v); it may stand in: %v", d.Name, in, s.in)
	case s.block && !d.HasBlock:
		return fail(`directive %q has no opening "{": it needs a block`, d.Name)
	case !s.block && d.HasBlock:
		return fail(`directive %q is not terminated by ";": it takes no block`, d.Name)
	case n < s.min || s.max >= 0 && n > s.max:
		return fail("invalid number of arguments in %q directive: %d, allowed are %s", d.Name, n, span(s.min, s.max))
	}
	return nil
}

func span(lo, hi int) string {
	switch {
	case hi < 0:
		return fmt.Sprintf("%d or more", lo)
	case lo == hi:
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}

func inside(name string, in Context) Context {
	switch name {
	case "events":
		return Events
	case "http":
		return HTTP
	case "server":
		return Server
	case "upstream":
		return Upstream
	case "types", "map", "geo", "split_clients", "charset_map":
		return Words
	case "mail", "stream":
		return Foreign
	case "limit_except":
		return LimitExcept
	case "location":
		return Location
	case "if":
		if in == Server {
			return ServerIf
		}
		return LocationIf
	}
	return in
}

func unknown(d *Directive) error {
	const shown = 40 // a file of another kind has words without end
	if len(d.Name) > shown {
		return &SyntaxError{d.File, d.Line, fmt.Sprintf("unknown directive %q…", d.Name[:shown])}
	}
	text := fmt.Sprintf("unknown directive %q", d.Name)
	if n := nearest(d.Name); n != "" {
		text += fmt.Sprintf("; the nearest that is known is %q", n)
	}
	return &SyntaxError{d.File, d.Line, text}
}

// nearest finds the known directive with the smallest edit distance, if it is near enough to be a slip.
func nearest(name string) string {
	best, bestAt := "", len(name)/2+1
	for k := range known {
		if d := wire.EditDistance(name, k); d < bestAt || d == bestAt && best != "" && k < best {
			best, bestAt = k, d
		}
	}
	return best
}
