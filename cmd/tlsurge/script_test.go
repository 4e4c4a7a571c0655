package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// suite removes the program that tests have built, when all are done.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	return code
}

func TestMain(m *testing.M) {
	if os.Getenv(envServeNATS) != "" {
		os.Exit(serveNATS())
	}
	testscript.Main(suite{m}, map[string]func(){
		"tlsurge":       func() { os.Exit(program()) },
		"as":            func() { os.Exit(as(os.Args[1:])) },
		"exits":         func() { os.Exit(exits(os.Args[1:])) },
		"wait-for-port": func() { os.Exit(waitForPort(os.Args[1])) },
	})
}

// TestScripts runs every script of testdata/script: the command line as a user meets it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			// An ordinary user has to reach the work directory and the program.
			program, err := exec.LookPath("tlsurge")
			if err != nil {
				return err
			}
			for _, leaf := range []string{env.WorkDir, filepath.Dir(program)} {
				for dir := leaf; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
					if err := os.Chmod(dir, 0o755); err != nil {
						return err
					}
				}
			}
			if err := os.Chmod(env.WorkDir, 0o777); err != nil {
				return err
			}
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Condition: func(cond string) (bool, error) { return cond == "root" && os.Geteuid() == 0, nil },
	})
}

// as runs a command as another user: as UID COMMAND ARGS. It is how one script is played both as root
// and as an ordinary user.
func as(args []string) int {
	uid, err := strconv.Atoi(args[0])
	if err != nil {
		os.Stderr.WriteString("as: want a user's number: " + err.Error() + "\n")
		return 2
	}
	attr := &syscall.SysProcAttr{}
	if uid != os.Geteuid() {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	return through(args[1:], attr)
}

// exits runs a command and fails unless it ends with the given code: exits CODE COMMAND ARGS.
func exits(args []string) int {
	got := through(args[1:], nil)
	if strconv.Itoa(got) != args[0] {
		os.Stderr.WriteString("exit code " + strconv.Itoa(got) + ", want " + args[0] + "\n")
		return 1
	}
	return 0
}

// through runs a command with our standard streams and gives its exit code.
func through(args []string, attr *syscall.SysProcAttr) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	err := cmd.Run()
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	if err != nil {
		os.Stderr.WriteString(args[0] + ": " + strings.TrimSpace(err.Error()) + "\n")
		return 5
	}
	return 0
}

// waitForPort returns when somebody listens on the address, within 20 s.
func waitForPort(addr string) int {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return 0
		}
	}
	os.Stderr.WriteString("nobody listens on " + addr + "\n")
	return 1
}
