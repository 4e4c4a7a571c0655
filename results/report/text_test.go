package report

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"tlsurge/results"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; then read the diff")

func load(t *testing.T, name string) *results.Run {
	t.Helper()
	run, err := results.LoadRun("../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// golden compares bytes with a stored file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; if that is meant: go test ./results/report -rewrite\n%s", name, firstDifference(string(got), string(want)))
	}
}

// firstDifference shows where two texts part ways.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got: %.200s\nwant: %.200s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func TestTextGolden(t *testing.T) {
	golden(t, "january-2015.txt", Text(load(t, "january-2015"), Options{Dir: "runs/20261122T093000Z-january-2015"}))
}
