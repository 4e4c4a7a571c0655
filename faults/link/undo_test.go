package link_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults/link"
)

// holding makes this test binary a process that holds a link with a process inside, for TestKilled.
const holding = "TLSURGE_LINK_HOLD"

func init() {
	if os.Getenv(holding) == "" {
		return
	}
	l, err := link.New(link.Config{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.Servers.Start(cmd); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
	fmt.Println(ns, cmd.Process.Pid, l.Device, err)
	time.Sleep(time.Minute)
	os.Exit(0)
}

// TestKilled: kill -9 of the process that holds a link takes the link, its devices and what runs inside with it.
func TestKilled(t *testing.T) {
	if !allowed(t) {
		return
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holding+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 3 || !strings.HasPrefix(fields[0], "net:[") {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("%q, %v", line, err)
	}
	if n := inside(fields[0]); n == 0 {
		t.Error("nothing runs inside while the link is held")
	}
	cmd.Process.Kill() // SIGKILL
	cmd.Wait()
	deadline := time.Now().Add(2 * time.Second)
	for inside(fields[0]) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * ms)
	}
	if n := inside(fields[0]); n > 0 {
		t.Errorf("2 s after kill -9, %d processes live in its namespace", n)
	}
}

// inside counts the processes in a network namespace.
func inside(ns string) (n int) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, l := range links {
		if got, err := os.Readlink(l); err == nil && got == ns {
			n++
		}
	}
	return n
}

// TestCloseFreesAll: a closed link leaves no file and no thread behind.
func TestCloseFreesAll(t *testing.T) {
	if !allowed(t) {
		return
	}
	files := func() int { f, _ := os.ReadDir("/proc/self/fd"); return len(f) }
	threads := func() int { f, _ := os.ReadDir("/proc/self/task"); return len(f) }
	warm, err := link.New(link.Config{})
	if err != nil {
		t.Fatal(err)
	}
	warm.Close()
	before := files()
	most := 0
	for range 10 {
		l, err := link.New(link.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		most = max(most, threads())
	}
	if after := files(); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
	if most > 60 {
		t.Errorf("%d threads: those of the namespaces do not end", most)
	}
}
