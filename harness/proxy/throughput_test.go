package proxy

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// plainProxy is what the edge is measured against: httputil.ReverseProxy on crypto/tls, nothing else.
type plainProxy struct{ Cert, Key, Backend string }

func runPlainProxy(text string) error {
	var p plainProxy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	u, err := url.Parse(p.Backend)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h := httputil.NewSingleHostReverseProxy(u)
	h.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	fmt.Printf("ready %s\n", l.Addr())
	return srv.ServeTLS(l, p.Cert, p.Key)
}

// cpu reads the processor time of the child, user and system (proc(5), /proc/pid/stat fields 14 and 15).
func (c *childEdge) cpu(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}

// BenchmarkRequestsPerCPUSecond compares what a processor-second of the edge answers with what one of a plain
// ReverseProxy does: the same backend, 64 connections, kept on both sides. Run with -benchtime=20000x or more.
func BenchmarkRequestsPerCPUSecond(b *testing.B) {
	p := newPKI(b, "ecdsa")
	app := httptest.NewServer(NewApplication(ApplicationConfig{}))
	defer app.Close()
	conf := filepath.Join(b.TempDir(), "bench.conf")
	writeFile(b, conf, []byte(fmt.Sprintf(`
events { worker_connections 4096; }
error_log stderr crit;
http {
    access_log off;
    upstream app { server %s; keepalive 64; }
    server {
        listen 127.0.0.1:0 ssl;
        ssl_certificate %s;
        ssl_certificate_key %s;
        ssl_session_cache shared:SSL:1m;
        keepalive_requests 10000000;
        location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Host $host; }
    }
}`, app.Listener.Addr(), p.cert, p.key)))
	plain, err := json.Marshal(plainProxy{p.cert, p.key, app.URL})
	if err != nil {
		b.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		start func(b *testing.B) *childEdge
	}{
		{"edge", func(b *testing.B) *childEdge {
			return startChild(b, Options{Source: conf, Stack: "openssl-3.0", Protocols: []string{"TLSv1.2", "TLSv1.3"}})
		}},
		{"plain", func(b *testing.B) *childEdge { return startProcess(b, plainChild+"="+string(plain)) }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			c := tc.start(b)
			conns := hold(b, c.addr, p.client(), 64)
			before := c.cpu(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, n := range conns {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for j := i; j < b.N; j += len(conns) {
						if err := request(n); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			wg.Wait()
			b.StopTimer()
			used := c.cpu(b) - before
			b.ReportMetric(float64(b.N)/used.Seconds(), "requests/cpu-s")
			for _, n := range conns {
				n.Close()
			}
		})
	}
}

func runBalancer(backends string) error {
	b, err := NewBalancer(BalancerConfig{Backends: strings.Split(backends, ",")})
	if err != nil {
		return err
	}
	return serveChild(b)
}

func runApplication(string) error { return serveChild(NewApplication(ApplicationConfig{})) }

func serveChild(s interface {
	Serve(context.Context, net.Listener) error
}) error {
	l, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	fmt.Printf("ready %s\n", l.Addr())
	return s.Serve(context.Background(), l)
}

// BenchmarkChain sends pages through the thread's configuration: edge, balancer, application, each a process,
// the edge opening a connection for each request as nginx does by default. It reports the processor time of each
// for a request.
func BenchmarkChain(b *testing.B) {
	p := newPKI(b, "ecdsa")
	app := startProcess(b, applicationChild+"=1")
	balancer := startProcess(b, balancerChild+"="+app.addr)
	e := startChild(b, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Listen: []string{"127.0.0.1:0"}, Certificate: p.cert, Key: p.key,
		Upstream: balancer.addr, ErrorLog: filepath.Join(b.TempDir(), "error.log"), AccessLog: filepath.Join(b.TempDir(), "access.log"),
		Set: map[string]string{"keepalive_requests": "10000000"}})
	conns := hold(b, e.addr, p.client(), 64)
	parts := []struct {
		name string
		c    *childEdge
		cpu  time.Duration
	}{{"edge", e, 0}, {"balancer", balancer, 0}, {"application", app, 0}}
	for i := range parts {
		parts[i].cpu = parts[i].c.cpu(b)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, n := range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := i; j < b.N; j += len(conns) {
				if err := request(n); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	for _, part := range parts {
		b.ReportMetric(float64((part.c.cpu(b)-part.cpu).Microseconds())/float64(b.N), part.name+"-us/request")
	}
	for _, n := range conns {
		n.Close()
	}
}
