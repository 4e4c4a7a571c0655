package evidence

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"go.uber.org/goleak"

	"tlsurge/faults"
	"tlsurge/results"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin captures what goes to one address on loopback of the caller's namespace.
func begin(t *testing.T, limit int64, servers ...netip.AddrPort) *Capture {
	t.Helper()
	c, err := Start(Config{Dir: t.TempDir(), Places: []Place{{Clients: true, Servers: true}}, Nets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Limit: limit})
	if errors.Is(err, faults.ErrUnsupported) {
		if os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Serve(servers...)
	return c
}

// talk opens a connection, sends a message whole and closes.
func talk(t *testing.T, l net.Listener, message []byte) faults.Tuple {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, c)
			c.Close()
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Write(message)
	c.Close()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	return faults.Tuple{Client: c.LocalAddr().(*net.TCPAddr).AddrPort(), Server: c.RemoteAddr().(*net.TCPAddr).AddrPort()}
}

func listen(t *testing.T) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).AddrPort()
}

// read gives the payloads of a file, its comments, and checks that the secrets stand before the packets.
func read(t *testing.T, file string) (payload []byte, packets int, comments []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(b, []byte("CLIENT_RANDOM aa bb")); at < 0 || at > 1000 {
		t.Errorf("%s: the secrets stand at %d", file, at)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, options, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return payload, packets, comments
		}
		if err != nil {
			t.Fatal(err)
		}
		s, ok := parseSegment(data)
		if !ok || options.Flags == nil {
			t.Fatalf("%s: packet %d is no segment, or has no direction", file, packets+1)
		}
		packets++
		comments = append(comments, options.Comments...)
		payload = append(payload, data[len(data)-int(s.size):]...)
	}
}

// TestCapture: both ends' files have every byte, segments of 64 KiB whole; a stranger on another port is in
// neither.
func TestCapture(t *testing.T) {
	ours, at := listen(t)
	strangers, _ := listen(t)
	c := begin(t, 0, at)
	if err := os.WriteFile(KeyPrefix(c.cfg.Dir)+"agent-1", []byte("CLIENT_RANDOM aa bb\nhalf a\nCLIENT_RANDOM aa bb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	message := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	talk(t, strangers, []byte("not for us"))
	tuple := talk(t, ours, message)
	attempt := results.Attempt{Key: faults.Key{Phase: "p", Attempt: 1}, Tuple: tuple, Profile: "firefox-35-osx", Class: results.ClassReset, Alert: -1,
		UserSees: "an error", Intended: time.Now(), ConnectedNs: -1, HandshakeNs: -1}
	sum, err := c.Write(&results.Joined{Attempts: []results.Attempt{attempt}})
	if err != nil {
		t.Fatal(err)
	}
	if c.drops > 0 {
		t.Fatalf("%d packets missed", c.drops)
	}
	for e, name := range []string{ClientFile, ServerFile} {
		payload, packets, comments := read(t, filepath.Join(c.dir, name))
		if !bytes.Equal(payload, message) {
			t.Errorf("%s has %d bytes of payload, want %d", name, len(payload), len(message))
		}
		if packets != sum.Packets[e] || packets == 0 {
			t.Errorf("%s has %d packets, the summary says %d", name, packets, sum.Packets[e])
		}
		if len(comments) == 0 || !strings.HasPrefix(comments[0], "ATTEMPT: firefox-35-osx") {
			t.Errorf("%s: comments %q", name, comments)
		}
	}
	if _, err := os.Stat(c.spool()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spool is still there: %v", err)
	}
	if keys, err := os.ReadFile(filepath.Join(c.dir, KeysFile)); err != nil || string(keys) != "CLIENT_RANDOM aa bb\n" {
		t.Errorf("keys %q, %v", keys, err)
	}
	if notes := c.Notes(); len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
}

// TestTheLimit: what no longer fits is left out, and said.
func TestTheLimit(t *testing.T) {
	ours, at := listen(t)
	c := begin(t, 100<<10, at)
	talk(t, ours, make([]byte, 1<<20))
	c.Stop()
	info, err := os.Stat(c.spool())
	if err != nil || info.Size() > 100<<10+1000 {
		t.Errorf("spool: %d bytes, %v", info.Size(), err)
	}
	if notes := c.Notes(); len(notes) == 0 || !strings.Contains(strings.Join(notes, " "), "limit of 102400 bytes") {
		t.Errorf("notes %q", notes)
	}
	if _, err := c.Write(&results.Joined{}); err != nil {
		t.Error(err)
	}
}
