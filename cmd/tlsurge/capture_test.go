package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tlsurge/faults"
	"tlsurge/results"
)

// TestTheWireShowsWhatTheTableNames: for every kind of error in the outcome table, a capture of that
// very connection, taken by tcpdump, shows the alert or the close that the outcome names.
func TestTheWireShowsWhatTheTableNames(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("two acts and a capture")
	}
	tcpdump := requirePeer(t, "tcpdump")
	if os.Geteuid() != 0 {
		t.Skip("capturing on loopback takes root")
	}
	capture := filepath.Join(t.TempDir(), "lo.pcap")
	stop := record(t, tcpdump, capture)
	p := play(t, append(slices.Clone(small), "--set", "phases.trigger-gone.duration=1s",
		"--set", "faults.connection-table-pressure.max=60")...)
	stop()
	wire := readCapture(t, capture)
	kinds := map[string]bool{}
	for i := range p.attempts {
		a := &p.attempts[i]
		if a.Class == results.ClassOK || a.Class == results.ClassHTTPStatus {
			continue
		}
		kind := fmt.Sprintf("%s alert %d by %q", a.Class, a.Alert, a.Sender)
		kinds[kind] = true
		if err := last(wire[a.Tuple], a).shows(a); err != nil {
			t.Errorf("%s: %v: %+v", kind, err, a)
		}
	}
	for _, want := range []string{`peer_alert alert 40 by "server"`, `peer_alert alert 47 by "server"`,
		`peer_alert alert 86 by "server"`, `reset alert -1 by ""`, `eof alert -1 by ""`} {
		if !kinds[want] {
			t.Errorf("no outcome of the kind %s: %v", want, kinds)
		}
	}
}

// requirePeer finds a program that the test needs; TLSURGE_REQUIRE makes its absence a failure.
func requirePeer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("TLSURGE_REQUIRE"), ","), name) {
			t.Fatalf("%s is required and not there", name)
		}
		t.Skipf("no %s here", name)
	}
	return path
}

// record starts tcpdump on loopback and waits until it listens; the returned function ends it.
func record(t *testing.T, tcpdump, file string) (stop func()) {
	t.Helper()
	// -U writes each packet at once; the edges' addresses and the agents' sources are all in 127/8.
	cmd := exec.Command(tcpdump, "-i", "lo", "-U", "-B", "65536", "-s", "65535", "-w", file, "-Z", "root",
		"tcp and (net 127.0.0.8/29 or net 127.1.0.0/16 or net 127.2.0.0/16 or net 127.64.0.0/10)")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stderr).ReadString('\n')
	for err == nil && !strings.Contains(line, "listening on") {
		line, err = bufio.NewReader(stderr).ReadString('\n')
	}
	if err != nil {
		t.Fatalf("tcpdump: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
		}
	}
}

// seen is what a capture holds of one connection, in the direction from server to client.
type seen struct {
	began    time.Time // the server's SYN-ACK
	payload  []byte
	fin, rst bool
}

// last is the connection of the attempt: the last that began before the attempt was over. Loopback gives a port away
// again as soon as its connection has rested for a second (tcp_tw_reuse).
func last(all []*seen, a *results.Attempt) (s *seen) {
	over := a.Intended.Add(time.Duration(a.EndNs) + 50*time.Millisecond)
	for _, c := range all {
		if c.began.Before(over) {
			s = c
		}
	}
	return s
}

func readCapture(t *testing.T, file string) map[faults.Tuple][]*seen {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	all := map[faults.Tuple][]*seen{}
	next := map[faults.Tuple]uint32{}
	for {
		data, info, err := r.ReadPacketData()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return all
		}
		packet := gopacket.NewPacket(data, r.LinkType(), gopacket.DecodeOptions{NoCopy: true, Lazy: true})
		ip, ok := packet.NetworkLayer().(*layers.IPv4)
		tcp, ok2 := packet.TransportLayer().(*layers.TCP)
		if !ok || !ok2 {
			continue
		}
		from, to := end(ip.SrcIP, tcp.SrcPort), end(ip.DstIP, tcp.DstPort)
		key := faults.Tuple{Client: to, Server: from}
		if list := all[key]; len(list) == 0 || tcp.SYN && tcp.Seq+1 != next[key] {
			all[key] = append(list, &seen{began: info.Timestamp})
		}
		s := all[key][len(all[key])-1]
		s.fin, s.rst = s.fin || tcp.FIN, s.rst || tcp.RST
		if tcp.SYN {
			next[key] = tcp.Seq + 1
		}
		// In order as sent: a retransmission begins before what is expected next.
		if len(tcp.Payload) > 0 && tcp.Seq == next[key] {
			s.payload = append(s.payload, tcp.Payload...)
			next[key] += uint32(len(tcp.Payload))
		}
	}
}

func end(ip []byte, port layers.TCPPort) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a, uint16(port))
}

// shows holds an outcome against the capture of its connection.
func (s *seen) shows(a *results.Attempt) error {
	if s == nil {
		return errors.New("the capture has no packet of it")
	}
	switch a.Class {
	case results.ClassPeerAlert:
		got, ok := lastAlert(s.payload)
		if !ok || got != a.Alert {
			return fmt.Errorf("the server's last record is no alert %d (alert: %v, %d): % x", a.Alert, ok, got, s.payload)
		}
	case results.ClassReset, results.ClassRequestReset:
		if !s.rst {
			return errors.New("the capture shows no RST to the client")
		}
	case results.ClassEOF, results.ClassRequestEOF:
		// An edge that closes on a request that it has not read sends close_notify, and its kernel a RST behind it.
		if !s.fin && !(s.rst && endsInAlert(s.payload)) {
			return errors.New("the capture shows no FIN to the client, nor a close_notify and a RST")
		}
	default:
		return fmt.Errorf("no rule for class %s", a.Class)
	}
	return nil
}

// endsInAlert says whether the last record is an alert, sealed or not.
func endsInAlert(p []byte) bool {
	alert := false
	for len(p) >= 5 {
		n := 5 + int(p[3])<<8 + int(p[4])
		if n > len(p) {
			return false
		}
		alert, p = p[0] == 21, p[n:]
	}
	return alert
}

// lastAlert walks the records and gives the description of a plain fatal alert at their end.
func lastAlert(p []byte) (description int, ok bool) {
	for len(p) >= 5 {
		n := 5 + int(p[3])<<8 + int(p[4])
		if n > len(p) {
			return 0, false
		}
		if n == len(p) && p[0] == 21 && n == 7 && p[5] == 2 {
			return int(p[6]), true
		}
		p = p[n:]
	}
	return 0, false
}
