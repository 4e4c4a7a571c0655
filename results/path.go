package results

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A path leads from the root of run.json to one number:
//
//	path    = segment { "." segment } [ ".rate" ]
//	segment = name | name "[" filter { "," filter } "]" | name "[" key "]"
//	filter  = field ( "=" | "!=" ) glob        rows of a list; * in a glob stands for anything
//
// Over several rows, counts are added up and peaks, times and sizes give the greatest. `.rate` divides
// by what the value is a part of. The suffix of a unit may be left out: p99 is p99_ns.
type path struct {
	segments []segment
	rate     bool
	leaf     string // the JSON name of the last field
}

type segment struct {
	name    string
	filters []filter
	key     string // of a map, in brackets
	keyed   bool
}

type filter struct {
	field, glob string
	not         bool
}

const pathWords = `paths of run.json such as users.saw_error.rate, users[profile=firefox-*].saw_error, ` +
	`latency.handshake.response_time.p99, edges.log_signatures.1408A0D7, kernel.ListenOverflows (docs/THRESHOLDS.md)`

// rateBases says what a value is a part of, by the first segment of its path.
var rateBases = map[string]string{
	"users": "page_loads", "attempts": "started", "requests": "sent", "connections": "opened",
	"handshakes": "resumption_asked", "faults": "eligible",
}

// unitSuffixes end the names of fields; each may be left out of a path.
var unitSuffixes = []string{"_ns", "_bytes", "_per_s"}

func parsePath(text string) (path, error) {
	var p path
	rest := text
	if r, ok := strings.CutSuffix(rest, ".rate"); ok {
		p.rate, rest = true, r
	}
	for rest != "" {
		var s segment
		var err error
		if s, rest, err = cutSegment(rest); err != nil {
			return path{}, err
		}
		p.segments = append(p.segments, s)
	}
	if len(p.segments) == 0 {
		return path{}, errors.New("the path is empty")
	}
	return p, p.check()
}

// cutSegment takes the first segment off.
func cutSegment(text string) (s segment, rest string, err error) {
	end := strings.IndexAny(text, ".[")
	if end < 0 {
		return segment{name: text}, "", nil
	}
	if end == 0 {
		return s, "", fmt.Errorf("a name is missing before %q", text)
	}
	s.name = text[:end]
	if text[end] == '[' {
		stop := strings.IndexByte(text[end:], ']')
		if stop < 0 {
			return s, "", fmt.Errorf("%q has no closing bracket", text[end:])
		}
		inner := text[end+1 : end+stop]
		if err := s.brackets(inner); err != nil {
			return s, "", err
		}
		end += stop + 1
		if end == len(text) {
			return s, "", nil
		}
		if text[end] != '.' {
			return s, "", fmt.Errorf("%q after a bracket", text[end:])
		}
	}
	if end+1 == len(text) {
		return s, "", fmt.Errorf("%q ends in a dot", text)
	}
	return s, text[end+1:], nil
}

func (s *segment) brackets(inner string) error {
	if !strings.Contains(inner, "=") {
		s.key, s.keyed = strings.Trim(inner, `"`), true
		return nil
	}
	for _, part := range strings.Split(inner, ",") {
		field, glob, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("%q is no filter: field=value", part)
		}
		name, not := strings.CutSuffix(strings.TrimSpace(field), "!")
		s.filters = append(s.filters, filter{name, strings.TrimSpace(glob), not})
	}
	return nil
}

// check walks the path over the type of a run, so that a misspelt one is found before any load.
func (p *path) check() error {
	t := reflect.TypeFor[Run]()
	depth := []string{}
	for i := 0; i < len(p.segments); i++ {
		s := p.segments[i]
		if t.Kind() == reflect.Map {
			if err := checkKey(depth, s.name); err != nil {
				return err
			}
			t = t.Elem()
			depth = append(depth, s.name)
			if s.keyed || s.filters != nil {
				return fmt.Errorf("brackets after the key %q", s.name)
			}
			continue
		}
		if t.Kind() != reflect.Struct {
			return fmt.Errorf("%q goes on behind the number %q", s.name, strings.Join(depth, "."))
		}
		f, ok := field(t, s.name)
		if !ok {
			return fmt.Errorf("%q is not in %s; there: %s", s.name, where(depth), strings.Join(fieldNames(t), ", "))
		}
		p.leaf = jsonName(f)
		t = f.Type
		depth = append(depth, p.leaf)
		if t.Kind() == reflect.Map && s.keyed {
			if err := checkKey(depth, s.key); err != nil {
				return err
			}
			t = t.Elem()
		} else if s.keyed {
			return fmt.Errorf("%q is not a map: [%s] needs field=value", s.name, s.key)
		}
		if t.Kind() == reflect.Slice {
			t = t.Elem()
			for _, fl := range s.filters {
				if ff, ok := field(t, fl.field); !ok || !filterable(ff.Type) {
					return fmt.Errorf("%q cannot be filtered by %q; by: %s", s.name, fl.field, strings.Join(fieldNames(t), ", "))
				}
			}
		} else if s.filters != nil {
			return fmt.Errorf("%q is not a list", s.name)
		}
	}
	switch t.Kind() {
	case reflect.Int64, reflect.Int, reflect.Float64:
	case reflect.Struct:
		return fmt.Errorf("%q is not a number; it has: %s", strings.Join(depth, "."), strings.Join(fieldNames(t), ", "))
	default:
		return fmt.Errorf("%q is not a number", strings.Join(depth, "."))
	}
	if head := p.segments[0].name; p.rate && rateBases[head] == "" {
		return fmt.Errorf("%s has no rate; these have: %s", head, strings.Join(slices.Sorted(maps.Keys(rateBases)), ", "))
	}
	return nil
}

// checkKey refuses a key of "latency" that no run has; other maps may have any key.
func checkKey(depth []string, key string) error {
	allowed := []string(nil)
	switch i := slices.Index(depth, "latency"); {
	case i < 0:
		return nil
	case i == len(depth)-1:
		allowed = metricNames[:]
	case i == len(depth)-2:
		allowed = []string{"response_time", "service_time"}
	}
	if allowed != nil && !slices.Contains(allowed, key) {
		return fmt.Errorf("%q is not in %s; there: %s", key, strings.Join(depth, "."), strings.Join(allowed, ", "))
	}
	return nil
}

func where(depth []string) string {
	if len(depth) == 0 {
		return "run.json"
	}
	return strings.Join(depth, ".")
}

// field finds a struct's field by its JSON name, with or without the suffix of its unit.
func field(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		n := jsonName(f)
		if n == "" {
			continue
		}
		if n == name {
			return f, true
		}
		for _, suffix := range unitSuffixes {
			if n == name+suffix {
				return f, true
			}
		}
	}
	return reflect.StructField{}, false
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func fieldNames(t reflect.Type) []string {
	var names []string
	if t.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(t) {
			if n := jsonName(f); n != "" {
				names = append(names, n)
			}
		}
	}
	return names
}

func filterable(t reflect.Type) bool {
	return t.Kind() == reflect.String || t.Kind() == reflect.Int || t.Kind() == reflect.Bool
}

// unit is what the number at the end measures.
func (p *path) unit() string {
	if p.rate {
		return "share"
	}
	return p.leafUnit()
}

func (p *path) leafUnit() string {
	switch {
	case strings.HasSuffix(p.leaf, "_ns"):
		return "ns"
	case strings.HasSuffix(p.leaf, "_bytes"):
		return "bytes"
	case strings.HasSuffix(p.leaf, "per_s"):
		return "per_s"
	}
	return "count"
}

// adds tells whether rows are added up; otherwise the greatest counts.
func (p *path) adds() bool {
	return p.leafUnit() == "count" && !strings.HasPrefix(p.leaf, "peak_") || p.leaf == "cpu_ns"
}

// grows tells whether the number can only become greater while the run goes on.
func (p *path) grows() bool {
	head := p.segments[0].name
	return !p.rate && p.adds() && head != "agents" && p.leaf != "open_at_end" && !(head == "attempts" && p.leaf == "unexplained")
}
