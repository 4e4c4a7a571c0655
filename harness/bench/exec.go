package bench

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tlsurge/harness/proxy"
	"tlsurge/results"
)

//go:embed full.toml resumed.toml requests.toml
var scenarios embed.FS

// Parts writes the scenarios of the built-in parts into dir and names them.
func Parts(dir string) ([]Part, error) {
	var list []Part
	for _, name := range []string{PartFull, PartResumed, PartRequests} {
		p, err := scenarios.ReadFile(name + ".toml")
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(path, p, 0o600); err != nil {
			return nil, err
		}
		list = append(list, Part{name, path})
	}
	return list, nil
}

// ChildError is a run that gave no result: a wrong configuration, a machine that cannot, a fault.
type ChildError struct {
	Code int
	Text string
}

func (e *ChildError) Error() string { return e.Text }

// Exec gives a Runner that starts `tlsurge run` in a process of its own, with its files under dir. A
// side without a binary is this very program, even if its file was replaced meanwhile.
func Exec(dir string) Runner {
	return func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
		out := filepath.Join(dir, filepath.FromSlash(label))
		if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
			return nil, err
		}
		args := []string{"run", p.Scenario, "--quiet", "--out", out, "--seed", fmt.Sprint(seed)}
		for _, set := range s.Set {
			args = append(args, "--set", set)
		}
		binary := s.Binary
		if binary == "" {
			binary = "/proc/self/exe"
		}
		cmd := exec.CommandContext(ctx, binary, args...)
		if s.Binary == "" {
			cmd.Args[0] = os.Args[0]
		}
		cmd.Env = append(os.Environ(), proxy.PlantVariable+"="+s.Plant)
		// An interrupt lets the run write what it has; after that it is ended.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		cmd.WaitDelay = 20 * time.Second
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return nil, fmt.Errorf("%s: %w", binary, err)
		}
		// 1 and 4 are results too: thresholds that fail, runs that are INVALID.
		if code := cmd.ProcessState.ExitCode(); code != 0 && code != 1 && code != 4 {
			return nil, &ChildError{code, fmt.Sprintf("%s, %s: %s", s.Name, p.Name, strings.TrimPrefix(lastLine(stderr.String()), "tlsurge: "))}
		}
		return results.LoadRun(out)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
