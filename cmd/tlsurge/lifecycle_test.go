package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/harness/cluster"
	"tlsurge/results"
)

// long is a run that nobody waits for to end.
var long = []string{"run", "january-2015", "--set", "load.connections=120", "--set", "load.ramp=1s",
	"--set", "phases.before-the-upgrade.duration=10m"}

// underWay starts a long run and returns when connections are established.
func underWay(t *testing.T) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	cmd, stderr := startPiped(t, append(long, "--out", dir)...)
	ready := make(chan error, 1)
	go func() {
		in := bufio.NewScanner(stderr)
		for in.Scan() {
			if strings.Contains(in.Text(), " connections,") && !strings.Contains(in.Text(), "  0 connections,") {
				ready <- nil
				_, _ = io.Copy(io.Discard, stderr)
				return
			}
		}
		ready <- fmt.Errorf("the run ended: %v", in.Err())
	}()
	select {
	case err := <-ready:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("no connection within a minute")
	}
	return cmd, dir
}

// waitFor ends the test if the process does not end within the bound.
func waitFor(t *testing.T, cmd *exec.Cmd, bound time.Duration) int {
	t.Helper()
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(bound):
		t.Fatalf("the program does not end within %v", bound)
	}
	return cmd.ProcessState.ExitCode()
}

func TestInterruptKeepsTheResults(t *testing.T) {
	t.Parallel()
	cmd, dir := underWay(t)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := waitFor(t, cmd, time.Minute); code != exitInvalid {
		t.Errorf("exit code %d, want %d", code, exitInvalid)
	}
	run, err := results.LoadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if run.Verdict.State != results.Invalid || !strings.Contains(strings.Join(run.Verdict.Reasons, " "), "interrupted") {
		t.Errorf("verdict %+v: want INVALID, interrupted", run.Verdict)
	}
	if a := run.Attempts; a.Started == 0 || a.Started != a.Completed+a.Failed+a.OpenAtEnd {
		t.Errorf("attempts %+v: want what was measured, balanced", a)
	}
}

// TestASecondInterruptLeavesNoSocket: the program ends at once, and what it had made to talk to its children goes too.
func TestASecondInterruptLeavesNoSocket(t *testing.T) {
	t.Parallel()
	cmd, dir := underWay(t)
	if _, err := os.Stat(filepath.Join(dir, cluster.Socket)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := syscall.Kill(coordinatorOf(t, cmd.Process.Pid), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // two pending signals of a kind are one
	}
	if code := waitFor(t, cmd, time.Minute); code != exitInvalid {
		t.Errorf("exit code %d, want %d", code, exitInvalid)
	}
	if _, err := os.Stat(filepath.Join(dir, cluster.Socket)); !os.IsNotExist(err) {
		t.Errorf("%s is left behind (%v)", cluster.Socket, err)
	}
}

// TestNothingSurvivesAKill: whichever process of a run is killed, all of them are gone within 2 s, and
// what was measured until the last second is on disk.
func TestNothingSurvivesAKill(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"what the user started", "the coordinator"} {
		t.Run(victim, func(t *testing.T) {
			cmd, dir := underWay(t)
			family := descendants(cmd.Process.Pid)
			if len(family) < 6 { // init, coordinator, application, balancer, edges, agent
				t.Fatalf("processes %v: want the whole fleet", family)
			}
			target := cmd.Process.Pid
			if victim == "the coordinator" {
				target = coordinatorOf(t, cmd.Process.Pid)
			}
			if err := syscall.Kill(target, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(2 * time.Second)
			reaped := make(chan struct{}) // a zombie is not gone
			go func() { defer close(reaped); _ = cmd.Wait() }()
			defer func() { <-reaped }() // the test's end looks at the process too
			for {
				left := alive(family)
				if len(left) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("alive 2 s after the kill: %v", left)
				}
				time.Sleep(10 * time.Millisecond)
			}
			run, err := results.LoadRun(dir)
			if err != nil {
				t.Fatal(err)
			}
			if run.Verdict.State != results.Invalid || run.Attempts.Started == 0 {
				t.Errorf("verdict %+v, attempts %+v: want INVALID, and what was measured", run.Verdict, run.Attempts)
			}
			if info, err := os.Stat(filepath.Join(dir, "latency.hlog")); err != nil || info.Size() == 0 {
				t.Errorf("latency.hlog: %v, %v", info, err)
			}
		})
	}
}

// descendants are the processes below pid, itself included, with their start times: a number alone may
// be given to a stranger.
func descendants(pid int) map[int]string {
	parent := map[int]int{}
	started := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ppid, start, ok := stat(n); ok {
			parent[n], started[n] = ppid, start
		}
	}
	family := map[int]string{pid: started[pid]}
	for range len(parent) {
		for n, p := range parent {
			if _, in := family[p]; in {
				family[n] = started[n]
			}
		}
	}
	return family
}

// coordinatorOf is the one grandchild: what the user started runs init, and init runs the coordinator.
func coordinatorOf(t *testing.T, pid int) int {
	t.Helper()
	init := childrenOf(pid)
	if len(init) != 1 {
		t.Fatalf("children of the outer process: %v, want one", init)
	}
	inner := childrenOf(init[0])
	if len(inner) != 1 {
		t.Fatalf("children of init: %v, want one", inner)
	}
	return inner[0]
}

func childrenOf(pid int) (list []int) {
	for n := range descendants(pid) {
		if ppid, _, ok := stat(n); ok && ppid == pid {
			list = append(list, n)
		}
	}
	return list
}

func alive(family map[int]string) (left []int) {
	for n, start := range family {
		if _, now, ok := stat(n); ok && now == start {
			left = append(left, n)
		}
	}
	return left
}

// stat reads a process's parent and start time; ok is false for one that is gone or a zombie.
func stat(pid int) (ppid int, start string, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", false
	}
	_, rest, found := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if !found || len(f) < 20 || f[0] == "Z" {
		return 0, "", false
	}
	ppid, err = strconv.Atoi(f[1])
	return ppid, f[19], err == nil
}

// TestAFullDiskEndsTheRun: with the reason, and with what was written until then.
func TestAFullDiskEndsTheRun(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("a small disk takes a mount, which takes root")
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	disk := t.TempDir()
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount -t tmpfs -o size=400k tmpfs "$0" && cd "$0" && "$1" run january-2015 --out run --quiet `+
		`--set load.connections=200 --set load.ramp=1s --set run.sample=1 --set load.request_rate=20; code=$?; cp run/run.json "$2"; exit $code`,
		disk, path, filepath.Join(t.TempDir(), "run.json"))
	saved := cmd.Args[len(cmd.Args)-1]
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if code := waitFor(t, cmd, 2*time.Minute); code != exitInvalid {
		t.Errorf("exit code %d, want %d: %s", code, exitInvalid, &stderr)
	}
	if !strings.Contains(stderr.String(), "no space left on device") {
		t.Errorf("standard error does not name the reason: %s", &stderr)
	}
	run, err := results.LoadRun(saved)
	if err != nil {
		t.Fatal(err)
	}
	if run.Verdict.State != results.Invalid || run.Attempts.Started == 0 {
		t.Errorf("verdict %+v, attempts %+v", run.Verdict, run.Attempts)
	}
}
