package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/harness/cluster"
	"tlsurge/harness/fleet/sandbox"
)

// envRun makes the test binary a small `tlsurge run` in the directory it names: sandbox, fleet, agents.
const envRun = "TLSURGE_TEST_RUN"

func smallRun(dir string) error {
	place, done, code, err := sandbox.Enter(sandbox.Need{Filters: true})
	if err != nil || done {
		os.Exit(max(code, 1))
	}
	if !place.PIDNS {
		return errors.New("no PID namespace")
	}
	ctx := context.Background()
	hub, err := cluster.StartHub(ctx, cluster.HubConfig{Dir: dir})
	if err != nil {
		return err
	}
	pki, err := MakePKI(PKIConfig{Dir: dir, Names: []string{serverName}, Now: time.Now()})
	if err != nil {
		return err
	}
	f, err := Start(ctx, Config{Dir: dir, Hub: hub, PKI: pki, Phase: "one", Edges: 2, Stack: "openssl-1.0.1j", Balancer: "bundled"})
	if err != nil {
		return err
	}
	if _, err := StartAgents(ctx, AgentsConfig{Hub: hub, N: 2}); err != nil {
		return err
	}
	f.edges[0].process.signal(syscall.SIGSTOP)
	fmt.Println("ready")
	select {}
}

// TestNothingSurvivesTheCoordinator: kill -9 of the coordinator, or of what the user started, ends edges,
// balancer, application and agents, one of them stopped; as root and as an ordinary user.
func TestNothingSurvivesTheCoordinator(t *testing.T) {
	for _, uid := range []int{0, 65534} {
		for _, victim := range []string{"coordinator", "outer"} {
			t.Run(fmt.Sprintf("uid %d, kill -9 of %s", uid, victim), func(t *testing.T) {
				if uid != os.Getuid() && os.Getuid() != 0 {
					t.Skipf("to become user %d takes root", uid)
				}
				dir, err := os.MkdirTemp("", "tlsurge-run")
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				os.Chown(dir, uid, uid)
				cmd := exec.Command("/proc/self/exe")
				cmd.Env = append(os.Environ(), envRun+"="+dir)
				cmd.Stderr = os.Stderr
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
				if uid == os.Getuid() {
					cmd.SysProcAttr = nil
				}
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				defer cmd.Wait()
				defer cmd.Process.Kill()
				if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
					t.Fatalf("the run said %q (%v)", line, err)
				}
				family := descendants(t, cmd.Process.Pid)
				if len(family) != 8 { // init, coordinator, application, balancer, two edges, two agents
					t.Fatalf("%d processes, want 8: %v", len(family), family)
				}
				pid := cmd.Process.Pid
				if victim == "coordinator" {
					pid = family[1]
				}
				fds := map[int]int{}
				for _, p := range family {
					if fds[p], err = unix.PidfdOpen(p, 0); err != nil {
						t.Fatal(err)
					}
					defer unix.Close(fds[p])
				}
				unix.Kill(pid, unix.SIGKILL)
				deadline := time.Now().Add(2 * time.Second)
				for p, fd := range fds {
					if !endsBefore(fd, deadline) {
						t.Errorf("process %d outlived the run by two seconds", p)
					}
				}
			})
		}
	}
}

// endsBefore waits for the process behind a pidfd.
func endsBefore(pidfd int, deadline time.Time) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(0, time.Until(deadline).Milliseconds())))
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// descendants lists the processes below one, parents before children.
func descendants(t *testing.T, root int) []int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	below := map[int][]int{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if st, err := sandbox.ParseStat(strings.TrimSpace(string(text))); err == nil {
			below[st.Parent] = append(below[st.Parent], st.PID)
		}
	}
	var all []int
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		slices.Sort(below[queue[0]])
		all = append(all, below[queue[0]]...)
		queue = append(queue, below[queue[0]]...)
	}
	return all
}
