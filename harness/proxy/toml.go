package proxy

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"tlsurge/harness/proxy/nginxconf"
)

// parseTOML reads the TOML form: the same directives as keys. A string, number or boolean is the argument
// list ("on" and "off" for booleans); an array of strings is a directive for each; a table is a block, an
// array of tables several. A table of location or upstream has its arguments under "name", one of if under
// "condition". Beside nginx's directives the top level knows `stack`.
//
//	stack = "openssl-1.0.1j"
//	[[http.server]]
//	listen = "8443 ssl"
//	[[http.server.location]]
//	name = "/"
//	proxy_pass = "http://127.0.0.1:9000"
func parseTOML(file string, text []byte) (tree []*nginxconf.Directive, stackName string, err error) {
	var doc map[string]any
	md, err := toml.Decode(string(text), &doc)
	if err != nil {
		var pe toml.ParseError
		if asParse(err, &pe) {
			return nil, "", &nginxconf.SyntaxError{File: file, Line: pe.Position.Line, Text: pe.Message}
		}
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	if s, ok := doc["stack"]; ok {
		if stackName, ok = s.(string); !ok {
			return nil, "", fmt.Errorf("%s: stack: %v is not a name", file, s)
		}
		delete(doc, "stack")
	}
	t := &tomlTree{file: file, lines: strings.Split(string(text), "\n"), order: map[string]int{}}
	for i, k := range md.Keys() {
		if _, ok := t.order[k.String()]; !ok {
			t.order[k.String()] = i
		}
	}
	tree, err = t.block(doc, "")
	return tree, stackName, err
}

func asParse(err error, pe *toml.ParseError) bool {
	p, ok := err.(toml.ParseError)
	if ok {
		*pe = p
	}
	return ok
}

type tomlTree struct {
	file  string
	lines []string
	order map[string]int // position of each key in the file
}

func (t *tomlTree) block(table map[string]any, path string) ([]*nginxconf.Directive, error) {
	keys := make([]string, 0, len(table))
	for k := range table {
		keys = append(keys, k)
	}
	full := func(k string) string {
		if path == "" {
			return toml.Key{k}.String()
		}
		return path + "." + toml.Key{k}.String()
	}
	sort.Slice(keys, func(i, j int) bool { return t.order[full(keys[i])] < t.order[full(keys[j])] })
	var out []*nginxconf.Directive
	for _, k := range keys {
		if k == "name" || k == "condition" {
			continue
		}
		ds, err := t.directive(k, table[k], full(k))
		if err != nil {
			return nil, err
		}
		out = append(out, ds...)
	}
	return out, nil
}

func (t *tomlTree) directive(name string, value any, path string) ([]*nginxconf.Directive, error) {
	line := t.line(name)
	one := func(text string) ([]*nginxconf.Directive, error) {
		ds, err := nginxconf.Parse(t.file, []byte(name+" "+text+";"))
		if err != nil || len(ds) != 1 {
			return nil, &nginxconf.SyntaxError{File: t.file, Line: line, Text: fmt.Sprintf("%s = %q: not the arguments of one directive", name, text)}
		}
		ds[0].Line = line
		return ds, nil
	}
	switch v := value.(type) {
	case string:
		return one(v)
	case bool:
		if v {
			return one("on")
		}
		return one("off")
	case int64:
		return one(strconv.FormatInt(v, 10))
	case map[string]any:
		d := &nginxconf.Directive{Name: name, HasBlock: true, File: t.file, Line: line}
		for _, k := range []string{"name", "condition"} {
			if text, ok := v[k].(string); ok {
				ds, err := one(text)
				if err != nil {
					return nil, err
				}
				d.Args = ds[0].Args
			}
		}
		var err error
		d.Block, err = t.block(v, path)
		return []*nginxconf.Directive{d}, err
	case []map[string]any:
		var out []*nginxconf.Directive
		for _, item := range v {
			ds, err := t.directive(name, item, path)
			if err != nil {
				return nil, err
			}
			out = append(out, ds...)
		}
		return out, nil
	case []any:
		var out []*nginxconf.Directive
		for _, item := range v {
			ds, err := t.directive(name, item, path)
			if err != nil {
				return nil, err
			}
			out = append(out, ds...)
		}
		return out, nil
	}
	return nil, &nginxconf.SyntaxError{File: t.file, Line: line, Text: fmt.Sprintf("%s: a value of type %T; allowed are strings, numbers, booleans, arrays of strings, tables", name, value)}
}

// line finds where a key stands, for messages: the decoder keeps no positions of good keys.
func (t *tomlTree) line(name string) int {
	for i, l := range t.lines {
		l = strings.TrimSpace(l)
		if k, _, ok := strings.Cut(l, "="); ok && strings.Trim(strings.TrimSpace(k), `"`) == name {
			return i + 1
		}
		if strings.HasPrefix(l, "[") && strings.HasSuffix(strings.Trim(l, "[]"), name) {
			return i + 1
		}
	}
	return 1
}
