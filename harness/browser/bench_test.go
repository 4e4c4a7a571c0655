package browser

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

// nginx starts a real nginx with one worker process on the given address, serving 128 bytes, and stops it
// at the end. It sits in a process of its own, so its memory, files and CPU time are not ours.
func nginx(tb testing.TB, listens int, directives string) *server {
	tb.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		tb.Skip("nginx is not installed")
	}
	dir := tb.TempDir()
	own := certify(tb, dir, nil)
	s := &server{roots: x509.NewCertPool()}
	s.roots.AddCert(own.cert)
	var listen strings.Builder
	for i := range listens {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:0", 21+i))
		if err != nil {
			tb.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		s.edges = append(s.edges, Edge{fmt.Sprintf("edge-%d", i+1), addr})
		fmt.Fprintf(&listen, "listen %s ssl backlog=4096;\n", addr)
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Appendf(nil, `
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 20000; pid %[1]s/pid; error_log %[1]s/error.log info;
events { worker_connections 19900; multi_accept on; }
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
keepalive_timeout 600; keepalive_requests 100000000; %[5]s
server { %[2]s ssl_certificate %[3]s; ssl_certificate_key %[4]s; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:10m; server_name %[6]s;
location / { return 200 "%[7]s"; } } }`, dir, listen.String(), own.certFile, own.keyFile, directives, testName, strings.Repeat("x", 128))
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", conf, "-p", dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for _, e := range s.edges {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			c, err := net.Dial("tcp", e.Addr.String())
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				tb.Fatal(err)
			}
		}
	}
	s.pid = cmd.Process.Pid
	return s
}

// keyPair is a certificate for testName with its ECDSA P-256 key, as files too.
type keyPair struct {
	cert              *x509.Certificate
	key               *ecdsa.PrivateKey
	certFile, keyFile string
}

// certify makes one in dir, signed by issuer; nil: by itself, and then it may sign others.
func certify(tb testing.TB, dir string, issuer *keyPair) *keyPair {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	p := &keyPair{key: k}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{testName}, Subject: pkix.Name{CommonName: testName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: issuer == nil, BasicConstraintsValid: true}
	name, parent, signer := "leaf", tmpl, k
	if issuer == nil {
		tmpl.Subject.CommonName, name = "bench authority", "ca"
	} else {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &k.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatal(err)
	}
	write := func(file, kind string, der []byte) string {
		file = filepath.Join(dir, name+file)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			tb.Fatal(err)
		}
		return file
	}
	p.certFile, p.keyFile = write(".pem", "CERTIFICATE", der), write(".key", "PRIVATE KEY", raw)
	return p
}

// rss is this process's resident memory in bytes.
func rss(tb testing.TB) int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Skip("no /proc here")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// cpu is the CPU time this process has used, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func settled(tb testing.TB) int64 {
	debug.FreeOSMemory()
	return rss(tb)
}

// BenchmarkIdleConnections holds 10,000 connections of browsers and reports resident memory per connection: what the
// last 9,000 of them add to a process that holds a thousand. What is paid once, as code, tables and what the runtime
// keeps after a storm of handshakes, is in both and so in neither.
func BenchmarkIdleConnections(b *testing.B) {
	const few, held = 1_000, 10_000
	for _, name := range []string{"firefox-35-osx", "chrome-40-osx"} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				s := nginx(b, 2, "")
				weigh := func(n int) (resident, heap int64, cpuEach float64) {
					cfg := config(s, Visitor{Profile: profile(b, name), Weight: 1})
					cfg.Load = Load{Model: Open, Connections: n, Ramp: time.Duration(n) * 3 * time.Millisecond / 2}
					cfg.Load.Duration = 2 * time.Minute
					cfg.Sources = nil
					for i := range 4 {
						cfg.Sources = append(cfg.Sources, netip.AddrFrom4([4]byte{127, 1, 0, byte(i + 1)}))
					}
					start := cpu()
					a, t := hold(b, cfg, int64(n)-6) // whole browsers make up the number
					spent := cpu() - start
					resident = settled(b)
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					a.Close()
					runtime.KeepAlive(a)
					return resident, int64(m.HeapAlloc), float64(spent.Microseconds()) / float64(t.Opened)
				}
				weigh(few) // pays for what is paid once
				before, least, _ := weigh(few)
				after, most, cpuEach := weigh(held)
				b.ReportMetric(float64(after-before)/(held-few), "RSS-B/conn")
				b.ReportMetric(float64(most-least)/(held-few), "heap-B/conn")
				b.ReportMetric(cpuEach, "cpu-us/handshake")
			}
		})
	}
}

// hold plays a phase until so many connections are established and three more seconds have gone, and leaves them open.
func hold(tb testing.TB, cfg *Config, n int64) (*Agent, results.Totals) {
	rec := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "test"})
	a, err := NewAgent(cfg, rec, func(faults.Firing) {})
	if err != nil {
		tb.Fatal(err)
	}
	if err := a.Warm(context.Background()); err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a.Each(time.Second, func() {
		if rec.Totals().Established >= n && a.Elapsed() > cfg.Load.Ramp {
			time.AfterFunc(3*time.Second, stop)
		}
	})
	err = a.Run(ctx, time.Now())
	if t := rec.Totals(); t.Failed == 0 && t.Established >= n && errors.Is(err, context.Canceled) {
		return a, t
	}
	tb.Fatalf("%v: %+v", err, rec.Totals())
	return nil, results.Totals{}
}

// BenchmarkIdleCryptoTLS is the yardstick: connections of crypto/tls, each with the goroutine that waits for its next
// byte, after one request; measured in the same way, as what 1,800 add to 200.
func BenchmarkIdleCryptoTLS(b *testing.B) {
	const few, held = 200, 2_000
	for range b.N {
		s := nginx(b, 1, "")
		cfg := &tls.Config{RootCAs: s.roots, ServerName: testName, MaxVersion: tls.VersionTLS12}
		weigh := func(n int) int64 {
			var conns []*tls.Conn
			var wg sync.WaitGroup
			for range n {
				c, err := tls.Dial("tcp", s.edges[0].Addr.String(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", testName)
				conns = append(conns, c)
				wg.Go(func() {
					r := bufio.NewReader(c)
					for {
						if _, err := r.ReadByte(); err != nil {
							return
						}
					}
				})
			}
			time.Sleep(time.Second) // the answers are in
			resident := settled(b)
			for _, c := range conns {
				c.Close()
			}
			wg.Wait()
			return resident
		}
		weigh(few)
		before := weigh(few)
		b.ReportMetric(float64(weigh(held)-before)/(held-few), "RSS-B/conn")
	}
}
