package fleet

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults"
	stages "tlsurge/faults/stage"
	"tlsurge/results"
)

var rewrite = flag.Bool("rewrite", false, "write the edge's part of docs/FAULTS.md anew")

// edgeProof shows one cell of engine "edge" on a real fleet, from the client's side. Connections are made ready
// by arrange, before the rules are in force; check runs once they are.
type edgeProof struct {
	rule    faults.Rule
	seen    string // what check sees, for docs/FAULTS.md
	arrange func(c *cellClient) (check func(*testing.T))
}

// cellTime is for how long the edge of a rule with an end, or a duration, suffers.
const cellTime = 600 * time.Millisecond

// edgeProofs has a line for each cell that is claimed: rules that hit single connections share one edge, those
// that hit a whole edge have one each.
var edgeProofs = []edgeProof{
	{faults.Rule{Action: faults.Reset, At: stages.ClientHello}, "the ClientHello was answered by a reset; the client beside it was served", proveHello(isReset)},
	{faults.Rule{Action: faults.FIN, At: stages.ClientHello}, "the ClientHello was answered by the end of the stream; the client beside it was served", proveHello(isEOF)},
	{faults.Rule{Action: faults.Stall, At: stages.ClientHello}, "the ClientHello was not answered; the client beside it was served", proveHello(isTimeout)},
	{faults.Rule{Action: faults.Alert, Alert: 70, At: stages.ClientHello}, "the ClientHello was answered by the alert `alert`; the client beside it was served", proveHello(isAlert70)},
	{faults.Rule{Action: faults.HandshakeDeadline, Duration: 200 * time.Millisecond}, "a silent connection read the end of the stream, the silent one beside it did not", proveDeadline},
	{faults.Rule{Action: faults.CertExpired}, "the client refused an expired certificate; the client beside it was served", proveExpired},
	{faults.Rule{Action: faults.ClockWrong, Duration: time.Hour}, "a session that is fresh was not resumed; the client beside it resumed its own", proveClock},
	{faults.Rule{Action: faults.Slow, Duration: cellTime}, "the answer came `duration` later or more", proveSlow},
	{faults.Rule{Action: faults.SlowHandshake, Duration: cellTime}, "the second of two handshakes that began together was complete after twice `duration`; the client beside them was served at once", proveSlowHandshake},
	{faults.Rule{Action: faults.Error}, "the answer was a 500, and the connection lived on; the client beside it had a 200", proveError},
	{faults.Rule{Action: faults.CloseOnReuse}, "the first request was answered, the second met a close", proveCloseOnReuse},
	{faults.Rule{Action: faults.TableFull, Max: 2}, "the connection that had been silent longest was closed when another came, and the new one was served", proveTableFull},
	{faults.Rule{Action: faults.AcceptQueue, Until: cellTime}, "the connect succeeded at once, the handshake when the rule had ended", proveAcceptQueue},
	{faults.Rule{Action: faults.Kill}, "the held connection ended without a close_notify, new ones were refused", proveKill},
	{faults.Rule{Action: faults.Pause, Duration: cellTime}, "the held connection was answered when the process went on, not before", provePause},
	{faults.Rule{Action: faults.Restart}, "the held connection ended, new ones were served, and a session from before was not resumed", proveRestart},
}

// TestEdgeCells plays all proofs on one fleet: each rule fires, on the edge that it names, and is in the ledger.
func TestEdgeCells(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var rules []faults.Rule
	edges := 1
	for i, p := range edgeProofs {
		r := p.rule
		r.Name, r.Index, r.Engine, r.Probability, r.Who.Edge = string(r.Action), i, faults.EngineEdge, 1, "edge-1"
		if r.HitsEdge() {
			edges++
			r.Who.Edge = fmt.Sprintf("edge-%d", edges)
		}
		rules = append(rules, r)
	}
	cfg := s.fleetConfig("cells")
	cfg.Edges, cfg.Stack, cfg.Rules = edges, "openssl-1.0.2", rules
	cfg.Ledger = func(f faults.Firing) { _, _ = s.collector.Firings("fleet", 0, []faults.Firing{f}) }
	s.begin(t, "cells")
	f, err := Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Stop(within(t))
	list := f.Edges()
	checks := make([]func(*testing.T), len(rules))
	for i, p := range edgeProofs {
		checks[i] = p.arrange(newCellClient(t, s, f, &rules[i]))
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	scheduled := make(chan error, 1)
	go func() { scheduled <- f.Schedule(ctx, time.Now()) }()
	t.Run("checks", func(t *testing.T) {
		for i, check := range checks {
			t.Run(rules[i].Name, func(t *testing.T) { t.Parallel(); check(t) })
		}
	})
	if err := errors.Join(<-scheduled, f.Stop(within(t))); err != nil {
		t.Fatal(err)
	}
	s.finish(t)
	fired, _, err := results.ReadFirings(filepath.Join(s.dir, results.FiringsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		at := list[slices.IndexFunc(list, func(e Edge) bool { return e.Name == r.Who.Edge })].Addr
		n := 0
		for _, fi := range fired {
			if fi.Rule == r.Name {
				n++
				if fi.Action != string(r.Action) || fi.Tuple.Server != at {
					t.Errorf("%s: firing %+v, want the edge at %v", r.Name, fi, at)
				}
			}
		}
		if n == 0 {
			t.Errorf("%s: not in the ledger", r.Name)
		}
	}
}

// cellClient is one proof's client: it comes from the rule's own source addresses, or from beside them.
type cellClient struct {
	t     *testing.T
	rule  *faults.Rule
	fleet *Fleet
	addr  string
	tls   *tls.Config
}

func newCellClient(t *testing.T, s *stage, f *Fleet, r *faults.Rule) *cellClient {
	t.Helper()
	pem, err := os.ReadFile(s.pki.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := &cellClient{t: t, rule: r, fleet: f, tls: &tls.Config{RootCAs: roots, ServerName: serverName}}
	for _, e := range f.Edges() {
		if e.Name == r.Who.Edge {
			c.addr = e.Addr.String()
		}
	}
	return c
}

// dial connects: from the rule's addresses where armed, else from the machine's.
func (c *cellClient) dial(armed bool) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if armed {
		d.LocalAddr = &net.TCPAddr{IP: faults.SourceAddr(c.rule, 1).AsSlice()}
	}
	conn, err := d.Dial("tcp", c.addr)
	if err == nil {
		c.t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(15 * time.Second))
	}
	return conn, err
}

// visit is a connection with its handshake made; cfg nil is the client's own.
func (c *cellClient) visit(armed bool, cfg *tls.Config) (*tls.Conn, error) {
	raw, err := c.dial(armed)
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		cfg = c.tls
	}
	conn := tls.Client(raw, cfg)
	return conn, conn.Handshake()
}

// mustVisit is visit by a client that is to be served, with one request made.
func (c *cellClient) mustVisit(armed bool, cfg *tls.Config) *tls.Conn {
	c.t.Helper()
	conn, err := c.visit(armed, cfg)
	if err != nil {
		c.t.Fatalf("%s: %v", c.rule.Name, err)
	}
	if code, err := ask(conn); code != 200 || err != nil {
		c.t.Fatalf("%s: a first request got %d, %v", c.rule.Name, code, err)
	}
	return conn
}

// mustConnect is a connection that stays silent.
func (c *cellClient) mustConnect(armed bool) net.Conn {
	c.t.Helper()
	conn, err := c.dial(armed)
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// remembering is the client with a session cache of its own.
func (c *cellClient) remembering() *tls.Config {
	cfg := c.tls.Clone()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	return cfg
}

// ask makes one request.
func ask(c net.Conn) (status int, err error) {
	if _, err := io.WriteString(c, "GET /50x.html HTTP/1.1\r\nHost: "+serverName+"\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// proveHello meets a rule at client_hello, and how the handshake ends is for ended to say.
func proveHello(ended func(error) bool) func(*cellClient) func(*testing.T) {
	return func(c *cellClient) func(*testing.T) {
		return func(t *testing.T) {
			raw, err := c.dial(true)
			if err != nil {
				t.Fatal(err)
			}
			raw.SetDeadline(time.Now().Add(cellTime))
			if err := tls.Client(raw, c.tls).Handshake(); !ended(err) {
				t.Errorf("%v", err)
			}
			if _, err := c.visit(false, nil); err != nil {
				t.Errorf("the client beside it: %v", err)
			}
		}
	}
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
func isEOF(err error) bool   { return errors.Is(err, io.EOF) }

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func isAlert70(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == "tls: protocol version not supported"
}

func proveDeadline(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		hit, beside := c.mustConnect(true), c.mustConnect(false)
		if _, err := hit.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("silence ended with %v, want EOF", err)
		}
		conn := tls.Client(beside, c.tls)
		if code, err := ask(conn); code != 200 || err != nil {
			t.Errorf("the silent one beside it: %d, %v", code, err)
		}
	}
}

func proveExpired(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		var invalid x509.CertificateInvalidError
		if _, err := c.visit(true, nil); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
			t.Errorf("%v, want an expired certificate", err)
		}
		if _, err := c.visit(false, nil); err != nil {
			t.Errorf("the client beside it: %v", err)
		}
	}
}

func proveClock(c *cellClient) func(*testing.T) {
	hit, beside := c.remembering(), c.remembering()
	c.mustVisit(false, hit).Close()
	c.mustVisit(false, beside).Close()
	return func(t *testing.T) {
		if conn, err := c.visit(true, hit); err != nil || conn.ConnectionState().DidResume {
			t.Errorf("%v: want a full handshake", err)
		}
		if conn, err := c.visit(false, beside); err != nil || !conn.ConnectionState().DidResume {
			t.Errorf("the client beside it: %v, or not resumed", err)
		}
	}
}

func proveSlow(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		conn, err := c.visit(true, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if code, err := ask(conn); code != 200 || err != nil || time.Since(began) < cellTime {
			t.Errorf("%d, %v after %v", code, err, time.Since(began))
		}
	}
}

func proveSlowHandshake(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		began := time.Now()
		type end struct {
			after time.Duration
			err   error
		}
		ends := make(chan end, 2)
		for range 2 {
			go func() {
				_, err := c.visit(true, nil)
				ends <- end{time.Since(began), err}
			}()
		}
		if _, err := c.visit(false, nil); err != nil || time.Since(began) >= 2*cellTime {
			t.Errorf("the client beside them: %v after %v", err, time.Since(began))
		}
		var last time.Duration
		for range 2 {
			e := <-ends
			if e.err != nil || e.after < cellTime {
				t.Errorf("%v after %v", e.err, e.after)
			}
			last = max(last, e.after)
		}
		if last < 2*cellTime {
			t.Errorf("both were complete after %v", last)
		}
	}
}

func proveError(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		conn, err := c.visit(true, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if code, err := ask(conn); code != 500 || err != nil {
				t.Errorf("%d, %v; want 500", code, err)
			}
		}
		if conn, err := c.visit(false, nil); err != nil {
			t.Error(err)
		} else if code, err := ask(conn); code != 200 || err != nil {
			t.Errorf("the client beside it: %d, %v", code, err)
		}
	}
}

func proveCloseOnReuse(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		conn, err := c.visit(true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := ask(conn); code != 200 || err != nil {
			t.Errorf("first request: %d, %v", code, err)
		}
		if code, err := ask(conn); err == nil {
			t.Errorf("the second request was answered %d", code)
		}
	}
}

func proveTableFull(c *cellClient) func(*testing.T) {
	silent := []net.Conn{c.mustConnect(false), c.mustConnect(false)}
	return func(t *testing.T) {
		conn, err := c.visit(false, nil)
		if err != nil {
			t.Fatalf("the new connection: %v", err)
		}
		if code, err := ask(conn); code != 200 || err != nil {
			t.Errorf("the new connection: %d, %v", code, err)
		}
		if n, err := silent[0].Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the silent one: %d bytes, %v", n, err)
		}
	}
}

func proveAcceptQueue(c *cellClient) func(*testing.T) {
	return func(t *testing.T) {
		began := time.Now()
		raw := c.mustConnect(false)
		connected := time.Since(began)
		if err := tls.Client(raw, c.tls).Handshake(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); connected > took/2 {
			t.Errorf("connected after %v, handshake after %v: the queue held nothing back", connected, took)
		}
	}
}

// mustBreakOff reads the end of a connection whose process died: no close_notify, not a byte.
func mustBreakOff(t *testing.T, held *tls.Conn) {
	t.Helper()
	if n, err := held.NetConn().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the held connection: %d bytes, %v; want a reset or a bare FIN", n, err)
	}
}

func proveKill(c *cellClient) func(*testing.T) {
	held := c.mustVisit(false, nil)
	return func(t *testing.T) {
		mustBreakOff(t, held)
		var err error
		for deadline := time.Now().Add(10 * time.Second); !errors.Is(err, syscall.ECONNREFUSED); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("a new connection: %v, want refused", err)
			}
			_, err = c.dial(false) // its sockets end one after the other, the listener maybe last
		}
	}
}

func provePause(c *cellClient) func(*testing.T) {
	held := c.mustVisit(false, nil)
	began := time.Now()
	stopped := func() bool {
		for _, e := range c.fleet.edges {
			if e.Name == c.rule.Who.Edge {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.process.cmd.Process.Pid))
				return err == nil && strings.Contains(string(stat), ") T ")
			}
		}
		return false
	}
	return func(t *testing.T) {
		for deadline := time.Now().Add(10 * time.Second); !stopped(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the edge's process was never stopped")
			}
		}
		if code, err := ask(held); code != 200 || err != nil {
			t.Errorf("%d, %v", code, err)
		}
		if took := time.Since(began); took < cellTime {
			t.Errorf("answered after %v, within the pause of %v", took, cellTime)
		}
	}
}

func proveRestart(c *cellClient) func(*testing.T) {
	cfg := c.remembering()
	c.mustVisit(false, cfg).Close()
	held, err := c.visit(false, cfg)
	if err != nil || !held.ConnectionState().DidResume {
		c.t.Fatalf("before the restart: %v, or not resumed", err)
	}
	return func(t *testing.T) {
		mustBreakOff(t, held)
		var conn *tls.Conn
		var err error
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if conn, err = c.visit(false, cfg); err == nil || time.Now().After(deadline) {
				break // until the new process listens
			}
		}
		if err != nil || conn.ConnectionState().DidResume {
			t.Errorf("after the restart: %v, or a session of the old process resumed", err)
		}
	}
}

const (
	docsFile = "../../docs/FAULTS.md"
	opening  = "<!-- generated by go test ./harness/fleet -rewrite: from here -->\n"
	closing  = "<!-- edge: to here -->\n"
)

// TestEdgeCellsInDocs: every cell that is claimed has a proof, and the table in docs/FAULTS.md is that of the proofs.
func TestEdgeCellsInDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| action | meaning | seen (`TestEdgeCells`) |\n|---|---|---|\n")
	proved := map[faults.Action]string{}
	for _, p := range edgeProofs {
		proved[p.rule.Action] = p.seen
	}
	for _, c := range faults.Cells() {
		if c.Engine != faults.EngineEdge {
			continue
		}
		if proved[c.Action] == "" {
			t.Errorf("claimed and not proved: %s", c.Action)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Action, c.Meaning, proved[c.Action])
		delete(proved, c.Action)
	}
	for a := range proved {
		t.Errorf("proved and not claimed, or twice: %s", a)
	}
	old, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), opening)
	_, after, ok2 := strings.Cut(rest, closing)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks of its generated part", docsFile)
	}
	if want := before + opening + b.String() + "\n" + closing + after; *rewrite {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(old) {
		t.Errorf("%s is not what the code says; -rewrite writes it anew", docsFile)
	}
}
