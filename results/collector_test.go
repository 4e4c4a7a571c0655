package results_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"tlsurge/results"
)

var rewrite = flag.Bool("rewrite", false, "write the stored runs anew; then read the diff")

// stored is a run directory that the collector wrote, kept as input of the report's and the
// comparison's golden tests.
const stored = "testdata/january-2015"

func TestStoredRunIsWhatTheCollectorWrites(t *testing.T) {
	dir := mkdir(t)
	play(t, dir, 42)
	for _, name := range []string{results.RunFile, results.OutcomesFile, results.FiringsFile, results.LatencyFile} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(stored, name)
		if *rewrite {
			if err := os.MkdirAll(stored, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from the stored one; if that is meant: go test ./results -rewrite", name)
		}
	}
}
