// Package nstest runs a test of faults a second time as uid 65534 inside a user and network namespace of
// its own: the ordinary user's road to a kernel feature.
package nstest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// nobody is the ordinary user of the tests.
const nobody = 65534

// step says in the environment how far a process of this test binary has come: as nobody, then inside.
const step = "TLSURGE_NSTEST_STEP"

// noNamespaces is the exit code of a process that was not allowed to make its namespaces.
const noNamespaces = 77

// Main stands in a package's TestMain. It also looks for goroutines left behind.
func Main(m *testing.M) {
	switch os.Getenv(step) {
	case "nobody":
		os.Exit(enter())
	case "plain":
		// nobody, and no namespaces
	case "inside":
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "nstest:", err)
			os.Exit(2)
		}
	}
	// These tests wait for kernels' timers and hardly compute: let more of them wait at once than there are
	// processors.
	flag.Parse()
	flag.Set("test.parallel", "16")
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "nstest: left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Plain runs f as nobody, without namespaces, and nowhere else.
func Plain(t *testing.T, f func(t *testing.T)) {
	if os.Getenv(step) == "plain" {
		f(t)
		return
	}
	run(t, "plain", t.Name())
}

// Inside says whether this process is the one in the namespaces.
func Inside() bool { return os.Getenv(step) == "inside" }

// Both runs f here as the user we are, and again as nobody in namespaces.
func Both(t *testing.T, f func(t *testing.T)) {
	if Inside() {
		f(t)
		return
	}
	t.Run("here", func(t *testing.T) {
		t.Parallel()
		f(t)
	})
	t.Run("nobody in namespaces", func(t *testing.T) {
		t.Parallel()
		again(t, strings.SplitN(t.Name(), "/", 2)[0])
	})
}

// Only runs f as nobody in namespaces and nowhere else.
func Only(t *testing.T, f func(t *testing.T)) {
	if Inside() {
		f(t)
		return
	}
	again(t, t.Name())
}

// again runs this test binary's test as nobody in namespaces.
func again(t *testing.T, test string) {
	t.Helper()
	run(t, "nobody", test)
}

// run runs this test binary's test as nobody, for two minutes at most.
func run(t *testing.T, next, test string) {
	t.Helper()
	// The child's parent-death signal comes when the thread that started it ends, and tests beside this one end threads
	// (link.Namespace.Do).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := command(next, "-test.run=^"+test+"$", "-test.v", "-test.timeout=120s")
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == noNamespaces:
		if strings.Contains(os.Getenv("TLSURGE_REQUIRE"), "userns") {
			t.Fatalf("user namespaces are required and forbidden here:\n%s", out)
		}
		t.Skipf("user namespaces are forbidden here:\n%s", out)
	case err != nil:
		t.Fatalf("as uid %d: %v\n%s", nobody, err, out)
	case !strings.Contains(string(out), "--- PASS: "+test):
		t.Fatalf("%s did not run as uid %d:\n%s", test, nobody, out)
	}
	t.Logf("%s", out)
}

// enter starts the tests once more, in a new user namespace with our user as its root and a new network
// namespace.
func enter() int {
	cmd := command("inside", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINVAL):
		fmt.Fprintln(os.Stderr, "nstest:", err)
		return noNamespaces
	}
	fmt.Fprintln(os.Stderr, "nstest:", err)
	return 2
}

// command is this very binary; by /proc, because nobody may not walk to where go test built it.
func command(next string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), step+"="+next, "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}
