package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"tlsurge/harness/cluster"
)

// readyTimeout bounds the start of a child; a slow machine with many children needs some of it.
const readyTimeout = 30 * time.Second

// stopTimeout is how long a child may take to end after SIGTERM before it gets SIGKILL.
const stopTimeout = 8 * time.Second

// Exit is the end of a child.
type Exit struct {
	Name, Role string
	// Asked: the fleet or a rule ended it. Otherwise its share of the run is lost.
	Asked bool
	Why   string // "exit status 2: …", "signal: killed", with the last words of its standard error
}

// tell spares the hub the wait for heartbeats that will not come.
func (e Exit) tell(hub *cluster.Hub) {
	if e.Asked {
		hub.Dismiss(e.Name, e.Why)
	} else {
		hub.GiveUp(e.Name, e.Why)
	}
}

// StartError says that a child did not become ready.
type StartError struct {
	Name string
	// Code is the child's exit code, with the meanings of the command line: 2 is a configuration that
	// cannot work (a port in use, a bad file), 3 a thing this machine cannot do.
	Code int
	// Tail is the end of the child's standard error.
	Tail string
	Err  error
}

func (e *StartError) Error() string {
	if e.Tail != "" {
		return e.Name + ": " + e.Tail
	}
	return fmt.Sprintf("%s: %v", e.Name, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Is recognises, in a child's words, what the system told it.
func (e *StartError) Is(target error) bool {
	return target == error(syscall.EADDRINUSE) && strings.Contains(e.Tail, syscall.EADDRINUSE.Error())
}

// Config says that the user's configuration is at fault: exit code 2.
func (e *StartError) Config() bool { return e.Code == exitConfig }

// process is one child, from start to exit.
type process struct {
	name, role string
	group      bool
	cmd        *exec.Cmd
	tail       *tail
	lines      chan string // what follows "ready", one per line of standard output
	done       chan struct{}

	mu     sync.Mutex // guards the rest
	asked  bool       // we ended it
	err    error      // of Wait; read after done
	onExit func(Exit)
}

// spec is what a child is told.
type spec struct {
	name, role string
	verb       string // of ChildMain; empty: an external program
	path       string // of the external program
	args       []string
	env        []string
	order      any  // written to standard input as JSON; nil: nothing
	group      bool // the child has children of its own: signals go to all of them
	onExit     func(Exit)
	begin      func(*exec.Cmd) error // in place of cmd.Start: in another network namespace; nil: here
}

// start runs a child. ctx is not its life: stop ends it.
func start(s spec) (*process, error) {
	cmd := &exec.Cmd{Path: s.path, Args: append([]string{s.path}, s.args...)}
	if s.verb != "" {
		cmd = &exec.Cmd{Path: "/proc/self/exe", Args: []string{os.Args[0], childPrefix + s.verb, s.name}}
	}
	if s.order != nil {
		text, err := json.Marshal(s.order)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		cmd.Stdin = bytes.NewReader(text)
	}
	p := &process{name: s.name, role: s.role, group: s.group, cmd: cmd, tail: &tail{}, lines: make(chan string, 16), done: make(chan struct{}), onExit: s.onExit}
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = p.tail
	// Without a sandbox (a test, `tlsurge edge`) this alone ends children whose parent was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: s.group}
	// A grandchild that keeps the pipes open must not keep Wait from returning.
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	begin := (*exec.Cmd).Start
	if s.begin != nil {
		begin = s.begin
	}
	if err := begin(cmd); err != nil {
		return nil, &StartError{Name: s.name, Code: exitConfig, Err: err}
	}
	go p.watch(stdout)
	return p, nil
}

// watch reads the child's output to its end, and then its exit.
func (p *process) watch(stdout io.Reader) {
	in := bufio.NewScanner(stdout)
	for in.Scan() {
		if addr, ok := strings.CutPrefix(in.Text(), "ready"); ok {
			p.lines <- strings.TrimSpace(addr)
		}
	}
	close(p.lines)
	err := p.cmd.Wait()
	p.mu.Lock()
	p.err = err
	asked, onExit := p.asked, p.onExit
	p.mu.Unlock()
	if onExit != nil {
		onExit(Exit{Name: p.name, Role: p.role, Asked: asked, Why: p.why()})
	}
	close(p.done)
}

// ready waits for the child's ready line and returns what it says.
func (p *process) ready(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready within %s", readyTimeout))
	defer cancel()
	select {
	case addr, ok := <-p.lines:
		if ok {
			p.tail.forget() // what it said while it started does not explain how it ends
			return addr, nil
		}
		<-p.done
		p.mu.Lock()
		defer p.mu.Unlock()
		return "", &StartError{Name: p.name, Code: p.cmd.ProcessState.ExitCode(), Tail: p.tail.String(), Err: errors.Join(p.err, errNotReady)}
	case <-ctx.Done():
		return "", &StartError{Name: p.name, Code: exitInternal, Tail: p.tail.String(), Err: context.Cause(ctx)}
	}
}

var errNotReady = errors.New("ended before it was ready")

// signal sends to the very process: the handle does not fall to a later process of the same number.
// A group's number is not given away while one of the group lives, and the child itself is not reaped yet.
func (p *process) signal(sig os.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if p.group && sig != syscall.SIGTERM { // the child ends its own children in order
		err := syscall.Kill(-p.cmd.Process.Pid, sig.(syscall.Signal))
		if !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return nil
	}
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// stop ends the child: SIGTERM, and SIGKILL after a time or when ctx ends.
func (p *process) stop(ctx context.Context) {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT) // a stopped process takes no SIGTERM
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	p.kill()
}

// kill ends the child at once and waits for its end.
func (p *process) kill() {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	p.signal(syscall.SIGKILL)
	<-p.done
	if p.group {
		p.awaitGroup()
	}
}

// awaitGroup waits until the child's own children are gone too, and their sockets with them: orphans tell
// nobody of their end.
func (p *process) awaitGroup() {
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); {
		if errors.Is(syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL), syscall.ESRCH) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// why is the end of the process in words; watch has set err.
func (p *process) why() string {
	why := "exit status 0"
	if p.err != nil {
		why = p.err.Error()
	}
	if words := p.tail.String(); words != "" {
		why += ": " + words
	}
	return why
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > tailBytes {
		t.buf = append([]byte("… "), t.buf[len(t.buf)-tailBytes:]...)
	}
	return len(p), nil
}

// forget drops what was written so far.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}

// environment is what every child of the coordinator gets beside its own.
func environment(hub *cluster.Hub) []string {
	if hub == nil {
		return nil
	}
	return hub.Env()
}
