package proxy

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// childEdge is an edge in a process of its own.
type childEdge struct {
	cmd  *exec.Cmd
	addr string
}

func startChild(t testing.TB, o Options) *childEdge {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, edgeChild+"="+string(text))
}

// startProcess starts the test binary again as what env says, and waits for its ready line.
func startProcess(t testing.TB, env string) *childEdge {
	t.Helper()
	c := &childEdge{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), env)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Signal(syscall.SIGTERM); io.Copy(io.Discard, out); c.cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		t.Fatalf("the edge said %q, %v", line, err)
	}
	c.addr = addr
	return c
}

// rss reads the resident set of the child, in bytes.
func (c *childEdge) rss(t testing.TB) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkIdleMemory holds b.N idle TLS connections, each after one request, and reports the server's resident
// set for each of them: of the edge on three stacks, of Debian's nginx and HAProxy, of a plain ReverseProxy on crypto/tls.
// Run with -benchtime=10000x; the promise is 16 KiB for the edge.
func BenchmarkIdleMemory(b *testing.B) {
	p := newPKI(b, "ecdsa")
	for _, stack := range []string{"openssl-1.0.1j", "openssl-3.0", "go"} {
		b.Run(stack, func(b *testing.B) {
			idleMemory(b, p, startChild(b, Options{Listen: []string{"127.0.0.1:0"}, Stack: stack, Certificate: p.cert, Key: p.key,
				Set: map[string]string{"keepalive_timeout": "600", "error_log": "stderr crit"}}))
		})
	}
	b.Run("nginx", func(b *testing.B) {
		dir, addr := b.TempDir(), freeAddr(b)
		conf := filepath.Join(dir, "nginx.conf")
		writeFile(b, conf, fmt.Appendf(nil, `error_log stderr crit; pid %s/pid; worker_rlimit_nofile 60000; events { worker_connections 50000; }
http { access_log off; keepalive_timeout 600;
%s
server { listen %s ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_session_cache shared:SSL:50m; location / { return 200 "ok\n"; } } }`, dir, tempPaths(dir), addr, p.cert, p.key))
		idleMemory(b, p, startServer(b, addr, need(b, "nginx"), "-p", dir, "-c", conf, "-e", "stderr", "-g", "daemon off; master_process off;"))
	})
	b.Run("haproxy", func(b *testing.B) {
		dir, addr := b.TempDir(), freeAddr(b)
		both, err := os.ReadFile(p.cert)
		if err != nil {
			b.Fatal(err)
		}
		key, err := os.ReadFile(p.key)
		if err != nil {
			b.Fatal(err)
		}
		pem, conf := filepath.Join(dir, "both.pem"), filepath.Join(dir, "haproxy.cfg")
		writeFile(b, pem, append(both, key...))
		writeFile(b, conf, fmt.Appendf(nil, `global
    maxconn %d
    nbthread 1
defaults
    mode http
    timeout client 600s
    timeout server 600s
    timeout connect 5s
    timeout http-keep-alive 600s
frontend f
    bind %s ssl crt %s
    http-request return status 200 content-type text/plain lf-string "ok\n"
`, b.N+20, addr, pem))
		idleMemory(b, p, startServer(b, addr, need(b, "haproxy"), "-db", "-f", conf))
	})
	b.Run("plain", func(b *testing.B) {
		app := httptest.NewServer(NewApplication(ApplicationConfig{}))
		defer app.Close()
		plain, err := json.Marshal(plainProxy{p.cert, p.key, app.URL})
		if err != nil {
			b.Fatal(err)
		}
		idleMemory(b, p, startProcess(b, plainChild+"="+string(plain)))
	})
}

// startServer runs a server that is not ours until it listens.
func startServer(b *testing.B, addr, bin string, args ...string) *childEdge {
	b.Helper()
	c := &childEdge{cmd: exec.Command(bin, args...), addr: addr}
	var out strings.Builder
	c.cmd.Stdout, c.cmd.Stderr = &out, &out
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.cmd.Process.Signal(syscall.SIGTERM); c.cmd.Wait() })
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n, err := net.Dial("tcp", addr)
		if err == nil {
			n.Close()
			return c
		}
		if time.Now().After(end) {
			b.Fatalf("%s: %v\n%s", bin, err, out.String())
		}
	}
}

func idleMemory(b *testing.B, p *pki, c *childEdge) {
	b.Helper()
	cfg := p.client()
	warm, err := visit(c.addr, cfg)
	if err != nil {
		b.Fatal(err)
	}
	warm.Close()
	before := c.rss(b)
	conns := hold(b, c.addr, cfg, b.N)
	time.Sleep(500 * time.Millisecond) // let the last ones be parked
	after := c.rss(b)
	b.ReportMetric(float64(after-before)/float64(b.N), "rss-B/conn")
	b.ReportMetric(0, "ns/op")
	for _, n := range conns {
		n.Close()
	}
}

// visit opens a connection and makes one request.
func visit(addr string, cfg *tls.Config) (net.Conn, error) {
	n, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		return nil, err
	}
	return n, request(n)
}

func request(n net.Conn) error {
	n.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(n, "GET /health HTTP/1.1\r\nHost: www.example.test\r\n\r\n"); err != nil {
		return err
	}
	buf := make([]byte, 1024)
	var text string
	for !strings.Contains(text, "\r\n\r\nok\n") {
		m, err := n.Read(buf)
		text += string(buf[:m])
		if err != nil && !strings.HasSuffix(text, "\r\n\r\nok\n") {
			return fmt.Errorf("after %q: %w", text, err)
		}
	}
	return nil
}

// hold opens n connections, four at a time.
func hold(t testing.TB, addr string, cfg *tls.Config, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	errs := make(chan error, 4)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < n; i += 4 {
				c, err := visit(addr, cfg)
				if err != nil {
					errs <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
				conns[i] = c
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return conns
}

// BenchmarkHalfOpen holds b.N handshakes that stopped after the server's flight, serves good clients beside
// them, and lets them go: it reports the edge's resident set for each, and the files that are left open. Run with
// -benchtime=10000x.
func BenchmarkHalfOpen(b *testing.B) {
	p := newPKI(b, "ecdsa")
	c := startChild(b, Options{Listen: []string{"127.0.0.1:0"}, Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key,
		Set: map[string]string{"client_header_timeout": "600", "error_log": "stderr crit"}})
	hello, err := datasetHello("chrome-40-osx", "first")
	if err != nil {
		b.Fatal(err)
	}
	warm, err := visit(c.addr, p.client())
	if err != nil {
		b.Fatal(err)
	}
	warm.Close()
	before, files := c.rss(b), c.files(b)
	conns := make([]net.Conn, 0, b.N)
	for range b.N {
		n, err := net.Dial("tcp", c.addr)
		if err != nil {
			b.Fatal(err)
		}
		n.SetDeadline(time.Now().Add(30 * time.Second))
		n.Write(hello)
		if _, err := n.Read(make([]byte, 4096)); err != nil {
			b.Fatal(err)
		}
		conns = append(conns, n)
	}
	b.ReportMetric(float64(c.rss(b)-before)/float64(b.N), "rss-B/handshake")
	good, err := visit(c.addr, p.client())
	if err != nil {
		b.Fatalf("a good client beside %d half-open handshakes: %v", b.N, err)
	}
	good.Close()
	for _, n := range conns {
		n.Close()
	}
	waitFor(b, "the edge to let all files go", func() bool { return c.files(b) <= files })
	b.ReportMetric(float64(c.files(b)-files), "files-left")
	b.ReportMetric(0, "ns/op")
}

// files counts the child's open files.
func (c *childEdge) files(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
