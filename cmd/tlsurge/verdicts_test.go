package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/results"
)

// sideOf writes ten runs that differ as those of a quiet machine do, with processor time changed by a factor.
func sideOf(t *testing.T, seed uint64, cpu float64) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := range 10 {
		run, err := results.LoadRun("../../results/testdata/january-2015")
		if err != nil {
			t.Fatal(err)
		}
		noise := func() float64 { return 1 + 0.01*rng.NormFloat64() }
		run.Seed, run.Started = uint64(i), run.Started.Add(time.Duration(seed)*time.Minute+time.Duration(i)*time.Hour)
		for e := range run.Edges {
			run.Edges[e].CPUNs = int64(float64(run.Edges[e].CPUNs) * cpu * noise())
		}
		run.Requests.PerS *= noise()
		inner := filepath.Join(dir, fmt.Sprintf("run-%d", i))
		if err := os.Mkdir(inner, 0o700); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := run.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(inner, results.RunFile), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCompareExitCodes: one code for each outcome, and the words for it, in every form.
func TestCompareExitCodes(t *testing.T) {
	t.Parallel()
	base, equal, slower, faster := sideOf(t, 1, 1), sideOf(t, 2, 1), sideOf(t, 3, 1.2), sideOf(t, 4, 0.8)
	one := filepath.Join(base, "run-0")
	foreign := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(foreign, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		why, base, candidate string
		code                 int
		says                 string
	}{
		{"equal builds", base, equal, exitGood, "PASSED: none worse"},
		{"a faster one", base, faster, exitGood, "PASSED: 1 better"},
		{"a slower one", base, slower, exitFailed, "REGRESSED: 1 worse"},
		{"the slower one as the base", slower, base, exitGood, "PASSED: 1 better"},
		{"one run each", one, filepath.Join(equal, "run-0"), exitInvalid, "UNSURE: none is worse, but too few could be judged"},
		{"a run with itself", one, one, exitInvalid, "compares a run with itself"},
		{"something else", one, foreign, exitUsage, "not a run of tlsurge: it is JSON, but not an object"},
		{"nothing", one, filepath.Join(t.TempDir(), "nowhere"), exitUsage, "no such file or directory; a run is"},
	} {
		for _, form := range []string{"", "--json", "--markdown"} {
			args := []string{"compare", row.base, row.candidate, "--tag", "build=7"}
			if form != "" {
				args = append(args, form)
			}
			var out, said bytes.Buffer
			if code := run(args, nil, &out, &said); code != row.code {
				t.Errorf("%s: exit %d, want %d\n%s%s", row.why, code, row.code, out.String(), said.String())
			}
			if row.code == exitUsage && (out.Len() > 0 || strings.Count(said.String(), "\n") != 1) {
				t.Errorf("%s: %q and %q, want one line on standard error", row.why, out.String(), said.String())
			}
			if text := out.String() + said.String(); form != "--json" && !strings.Contains(text, row.says) {
				t.Errorf("%s: no %q in\n%s", row.why, row.says, text)
			}
			if row.code != exitUsage && !strings.Contains(out.String(), "build") {
				t.Errorf("%s %s: the tag is missing", row.why, form)
			}
		}
	}
}
