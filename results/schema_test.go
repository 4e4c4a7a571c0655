package results_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/results"
)

// schemaPath is the schema that users validate with; it is checked in, and written anew by -rewrite.
const schemaPath = "../docs/run.schema.json"

// schema is the part of JSON Schema 2020-12 that run.schema.json is written in.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Const       string             `json:"const,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Format      string             `json:"format,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  *schema            `json:"additionalProperties,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

// enums are the words that some strings are limited to.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[results.State](): {"VALID", "SUSPECT", "INVALID"},
	reflect.TypeFor[results.Class](): {"ok", "connect_refused", "connect_timeout", "connect_reset", "reset", "eof", "handshake_timeout", "peer_alert",
		"local_alert", "certificate", "request_reset", "request_eof", "truncated", "request_timeout", "http_status", "http_malformed", "alpn", "no_resource"},
	reflect.TypeFor[results.PageVerdict](): {"", "fine", "saved_by_retry", "downgraded", "saw_error"},
}

// describe makes the schema of a type. Counts and sizes are never negative; what has a unit says so.
func describe(t reflect.Type, defs map[string]*schema) *schema {
	zero := 0.0
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case enums[t] != nil:
		return &schema{Type: "string", Enum: enums[t]}
	}
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int64, reflect.Uint64:
		return &schema{Type: "integer", Minimum: &zero}
	case reflect.Int:
		return &schema{Type: "integer"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Slice:
		return &schema{Type: "array", Items: describe(t.Elem(), defs)}
	case reflect.Map:
		return &schema{Type: "object", Additional: describe(t.Elem(), defs)}
	case reflect.Struct:
		if defs[t.Name()] == nil {
			s := &schema{Type: "object", Properties: map[string]*schema{}}
			defs[t.Name()] = s
			for _, f := range reflect.VisibleFields(t) {
				name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" {
					continue
				}
				s.Properties[name] = describe(f.Type, defs)
				if options != "omitempty" {
					s.Required = append(s.Required, name)
				}
			}
		}
		return &schema{Ref: "#/$defs/" + t.Name()}
	}
	panic("no schema for " + t.String())
}

func runSchema() *schema {
	defs := map[string]*schema{}
	describe(reflect.TypeFor[results.Run](), defs)
	root := defs["Run"]
	delete(defs, "Run")
	root.Schema, root.ID, root.Title, root.Defs = "https://json-schema.org/draft/2020-12/schema", "tlsurge.run/1", "A run of tlsurge", defs
	root.Description = "docs/RUN_JSON.md explains each field. Within version 1 fields may be added; none changes its meaning."
	root.Properties["schema"] = &schema{Type: "string", Const: results.Schema}
	root.Properties["seed"].Description = "64 bits: beyond 2^53 some readers of JSON lose digits"
	return root
}

func TestTheSchemaIsThatOfTheTypes(t *testing.T) {
	want, err := json.MarshalIndent(runSchema(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *rewrite {
		if err := os.WriteFile(schemaPath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/run.schema.json is not what the types say; if that is meant: go test ./results -rewrite")
	}
}

// validate holds a decoded value against a schema and lists what is wrong, with its path. A property
// that the schema does not know is wrong too: our own runs have none.
func validate(root, s *schema, path string, v any) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, path+": "+fmt.Sprintf(format, args...)) }
	if s.Ref != "" {
		return validate(root, root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")], path, v)
	}
	switch s.Type {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			bad("%T, want an object", v)
			return
		}
		for _, name := range s.Required {
			if _, ok := m[name]; !ok {
				bad("%q is missing", name)
			}
		}
		for name, x := range m {
			switch {
			case s.Properties[name] != nil:
				wrong = append(wrong, validate(root, s.Properties[name], path+"."+name, x)...)
			case s.Additional != nil:
				wrong = append(wrong, validate(root, s.Additional, path+"."+name, x)...)
			default:
				bad("%q is not in the schema", name)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			bad("%T, want an array", v)
		}
		for i, x := range list {
			wrong = append(wrong, validate(root, s.Items, fmt.Sprintf("%s[%d]", path, i), x)...)
		}
	case "string":
		text, ok := v.(string)
		_, notTime := time.Parse(time.RFC3339Nano, text)
		switch {
		case !ok:
			bad("%T, want a string", v)
		case s.Const != "" && text != s.Const:
			bad("%q, want %q", text, s.Const)
		case s.Enum != nil && !slices.Contains(s.Enum, text):
			bad("%q, allowed are %q", text, s.Enum)
		case s.Format == "date-time" && notTime != nil:
			bad("%v", notTime)
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			bad("%T, want a boolean", v)
		}
	case "integer", "number":
		n, ok := v.(json.Number)
		if !ok {
			bad("%T, want a number", v)
			return
		}
		f, err := n.Float64()
		if err != nil || s.Type == "integer" && strings.ContainsAny(n.String(), ".eE") {
			bad("%s is no %s", n, s.Type)
		}
		if s.Minimum != nil && f < *s.Minimum {
			bad("%s is below %g", n, *s.Minimum)
		}
	}
	return wrong
}

func check(t *testing.T, p []byte) []string {
	t.Helper()
	text, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return validate(&s, &s, "run", v)
}

func TestRunsAreValidAgainstTheSchema(t *testing.T) {
	p, err := os.ReadFile(filepath.Join(stored, results.RunFile))
	if err != nil {
		t.Fatal(err)
	}
	if wrong := check(t, p); len(wrong) > 0 {
		t.Errorf("the stored run: %q", wrong)
	}
	_, dir, _ := fed(t)
	if p, err = os.ReadFile(filepath.Join(dir, results.RunFile)); err != nil {
		t.Fatal(err)
	}
	if wrong := check(t, p); len(wrong) > 0 {
		t.Errorf("a provisional run of nothing: %q", wrong)
	}
}

// TestTheSchemaRefuses proves that the check above can fail.
func TestTheSchemaRefuses(t *testing.T) {
	p, err := os.ReadFile(filepath.Join(stored, results.RunFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ why, old, new string }{
		{"another schema", `"tlsurge.run/1"`, `"tlsurge.run/2"`},
		{"a verdict of its own", `"VALID"`, `"FINE"`},
		{"a class of its own", `"class": "reset"`, `"class": "other"`},
		{"a field renamed", `"saw_error"`, `"saw_errors"`},
		{"a duration with a fraction", `"duration_ns": `, `"duration_ns": 0.5`},
		{"a negative count", `"failed": `, `"failed": -1`},
		{"a time that is none", `"started": "2026`, `"started": "soon`},
	} {
		broken := bytes.Replace(p, []byte(row.old), []byte(row.new), 1)
		if bytes.Equal(broken, p) {
			t.Fatalf("%s: nothing replaced", row.why)
		}
		if wrong := check(t, broken); len(wrong) == 0 {
			t.Errorf("%s: accepted", row.why)
		}
	}
}
