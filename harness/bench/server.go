package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/harness/child"
	"tlsurge/harness/proxy"
)

// server is what a round measures: an edge that the bench has started, or an address of somebody else.
type server struct {
	addr netip.AddrPort
	pid  int       // 0: its processor time and memory are out of reach
	cmd  *exec.Cmd // nil: not ours to stop
	gone chan struct{}
	log  *tail
}

// startTimeout bounds the time from exec to "ready", on a machine that has other work.
const startTimeout = 20 * time.Second

// startEdge starts `BINARY edge` for a side: a stable command line, so that the binary may be older or
// newer than this one.
func startEdge(ctx context.Context, s Side, args []string) (*server, error) {
	binary := s.Binary
	if binary == "" {
		binary = "/proc/self/exe"
	}
	cmd := exec.Command(binary, args...)
	if s.Binary == "" {
		cmd.Args[0] = os.Args[0]
	}
	// One processor, as a worker of nginx has: a Go program that looks for work on a second one, while its
	// clients are slow to send any, is charged for looking, and by how much depends on what else runs here.
	cmd.Env = append(os.Environ(), proxy.PlantVariable+"="+s.Plant, "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v := &server{cmd: cmd, gone: make(chan struct{}), log: &tail{}}
	cmd.Stderr = v.log
	if err := onOneProcessor(cmd.Start); err != nil {
		return nil, &child.Error{Code: 2, Text: fmt.Sprintf("%s: %v", s.Name, err)}
	}
	v.pid = cmd.Process.Pid
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		ready <- line
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // how it ended is in its exit code
		close(v.gone)
	}()
	limit := time.NewTimer(startTimeout)
	defer limit.Stop()
	select {
	case line := <-ready:
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), "ready "); ok {
			if v.addr, err = netip.ParseAddrPort(address); err == nil {
				return v, nil
			}
		}
		<-v.gone
		return nil, &child.Error{Code: max(1, cmd.ProcessState.ExitCode()), Text: fmt.Sprintf("%s: the edge did not start: %s", s.Name, strings.TrimPrefix(lastLine(v.log.String()), "tlsurge: "))}
	case <-limit.C:
		err = fmt.Errorf("%s: the edge was not ready within %v", s.Name, startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	v.stop()
	return nil, err
}

// onOneProcessor starts a process that stays on the last of the processors that we may use. Both sides get the
// same one, and neither is moved about among other work, which costs it its caches. What a thread may run
// on is inherited by its children, so it is narrowed around start, and widened again.
func onOneProcessor(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil || all.Count() < 2 {
		return start() // it has no choice
	}
	for cpu := len(all)*64 - 1; one.Count() == 0; cpu-- {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return start()
	}
	return errors.Join(start(), unix.SchedSetaffinity(0, &all))
}

// stop ends a server that is ours.
func (v *server) stop() {
	if v == nil || v.cmd == nil {
		return
	}
	_ = v.cmd.Process.Signal(syscall.SIGINT) // gone already is as good
	select {
	case <-v.gone:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-v.pid, syscall.SIGKILL)
		<-v.gone
	}
}

// dead says how a server that is ours has ended, if it has.
func (v *server) dead() error {
	if v.cmd == nil {
		return nil
	}
	select {
	case <-v.gone:
		return fmt.Errorf("the edge ended: %v: %s", v.cmd.ProcessState, lastLine(v.log.String()))
	default:
		return nil
	}
}

// cpu is the processor time that the server's processes have used, to the nanosecond: the scheduler's own
// sum (CLOCK_PROCESS_CPUTIME_ID of that process), not the ticks of /proc/PID/stat.
func (v *server) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range family(v.pid) {
		var ts unix.Timespec
		// clock_getcpuclockid(3): the process in the upper bits, inverted; 2 is CPUCLOCK_SCHED.
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
			if errors.Is(err, unix.EINVAL) && pid != v.pid {
				continue // a worker that ended meanwhile
			}
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// resident is the resident memory of the server's processes.
func (v *server) resident() (int64, error) {
	var sum int64
	for _, pid := range family(v.pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			if pid != v.pid {
				continue
			}
			return 0, err
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 {
			return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
		}
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += pages * int64(os.Getpagesize())
	}
	return sum, nil
}

// family is a process and its direct children: a server and its workers.
func family(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // that thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// tail keeps the last few KiB that a child wrote.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if t.Len() > 64<<10 {
		t.Reset()
	}
	return t.Buffer.Write(p)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
