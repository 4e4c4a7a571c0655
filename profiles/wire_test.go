package profiles

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/profiles/hello"
)

// TestOnTheWire compares what a packet capture of our own connections shows, not what the builder gave:
// every recorded hello goes over loopback, tcpdump watches, and import reads the capture back.
func TestOnTheWire(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	file := filepath.Join(t.TempDir(), "own.pcap")
	stop := capture(t, file, ln.Addr().(*net.TCPAddr).Port)
	defer stop()

	rs := dataset(t)
	sent := make(map[netip.AddrPort]recorded)
	for i, r := range rs {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		sent[c.LocalAddr().(*net.TCPAddr).AddrPort()] = r
		if _, err := c.Write(r.build(t, byte(i)).AppendRecords(nil)); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	var found []hello.Captured
	for deadline := time.Now().Add(20 * time.Second); len(found) < len(rs) && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 {
			continue
		}
		found, _ = hello.Import(data)
	}
	stop()
	if len(found) != len(rs) {
		for _, c := range found {
			delete(sent, c.Client)
		}
		t.Fatalf("%d hellos in the capture, %d were sent; missing %v", len(found), len(rs), sent)
	}
	for _, c := range found {
		r, ok := sent[c.Client]
		if !ok {
			t.Errorf("a hello from %v, which sent none", c.Client)
			continue
		}
		delete(sent, c.Client)
		if err := r.matches(c.Hello, c.Raw); err != nil {
			t.Errorf("%s: %v", r.Slug, err)
		}
	}
}

// matches holds a hello against the record of the real client's.
func (r *recorded) matches(ch *hello.ClientHello, raw []byte) error {
	if got := ch.JA4(); got != r.JA4 {
		return fmt.Errorf("JA4 %s, the client's is %s", got, r.JA4)
	}
	if r.Shuffled {
		if got := ch.UnorderedIdentity(); got != r.Identity {
			return fmt.Errorf("unordered identity %s, the client's is %s", got, r.Identity)
		}
		return nil
	}
	if got := ch.JA3Hash(); got != r.JA3 {
		return fmt.Errorf("JA3 %s, the client's is %s", got, r.JA3)
	}
	if len(raw) != r.Length {
		return fmt.Errorf("%d bytes, the client sent %d", len(raw), r.Length)
	}
	masked := append([]byte(nil), raw...)
	for _, v := range r.Volatile {
		clear(masked[v[0] : v[0]+v[1]])
	}
	if sum := sha256.Sum256(masked); hex.EncodeToString(sum[:]) != r.SHA256 {
		return fmt.Errorf("masked bytes differ from the client's: %x", masked)
	}
	return nil
}

// capture starts tcpdump on loopback for one port and returns when it listens. Without tcpdump, or without
// the right to capture, the test is skipped, unless TLSURGE_REQUIRE names tcpdump.
func capture(t *testing.T, file string, port int) (stop func()) {
	t.Helper()
	absent := func(why any) {
		if strings.Contains(","+os.Getenv("TLSURGE_REQUIRE")+",", ",tcpdump,") {
			t.Fatalf("tcpdump is required: %v", why)
		}
		t.Skipf("no packet capture: %v", why)
	}
	path, err := exec.LookPath("tcpdump")
	if err != nil {
		absent(err)
	}
	cmd := exec.Command(path, "-i", "lo", "-s", "4096", "-B", "16384", "-U", "--immediate-mode", "-Z", "root", "-w", file, "tcp", "dst", "port", fmt.Sprint(port))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		absent(err)
	}
	lines := bufio.NewScanner(stderr)
	said := ""
	for lines.Scan() {
		said = lines.Text()
		if strings.Contains(said, "listening on") {
			go io.Copy(io.Discard, stderr)
			stopped := false
			return func() {
				if !stopped {
					stopped = true
					cmd.Process.Signal(os.Interrupt)
					cmd.Wait()
				}
			}
		}
	}
	cmd.Wait()
	absent(said)
	return nil
}
