// Package child starts `tlsurge run` in a process of its own and reads what came of it.
//
// It owns the process: its arguments, its interrupt, its exit code. It knows nothing of why somebody wants a
// run: bench, repro and whoever judges cases do.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"tlsurge/results"
)

// Run is one run to be made.
type Run struct {
	Name     string // of whatever this run is for, in messages
	Binary   string // the tlsurge that runs; empty: this very program, even if its file was replaced meanwhile
	Scenario string // a built-in name or a file
	Out      string // where its files go; made if missing
	Seed     uint64
	Set      []string // overrides, as --set has them
	Args     []string // further arguments
	Env      []string // besides our own
	// Grace is how long a run may take to write what it has after an interrupt; 0 is 20 s.
	Grace time.Duration
}

// Error is a run that gave no result: a wrong configuration, a machine that cannot, a fault.
type Error struct {
	Code int
	Text string
}

func (e *Error) Error() string { return e.Text }

// Do makes the run and gives its result. A run whose thresholds fail, or that is INVALID, is a result too.
func Do(ctx context.Context, r Run) (*results.Run, error) {
	if err := os.MkdirAll(filepath.Dir(r.Out), 0o700); err != nil {
		return nil, err
	}
	args := []string{"run", r.Scenario, "--quiet", "--out", r.Out, "--seed", fmt.Sprint(r.Seed)}
	for _, set := range r.Set {
		args = append(args, "--set", set)
	}
	binary := r.Binary
	if binary == "" {
		binary = "/proc/self/exe"
	}
	cmd := exec.CommandContext(ctx, binary, append(args, r.Args...)...)
	if r.Binary == "" {
		cmd.Args[0] = os.Args[0]
	}
	cmd.Env = append(os.Environ(), r.Env...)
	// An interrupt lets the run write what it has; after that it is ended.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = r.Grace
	if r.Grace == 0 {
		cmd.WaitDelay = 20 * time.Second
	}
	// A terminal's interrupt goes to the whole foreground group: ours to hand on, once.
	// Should we be killed, it is too, and its whole PID namespace with it. The kernel looks at the thread that
	// started it: that stays ours until the run is over.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && cmd.ProcessState == nil {
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 1 && code != 4 {
		return nil, &Error{code, fmt.Sprintf("%s: %s", r.Name, strings.TrimPrefix(lastLine(stderr.String()), "tlsurge: "))}
	}
	return results.LoadRun(r.Out)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
