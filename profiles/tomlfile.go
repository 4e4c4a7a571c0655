package profiles

import (
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// TOML writes the profile for people: keys in the order of the type, long lists one name a line, nothing
// that is empty. Parse reads it back.
func (f *File) TOML() []byte {
	var w tomlWriter
	w.table("", reflect.ValueOf(*f))
	return []byte(w.b.String())
}

// tomlWriter writes the few shapes that a File has: strings, numbers, booleans, lists of strings and
// numbers, tables, maps of tables and arrays of tables.
type tomlWriter struct{ b strings.Builder }

func (w *tomlWriter) table(path string, v reflect.Value) {
	type child struct {
		path string
		v    reflect.Value
	}
	var tables []child
	t := v.Type()
	for i := range t.NumField() {
		key, opts, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		f := v.Field(i)
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		}
		full := key
		if path != "" {
			full = path + "." + key
		}
		switch f.Kind() {
		case reflect.Struct:
			if !f.IsZero() {
				tables = append(tables, child{full, f})
			}
		case reflect.Map:
			if f.Type().Elem().Kind() == reflect.Struct {
				for _, k := range sortedKeys(f) {
					tables = append(tables, child{full + "." + bareKey(k), f.MapIndex(reflect.ValueOf(k))})
				}
			} else if f.Len() > 0 {
				tables = append(tables, child{full, f})
			}
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Struct {
				for j := range f.Len() {
					tables = append(tables, child{"[" + full + "]", f.Index(j)})
				}
				continue
			}
			if f.Len() > 0 {
				w.list(key, f)
			}
		default:
			if f.IsZero() && opts == "omitempty" {
				continue
			}
			fmt.Fprintf(&w.b, "%s = %s\n", key, scalar(f))
		}
	}
	for _, c := range tables {
		fmt.Fprintf(&w.b, "\n[%s]\n", c.path)
		if c.v.Kind() == reflect.Map {
			for _, k := range sortedKeys(c.v) {
				fmt.Fprintf(&w.b, "%s = %s\n", bareKey(k), scalar(c.v.MapIndex(reflect.ValueOf(k))))
			}
			continue
		}
		w.table(strings.Trim(c.path, "[]"), c.v)
	}
}

// list writes short lists on one line, long ones with as many names a line as fit.
func (w *tomlWriter) list(key string, v reflect.Value) {
	const width = 116
	items := make([]string, v.Len())
	total := len(key) + 4
	for i := range items {
		items[i] = scalar(v.Index(i))
		total += len(items[i]) + 2
	}
	if total <= width {
		fmt.Fprintf(&w.b, "%s = [%s]\n", key, strings.Join(items, ", "))
		return
	}
	fmt.Fprintf(&w.b, "%s = [\n", key)
	line := " "
	for _, it := range items {
		if len(line)+len(it)+2 > width {
			w.b.WriteString(line + "\n")
			line = " "
		}
		line += " " + it + ","
	}
	w.b.WriteString(line + "\n]\n")
}

func sortedKeys(m reflect.Value) []string {
	var out []string
	for _, k := range m.MapKeys() {
		out = append(out, k.String())
	}
	sort.Strings(out)
	return out
}

func bareKey(k string) string {
	for _, c := range k {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return scalar(reflect.ValueOf(k))
		}
	}
	return k
}

func scalar(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return tomlString(v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return strconv.FormatInt(v.Int(), 10)
}

// tomlString quotes s as a TOML basic string: what is not printable becomes \uXXXX.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
