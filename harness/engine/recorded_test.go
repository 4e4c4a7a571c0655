package engine

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Recorded sessions with OpenSSL: what our end sent and read, replayed byte for byte. -update talks to
// the installed openssl anew; without it nothing but the files is needed.
var update = flag.Bool("update", false, "record the sessions of testdata/openssl again with the installed openssl")

// turn is one stretch of bytes in one direction.
type turn struct {
	ours  bool
	bytes []byte
}

type recorded struct {
	name    string
	version wire.Version
	suite   wire.CipherSuite
	cert    string
	resume  Resumption
	tweak   func(*hello.ClientHello)
	args    []string // to openssl
	facts   func(*Facts) string
}

func withEMS(ch *hello.ClientHello) { setExt(ch, wire.ExtExtendedMasterSecret, nil) }
func withEtM(ch *hello.ClientHello) { setExt(ch, wire.ExtEncryptThenMAC, nil) }
func withNPN(ch *hello.ClientHello) { setExt(ch, wire.ExtNextProtoNegotiation, nil) }
func withALPN(ch *hello.ClientHello) {
	setExt(ch, wire.ExtALPN, alpnExt("http/1.1"))
}

var recordedClients = []recorded{
	{name: "tls10-rsa-aes128-sha", version: wire.TLS10, suite: wire.TLS_RSA_WITH_AES_128_CBC_SHA, cert: "rsa"},
	{name: "tls10-ecdhe-rsa-aes256-sha-id", version: wire.TLS10, suite: wire.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, cert: "rsa", resume: ByID},
	{name: "tls11-ecdhe-ecdsa-aes128-sha-ticket", version: wire.TLS11, suite: wire.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, cert: "ecdsa", resume: ByTicket},
	{name: "tls11-dhe-rsa-aes128-sha", version: wire.TLS11, suite: wire.TLS_DHE_RSA_WITH_AES_128_CBC_SHA, cert: "rsa"},
	{name: "tls12-ecdhe-rsa-aes128-gcm-ticket", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cert: "rsa", resume: ByTicket},
	{name: "tls12-ecdhe-ecdsa-aes256-gcm-id", version: wire.TLS12, suite: wire.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, cert: "ecdsa", resume: ByID},
	{name: "tls12-rsa-aes256-sha256-ems", version: wire.TLS12, suite: wire.TLS_RSA_WITH_AES_256_CBC_SHA256, cert: "rsa", tweak: withEMS,
		facts: func(f *Facts) string { return fmt.Sprintf("EMS %v", f.EMS) }},
	{name: "tls12-ecdhe-rsa-aes256-sha384-etm", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, cert: "rsa", tweak: withEtM,
		facts: func(f *Facts) string { return fmt.Sprintf("EtM %v", f.EtM) }},
	{name: "tls12-ecdhe-ecdsa-chacha20-alpn", version: wire.TLS12, suite: wire.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, cert: "ecdsa", tweak: withALPN,
		args: []string{"-alpn", "http/1.1"}, facts: func(f *Facts) string { return "ALPN " + f.ALPN }},
	{name: "tls12-ecdhe-rsa-aes128-sha-npn", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, cert: "rsa", tweak: withNPN,
		args: []string{"-nextprotoneg", "spdy/3,http/1.1"}, facts: func(f *Facts) string { return "NPN " + f.NPN }},
	{name: "tls12-dhe-rsa-aes256-gcm", version: wire.TLS12, suite: wire.TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, cert: "rsa"},
	{name: "tls12-dhe-rsa-chacha20", version: wire.TLS12, suite: wire.TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256, cert: "rsa"},
	{name: "tls12-client-certificate-rsa", version: wire.TLS12, suite: wire.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cert: "rsa",
		args: []string{"-Verify", "1", "-CAfile", "testdata/rsa.crt"}, facts: func(f *Facts) string { return fmt.Sprintf("client certificate %v", f.ClientCert) }},
	{name: "tls10-client-certificate-rsa", version: wire.TLS10, suite: wire.TLS_RSA_WITH_AES_128_CBC_SHA, cert: "rsa",
		args: []string{"-Verify", "1", "-CAfile", "testdata/rsa.crt"}, facts: func(f *Facts) string { return fmt.Sprintf("client certificate %v", f.ClientCert) }},
}

// TestRecordedServers replays s_server's side to our client.
func TestRecordedServers(t *testing.T) {
	for _, r := range recordedClients {
		t.Run(r.name, func(t *testing.T) {
			file := filepath.Join("testdata/openssl", "server-"+r.name+".txt")
			ends := []*end{newClientEnd(t, r, nil)}
			if *update {
				addr, stop := startServer(t, r)
				defer stop()
				log := ends[0].talk(t, addr)
				if r.resume != NotResumed {
					ends = append(ends, newClientEnd(t, r, ends[0].session))
					log = append(log, turn{})
					log = append(log, ends[1].talk(t, addr)...)
				}
				writeTurns(t, file, log)
				return
			}
			parts := readTurns(t, file)
			ends[0].replay(t, parts[0])
			ends[0].check(t, r, NotResumed)
			if r.resume != NotResumed {
				e := newClientEnd(t, r, ends[0].session)
				e.replay(t, parts[1])
				e.check(t, r, r.resume)
			}
		})
	}
}

// end is our side of a recorded session.
type end struct {
	conn    *Conn
	session *Session
	got     []byte
	sent    bool
	say     []byte
	client  bool
}

func newClientEnd(t *testing.T, r recorded, s *Session) *end {
	ch := basicHello(r.version, r.suite)
	if r.resume == ByTicket {
		setExt(ch, wire.ExtSessionTicket, nil)
	}
	if r.tweak != nil {
		r.tweak(ch)
	}
	cfg := &ClientConfig{Rand: seeded(3), Session: s, Certificate: fileCert("rsa")}
	if s != nil {
		ch.SessionID = s.ID
		if len(s.Ticket) > 0 {
			ch.SessionID = bytes.Repeat([]byte{9}, 32)
			setExt(ch, wire.ExtSessionTicket, s.Ticket)
		}
	}
	c, err := NewClient(cfg, ch)
	if err != nil {
		t.Fatal(err)
	}
	return &end{conn: c, say: []byte("GET / HTTP/1.0\r\n\r\n"), client: true}
}

// take feeds the peer's bytes and gives what we answer.
func (e *end) take(t *testing.T, in []byte) []byte {
	t.Helper()
	if len(in) > 0 {
		if err := e.conn.Receive(testNow, bytes.Clone(in)); err != nil {
			t.Fatalf("Receive: %v", err)
		}
	}
	for ev := e.conn.Next(); ev.Kind != EventNone; ev = e.conn.Next() {
		switch ev.Kind {
		case EventSession:
			e.session = ev.Session
		case EventData:
			e.got = append(e.got, ev.Data...)
		case EventCloseNotify:
			e.conn.CloseNotify()
		}
	}
	if e.conn.HandshakeDone() && !e.sent && (e.client || len(e.got) > 0) {
		e.sent = true
		if err := e.conn.Send(e.say); err != nil {
			t.Fatal(err)
		}
		if !e.client {
			e.conn.CloseNotify()
		}
	}
	return e.conn.AppendOutput(nil)
}

// talk runs the real session and notes who said what.
func (e *end) talk(t *testing.T, addr string) (log []turn) {
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	return e.run(t, nc)
}

func (e *end) run(t *testing.T, nc net.Conn) (log []turn) {
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 65536)
	out := e.take(t, nil)
	for {
		if len(out) > 0 {
			log = append(log, turn{true, out})
			if _, err := nc.Write(out); err != nil {
				t.Fatal(err)
			}
		}
		n, err := nc.Read(buf)
		if n == 0 {
			if err != io.EOF && !e.conn.peerClosed {
				t.Fatal(err)
			}
			return log
		}
		log = append(log, turn{false, bytes.Clone(buf[:n])})
		out = e.take(t, buf[:n])
	}
}

// replay feeds the recorded bytes and holds our own against the recording.
func (e *end) replay(t *testing.T, log []turn) {
	t.Helper()
	out := e.take(t, nil)
	for i, s := range log {
		if !s.ours {
			if len(out) > 0 {
				t.Fatalf("turn %d: we sent %x, the recording has the peer speaking", i, out)
			}
			out = e.take(t, s.bytes)
			continue
		}
		if !bytes.Equal(out, s.bytes) {
			t.Fatalf("turn %d: sent\n%x\nrecorded\n%x", i, out, s.bytes)
		}
		out = nil
	}
}

func (e *end) check(t *testing.T, r recorded, resumed Resumption) {
	t.Helper()
	f := e.conn.Facts()
	if !e.conn.HandshakeDone() || f.Version != r.version || f.Suite != r.suite || f.Resumed != resumed {
		t.Fatalf("done %v, %v %v resumed %q", e.conn.HandshakeDone(), f.Version, f.Suite, f.Resumed)
	}
	if len(e.got) == 0 {
		t.Fatal("no application data in the recording")
	}
	if r.facts == nil {
		return
	}
	switch got := r.facts(f); got {
	case "EMS true", "EtM true", "ALPN http/1.1", "NPN http/1.1", "client certificate true":
	default:
		t.Fatalf("negotiated %s", got)
	}
}

func startServer(t *testing.T, r recorded) (addr string, stop func()) {
	args := []string{"s_server", "-accept", "127.0.0.1:0", "-www", "-cipher", "ALL:@SECLEVEL=0", "-min_protocol", "TLSv1",
		"-max_protocol", "TLSv1.2", "-cert", "testdata/" + r.cert + ".crt", "-key", "testdata/" + r.cert + ".key"}
	cmd := exec.Command("openssl", append(args, r.args...)...)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { cmd.Process.Kill(); cmd.Wait() }
	for range 100 {
		if _, a, ok := strings.Cut(out.String(), "ACCEPT "); ok {
			if a, _, ok = strings.Cut(a, "\n"); ok {
				return strings.TrimSpace(a), stop
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	t.Fatalf("openssl s_server does not listen: %s", out.String())
	return "", nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A recording is text: "> hex" is what we sent, "< hex" what we read, "---" a new connection.
func writeTurns(t *testing.T, file string, log []turn) {
	var b strings.Builder
	for _, s := range log {
		switch {
		case s.bytes == nil:
			b.WriteString("---\n")
		case s.ours:
			fmt.Fprintf(&b, "> %x\n", s.bytes)
		default:
			fmt.Fprintf(&b, "< %x\n", s.bytes)
		}
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readTurns(t *testing.T, file string) (parts [][]turn) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts = [][]turn{nil}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "---" {
			parts = append(parts, nil)
			continue
		}
		p, err := hex.DecodeString(line[2:])
		if err != nil {
			t.Fatal(err)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], turn{line[0] == '>', p})
	}
	return parts
}
