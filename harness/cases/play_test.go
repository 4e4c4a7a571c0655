package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlsurge/results"
)

// program builds the program once: a run starts it again for its children.
var program = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "tlsurge-cases-")
	if err != nil {
		return "", err
	}
	programDir = dir
	path = filepath.Join(dir, "tlsurge")
	if out, err := exec.Command("go", "build", "-o", path, "tlsurge/cmd/tlsurge").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

var programDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// runner plays scenarios as a user does, on the real fleet.
func runner(t *testing.T) Runner {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	once := func(ctx context.Context, name string, set []string) (*results.Run, error) {
		dir := filepath.Join(t.TempDir(), "run")
		args := []string{"run", name, "--quiet", "--out", dir}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		// 4 is a run whose verdict is INVALID: Played.Err says so, with the reasons.
		if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 4) {
			return nil, fmt.Errorf("tlsurge %s: %w\n%s", strings.Join(args, " "), err, &stderr)
		}
		return results.LoadRun(dir)
	}
	return func(ctx context.Context, name string, set []string) (*results.Run, error) {
		r, err := once(ctx, name, set)
		if err != nil && strings.Contains(err.Error(), "after the start") {
			// Too many runs at once for this machine: the barrier found agents late, and the run was called off.
			t.Log(err)
			return once(ctx, name, set)
		}
		return r, err
	}
}

// TestEveryCase plays each case on the real fleet: broken, its signatures appear; fixed, they are gone. Where an
// installed server can play the server's part, it has to as well.
func TestEveryCase(t *testing.T) {
	for i, c := range All() {
		t.Run(c.Name, func(t *testing.T) {
			if testing.Short() && i%4 != 0 {
				t.Skip("one case in four is enough for a short run")
			}
			t.Parallel()
			play(t, c, Way{}, Way{Fixed: true})
		})
		for _, edge := range c.Real.Edges() {
			t.Run(c.Name+"/"+edge, func(t *testing.T) {
				if testing.Short() {
					t.Skip("the whole suite asks the installed servers")
				}
				requirePeer(t, edge)
				t.Parallel()
				ways := []Way{{Real: true, Edge: edge}, {Real: true, Edge: edge, Fixed: true}}
				if c.Real.Unfixed != "" {
					ways = ways[:1]
				}
				play(t, c, ways...)
			})
		}
	}
}

// play plays the case in each way, side by side: they mostly wait.
func play(t *testing.T, c *Case, ways ...Way) {
	run := runner(t)
	var wg sync.WaitGroup
	for _, w := range ways {
		wg.Go(func() {
			p, err := c.Play(t.Context(), run, w)
			if err == nil && p.Err() != nil && p.Run.Verdict.State != results.Valid {
				// A machine too busy to keep the schedule says so in the verdict: that run proves nothing.
				t.Logf("%v: %s: %v; once more", w, strings.Join(p.Run.Verdict.Reasons, "; "), p.Err())
				p, err = c.Play(t.Context(), run, w)
			}
			if err != nil {
				t.Errorf("%v: %v", w, err)
				return
			}
			for _, f := range p.Findings {
				t.Logf("%v: %v", w, f)
			}
			if err := p.Err(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func requirePeer(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	if err != nil {
		_, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("TLSURGE_REQUIRE"), ","), name) {
		t.Fatalf("%s is required and not there", name)
	}
	t.Skipf("no %s here", name)
}
