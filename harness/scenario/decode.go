package scenario

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"tlsurge/profiles/wire"
)

// parser is implemented by the types with a notation of their own.
type parser interface{ parse(v any) error }

// decoder walks the TOML tree beside the Go types; it knows where each key was written.
type decoder struct {
	at func(path []string) (file string, line int)
}

func (d *decoder) fail(path []string, format string, args ...any) error {
	file, line := d.at(path)
	return &Error{File: file, Line: line, Key: strings.Join(path, "."), Msg: fmt.Sprintf(format, args...)}
}

// table fills the struct v from m; a key without a field is an error that names the nearest one.
func (d *decoder) table(path []string, m map[string]any, v reflect.Value) error {
	fields := map[string]reflect.Value{}
	var names []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[name] = v.Field(i)
		names = append(names, name)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		here := append(path[:len(path):len(path)], k)
		f, ok := fields[k]
		if !ok {
			return d.fail(here, "unknown key%s", Suggest(k, names))
		}
		if err := d.value(here, m[k], f); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) value(path []string, x any, f reflect.Value) error {
	if p, ok := f.Addr().Interface().(parser); ok {
		if err := p.parse(x); err != nil {
			return d.fail(path, "%v; seen: %v", err, x)
		}
		return nil
	}
	switch f.Kind() {
	case reflect.Struct:
		m, ok := x.(map[string]any)
		if !ok {
			return d.fail(path, "want a table, seen: %v", x)
		}
		return d.table(path, m, f)
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
		return d.value(path, x, f.Elem())
	case reflect.Slice:
		return d.slice(path, x, f)
	case reflect.Map:
		return d.dict(path, x, f)
	}
	return d.scalar(path, x, f)
}

func (d *decoder) slice(path []string, x any, f reflect.Value) error {
	var items []any
	switch t := x.(type) {
	case []any:
		items = t
	case []map[string]any:
		for _, m := range t {
			items = append(items, m)
		}
	default:
		return d.fail(path, "want a list, seen: %v", x)
	}
	out := reflect.MakeSlice(f.Type(), len(items), len(items))
	for i, item := range items {
		here := append(path[:len(path)-1:len(path)-1], fmt.Sprintf("%s[%d]", path[len(path)-1], i))
		if err := d.value(here, item, out.Index(i)); err != nil {
			return err
		}
	}
	f.Set(out)
	return nil
}

// dict fills a map[string]string; numbers and booleans are taken by their text.
func (d *decoder) dict(path []string, x any, f reflect.Value) error {
	m, ok := x.(map[string]any)
	if !ok {
		return d.fail(path, "want a table, seen: %v", x)
	}
	out := reflect.MakeMap(f.Type())
	for k, v := range m {
		switch v.(type) {
		case string, int64, float64, bool:
			out.SetMapIndex(reflect.ValueOf(k), reflect.ValueOf(fmt.Sprint(v)))
		default:
			return d.fail(append(path[:len(path):len(path)], k), "want a text or a number, seen: %v", v)
		}
	}
	f.Set(out)
	return nil
}

func (d *decoder) scalar(path []string, x any, f reflect.Value) error {
	switch f.Kind() {
	case reflect.String:
		s, ok := x.(string)
		if !ok {
			return d.fail(path, "want a text in quotes, seen: %v", x)
		}
		f.SetString(s)
	case reflect.Bool:
		b, ok := x.(bool)
		if !ok {
			return d.fail(path, "want true or false, seen: %v", x)
		}
		f.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, ok := x.(int64)
		if !ok {
			return d.fail(path, "want a whole number, seen: %v", x)
		}
		f.SetInt(n)
	case reflect.Uint64:
		n, ok := x.(int64)
		if !ok || n < 0 {
			return d.fail(path, "want a whole number from 0 on, seen: %v", x)
		}
		f.SetUint(uint64(n))
	case reflect.Float64:
		switch n := x.(type) {
		case int64:
			f.SetFloat(float64(n))
		case float64:
			f.SetFloat(n)
		default:
			return d.fail(path, "want a number, seen: %v", x)
		}
	default:
		panic("scenario: no notation for " + f.Type().String())
	}
	return nil
}

// Suggest gives "; did you mean X?" for the nearest of names, or the list of what is allowed.
func Suggest(word string, names []string) string {
	if len(names) == 0 {
		return "; there are none"
	}
	best, dist := "", 1+len(word)/3
	for _, n := range names {
		if k := wire.EditDistance(word, n); k <= dist {
			best, dist = n, k-1
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	sorted := append([]string(nil), names...)
	sort.Strings(sorted)
	if len(sorted) > 24 {
		return ""
	}
	return "; allowed: " + strings.Join(sorted, ", ")
}
