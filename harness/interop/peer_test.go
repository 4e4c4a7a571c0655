package interop

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write docs/INTEROP.md from what the matrix did")

// patience bounds every wait of this package. It gates nothing: a test that reaches it has hung.
const patience = 10 * time.Second

// binaries are the programs that each peer needs.
var binaries = map[string][]string{
	"openssl":  {"openssl"},
	"gnutls":   {"gnutls-serv", "gnutls-cli"},
	"nss":      {"selfserv", "tstclnt", "certutil", "pk12util"},
	"nginx":    {"nginx"},
	"haproxy":  {"haproxy"},
	"curl":     {"curl"},
	"chromium": {"chromium"},
	"firefox":  {"firefox-esr"},
}

// need skips the test if a peer's programs are absent, and fails it if TLSURGE_REQUIRE names the peer.
func need(t testing.TB, peers ...string) {
	t.Helper()
	required := strings.Split(os.Getenv("TLSURGE_REQUIRE"), ",")
	for _, peer := range peers {
		for _, bin := range binaries[peer] {
			if _, err := exec.LookPath(bin); err == nil {
				continue
			}
			if slices.Contains(required, peer) {
				t.Fatalf("TLSURGE_REQUIRE asks for %s, and %s is not installed", peer, bin)
			}
			t.Skipf("%s is not installed", bin)
		}
	}
}

// process is one program of a peer, ended with the test that started it.
type process struct {
	cmd *exec.Cmd
	// gentle ends the process with SIGTERM, for those that must end their own children.
	gentle bool
	done   chan struct{} // closed when all output was read and the process is reaped
	mu     sync.Mutex
	out    strings.Builder
	err    error
}

// spawner starts every process from one operating system thread that lives as long as the test binary,
// because a parent-death signal belongs to the thread: nothing outlives a killed test run.
var spawner = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// start runs a program until the test ends.
func start(t testing.TB, cmd *exec.Cmd, watch func(line string)) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	spawner() <- func() { started <- cmd.Start() }
	err = <-started
	w.Close()
	if err != nil {
		r.Close()
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(p.done)
		defer r.Close()
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.out.WriteString(line)
			p.mu.Unlock()
			if watch != nil {
				watch(line)
			}
			if err != nil {
				break
			}
		}
		p.err = cmd.Wait()
	}()
	t.Cleanup(p.stop)
	return p
}

// stop kills the process by its handle and waits for it.
func (p *process) stop() {
	if p.gentle {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
			return
		case <-time.After(patience):
		}
	}
	p.cmd.Process.Kill()
	<-p.done
}

// output is what the process printed so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// wait waits for the process to end by itself.
func (p *process) wait(t testing.TB) string {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s did not end; it printed:\n%s", p.cmd, p.output())
	}
	return p.output()
}

// startReady runs a server program until a line matches ready, and gives the line's submatches.
func startReady(t testing.TB, cmd *exec.Cmd, ready string) (*process, []string) {
	t.Helper()
	re := regexp.MustCompile(ready)
	found := make(chan []string, 1)
	p := start(t, cmd, func(line string) {
		if m := re.FindStringSubmatch(line); m != nil {
			select {
			case found <- m:
			default:
			}
		}
	})
	select {
	case m := <-found:
		return p, m
	case <-p.done:
		t.Fatalf("%s ended before it was ready: %v\n%s", cmd, p.err, p.output())
	case <-time.After(patience):
		t.Fatalf("%s was not ready; it printed:\n%s", cmd, p.output())
	}
	return nil, nil
}

// listenFD opens a listener whose descriptor a child inherits as number 3: connections queue from the
// first moment on, so there is nothing to wait for.
func listenFD(t testing.TB, addr string) (string, *os.File) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return ln.Addr().String(), f
}

// freePort gives a port for programs that can neither inherit a listener nor choose a port themselves.
func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// runTool runs a client program with input on its standard input, and gives what it printed. Without
// hold the input is a file (tstclnt spins on a closed pipe); with it, a pipe that stays open until a line
// of output matches hold.
func runTool(t testing.TB, input string, hold *regexp.Regexp, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var watch func(string)
	var pipe io.WriteCloser
	if hold == nil {
		file := filepath.Join(t.TempDir(), "stdin")
		if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.Stdin = f
	} else {
		var err error
		if pipe, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		watch = func(line string) {
			if hold.MatchString(line) {
				once.Do(func() { pipe.Close() })
			}
		}
	}
	p := start(t, cmd, watch)
	if pipe != nil {
		io.WriteString(pipe, input)
	}
	out := p.wait(t)
	if p.err != nil {
		return out, fmt.Errorf("%s: %w", name, p.err)
	}
	return out, nil
}
