package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tlsurge/faults"
)

// twoActs cuts first handshakes in two acts, at most six in the run: more than the first act has to offer.
const twoActs = `
name = "limit"
seed = 5
[fleet]
edges = 2
[load]
connections = 40
per_browser = 2
ramp = "1s"
[[browsers]]
profile = "firefox-34-osx"
share = 1
[[faults]]
name = "cut"
at = "client_hello"
action = "reset"
who = { attempt = 1 }
probability = 0.2
limit = 6
until = "500ms"
[[phases]]
name = "one"
duration = "1500ms"
[[phases]]
name = "two"
duration = "1500ms"
`

// TestALimitIsTheRuns: a limit counts over all acts, and agents neither add to it nor choose whom it spares.
func TestALimitIsTheRuns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "limit.toml")
	if err := os.WriteFile(file, []byte(twoActs), 0o600); err != nil {
		t.Fatal(err)
	}
	hit := func(agents string) (keys []faults.Key) {
		for _, f := range play(t, file, "--set", "run.agents="+agents).firings {
			keys = append(keys, f.Key)
		}
		slices.SortFunc(keys, func(a, b faults.Key) int {
			return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Browser, b.Browser), cmp.Compare(a.Connection, b.Connection))
		})
		return keys
	}
	one := hit("1")
	if len(one) != 6 || one[0].Phase != "one" || one[5].Phase != "two" {
		t.Fatalf("%d firings, want six over both acts: %v", len(one), one)
	}
	if two := hit("2"); !slices.Equal(one, two) {
		t.Errorf("two agents hit\n%v, one hits\n%v", two, one)
	}
}
