package scenario

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

//go:embed builtin/*.toml
var builtins embed.FS

// Builtin is a scenario that comes with the program.
type Builtin struct{ Name, Description string }

// Builtins lists them by name.
func Builtins() []Builtin {
	entries, err := fs.ReadDir(builtins, "builtin")
	if err != nil {
		panic(err) // the directory is compiled in
	}
	var out []Builtin
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".toml")
		src, _ := builtins.ReadFile("builtin/" + e.Name())
		var head struct{ Description string }
		if _, err := toml.Decode(string(src), &head); err != nil {
			panic(fmt.Sprintf("builtin scenario %s: %v", name, err))
		}
		out = append(out, Builtin{name, head.Description})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Overrides is what the command line changes about a scenario.
type Overrides struct {
	Seed      *uint64
	Set       []string // key.path=value, in order
	OnlyFault string   // the one rule to keep; "" keeps all
	NoFaults  bool
	Authorise []string
}

// Load reads a built-in scenario's name or a TOML file, applies the overrides and validates.
func Load(nameOrFile string, o Overrides) (*Scenario, error) {
	src, file, err := read(nameOrFile)
	if err != nil {
		return nil, err
	}
	return Parse(file, src, o)
}

func read(nameOrFile string) (src, file string, err error) {
	if b, err := builtins.ReadFile("builtin/" + nameOrFile + ".toml"); err == nil {
		return string(b), "builtin:" + nameOrFile, nil
	}
	b, err := os.ReadFile(nameOrFile)
	if errors.Is(err, fs.ErrNotExist) {
		var names []string
		for _, x := range Builtins() {
			names = append(names, x.Name)
		}
		return "", "", &Error{File: nameOrFile, Msg: "no such file, and no built-in scenario of that name" + Suggest(nameOrFile, names)}
	}
	if err != nil {
		return "", "", &Error{File: nameOrFile, Msg: "cannot be read: " + reason(err)}
	}
	return string(b), nameOrFile, nil
}

// reason is the error without the path that the message names already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse turns the text of a scenario into a validated one; file names it in messages.
func Parse(file, src string, o Overrides) (*Scenario, error) {
	tree, err := readTree(file, src)
	if err != nil {
		return nil, err
	}
	return parse(file, indexLines(src), nil, tree, o)
}

// ParseTable is Parse of one table of a larger file, such as [scenario] of a case. A scenario that does not
// name itself is called name.
func ParseTable(file, src, table, name string, o Overrides) (*Scenario, error) {
	whole, err := readTree(file, src)
	if err != nil {
		return nil, err
	}
	tree, ok := whole[table].(map[string]any)
	if !ok {
		return nil, &Error{File: file, Key: table, Msg: "missing; want a table with a scenario"}
	}
	if _, ok := tree["name"]; !ok {
		tree["name"] = name
	}
	return parse(file, indexLines(src), []string{table}, tree, o)
}

// Decode fills the struct v, whose tags name the keys, from a TOML file as strictly as a scenario is read: an
// unknown key is an error that names the nearest one. Tables in skip are somebody else's.
func Decode(file, src string, v any, skip ...string) error {
	tree, err := readTree(file, src)
	if err != nil {
		return err
	}
	for _, table := range skip {
		delete(tree, table)
	}
	lines := indexLines(src)
	d := &decoder{at: func(path []string) (string, int) { return file, lines.find(path) }}
	return d.table(nil, tree, reflect.ValueOf(v).Elem())
}

func readTree(file, src string) (map[string]any, error) {
	tree := map[string]any{}
	if _, err := toml.Decode(src, &tree); err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, &Error{File: file, Line: pe.Position.Line, Msg: pe.Message}
		}
		return nil, &Error{File: file, Msg: err.Error()}
	}
	return tree, nil
}

// parse makes a scenario of the tree, which stands in its file below the keys of under.
func parse(file string, lines lineIndex, under []string, tree map[string]any, o Overrides) (*Scenario, error) {
	overridden := map[string]bool{}
	for _, s := range o.Set {
		path, err := set(tree, s)
		if err != nil {
			return nil, err
		}
		overridden[path] = true
	}
	d := &decoder{at: func(path []string) (string, int) {
		if overridden[strings.Join(path, ".")] {
			return "--set", 0
		}
		return file, lines.find(append(under[:len(under):len(under)], path...))
	}}
	s := defaults()
	fillElementDefaults(tree)
	if err := d.table(nil, tree, reflect.ValueOf(s).Elem()); err != nil {
		return nil, err
	}
	if o.Seed != nil {
		s.Seed = *o.Seed
	}
	if err := s.selectFaults(o); err != nil {
		return nil, err
	}
	if err := s.check(d, o); err != nil {
		return nil, err
	}
	return s, nil
}

// selectFaults keeps one rule, or none; phases that named a dropped rule forget it.
func (s *Scenario) selectFaults(o Overrides) error {
	if o.OnlyFault == "" && !o.NoFaults {
		return nil
	}
	if o.OnlyFault != "" && o.NoFaults {
		return &Error{File: "--only-fault", Msg: "cannot be combined with --no-faults"}
	}
	var kept []Fault
	var names []string
	for _, f := range s.Faults {
		names = append(names, f.Name)
		if f.Name == o.OnlyFault {
			kept = append(kept, f)
		}
	}
	if o.OnlyFault != "" && len(kept) == 0 {
		return &Error{File: "--only-fault", Msg: fmt.Sprintf("the scenario has no fault %q%s", o.OnlyFault, Suggest(o.OnlyFault, names))}
	}
	s.Faults = kept
	for i := range s.Phases {
		p := &s.Phases[i]
		if p.Faults == nil {
			continue
		}
		in := p.Faults
		p.Faults = []string{}
		for _, name := range in {
			if name == o.OnlyFault && name != "" {
				p.Faults = append(p.Faults, name)
			}
		}
	}
	return nil
}

// TOML is the scenario as resolved: with it and the seed the run can be repeated.
func (s *Scenario) TOML() ([]byte, error) {
	var b strings.Builder
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(s); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}
