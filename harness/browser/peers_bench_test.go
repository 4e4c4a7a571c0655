package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/engine"
)

// kind is one way to shake hands, with a listening port of nginx that can do it in this way alone.
type kind struct {
	name       string
	directives string
	tls13      bool
	resume     bool
}

var kinds = []kind{
	{"TLS 1.2 full", "ssl_protocols TLSv1.2; ssl_session_cache off; ssl_session_tickets off;", false, false},
	{"TLS 1.3 full", "ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets off;", true, false},
	{"TLS 1.2 session ID", "ssl_protocols TLSv1.2; ssl_session_cache shared:id:10m; ssl_session_tickets off;", false, true},
	{"TLS 1.2 ticket", "ssl_protocols TLSv1.2; ssl_session_cache off; ssl_session_tickets on;", false, true},
	{"TLS 1.3 PSK", "ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets on;", true, true},
}

// contender is a client: one process, which makes handshakes of a kind with an address for a while.
type contender struct {
	name string
	ours bool
	// command gives it; nil where it cannot do this kind.
	command func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd
	// waits: it prepares first, says "ready", and tells its own CPU time (runClient).
	waits bool
}

const (
	benchParallel = 16
	benchLength   = 2 * time.Second // of clients with a collector, a second uncounted before it; the others take 1 s
	benchRounds   = 5
)

func own(name string, pool int, policy engine.VerifyPolicy) contender {
	return contender{name: name, ours: true, waits: true, command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		return p.self(clientSpec{Pool: pool, Policy: policy}, k, addr)
	}}
}

var contenders = []contender{
	own("tlsurge", 64, engine.VerifyEvery),
	own("tlsurge, first-per-key", 64, engine.VerifyFirstPerKey),
	own("tlsurge, fresh shares", 0, engine.VerifyEvery),
	{name: "crypto/tls", waits: true, command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		if k.name == "TLS 1.2 session ID" {
			return nil // it resumes by ticket only
		}
		return p.self(clientSpec{CryptoTLS: true}, k, addr)
	}},
	{name: "openssl s_time", command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		if k.name == "TLS 1.3 PSK" {
			return nil // it closes before it has read a ticket
		}
		version, how := "-tls1_2", "-new"
		if k.tls13 {
			version = "-tls1_3"
		}
		if k.resume {
			how = "-reuse"
		}
		return p.tool("openssl", "s_time", "-connect", addr.String(), version, how, "-time", "1")
	}},
	{name: "wrk", command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		if k.resume {
			return nil // it does not resume
		}
		return p.tool("wrk", "-t", "1", "-c", fmt.Sprint(benchParallel), "-d", "1s", "-H", "Connection: close", "https://"+addr.String()+"/")
	}},
	{name: "h2load", command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		if k.resume {
			return nil
		}
		return p.tool("h2load", "--h1", "-t", "1", "-n", "1000", "-c", "1000", "https://"+addr.String()+"/")
	}},
	{name: "curl", command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		args := []string{"-sk", "-H", "Connection: close", "--resolve", fmt.Sprintf("%s:%d:%s", testName, addr.Port(), addr.Addr()),
			"-o", "/dev/null", fmt.Sprintf("https://%s:%d/?[1-600]", testName, addr.Port())}
		if !k.resume {
			args = append(args, "--no-sessionid")
		}
		return p.tool("curl", args...)
	}},
	{name: "tls-perf", command: func(p *peerBench, k kind, addr netip.AddrPort) *exec.Cmd {
		version, tickets := "1.2", "off"
		if k.tls13 {
			version = "1.3"
		}
		if k.resume {
			tickets = "on"
		}
		if k.name == "TLS 1.2 session ID" || k.name == "TLS 1.3 PSK" {
			return nil
		}
		return p.tool("tls-perf", "-q", "-l", fmt.Sprint(benchParallel), "-t", "1", "-T", "1", "--tls", version, "--tickets", tickets,
			"-C", "X25519:P-256", "--sni", testName, addr.Addr().String(), fmt.Sprint(addr.Port()))
	}},
}

// BenchmarkPeers prints each client's CPU time per handshake with a real nginx (ECDSA P-256, X25519), as
// counted by nginx, in one interleaved run: each round goes through all clients, beginning with another one.
// Not a figure of time: these are rusages. Clients that are not installed are left out.
func BenchmarkPeers(b *testing.B) {
	p := startPeerBench(b)
	for i, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				p.compare(b, i, k)
			}
			b.ReportMetric(0, "ns/op") // it would be the length of the run
		})
	}
}

type peerBench struct {
	b      *testing.B
	dir    string
	ca     string
	ports  []uint16
	status string
	asked  int64 // connections of our own for the status
}

// startPeerBench starts nginx with one worker. Each client has an address of its own in 127.0.50.0/24, so that
// none finds the others' ports in TIME_WAIT.
func startPeerBench(b *testing.B) *peerBench {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		b.Skip("nginx is not installed")
	}
	p := &peerBench{b: b, dir: b.TempDir()}
	ca := certify(b, p.dir, nil)
	leaf := certify(b, p.dir, ca)
	raw, err := os.ReadFile(ca.certFile)
	if err != nil {
		b.Fatal(err)
	}
	p.ca = string(raw)
	var servers strings.Builder
	for _, k := range kinds {
		port := freePort(b, "127.0.50.1")
		p.ports = append(p.ports, port)
		servers.WriteString("server { ")
		for i := range contenders {
			fmt.Fprintf(&servers, "listen 127.0.50.%d:%d ssl backlog=4096; ", i+1, port)
		}
		fmt.Fprintf(&servers, "%s server_name %s; location / { return 200 \"ok\"; } }\n", k.directives, testName)
	}
	status := freePort(b, "127.0.0.1")
	p.status = fmt.Sprintf("http://127.0.0.1:%d/", status)
	conf := filepath.Join(p.dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid %[1]s/pid; error_log %[1]s/error.log info;
events { worker_connections 10000; multi_accept on; }
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
ssl_certificate %[2]s; ssl_certificate_key %[3]s; ssl_ecdh_curve X25519;
server { listen 127.0.0.1:%[4]d; location / { stub_status; } }
%[5]s}`, p.dir, leaf.certFile, leaf.keyFile, status, servers.String())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", conf, "-p", p.dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, _, err := p.handled(); err == nil {
			return p
		} else if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// freePort finds one that nobody listens on.
func freePort(tb testing.TB, host string) uint16 {
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// handled is how many connections nginx has taken up so far, questions like this one included, and how many
// it has open beside this one.
func (p *peerBench) handled() (n, open int64, err error) {
	r, err := http.Get(p.status)
	if err != nil {
		return 0, 0, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, 0, err
	}
	var accepts int64
	fields := strings.Fields(string(text)) // Active connections: A server accepts handled requests a h r …
	if len(fields) < 10 {
		return 0, 0, fmt.Errorf("stub_status says %q", text)
	}
	fmt.Sscan(fields[2], &open)
	fmt.Sscan(fields[7], &accepts)
	fmt.Sscan(fields[8], &n)
	p.asked++
	if accepts != n {
		return 0, 0, fmt.Errorf("nginx dropped %d connections", accepts-n)
	}
	http.DefaultClient.CloseIdleConnections()
	return n, open - 1, nil
}

// served is how many handshakes nginx has completed: connections taken up without those that its log says
// ended while shaking hands. It waits until the clients' connections are gone. Each call is a connection too.
func (p *peerBench) served() (int64, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		n, open, err := p.handled()
		if err != nil {
			return 0, err
		}
		if open > 0 && time.Now().Before(deadline) {
			continue
		}
		log, err := os.ReadFile(filepath.Join(p.dir, "error.log"))
		return n - p.asked - int64(bytes.Count(log, []byte("while SSL handshaking"))), err
	}
}

// self is this test program as a client.
func (p *peerBench) self(s clientSpec, k kind, addr netip.AddrPort) *exec.Cmd {
	s.Addr, s.CA, s.Resume, s.Parallel, s.Length = addr, p.ca, k.resume, benchParallel, benchLength
	spec, err := json.Marshal(s)
	if err != nil {
		p.b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), clientEnv+"="+string(spec))
	return cmd
}

func (p *peerBench) tool(name string, args ...string) *exec.Cmd {
	if _, err := exec.LookPath(name); err != nil {
		return nil
	}
	return exec.Command(name, args...)
}

// measured is one client's turn.
type measured struct{ us, resumed, rate float64 }

// compare runs all rounds of one kind and prints its table.
func (p *peerBench) compare(b *testing.B, port int, k kind) {
	results := make([][]measured, len(contenders))
	for round := range benchRounds {
		for j := range contenders {
			i := (j + round) % len(contenders)
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 50, byte(i + 1)}), p.ports[port])
			if cmd := contenders[i].command(p, k, addr); cmd != nil {
				results[i] = append(results[i], p.turn(b, &contenders[i], cmd))
			}
		}
	}
	best, bestName := 0.0, ""
	medians := make([]float64, len(contenders))
	for i := range contenders {
		if medians[i] = median(results[i]); medians[i] > 0 && !contenders[i].ours && (best == 0 || medians[i] < best) {
			best, bestName = medians[i], contenders[i].name
		}
	}
	fmt.Printf("\n%s: client CPU per handshake, median of %d rounds (lowest..highest); best peer %s\n", k.name, benchRounds, bestName)
	for i := range contenders {
		if len(results[i]) == 0 {
			continue
		}
		lo := slices.MinFunc(results[i], byUS).us
		hi := slices.MaxFunc(results[i], byUS).us
		note := ""
		if k.resume && contenders[i].waits {
			note = fmt.Sprintf("  resumed %.1f%%", 100*results[i][0].resumed)
		}
		fmt.Printf("  %-26s %7.0f us (%.0f..%.0f) %6.0f/s  %3.0f %% of the best peer%s\n", contenders[i].name, medians[i], lo, hi,
			results[i][0].rate, 100*medians[i]/best, note)
	}
}

func byUS(a, b measured) int { return int(1000 * (a.us - b.us)) }

func median(m []measured) float64 {
	if len(m) == 0 {
		return 0
	}
	s := slices.SortedFunc(slices.Values(m), byUS)
	return s[len(s)/2].us
}

// turn lets one client work and divides its CPU time by what nginx counted meanwhile.
func (p *peerBench) turn(b *testing.B, c *contender, cmd *exec.Cmd) measured {
	if !c.waits {
		before, err := p.served()
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", c.name, err, out)
		}
		took := time.Since(start)
		after, err := p.served()
		if err != nil || after == before {
			b.Fatalf("%s: nginx counted %d handshakes (%v)", c.name, after-before, err)
		}
		spent := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return measured{us: float64(spent.Microseconds()) / float64(after-before), rate: float64(after-before) / took.Seconds()}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		cmd.Process.Kill()
		cmd.Wait()
		b.Fatalf("%s said %q (%v)", c.name, line, err)
	}
	before, err := p.served()
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintln(in)
	var r clientReport
	err = json.NewDecoder(lines).Decode(&r)
	in.Close()
	if werr := cmd.Wait(); err != nil || werr != nil || r.Error != "" {
		b.Fatalf("%s: %v, %v, %s", c.name, err, werr, r.Error)
	}
	after, err := p.served()
	if err != nil || after == before {
		b.Fatalf("%s: nginx counted %d handshakes (%v)", c.name, after-before, err)
	}
	return measured{us: float64(r.CPU.Nanoseconds()) / 1000 / float64(after-before), resumed: float64(r.Resumed) / float64(r.Made),
		rate: float64(after-before) / benchLength.Seconds()}
}
