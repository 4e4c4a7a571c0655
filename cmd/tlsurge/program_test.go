package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

// builtIn is the directory that built has made.
var builtIn string

// built is the program as a user has it: a run starts it again for its children.
var built = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "tlsurge-program-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path = filepath.Join(dir, "tlsurge")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return path, nil
})

// played is a run that ended: its directory and what is in it.
type played struct {
	dir      string
	run      *results.Run
	attempts []results.Attempt
	firings  []faults.Firing
}

// start begins tlsurge with the arguments; the test ends it if it did not end itself.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	stderr = &bytes.Buffer{}
	cmd = begin(t, func(cmd *exec.Cmd) { cmd.Stderr = stderr }, args...)
	return cmd, stderr
}

// startPiped is start with the program's standard error to read from while it runs.
func startPiped(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	var pipe io.Reader
	cmd := begin(t, func(cmd *exec.Cmd) {
		var err error
		if pipe, err = cmd.StderrPipe(); err != nil {
			t.Fatal(err)
		}
	}, args...)
	return cmd, bufio.NewReader(pipe)
}

func begin(t *testing.T, prepare func(*exec.Cmd), args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = t.TempDir()
	prepare(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// play runs a scenario to its end and reads what it left.
func play(t *testing.T, args ...string) *played {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	cmd, stderr := start(t, append([]string{"run", "--quiet", "--out", dir}, args...)...)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if code := cmd.ProcessState.ExitCode(); code != exitGood && code != exitInvalid {
			t.Fatalf("tlsurge run: %v\n%s", err, stderr)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("tlsurge run does not end")
	}
	return readRun(t, dir)
}

func readRun(t *testing.T, dir string) *played {
	t.Helper()
	p := &played{dir: dir}
	var err error
	if p.run, err = results.LoadRun(dir); err != nil {
		t.Fatal(err)
	}
	p.attempts = readLines[results.Attempt](t, filepath.Join(dir, "outcomes.jsonl"))
	p.firings = readLines[faults.Firing](t, filepath.Join(dir, "firings.jsonl"))
	return p
}

func readLines[T any](t *testing.T, path string) (list []T) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for dec := json.NewDecoder(f); dec.More(); {
		var v T
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, v)
	}
	return list
}
