package browser

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/results"
)

// clientEnv makes this test program a client of BenchmarkPeers.
const clientEnv = "TLSURGE_BENCH_CLIENT"

// clientSpec is what such a client does: handshakes with one server, so many under way at a time.
type clientSpec struct {
	CryptoTLS bool // else an agent
	Addr      netip.AddrPort
	CA        string // PEM
	Resume    bool
	Policy    engine.VerifyPolicy
	Pool      int
	Parallel  int
	Length    time.Duration
}

// clientReport is what it says at the end.
type clientReport struct {
	CPU     time.Duration // of this process, user and system, while it made handshakes
	Made    int64
	Resumed int64
	Error   string
}

const warmLength = time.Second

// runClient prepares (with CPU time that nobody counts), says so, waits for a line, works and reports.
func runClient(spec string) int {
	var s clientSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	work := (&s).agent
	if s.CryptoTLS {
		work = (&s).cryptoTLS
	}
	// The first second grows the heap to its size and is nobody's measure: else each handshake would touch
	// memory that no one has touched before, as in no long run.
	length := s.Length
	s.Length = warmLength
	if _, err := work(func() {}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Length = length
	begin := func() {
		fmt.Println("ready")
		bufio.NewReader(os.Stdin).ReadString('\n')
	}
	r, err := work(begin)
	if err != nil {
		r.Error = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(r)
	return 0
}

// benchProfile offers X25519 first, sends no larger share, and knows both versions and all ways to resume.
const benchProfile = "chrome-79-win10"

// agent is this program's own client: a whole agent, results recorded and all.
func (s *clientSpec) agent(begin func()) (clientReport, error) {
	prof, err := profiles.Lookup(benchProfile)
	if err != nil {
		return clientReport{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.CA))
	cfg := &Config{Seed: 1, Phase: "bench", Agents: 1, Mix: []Visitor{{Profile: prof, Weight: 1}}, ServerName: testName,
		Edges: []Edge{{"nginx", s.Addr}}, Verifier: &engine.Verifier{Roots: roots, Policy: s.Policy},
		KeyPool: s.Pool,
		Load:    Load{Model: HandshakeOnly, Connections: s.Parallel, PerBrowser: [2]int{1, 1}, Duration: s.Length}}
	if s.Resume {
		cfg.Load.Model = ResumeOnly
	}
	var resumed int64
	rec := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "bench"})
	a, err := NewAgent(cfg, rec, func(faults.Firing) {})
	if err != nil {
		return clientReport{}, err
	}
	defer a.Close()
	if err := a.Warm(context.Background()); err != nil {
		return clientReport{}, err
	}
	begin()
	start := cpu()
	err = a.Run(context.Background(), time.Now())
	t := rec.Totals()
	if err == nil && t.Failed > 0 {
		err = fmt.Errorf("%d attempts failed", t.Failed)
	}
	for _, h := range rec.Snapshot().Handshakes {
		if h.Resumed != "" {
			resumed += h.Count
		}
	}
	return clientReport{CPU: cpu() - start, Made: t.Completed, Resumed: resumed}, err
}

// cryptoTLS is the yardstick: as many goroutines, each with one connection after another.
func (s *clientSpec) cryptoTLS(begin func()) (clientReport, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.CA))
	var made, resumed atomic.Int64
	var failed atomic.Value
	configs := make([]*tls.Config, s.Parallel)
	for i := range configs {
		configs[i] = &tls.Config{RootCAs: roots, ServerName: testName, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}}
		if s.Resume {
			configs[i].ClientSessionCache = tls.NewLRUClientSessionCache(1)
			if err := s.visit(configs[i]); err != nil {
				return clientReport{}, err
			}
		}
	}
	begin()
	start := cpu()
	end := time.Now().Add(s.Length)
	var wg sync.WaitGroup
	for _, cfg := range configs {
		wg.Go(func() {
			for time.Now().Before(end) {
				c, err := s.dial(cfg)
				if err != nil {
					failed.Store(err)
					return
				}
				if made.Add(1); c.ConnectionState().DidResume {
					resumed.Add(1)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	err, _ := failed.Load().(error)
	return clientReport{CPU: cpu() - start, Made: made.Load(), Resumed: resumed.Load()}, err
}

func (s *clientSpec) dial(cfg *tls.Config) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", s.Addr.String())
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, cfg)
	if err := c.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// visit makes one request, so that the tickets of TLS 1.3 come with its answer.
func (s *clientSpec) visit(cfg *tls.Config) error {
	c, err := s.dial(cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", testName)
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}
