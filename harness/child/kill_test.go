package child

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the process that makes a run and is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TLSURGE_TEST_PARENT"); dir != "" {
		_, _ = Do(context.Background(), Run{Binary: filepath.Join(dir, "run"), Out: filepath.Join(dir, "out", "01")})
		return
	}
	os.Exit(m.Run())
}

// TestKilledWithItsParent: a run does not outlive the process that wanted it, however that one ends.
func TestKilledWithItsParent(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho $$ > " + dir + "/pid.new && mv " + dir + "/pid.new " + dir + "/pid\nexec sleep 300\n"
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command("/proc/self/exe")
	parent.Env = append(os.Environ(), "TLSURGE_TEST_PARENT="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait() // killed below, or with us
	var pid int
	for deadline := time.Now().Add(time.Minute); pid == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			parent.Process.Kill()
			t.Fatal("the run was not started")
		}
		text, _ := os.ReadFile(filepath.Join(dir, "pid")) // not there yet: once more
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the run is still there")
		}
	}
}

// alive says whether the process is there and no zombie that nobody has collected.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}
