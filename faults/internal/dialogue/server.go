package dialogue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server answers conversations and keeps what it saw of each.
type Server struct {
	Listener *net.TCPListener
	accepted func(c *net.TCPConn)

	mu   sync.Mutex
	seen map[netip.AddrPort]Seen
	done sync.Cond // signals a new entry of seen
	wg   sync.WaitGroup
}

// Seen is what the server saw of one connection.
type Seen struct {
	Err         error // nil: the client closed in good order
	Handshake   bool  // it was completed
	Requests    int   // that arrived whole
	Retransmits int   // of the server's own segments
	Took        time.Duration
	SegmentsIn  int
	Dropped     int // segments that the kernel dropped at the server
	// BytesReceived counts the client's FIN as one.
	BytesReceived int64
}

// ServerOptions choose what a Server does.
type ServerOptions struct {
	Address  string               // default 127.0.0.1:0
	Accepted func(c *net.TCPConn) // called before the first read
	Control  func(l net.Listener) // called once it listens
	Curves   []tls.CurveID        // default all
	Deadline time.Duration        // of a handshake; default 15 s
	Config   func(c *tls.Config)  // last word on the TLS side
	// Inside runs the listening where its socket shall live: link.Namespace.Do.
	Inside func(func() error) error
}

// Serve starts a server that the test's end stops.
func Serve(t testing.TB, o ServerOptions) *Server {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Deadline == 0 {
		o.Deadline = 15 * time.Second
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	var l net.Listener
	listen := func() (err error) {
		l, err = lc.Listen(context.Background(), "tcp", o.Address)
		return err
	}
	var err error
	if o.Inside != nil {
		err = o.Inside(listen)
	} else {
		err = listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Listener: l.(*net.TCPListener), accepted: o.Accepted, seen: map[netip.AddrPort]Seen{}}
	s.done.L = &s.mu
	if o.Control != nil {
		o.Control(l)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: tls.VersionTLS10,
		CipherSuites: suites(), CurvePreferences: o.Curves, NextProtos: []string{"http/1.1"}}
	if o.Config != nil {
		o.Config(cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		for {
			c, err := s.Listener.AcceptTCP()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(ctx, c, cfg, o.Deadline) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		s.wg.Wait()
	})
	return s
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.Listener.Addr().(*net.TCPAddr).AddrPort() }

// Seen waits until the connection from this address has ended at the server, 10 s at most.
func (s *Server) Seen(t testing.TB, client netip.AddrPort) Seen {
	t.Helper()
	late := time.AfterFunc(10*time.Second, func() { s.mu.Lock(); s.done.Broadcast(); s.mu.Unlock() })
	defer late.Stop()
	start := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if seen, ok := s.seen[client]; ok {
			return seen
		}
		if time.Since(start) >= 10*time.Second {
			t.Fatalf("the server saw no end of the connection from %s; it saw %d others", client, len(s.seen))
		}
		s.done.Wait()
	}
}

func (s *Server) serve(ctx context.Context, c *net.TCPConn, cfg *tls.Config, deadline time.Duration) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	start := time.Now()
	if s.accepted != nil {
		s.accepted(c)
	}
	var seen Seen
	seen.Err = talkBack(c, cfg, deadline, &seen)
	info := Info(c)
	seen.Retransmits, seen.Took, seen.SegmentsIn = int(info.Total_retrans), time.Since(start), int(info.Data_segs_in)
	seen.BytesReceived, seen.Dropped = int64(info.Bytes_received), dropped(c)
	s.mu.Lock()
	s.seen[c.RemoteAddr().(*net.TCPAddr).AddrPort()] = seen
	s.done.Broadcast()
	s.mu.Unlock()
}

func talkBack(c *net.TCPConn, cfg *tls.Config, deadline time.Duration, seen *Seen) error {
	c.SetDeadline(time.Now().Add(deadline))
	t := tls.Server(c, cfg)
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	seen.Handshake = true
	c.SetDeadline(time.Now().Add(time.Minute))
	for {
		var line [9]byte
		var size int
		if n, err := io.ReadFull(t, line[:]); err == io.EOF && n == 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		if _, err := fmt.Sscanf(string(line[:]), "%d\n", &size); err != nil {
			return fmt.Errorf("request %q: %w", line, err)
		}
		seen.Requests++
		if _, err := io.WriteString(t, strings.Repeat("x", size)); err != nil {
			return fmt.Errorf("response: %w", err)
		}
	}
}

var (
	certOnce sync.Once
	cert     tls.Certificate
	certErr  error
)

// certificate is one self-signed P-256 certificate for the whole test.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	certOnce.Do(func() {
		var key *ecdsa.PrivateKey
		if key, certErr = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); certErr != nil {
			return
		}
		now := time.Now()
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			DNSNames: []string{"www.example.test"}}
		var der []byte
		if der, certErr = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key); certErr != nil {
			return
		}
		cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	})
	if certErr != nil {
		t.Fatal(certErr)
	}
	return cert
}
