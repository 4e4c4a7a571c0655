package results

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// value reads the number out of a run; missing says why there is none.
func (p *path) value(run *Run) (v float64, missing string) {
	v, n, missing := p.walk(reflect.ValueOf(run).Elem(), p.segments)
	if list := p.segments[0].name; missing == "" && n == 0 && (list == "outcomes" || list == "chains") {
		return 0, "" // these lists have a row only for what happened
	}
	if missing == "" && n == 0 {
		missing = "no row of this run fits the path"
	}
	if missing != "" || !p.rate {
		return v, missing
	}
	base := path{segments: slices.Clone(p.segments)}
	base.segments[len(base.segments)-1] = segment{name: rateBases[p.segments[0].name]}
	for i, s := range base.segments { // users.errors.WORD.rate: the base lies beside errors
		if s.name == "errors" {
			base.segments = append(base.segments[:i:i], segment{name: rateBases[p.segments[0].name]})
			break
		}
	}
	base.leaf = rateBases[p.segments[0].name]
	total, _, missing := base.walk(reflect.ValueOf(run).Elem(), base.segments)
	if missing != "" {
		return 0, missing
	}
	if total == 0 {
		return 0, fmt.Sprintf("%s is 0: there is nothing to be a share of", base.leaf)
	}
	return v / total, ""
}

// walk follows the segments; n is how many numbers it found.
func (p *path) walk(v reflect.Value, segments []segment) (sum float64, n int, missing string) {
	if len(segments) == 0 {
		if v.CanFloat() {
			return v.Float(), 1, ""
		}
		return float64(v.Int()), 1, ""
	}
	s := segments[0]
	if v.Kind() == reflect.Map {
		return p.entry(v, s.name, segments[1:])
	}
	f, _ := field(v.Type(), s.name)
	v = v.FieldByIndex(f.Index)
	switch {
	case s.keyed:
		return p.entry(v, s.key, segments[1:])
	case v.Kind() != reflect.Slice:
		if f.Name == "Latency" && v.Len() == 0 {
			return 0, 0, "latencies were not measured"
		}
		return p.walk(v, segments[1:])
	}
	for i := range v.Len() {
		row := v.Index(i)
		if !s.selects(row) {
			continue
		}
		x, k, why := p.walk(row, segments[1:])
		if why != "" {
			missing = why
			continue
		}
		if p.adds() || n == 0 {
			sum += x
		} else {
			sum = max(sum, x)
		}
		n += k
	}
	if n > 0 {
		missing = ""
	}
	return sum, n, missing
}

// entry follows a map. In a map of counts, what was never counted is zero, as long as the run knows
// the map at all.
func (p *path) entry(m reflect.Value, key string, rest []segment) (float64, int, string) {
	v := m.MapIndex(reflect.ValueOf(key))
	if !v.IsValid() {
		if m.Type().Elem().Kind() == reflect.Int64 && m.Len() > 0 || p.countsSeen() {
			return 0, 1, ""
		}
		return 0, 0, fmt.Sprintf("%q was not measured", key)
	}
	if v.Kind() == reflect.Struct {
		if c, ok := v.Interface().(Percentiles); ok && c.Count == 0 && len(rest) == 1 && rest[0].name != "count" {
			return 0, 0, "nothing was measured"
		}
	}
	return p.walk(v, rest)
}

// countsSeen: maps that start empty and gain a key with the first thing to count.
func (p *path) countsSeen() bool {
	return p.segments[0].name == "users" || p.segments[0].name == "edges" || p.segments[0].name == "handshakes"
}

func (s *segment) selects(row reflect.Value) bool {
	for _, fl := range s.filters {
		f, _ := field(row.Type(), fl.field)
		if globMatches(fl.glob, fmt.Sprint(row.FieldByIndex(f.Index))) == fl.not {
			return false
		}
	}
	return true
}

// globMatches tells whether a text fits a pattern in which * stands for any characters.
func globMatches(glob, text string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}
