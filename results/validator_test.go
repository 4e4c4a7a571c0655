package results_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestAValidatorAgrees: a validator of JSON Schema takes the stored runs, and refuses them with a field missing,
// a word that is none, or a negative count.
func TestAValidatorAgrees(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := filepath.Glob("testdata/*/run.json")
	if err != nil || len(runs) == 0 {
		t.Fatal(runs, err)
	}
	for _, name := range runs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		validate := func(text string) error {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			return s.Validate(v)
		}
		if err := validate(string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, spoilt := range [][2]string{{`"seed":`, `"sead":`}, {`"state": "`, `"state": "un`}, {`"started": "`, `"started": "on `}, {`"opened": `, `"opened": -`}} {
			if changed := strings.Replace(string(text), spoilt[0], spoilt[1], 1); changed == string(text) {
				t.Errorf("%s has no %s", name, spoilt[0])
			} else if validate(changed) == nil {
				t.Errorf("%s: %s passes", name, spoilt[1])
			}
		}
	}
}
