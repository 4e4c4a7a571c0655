package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
)

// nobody is the ordinary user of these tests.
const nobody = 65534

// The test binary plays all three processes: envAct makes it a program whose main is actor.
const (
	envAct  = "TLSURGE_TEST_ACT"
	envNeed = "TLSURGE_TEST_NEED" // letters: f Filters, n OwnNet, o Outside, x no user namespaces
	envDir  = "TLSURGE_TEST_DIR"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childPrefix+InitVerb {
		os.Exit(InitMain(os.Args[2:]))
	}
	if act := os.Getenv(envAct); act != "" {
		os.Exit(actor(act))
	}
	os.Exit(m.Run())
}

// actor enters the sandbox as cmd does, and plays one part as the coordinator.
func actor(act string) int {
	letters := os.Getenv(envNeed)
	need := Need{Filters: strings.Contains(letters, "f"), OwnNet: strings.Contains(letters, "n"), Outside: strings.Contains(letters, "o")}
	place, done, code, err := Enter(need)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, faults.ErrUnsupported) {
			return 3
		}
	}
	if done {
		return code
	}
	switch act {
	case "place":
		inner, outer := net.Interfaces()
		fmt.Printf("uid=%d filters=%t user=%t pid=%t net=%t notes=%d loopback=%t\n", os.Getuid(), sockfilter.Probe() == nil,
			place.UserNS, place.PIDNS, place.OwnNet, len(place.Notes), outer == nil && len(inner) > 0 && inner[0].Flags&net.FlagUp != 0)
		return 7
	case "file":
		if err := os.WriteFile(filepath.Join(os.Getenv(envDir), "made"), nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	case "family":
		return family()
	case "patient", "stubborn":
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
		fmt.Println("ready")
		for sig := range signals {
			fmt.Println("got", sig)
			if act == "patient" {
				return 42
			}
		}
	case "again":
		// A program started inside must not take itself for the coordinator.
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), envAct+"=place")
		out, err := cmd.CombinedOutput()
		fmt.Printf("%s%v\n", out, err)
		return 0
	}
	return 1
}

// family starts every sort of process that might be left behind, and waits to be killed.
func family() int {
	start := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return cmd
	}
	start("sh", "-c", "sleep 1000 & sleep 1000 & wait")
	start("setsid", "--fork", "sh", "-c", "sleep 1000; true") // its parent ends: an orphan in a session of its own
	stopped := start("sleep", "1000")
	stopped.Process.Signal(syscall.SIGSTOP)
	if nginx, err := exec.LookPath("nginx"); err == nil && !strings.Contains(os.Getenv(envNeed), "x") {
		dir := os.Getenv(envDir)
		conf := filepath.Join(dir, "nginx.conf")
		os.WriteFile(conf, []byte(`worker_processes 2; pid `+dir+`/nginx.pid; error_log `+dir+`/error.log;
			events {} http { access_log off; server { listen unix:`+dir+`/nginx.sock; } }`), 0o600)
		start(nginx, "-p", dir, "-c", conf, "-g", "daemon off;")
	}
	fmt.Println("ready")
	select {}
}

// start runs the test binary as the outer process.
func start(t *testing.T, uid int, act, need string) (cmd *exec.Cmd, out *bufio.Reader, dir string) {
	t.Helper()
	if uid != os.Getuid() && os.Getuid() != 0 {
		t.Skipf("to become user %d takes root", uid)
	}
	dir, err := os.MkdirTemp("", "tlsurge-sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command("/proc/self/exe")
	if strings.Contains(need, "x") {
		cmd = withoutUserNamespaces(t)
	}
	cmd.Env = append(os.Environ(), envAct+"="+act, envNeed+"="+need, envDir+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd, bufio.NewReader(stdout), dir
}

// withoutUserNamespaces runs the test binary where the kernel refuses user namespaces: the limit can be
// set to zero for a user namespace by whoever owns it.
func withoutUserNamespaces(t *testing.T) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command("unshare", "--user", "--map-root-user", "sh", "-c",
		`echo 0 > /proc/sys/user/max_user_namespaces && exec "$0"`, exe)
}

func TestWhereUserNamespacesAreForbidden(t *testing.T) {
	cmd, out, _ := start(t, os.Getuid(), "place", "x")
	line, _ := out.ReadString('\n')
	cmd.Wait()
	if want := "uid=0 filters=false user=false pid=false net=false notes=1 loopback=true\n"; line != want || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("a run without filters: %q, exit %d; want %q, exit 7: it goes on, and notes what is weaker", line, cmd.ProcessState.ExitCode(), want)
	}
	cmd = withoutUserNamespaces(t)
	cmd.Env = append(os.Environ(), envAct+"=place", envNeed+"=f")
	text, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("a run with filters: exit %d, want 3", cmd.ProcessState.ExitCode())
	}
	for _, word := range []string{"user.max_user_namespaces = 0", "no space left on device", "CAP_NET_ADMIN", "relay"} {
		if !strings.Contains(string(text), word) {
			t.Errorf("the refusal does not speak of %q: %s", word, text)
		}
	}
}

func expectLine(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	if line, err := out.ReadString('\n'); line != want+"\n" {
		t.Fatalf("the program said %q (%v), want %q", line, err, want)
	}
}

func TestPlace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("both users need root to become them")
	}
	for _, tc := range []struct {
		why  string
		uid  int
		need string
		want string
		code int
	}{
		{"root has the filters where it is, so its network is kept", 0, "f",
			"uid=0 filters=true user=false pid=true net=false notes=0 loopback=true", 7},
		{"root may ask for a network of its own", 0, "fn",
			"uid=0 filters=true user=false pid=true net=true notes=0 loopback=true", 7},
		{"an ordinary user gets the filters in namespaces of its own", nobody, "f",
			"uid=65534 filters=true user=true pid=true net=true notes=0 loopback=true", 7},
		{"an ordinary user without filters has a private network all the same", nobody, "",
			"uid=65534 filters=true user=true pid=true net=true notes=0 loopback=true", 7},
		{"a target outside stays reachable", nobody, "o",
			"uid=65534 filters=false user=true pid=true net=false notes=0 loopback=true", 7},
		{"filters on a target outside take a right over the caller's network", nobody, "fo", "", 3},
	} {
		cmd, out, _ := start(t, tc.uid, "place", tc.need)
		line, _ := out.ReadString('\n')
		cmd.Wait()
		if got := strings.TrimSpace(line); got != tc.want || cmd.ProcessState.ExitCode() != tc.code {
			t.Errorf("%s: %q, exit %d; want %q, exit %d", tc.why, got, cmd.ProcessState.ExitCode(), tc.want, tc.code)
		}
	}
}

func TestFilesBelongToTheUser(t *testing.T) {
	for _, uid := range []int{0, nobody} {
		cmd, _, dir := start(t, uid, "file", "f")
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "made"))
		if err != nil {
			t.Fatal(err)
		}
		if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != uid {
			t.Errorf("a file made inside by user %d belongs to %d", uid, owner)
		}
	}
}

func TestUndoIsCertain(t *testing.T) {
	for _, uid := range []int{0, nobody} {
		for _, victim := range []string{"outer", "init", "coordinator"} {
			t.Run(fmt.Sprintf("uid %d, kill -9 of %s", uid, victim), func(t *testing.T) {
				cmd, out, _ := start(t, uid, "family", "f")
				expectLine(t, out, "ready")
				family := waitForFamily(t, cmd.Process.Pid, true)
				pid := map[string]int{"outer": cmd.Process.Pid, "init": family[0].pid, "coordinator": family[1].pid}[victim]
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
				waitAllEnded(t, family)
				cmd.Wait()
				if victim != "outer" && cmd.ProcessState.ExitCode() != exitCutShort {
					t.Errorf("exit code %d, want %d: the run was cut short", cmd.ProcessState.ExitCode(), exitCutShort)
				}
			})
		}
	}
}

func TestSubreaperEndsWhatItCan(t *testing.T) {
	for _, victim := range []string{"outer", "coordinator"} {
		t.Run("kill -9 of "+victim, func(t *testing.T) {
			cmd, out, _ := start(t, os.Getuid(), "family", "x")
			expectLine(t, out, "ready")
			// root in a user namespace cannot start an nginx: it would become somebody who is not mapped
			family := waitForFamily(t, cmd.Process.Pid, false)
			pid := map[string]int{"outer": cmd.Process.Pid, "coordinator": family[1].pid}[victim]
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			waitAllEnded(t, family)
		})
	}
}

// relative is a process of the run, seen from outside.
type relative struct {
	pid   int
	name  string
	pidfd int // readable once the process has ended; immune to reuse of the number
}

// waitForFamily finds all descendants of the outer process, init and coordinator first.
func waitForFamily(t *testing.T, outer int, withNginx bool) []relative {
	t.Helper()
	want := []string{"sleep", "sleep", "sleep", "sleep"} // two of the shell, one orphan's, the stopped one
	if _, err := exec.LookPath("nginx"); err == nil && withNginx {
		want = append(want, "nginx", "nginx", "nginx")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		var pids []int
		for queue := []int{outer}; len(queue) > 0; queue = queue[1:] {
			below := children(queue[0])
			pids = append(pids, below...)
			queue = append(queue, below...)
		}
		var family []relative
		var names []string
		for _, pid := range pids {
			comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			if err != nil {
				continue
			}
			name := strings.TrimSpace(string(comm))
			family = append(family, relative{pid: pid, name: name})
			if name == "sleep" || name == "nginx" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		slices.Sort(want)
		if slices.Equal(names, want) {
			for i := range family {
				fd, err := unix.PidfdOpen(family[i].pid, 0)
				if err != nil {
					t.Fatalf("process %d (%s): %v", family[i].pid, family[i].name, err)
				}
				family[i].pidfd = fd
				t.Cleanup(func() { unix.Close(fd) })
			}
			return family
		}
		if time.Now().After(deadline) {
			t.Fatalf("descendants of %d: %v, want %v", outer, names, want)
		}
		time.Sleep(5 * time.Millisecond) // other processes start at their own pace, and tell nobody
	}
}

// waitAllEnded fails for each process that is alive two seconds from now.
func waitAllEnded(t *testing.T, family []relative) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for _, r := range family {
		fds := []unix.PollFd{{Fd: int32(r.pidfd), Events: unix.POLLIN}}
		n, err := 0, error(unix.EINTR)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		}
		if n != 1 {
			t.Errorf("process %d (%s) outlived the run by two seconds", r.pid, r.name)
			unix.Kill(r.pid, unix.SIGKILL)
		}
	}
}

func TestInterrupts(t *testing.T) {
	t.Run("the first one reaches the coordinator, once, and its exit code comes back", func(t *testing.T) {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			cmd, out, _ := start(t, os.Getuid(), "patient", "")
			expectLine(t, out, "ready")
			cmd.Process.Signal(sig)
			expectLine(t, out, "got "+sig.String())
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 42 {
				t.Errorf("%s: exit %d, want the coordinator's 42", sig, code)
			}
		}
	})
	t.Run("the second one kills", func(t *testing.T) {
		cmd, out, _ := start(t, os.Getuid(), "stubborn", "")
		expectLine(t, out, "ready")
		cmd.Process.Signal(syscall.SIGINT)
		expectLine(t, out, "got interrupt")
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitCutShort {
			t.Errorf("exit %d, want %d", code, exitCutShort)
		}
	})
}

func TestMarkerIsForTheCoordinatorAlone(t *testing.T) {
	cmd, out, _ := start(t, os.Getuid(), "again", "")
	line, _ := out.ReadString('\n')
	cmd.Wait()
	if !strings.HasPrefix(line, "uid=") {
		t.Fatalf("a program started by the coordinator said %q, want it to enter a sandbox of its own", line)
	}
	t.Setenv(envPlace, `{"pid_ns":true,"within":"pid:[1]/1"}`)
	if p, ok := entered(); ok {
		t.Errorf("a note for another namespace was taken: %+v", p)
	}
	if os.Getenv(envPlace) != "" {
		t.Error("the note was left in the environment")
	}
}
