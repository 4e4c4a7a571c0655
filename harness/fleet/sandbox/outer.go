package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitVerb is the hidden subcommand under which init runs; InitMain is its body.
const InitVerb = "init"

// exitCutShort is the exit code of a run that was ended from outside (DESIGN: "the run is INVALID or was
// cut short").
const exitCutShort = 4

// refusal is the kernel's no to a way; the next one may be tried, for nothing has run.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// order is what outer tells init.
type order struct {
	Place Place `json:"place"`
	// Filters: socket filters must work inside, or init refuses.
	Filters bool     `json:"filters"`
	Args    []string `json:"args"` // of the coordinator, program name first
}

// runOuter is the first process: it starts init, forwards signals, and waits.
func runOuter(w way, need Need) (code int, err error) {
	// The parent-death signal is sent when the *thread* that forked ends: keep it until init has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	lifelineRead, lifelineWrite, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	defer lifelineWrite.Close()
	refusedRead, refusedWrite, err := os.Pipe()
	if err != nil {
		lifelineRead.Close()
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	defer refusedRead.Close()

	place := Place{UserNS: w.flags&newUser != 0, PIDNS: w.flags&syscall.CLONE_NEWPID != 0, OwnNet: w.flags&newNet != 0}
	if w.note != "" {
		place.Notes = []string{w.note}
	}
	text, err := json.Marshal(order{Place: place, Filters: need.Filters, Args: os.Args})
	if err != nil {
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	cmd := &exec.Cmd{
		Path:       "/proc/self/exe", // this very program, even if its file was replaced meanwhile
		Args:       []string{os.Args[0], childPrefix + InitVerb, string(text)},
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{lifelineRead, refusedWrite}, // descriptors 3 and 4
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: w.flags,
			Setpgid:    true, // a terminal's Ctrl-C reaches outer alone, which forwards it once
		},
	}
	if place.PIDNS {
		// Beside the lifeline. A subreaper must not be killed: it has work to do when outer ends.
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if place.UserNS {
		// Everybody stays who he is: files made inside are the user's own, and an nginx that is not root does
		// not try to become somebody else. The rights come as ambient capabilities, which programs started
		// inside inherit (capabilities(7)).
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE}
	}
	err = cmd.Start()
	lifelineRead.Close()
	refusedWrite.Close()
	if err != nil {
		if w.flags != 0 {
			return 0, &refusal{err}
		}
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	// Some kernels grant the namespaces and then nothing inside them: init finds out before the run starts.
	if text, _ := io.ReadAll(refusedRead); len(text) > 0 {
		cmd.Wait()
		return 0, &refusal{errors.New(string(text))}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return forward(cmd.Process, signals, ended)
}

// forward hands the first signal on, so that the run ends early and writes its results; the second one
// kills.
func forward(init *os.Process, signals <-chan os.Signal, ended <-chan error) (code int, err error) {
	interrupted := false
	for {
		select {
		case sig := <-signals:
			if interrupted {
				init.Kill()
				<-ended
				return exitCutShort, nil
			}
			interrupted = true
			init.Signal(sig)
		case err := <-ended:
			var exit *exec.ExitError
			if err == nil {
				return 0, nil
			}
			if !errors.As(err, &exit) {
				return 0, fmt.Errorf("sandbox: %w", err)
			}
			if exit.Exited() {
				return exit.ExitCode(), nil
			}
			return exitCutShort, fmt.Errorf("sandbox: the run was cut short: init: %s", exit)
		}
	}
}
