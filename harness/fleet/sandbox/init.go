package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults/sockfilter"
)

// childPrefix marks hidden subcommands: child:init, child:edge, …
const childPrefix = "child:"

const exitInternal = 5

// InitMain is init: process 1 of the run's PID namespace, or a subreaper where there is none. args is
// what runOuter wrote. It returns the coordinator's exit code; the caller exits with it at once.
func InitMain(args []string) int {
	code, err := initMain(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlsurge: sandbox:", err)
	}
	return code
}

func initMain(args []string) (int, error) {
	runtime.LockOSThread() // the coordinator's parent-death signal belongs to this thread
	var o order
	if len(args) != 1 {
		return exitInternal, fmt.Errorf("init: %d arguments, want the order of the outer process", len(args))
	}
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return exitInternal, fmt.Errorf("init: order: %w", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)

	refused := os.NewFile(4, "refused")
	if err := furnish(o); err != nil {
		fmt.Fprint(refused, err)
		return exitInternal, nil // outer says it, or tries another way
	}
	refused.Close()
	coordinator, err := startCoordinator(o)
	if err != nil {
		return exitInternal, fmt.Errorf("init: %w", err)
	}
	go watchLifeline(os.NewFile(3, "lifeline"), func() { endAll(o.Place, coordinator) })
	go func() {
		for sig := range signals {
			// SIGHUP is a terminal that went away: end early, and write the results.
			if sig == syscall.SIGHUP {
				sig = syscall.SIGTERM
			}
			unix.Kill(coordinator, sig.(syscall.Signal))
		}
	}()
	status, err := reapUntil(coordinator)
	if !o.Place.PIDNS {
		endDescendants()
	}
	switch {
	case err != nil:
		return exitInternal, fmt.Errorf("init: %w", err)
	case status.Signaled():
		return exitCutShort, fmt.Errorf("the run was cut short: the coordinator got %s", status.Signal())
	}
	return status.ExitStatus(), nil
}

// furnish makes the namespaces habitable: descriptors 3 and 4 stay ours, /proc shows the namespace's own
// processes, loopback is up.
func furnish(o order) error {
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	p := o.Place
	if !p.PIDNS {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("become subreaper: %w", err)
		}
	} else if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err == nil {
		// Where /proc is partly hidden (containers) a fresh one is refused; then the old one stays, which
		// numbers processes as the caller sees them. /proc/self is right in both.
		unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if p.OwnNet {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring up loopback: %w", err)
		}
	}
	if o.Filters {
		return sockfilter.Probe()
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

func startCoordinator(o order) (pid int, err error) {
	// pidNamespace() of the coordinator: the namespace is ours, its parent is this process.
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0, err
	}
	o.Place.Within = fmt.Sprintf("%s/%d", link, os.Getpid())
	note, err := json.Marshal(o.Place)
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec("/proc/self/exe", o.Args, &syscall.ProcAttr{
		Env:   append(os.Environ(), envPlace+"="+string(note)),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
}

// watchLifeline calls end when the outer process is gone: nothing is ever written to the pipe.
func watchLifeline(lifeline *os.File, end func()) {
	lifeline.Read(make([]byte, 1))
	end()
}

// endAll ends the run at once.
func endAll(p Place, coordinator int) {
	if p.PIDNS {
		os.Exit(exitCutShort) // and the kernel kills the namespace
	}
	unix.Kill(coordinator, unix.SIGKILL) // initMain sees it end, and ends the rest
}

// reapUntil adopts and reaps orphans until pid itself has ended.
func reapUntil(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return status, fmt.Errorf("wait: %w", err)
		case got == pid:
			return status, nil
		}
	}
}

// endDescendants kills and reaps what the coordinator left behind, where no PID namespace does it. A
// killed process's children become ours, so this repeats until there are none.
func endDescendants() {
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		for _, pid := range children(os.Getpid()) {
			unix.Kill(pid, unix.SIGKILL)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(-1, &status, 0, nil); errors.Is(err, unix.ECHILD) {
			return
		}
	}
}
