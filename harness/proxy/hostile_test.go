package proxy

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hostileChild in the environment makes the test binary a client that means no good: it takes hostileOrder and holds
// its connections until its standard input ends.
const hostileChild = "TLSURGE_TEST_HOSTILE"

type hostileOrder struct {
	Addr  string
	N     int
	Hello []byte
}

// runHostile opens N connections, a quarter each: silent, with half a ClientHello, with a whole one and nothing
// after it, and with a request whose header grows by a byte now and then. One in ten comes with garbage besides.
func runHostile(text string) error {
	var o hostileOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	var held sync.WaitGroup
	var failed atomic.Int64
	gate := make(chan struct{}, 64)
	var mu sync.Mutex
	var dripping []*tls.Conn
	conns := make([]net.Conn, o.N) // one that nobody holds is closed by the garbage collector
	for i := range o.N {
		gate <- struct{}{}
		held.Go(func() {
			defer func() { <-gate }()
			c, err := net.Dial("tcp", o.Addr)
			if err != nil {
				failed.Add(1)
				return
			}
			conns[i] = c
			switch i % 4 {
			case 1:
				_, err = c.Write(o.Hello[:len(o.Hello)/2])
			case 2:
				_, err = c.Write(o.Hello)
			case 3:
				t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				if _, err = io.WriteString(t, "GET / HTTP/1.1\r\nHost: www.example.test\r\nX: "); err == nil {
					mu.Lock()
					dripping = append(dripping, t)
					mu.Unlock()
				}
			}
			if err != nil {
				failed.Add(1)
			}
			if i%10 == 0 {
				if g, err := net.Dial("tcp", o.Addr); err == nil {
					g.Write([]byte("\x80\x2e\x01garbage that is no TLS at all"))
					g.Close()
				}
			}
		})
	}
	held.Wait()
	fmt.Println("ready", failed.Load())
	over := make(chan struct{})
	go func() { io.Copy(io.Discard, os.Stdin); close(over) }()
	for tick := time.NewTicker(500 * time.Millisecond); ; {
		select {
		case <-tick.C:
			for _, t := range dripping {
				io.WriteString(t, "x")
			}
		case <-over:
			for _, c := range conns {
				if c != nil {
					c.Close()
				}
			}
			return nil
		}
	}
}

// hostile is such a client; leave ends it, and with it its connections.
func hostile(t *testing.T, addr string, n int) (leave func()) {
	t.Helper()
	hello, err := datasetHello("firefox-100-win10", "first")
	if err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(hostileOrder{addr, n, hello})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hostileChild+"="+string(order))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	leave = sync.OnceFunc(func() { in.Close(); io.Copy(io.Discard, out); cmd.Wait() })
	t.Cleanup(leave)
	var failed int
	if _, err := fmt.Fscanf(out, "ready %d\n", &failed); err != nil || failed > 0 {
		t.Fatalf("of %d hostile connections %d were not made: %v", n, failed, err)
	}
	return leave
}

// gauge reads one of the edge's own figures.
func gauge(t *testing.T, metrics, name string) int {
	t.Helper()
	resp, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in the metrics", name)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(v)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestTwentyThousandHostileConnections: slow clients, half-open handshakes, silence and garbage, 20,000 at once over
// as many edges as files allow. Good clients are served meanwhile; when the bad ones have gone, files and
// goroutines are what they were, and a third wave takes no more memory than the second (half as much more is the garbage collector's due).
func TestTwentyThousandHostileConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 connections three times; the whole suite makes them")
	}
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	const all = 20_000
	each := min(all/2, int(lim.Cur)-500)
	edges := (all + each - 1) / each
	if each < 500 {
		t.Skipf("%d files per process are too few for this", lim.Cur)
	}
	p := newPKI(t, "ecdsa")
	type target struct {
		edge       *childEdge
		metrics    string
		files, run int
		before     int64 // resident under the wave before
	}
	var targets []*target
	for range edges {
		tg := &target{metrics: freePort(t)}
		tg.edge = startChild(t, Options{Listen: []string{"127.0.0.1:0"}, Stack: "openssl-3.0", Certificate: p.cert, Key: p.key,
			Metrics: tg.metrics, Connections: int(lim.Cur), Set: map[string]string{"error_log": "stderr emerg", "client_header_timeout": "60s"}})
		for range 20 { // what a first visitor brings about (pools, the application's connections) is no leak
			c, err := visit(tg.edge.addr, p.client())
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		tg.files, tg.run = gauge(t, tg.metrics, "process_open_fds"), gauge(t, tg.metrics, "go_goroutines")
		targets = append(targets, tg)
	}
	for wave := range 3 {
		var leave []func()
		for _, tg := range targets {
			leave = append(leave, hostile(t, tg.edge.addr, each))
		}
		for i, tg := range targets {
			if n := gauge(t, tg.metrics, "process_open_fds"); n < each {
				t.Errorf("edge %d has %d open files: not all %d hostile connections are there at once", i+1, n, each)
			}
			for range 25 {
				c, err := visit(tg.edge.addr, p.client())
				if err != nil {
					t.Fatalf("a good client among %d bad ones: %v", all, err)
				}
				c.Close()
			}
			rss := tg.edge.rss(t)
			if wave == 2 && rss > tg.before+tg.before/2 {
				t.Errorf("edge %d: %d bytes resident under the third wave, %d under the second", i+1, rss, tg.before)
			}
			tg.before = rss
			t.Logf("wave %d, edge %d: %d connections, %d MiB resident", wave+1, i+1, each, rss>>20)
		}
		for _, f := range leave {
			f()
		}
		for i, tg := range targets {
			var files, run int
			waitFor(t, "files and goroutines are what they were", func() bool {
				files, run = gauge(t, tg.metrics, "process_open_fds"), gauge(t, tg.metrics, "go_goroutines")
				return files <= tg.files+3 && run <= tg.run+3 // the question itself takes a few
			})
			t.Logf("edge %d afterwards: %d files (%d before), %d goroutines (%d)", i+1, files, tg.files, run, tg.run)
		}
	}
}
