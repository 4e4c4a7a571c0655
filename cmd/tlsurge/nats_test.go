package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// envServeNATS makes the test binary a NATS server that admits by the token in it.
const envServeNATS = "TLSURGE_TEST_NATS_TOKEN"

func serveNATS() int {
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Authorization: os.Getenv(envServeNATS)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		return 1
	}
	fmt.Println(ns.ClientURL())
	io.Copy(io.Discard, os.Stdin) // until the test ends
	ns.Shutdown()
	return 0
}

// TestNATSStopsForFiveSeconds: a run over a server elsewhere, which stops in the midst of it, counts every request.
func TestNATSStopsForFiveSeconds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("five seconds are five seconds")
	}
	nats := exec.Command("/proc/self/exe")
	nats.Env = append(os.Environ(), envServeNATS+"=open-sesame")
	nats.Stderr = os.Stderr
	nats.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := nats.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := nats.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := nats.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { nats.Process.Signal(syscall.SIGCONT); in.Close(); nats.Wait() }()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "four.toml")
	if err := os.WriteFile(file, []byte(`
name = "four"
[run]
agents = 4
[fleet]
edges = 1
key = "ecdsa-p256"
[load]
connections = 80
ramp = "1s"
request_rate = 100
arrivals = "constant"
[[browsers]]
profile = "firefox-35-osx"
[[phases]]
name = "only"
duration = "9s"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	cmd := begin(t, func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), envToken+"=open-sesame") },
		"run", file, "--quiet", "--out", dir, "--set", "run.nats="+strings.TrimSpace(url))
	// The access log tells that the load has begun, without asking NATS.
	access := filepath.Join(dir, "edges", "edge-1", "access.log")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if log, err := os.ReadFile(access); err == nil && strings.Count(string(log), "\n") > 20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the load never began")
		}
	}
	stopped := time.Now()
	nats.Process.Signal(syscall.SIGSTOP)
	time.Sleep(5 * time.Second) // it is what is tested
	nats.Process.Signal(syscall.SIGCONT)
	silence := time.Since(stopped)
	if code := waitFor(t, cmd, time.Minute); code != exitGood {
		t.Errorf("exit %d", code)
	}
	p := readRun(t, dir)
	log, err := os.ReadFile(access)
	if err != nil {
		t.Fatal(err)
	}
	served := int64(0)
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "(firefox-35-osx)") {
			served++
		}
	}
	r, a := p.run.Requests, p.run.Attempts
	// Visits of the warm-up are in the edge's log and not in the run's numbers: one of each agent. What is on its way when
	// the run ends is open.
	served -= 4
	if served < r.OK || served > r.Sent || r.Failed != 0 || r.Sent != r.OK+r.OpenAtEnd || a.Started != 80 || a.OpenAtEnd != 80 {
		t.Errorf("requests %+v; the edge answered %d; attempts %+v", r, served, a)
	}
	gap := int64(0)
	for _, s := range p.run.Timeline {
		if s.Requests == 0 {
			gap++
		}
	}
	if gap < 3 {
		t.Errorf("the timeline shows %d silent seconds of %v: was the server stopped at all? %v", gap, silence, p.run.Verdict)
	}
	notes := strings.Join(p.run.Verdict.Notes, "\n")
	if !strings.Contains(notes, "no agent and no edge was heard of") || strings.Contains(notes, "edge-1 did not report") {
		t.Errorf("notes %q: want the silence of all, and not the edge's", notes)
	}
}
