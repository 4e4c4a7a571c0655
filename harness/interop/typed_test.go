package interop

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// typed is a program at whose standard input commands are typed, one after what it printed to the one before.
type typed struct {
	p     *process
	stdin io.WriteCloser
	mu    sync.Mutex
	seen  *sync.Cond
	text  string
}

func typeTo(t *testing.T, program string, args ...string) *typed {
	t.Helper()
	cmd := exec.Command(program, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ty := &typed{stdin: stdin}
	ty.seen = sync.NewCond(&ty.mu)
	ty.p = start(t, cmd, func(line string) {
		ty.mu.Lock()
		defer ty.mu.Unlock()
		ty.text += line
		ty.seen.Broadcast()
	})
	t.Cleanup(func() { stdin.Close() })
	return ty
}

// after waits until the program has printed words, and gives the line that they are in.
func (ty *typed) after(t *testing.T, words string) string {
	t.Helper()
	timer := time.AfterFunc(patience, func() { ty.stdin.Close(); ty.p.cmd.Process.Kill() })
	defer timer.Stop()
	ty.mu.Lock()
	defer ty.mu.Unlock()
	for !strings.Contains(ty.text, words) {
		select {
		case <-ty.p.done:
			t.Fatalf("%s ended and never printed %q:\n%s", ty.p.cmd, words, ty.text)
		default:
		}
		go func() { // the end of the program is news too
			<-ty.p.done
			ty.seen.Broadcast()
		}()
		ty.seen.Wait()
	}
	_, rest, _ := strings.Cut(ty.text, words)
	line, _, _ := strings.Cut(rest, "\n")
	ty.text = rest
	return line
}

func (ty *typed) say(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(ty.stdin, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// TestKeyUpdateTyped: a client changes its keys by command, asking for ours or not, and goes on to its request;
// s_server does so too.
func TestKeyUpdateTyped(t *testing.T) {
	need(t, "openssl", "gnutls")
	for _, v := range []struct{ name, command, ready, done string }{
		{"s_client, both", "K", "Verify return code: 0", "KEYUPDATE"},
		{"s_client, its own", "k", "Verify return code: 0", "KEYUPDATE"},
		{"gnutls-cli, both", "^rekey^", "Simple Client Mode", "Rekey was completed"},
		{"gnutls-cli, its own", "^rekey1^", "Simple Client Mode", "Rekey was completed"},
	} {
		t.Run(v.name, func(t *testing.T) {
			s, err := serve(serverConfig(cell{version: wire.TLS13, suite: wire.TLS_AES_128_GCM_SHA256, group: wire.X25519, cert: "ecdsa", mode: modePSK}), false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.stop()
			program, args := "openssl", []string{"s_client", "-connect", s.addr, "-servername", serverName, "-CAfile", pki().caFile, "-verify_return_error", "-tls1_3"}
			if strings.HasPrefix(v.name, "gnutls") {
				host, port, _ := net.SplitHostPort(s.addr)
				program, args = "gnutls-cli", []string{"-p", port, "--x509cafile", pki().caFile, "--sni-hostname", serverName, "--verify-hostname", serverName,
					"--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "--inline-commands", host}
			}
			c := typeTo(t, program, args...)
			c.after(t, v.ready)
			for range 3 {
				c.say(t, v.command)
				c.after(t, v.done)
			}
			c.say(t, strings.ReplaceAll(strings.TrimSpace(request), "\r\n", "\n")+"\r\n\r\n")
			c.after(t, "200 OK")
			r, err := s.next()
			if err != nil || r.err != nil {
				t.Fatal(err, r.err)
			}
			if r.facts.KeyUpdates != 3 {
				t.Errorf("%d KeyUpdates came, three were typed", r.facts.KeyUpdates)
			}
		})
	}
	for _, command := range []string{"K", "k"} {
		t.Run("s_server "+command, func(t *testing.T) {
			s, addr := typedServer(t, "-tls1_3")
			l := meet(t, addr, offer{})
			s.after(t, "CIPHER is")
			for i := range uint16(3) { // what it says of them stays in its buffer
				s.say(t, command)
				for l.c.Facts().KeyUpdates == i {
					if err := l.pump(); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.say(t, "after the update")
			for !strings.Contains(string(l.data), "after the update") {
				if err := l.pump(); err != nil {
					t.Fatal(err)
				}
			}
			if n := l.c.Facts().KeyUpdates; n != 3 {
				t.Errorf("%d KeyUpdates came, three were typed", n)
			}
			if err := l.c.Send([]byte("under the new keys\n")); err != nil {
				t.Fatal(err)
			}
			if err := l.flush(); err != nil {
				t.Fatal(err)
			}
			s.after(t, "under the new keys")
		})
	}
}

// typedServer is an s_server of one version that talks.
func typedServer(t *testing.T, version string, extra ...string) (*typed, string) {
	id := pki().identity("ecdsa")
	s := typeTo(t, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", id.certFile, "-key", id.keyFile, version}, extra...)...)
	return s, strings.TrimSpace(s.after(t, "ACCEPT "))
}

// meet shakes hands in TLS 1.3 and leaves the connection open.
func meet(t *testing.T, addr string, o offer) *link {
	t.Helper()
	o.max, o.suites, o.groups = wire.TLS13, []wire.CipherSuite{wire.TLS_AES_128_GCM_SHA256}, []wire.Group{wire.X25519}
	return meetAs(t, addr, o, nil)
}

// meetAs shakes hands as o offers, after change of what is configured and said.
func meetAs(t *testing.T, addr string, o offer, change func(*engine.ClientConfig, *hello.ClientHello)) *link {
	t.Helper()
	cfg, ch, err := o.build(seeded(5), &engine.Verifier{Roots: pki().roots})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg, ch)
	}
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c, err := engine.NewClient(cfg, ch)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(nc, c)
	if err := l.handshake(); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTicketsAndEarlyDataOfSServer: as many NewSessionTickets as it was told to send, and 0-RTT data accepted by an
// s_server that allows it, once: its replay protection takes a ticket for one use.
func TestTicketsAndEarlyDataOfSServer(t *testing.T) {
	need(t, "openssl")
	for _, tickets := range []int{0, 1, 5} {
		s, addr := typedServer(t, "-tls1_3", "-num_tickets", fmt.Sprint(tickets), "-early_data", "-max_early_data", "4096")
		l := meet(t, addr, offer{})
		s.after(t, "CIPHER is")
		s.say(t, "good day")
		for !strings.Contains(string(l.data), "good day") {
			if err := l.pump(); err != nil {
				t.Fatal(err)
			}
		}
		if len(l.sessions) != tickets {
			t.Errorf("%d tickets came, %d were to come", len(l.sessions), tickets)
		}
		l.c.CloseNotify()
		l.flush()
		l.nc.Close()
		if tickets == 0 {
			continue
		}
		session := l.sessions[0]
		for i, accepted := range []bool{true, false} {
			l = meet(t, addr, offer{session: session, early: []byte("early words\n")})
			if f := l.c.Facts(); f.EarlyOK != accepted || l.rejected == accepted {
				t.Errorf("ticket used %d times before: 0-RTT accepted %v, rejected %v", i, f.EarlyOK, l.rejected)
			}
			if accepted {
				s.after(t, "early words")
			}
			l.c.CloseNotify()
			l.flush()
			l.nc.Close()
		}
	}
}
