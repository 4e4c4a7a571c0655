package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	master *os.File
	cmd    *exec.Cmd

	mu     sync.Mutex
	screen bytes.Buffer
}

// onTerminal starts tlsurge as a person does: in the foreground of a terminal of 100 columns.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	return onTerminalOf(t, "xterm", args...)
}

// onTerminalOf is onTerminal with a value of TERM.
func onTerminalOf(t *testing.T, term string, args ...string) *terminal {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	tt := &terminal{master: master, cmd: exec.Command(path, args...)}
	tt.cmd.Stdin, tt.cmd.Stdout, tt.cmd.Stderr = slave, slave, slave
	tt.cmd.Env = append(os.Environ(), "TERM="+term)
	tt.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := tt.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if tt.cmd.ProcessState == nil {
			_ = tt.cmd.Process.Kill()
			_ = tt.cmd.Wait()
		}
	})
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			tt.mu.Lock()
			tt.screen.Write(buf[:n])
			tt.mu.Unlock()
			if err != nil && err != io.EOF {
				return // the last process has closed it
			}
		}
	}()
	return tt
}

// shows waits until the screen has shown the words.
func (tt *terminal) shows(t *testing.T, words string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		tt.mu.Lock()
		seen := bytes.Contains(tt.screen.Bytes(), []byte(words))
		tt.mu.Unlock()
		if seen {
			return
		}
	}
	tt.mu.Lock()
	defer tt.mu.Unlock()
	t.Fatalf("the terminal never shows %q:\n%s", words, tt.screen.Bytes())
}

var onScreen = []string{"run", "january-2015", "--set", "load.connections=40", "--set", "load.ramp=500ms",
	"--set", "phases.after-the-upgrade.duration=1s", "--set", "phases.trigger-gone.duration=1s"}

func TestARunOnATerminalEnds(t *testing.T) {
	t.Parallel()
	tt := onTerminal(t, append(onScreen, "--set", "phases.before-the-upgrade.duration=2s", "--out", filepath.Join(t.TempDir(), "run"))...)
	if code := waitFor(t, tt.cmd, 90*time.Second); code != exitGood {
		t.Errorf("exit code %d", code)
	}
	tt.shows(t, "before-the-upgrade")
	tt.shows(t, "VERDICT ON THE RUN")
}

// TestCtrlC: once ends the run early and still shows the results.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	tt := onTerminal(t, append(onScreen, "--set", "phases.before-the-upgrade.duration=5m", "--out", filepath.Join(t.TempDir(), "run"))...)
	tt.shows(t, " hs ") // the bar of the first act moves
	if _, err := tt.master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if code := waitFor(t, tt.cmd, time.Minute); code != exitInvalid {
		t.Errorf("exit code %d, want %d", code, exitInvalid)
	}
	tt.shows(t, "interrupted")
}

// TestADumbTerminal gets lines and no colours: it cannot move its cursor.
func TestADumbTerminal(t *testing.T) {
	t.Parallel()
	tt := onTerminalOf(t, "dumb", append(onScreen, "--set", "phases.before-the-upgrade.duration=2s", "--out", filepath.Join(t.TempDir(), "run"))...)
	if code := waitFor(t, tt.cmd, 90*time.Second); code != exitGood {
		t.Errorf("exit code %d", code)
	}
	tt.shows(t, "VERDICT ON THE RUN")
	tt.mu.Lock()
	defer tt.mu.Unlock()
	if bytes.Contains(tt.screen.Bytes(), []byte{0x1b}) {
		t.Error("escape sequences on a terminal that understands none")
	}
}
