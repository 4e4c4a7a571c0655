package results_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tlsurge/results"
)

func TestLoadRunRefuses(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(stored, results.RunFile))
	if err != nil {
		t.Fatal(err)
	}
	type (
		foreign = *results.ForeignError
		cut     = *results.CutOffError
		newer   = *results.NewerSchemaError
	)
	is := func(err error, kind string) bool {
		var f foreign
		var c cut
		var n newer
		switch kind {
		case "foreign":
			return errors.As(err, &f)
		case "cut":
			return errors.As(err, &c)
		case "newer":
			return errors.As(err, &n)
		}
		return false
	}
	with := func(from, to string) string {
		changed := strings.Replace(string(whole), from, to, 1)
		if changed == string(whole) {
			t.Fatalf("%s is not in the run", from)
		}
		return changed
	}
	for _, row := range []struct{ why, content, kind, says string }{
		{"an empty file", "", "cut", "it is empty"},
		{"the first half of a run", string(whole[:len(whole)/2]), "cut", "the JSON ends in the middle"},
		{"all but the last bytes of a run", string(whole[:len(whole)-3]), "cut", "the JSON ends in the middle"},
		{"a text", "hello\n", "foreign", "it is not JSON"},
		{"a list", "[]", "foreign", "not an object"},
		{"a compressed file", "\x1f\x8b\x08", "foreign", "gzip"},
		{"a schema that is a number", `{"schema": 5}`, "foreign", "its schema is 5"},
		{"a run that says nothing", `{"schema": "tlsurge.run/1"}`, "foreign", `it has no "scenario"`},
		{"the JSON of another program", `{"scenarios": []}`, "foreign", `it has no "schema"`},
		{"another schema", `{"schema": "k6.summary/1"}`, "foreign", `its schema is "k6.summary/1"`},
		{"a later schema", `{"schema": "tlsurge.run/2", "verdict": 7}`, "newer", `schema "tlsurge.run/2" is newer`},
		{"a schema that never was", `{"schema": "tlsurge.run/zero"}`, "foreign", "tlsurge.run/zero"},
		{"a field of another type", with(`"seed": 42`, `"seed": "many"`), "foreign", `"seed" has a text in the place of a whole number`},
		{"an object for a list", with(`"users": [`, `"users": {}, "xusers": [`), "foreign", `"users" has an object in the place of a list`},
		{"a time that is none", with(`"started": "`, `"started": "x`), "foreign", "is no time"},
		{"no verdict", with(`"state": "`, `"state": "X`), "foreign", "its verdict is"},
		{"JSON with an error in it", `{"schema": "tlsurge.run/1",, "seed": 1}`, "foreign", "byte 28"},
	} {
		path := filepath.Join(t.TempDir(), "run.json")
		if err := os.WriteFile(path, []byte(row.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := results.LoadRun(path)
		var input *results.InputError
		if !errors.As(err, &input) || input.Path != path || !is(err, row.kind) || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want a %s error that says %q", row.why, err, row.kind, row.says)
		}
	}

	dir := t.TempDir()
	if _, err := results.LoadRun(dir); !is(err, "foreign") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, results.FiringsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := results.LoadRun(dir); !is(err, "cut") {
		t.Errorf("a run directory without run.json: %v", err)
	}
	var input *results.InputError
	if _, err := results.LoadRun(filepath.Join(dir, "nowhere")); !errors.As(err, &input) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestALastLineThatWasCutOffIsLeftOut(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(stored, results.OutcomesFile))
	if err != nil {
		t.Fatal(err)
	}
	all, cut, err := results.ReadAttempts(filepath.Join(stored, results.OutcomesFile))
	if err != nil || cut || len(all) == 0 {
		t.Fatal(len(all), cut, err)
	}
	path := filepath.Join(t.TempDir(), results.OutcomesFile)
	if err := os.WriteFile(path, whole[:len(whole)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if part, cut, err := results.ReadAttempts(path); err != nil || !cut || len(part) != len(all)-1 {
		t.Errorf("%d of %d attempts, cut %v, %v", len(part), len(all), cut, err)
	}
	if err := os.WriteFile(path, []byte("{\"tuple\": 5}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var input *results.InputError
	if _, _, err := results.ReadAttempts(path); !errors.As(err, &input) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a line of something else: %v", err)
	}
}

// FuzzParseRun: what is accepted writes to bytes that read back as the same run.
func FuzzParseRun(f *testing.F) {
	whole, err := os.ReadFile(filepath.Join(stored, results.RunFile))
	if err != nil {
		f.Fatal(err)
	}
	run, err := results.ParseRun("stored", whole)
	if err != nil {
		f.Fatal(err)
	}
	run.Outcomes, run.Chains, run.Timeline, run.Users = run.Outcomes[:1], run.Chains[:1], run.Timeline[:1], run.Users[:1]
	small, err := json.Marshal(run)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add([]byte(`{"schema":"tlsurge.run/2"}`))
	f.Add([]byte(`{"schema":"tlsurge.run/1","verdict":{"state":"VALID"}}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		run, err := results.ParseRun("fuzz", p)
		if err != nil {
			var input *results.InputError
			if !errors.As(err, &input) {
				t.Fatalf("%v is no InputError", err)
			}
			return
		}
		var one, two bytes.Buffer
		if err := run.WriteJSON(&one); err != nil {
			t.Skip("a year beyond 9999 cannot be written")
		}
		again, err := results.ParseRun("again", one.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.WriteJSON(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("%s\nreads back as\n%s", one.Bytes(), two.Bytes())
		}
	})
}
