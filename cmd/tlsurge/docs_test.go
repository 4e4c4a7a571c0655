package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shortened makes a documented run fit a test: the same command, on less load and shorter acts.
var shortened = []string{"--set", "load.connections=40", "--set", "load.ramp=500ms", "--set", "load.request_rate=20", "--quiet",
	"--set", "phases.before-the-upgrade.duration=2s", "--set", "phases.after-the-upgrade.duration=2s", "--set", "phases.trigger-gone.duration=1s"}

// waitsForSomebody are documented commands that end only when a person does something.
var waitsForSomebody = regexp.MustCompile(`--listen|agent --join|capture\.pcapng|my-browser|my\.toml|RUNDIR|\.\.\.|runs/|BASE|edge --config`)

// TestDocumentedCommandsRun runs every line "$ tlsurge …" of README and docs.
func TestDocumentedCommandsRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs of january-2015 take seconds each")
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, page := range append(pages, "../../README.md") {
		for _, args := range commandsOf(t, page) {
			if waitsForSomebody.MatchString(strings.Join(args, " ")) {
				continue
			}
			ran++
			if args[0] == "run" && args[len(args)-1] != "--help" && args[len(args)-1] != "--list" {
				args = append(args, shortened...)
				args = append(args, "--out", filepath.Join(t.TempDir(), "run"))
			}
			if args[0] == "repro" && !strings.HasPrefix(args[1], "--") {
				args = append(args, "--quiet", "--budget", "100s", "--out", filepath.Join(t.TempDir(), "repro"))
			}
			t.Run(filepath.Base(page)+"/"+strings.Join(args[:min(3, len(args))], " "), func(t *testing.T) {
				cmd, stderr := start(t, args...)
				if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != exitInvalid {
					t.Errorf("tlsurge %s: %v\n%s", strings.Join(args, " "), err, stderr)
				}
			})
		}
	}
	if ran < 5 {
		t.Errorf("%d documented commands found: the pages have more", ran)
	}
}

// commandsOf lists the arguments of a page's commands.
func commandsOf(t *testing.T, page string) (all [][]string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(bytes.NewReader(b)); in.Scan(); {
		if line, ok := strings.CutPrefix(strings.TrimSpace(in.Text()), "$ tlsurge "); ok {
			line, _, _ = strings.Cut(line, "  ") // two spaces begin a remark
			all = append(all, strings.Fields(strings.ReplaceAll(line, "'", "")))
		}
	}
	return all
}
