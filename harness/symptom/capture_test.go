package symptom

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tlsurge/profiles"
	"tlsurge/profiles/wire"
)

// wireTap writes packets of one link type as a capture.
type wireTap struct {
	t    *testing.T
	link layers.LinkType
	vlan bool
	out  bytes.Buffer
	add  func([]byte, time.Time)
	now  time.Time
}

func newTap(t *testing.T, link layers.LinkType, format string, snap int) *wireTap {
	w := &wireTap{t: t, link: link, now: time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)}
	info := func(b []byte, at time.Time) ([]byte, gopacket.CaptureInfo) {
		kept := b[:min(len(b), snap)]
		return kept, gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(kept), Length: len(b)}
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if format == "pcapng" {
		ng, err := pcapgo.NewNgWriter(&w.out, link)
		check(err)
		w.add = func(b []byte, at time.Time) {
			kept, ci := info(b, at)
			check(ng.WritePacket(ci, kept))
			check(ng.Flush())
		}
		return w
	}
	pc := pcapgo.NewWriter(&w.out)
	if format == "nanoseconds" {
		pc = pcapgo.NewWriterNanos(&w.out)
	}
	check(pc.WriteFileHeader(uint32(snap), link))
	w.add = func(b []byte, at time.Time) {
		kept, ci := info(b, at)
		check(pc.WritePacket(ci, kept))
	}
	return w
}

// packet sends one segment. flags: S, A, F, R.
func (w *wireTap) packet(src, dst netip.AddrPort, seq, ack uint32, flags string, ttl uint8, data []byte) {
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: seq, Ack: ack, Window: 65535,
		SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A"), FIN: strings.Contains(flags, "F"), RST: strings.Contains(flags, "R")}
	var stack []gopacket.SerializableLayer
	ether := layers.EthernetTypeIPv4
	if src.Addr().Is6() {
		ether = layers.EthernetTypeIPv6
	}
	switch w.link {
	case layers.LinkTypeEthernet:
		e := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: ether}
		stack = append(stack, e)
		if w.vlan {
			e.EthernetType = layers.EthernetTypeDot1Q
			stack = append(stack, &layers.Dot1Q{VLANIdentifier: 7, Type: ether})
		}
	}
	if src.Addr().Is6() {
		ip := &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		stack = append(stack, ip)
	} else {
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: ttl, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		stack = append(stack, ip)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(stack, tcp, gopacket.Payload(data))...); err != nil {
		w.t.Fatal(err)
	}
	raw := buf.Bytes()
	proto := []byte{byte(ether >> 8), byte(ether)}
	switch w.link {
	case layers.LinkTypeNull:
		raw = append([]byte{2, 0, 0, 0}, raw...)
	case layers.LinkTypeLinuxSLL:
		raw = append(append([]byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, proto...), raw...)
	case layers.LinkTypeLinuxSLL2:
		raw = append(append(bytes.Clone(proto), 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0), raw...)
	}
	w.add(raw, w.now)
	w.now = w.now.Add(3 * time.Millisecond)
}

// talk is one connection on the tap.
type talk struct {
	*wireTap
	client, server netip.AddrPort
	c, s           uint32
}

func (w *wireTap) connect(client, server string) *talk {
	k := &talk{w, netip.MustParseAddrPort(client), netip.MustParseAddrPort(server), 4294967000, 77}
	w.packet(k.client, k.server, k.c, 0, "S", 64, nil)
	k.c++
	w.packet(k.server, k.client, k.s, k.c, "SA", 57, nil)
	k.s++
	w.packet(k.client, k.server, k.c, k.s, "A", 64, nil)
	return k
}

func (k *talk) says(data []byte) {
	k.packet(k.client, k.server, k.c, k.s, "A", 64, data)
	k.c += uint32(len(data))
}

func (k *talk) answers(data []byte) {
	k.packet(k.server, k.client, k.s, k.c, "A", 57, data)
	k.s += uint32(len(data))
}

func (k *talk) serverEnds(flags string, ttl uint8) {
	k.packet(k.server, k.client, k.s, k.c, flags, ttl, nil)
}

// helloOf gives a profile's hello: plan of its first attempt, or of the one after a reset.
func helloOf(t *testing.T, name string, fallback bool) []byte {
	t.Helper()
	p, err := profiles.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMemory()
	plan := m.First()
	if fallback {
		d := m.Failed(plan, profiles.Failure{Kind: profiles.FailReset, AwaitingServerHello: true, Version: plan.MaxVersion})
		if !d.Retry {
			t.Fatalf("%s does not retry", name)
		}
		plan = d.Next
	}
	hp := profiles.HelloParams{ServerName: "www.example.test", Random: rand.NewChaCha8([32]byte{1}), Shares: func(wire.Group) []byte { return make([]byte, 32) }}
	plan.Params(&hp)
	h, err := p.Hello(&hp)
	if err != nil {
		t.Fatal(err)
	}
	return h.AppendRecords(nil)
}

func (w *wireTap) report() *Report {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "capture")
	if err := os.WriteFile(path, w.out.Bytes(), 0o600); err != nil {
		w.t.Fatal(err)
	}
	r, err := Read(context.Background(), []string{path}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func alert(level, number byte) []byte { return []byte{21, 3, 1, 0, 2, level, number} }

// chainOfTheThread: a first hello that is reset, and the fallback that a server which knows better refuses.
func chainOfTheThread(w *wireTap, client, server string) {
	addr := netip.MustParseAddrPort(client)
	k := w.connect(client, server)
	first := helloOf(w.t, "firefox-35-osx", false)
	k.says(first[:100])
	k.packet(k.client, k.server, k.c-100, k.s, "A", 64, first[:100]) // sent again
	k.says(first[100:])
	k.serverEnds("R", 57)
	k = w.connect(netip.AddrPortFrom(addr.Addr(), addr.Port()+1).String(), server)
	k.says(helloOf(w.t, "firefox-35-osx", true))
	k.answers(alert(2, 86))
	k.serverEnds("FA", 57)
}

// TestCaptures: the chain is found in captures of every kind.
func TestCaptures(t *testing.T) {
	const v4, v6 = "192.0.2.7:50000", "[2001:db8::7]:50000"
	for _, c := range []struct {
		why, format, client, server string
		link                        layers.LinkType
		vlan                        bool
	}{
		{"Ethernet", "pcap", v4, "198.51.100.1:443", layers.LinkTypeEthernet, false},
		{"Ethernet with a VLAN tag", "pcap", v4, "198.51.100.1:443", layers.LinkTypeEthernet, true},
		{"IPv6, pcapng", "pcapng", v6, "[2001:db8::1]:443", layers.LinkTypeEthernet, false},
		{"raw IP, nanoseconds", "nanoseconds", v4, "198.51.100.1:443", layers.LinkTypeRaw, false},
		{"BSD loopback", "pcap", v4, "198.51.100.1:443", layers.LinkTypeNull, false},
		{"cooked", "pcap", v4, "198.51.100.1:8443", layers.LinkTypeLinuxSLL, false},
		{"cooked, version 2", "pcapng", v4, "198.51.100.1:443", layers.LinkTypeLinuxSLL2, false},
	} {
		w := newTap(t, c.link, c.format, 1<<16)
		w.vlan = c.vlan
		chainOfTheThread(w, c.client, c.server)
		r := w.report()
		wantLines(t, c.why, r, "1 firefox peer_alert (alert 86 from the server) at client_hello", "1 firefox reset at client_hello")
		if len(r.Chains) != 1 || len(r.Chains[0].Attempts) != 2 || r.Chains[0].Profiles[0] != "firefox-35-osx" || !r.Chains[0].Attempts[1].SCSV || r.Chains[0].Attempts[0].Offered != "TLS 1.2" ||
			!strings.Contains(r.Chains[0].Attempts[0].Text, "1 segments sent again") {
			t.Errorf("%s: chains %+v", c.why, r.Chains)
		}
		if len(r.Hellos) != 2 || r.Hellos[0].JA3 == "" {
			t.Errorf("%s: hellos %+v", c.why, r.Hellos)
		}
	}
}

// TestCaptureEnds: who ended a connection, how and when.
func TestCaptureEnds(t *testing.T) {
	serverHello := append([]byte{22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3}, make([]byte, 36)...)
	for _, c := range []struct {
		why  string
		play func(*wireTap)
		want string
	}{
		{"closed by the server on the hello", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.says(helloOf(t, "chrome-40-win7", false))
			k.serverEnds("FA", 57)
		}, "1 chrome eof at client_hello"},
		{"reset by somebody on the way", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.says(helloOf(t, "chrome-40-win7", false))
			k.serverEnds("R", 61)
		}, "1 chrome RST with another TTL than the server's (61, not 57): something on the way sent it reset at client_hello"},
		{"a client that waits for the ServerHello", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.says(helloOf(t, "chrome-40-win7", false))
			w.now = w.now.Add(time.Minute)
			k.packet(k.client, k.server, k.c, k.s, "FA", 64, nil)
		}, "1 chrome handshake_timeout at client_hello"},
		{"a client that refuses the certificate", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.says(helloOf(t, "chrome-40-win7", false))
			k.answers(serverHello)
			k.says(alert(2, 46))
			k.packet(k.client, k.server, k.c, k.s, "FA", 64, nil)
		}, "1 chrome certificate (alert 46 from the client) at server_hello"},
		{"nobody listens", func(w *wireTap) {
			a, b := netip.MustParseAddrPort("192.0.2.7:50000"), netip.MustParseAddrPort("198.51.100.1:443")
			w.packet(a, b, 5, 0, "S", 64, nil)
			w.packet(b, a, 0, 6, "RA", 57, nil)
		}, "1 connect_refused at syn"},
		{"nobody answers", func(w *wireTap) {
			a, b := netip.MustParseAddrPort("192.0.2.7:50000"), netip.MustParseAddrPort("198.51.100.1:443")
			w.packet(a, b, 5, 0, "S", 64, nil)
			w.packet(a, b, 5, 0, "S", 64, nil)
		}, "1 connect_timeout at syn"},
		{"plain HTTP on the TLS port", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.says(helloOf(t, "chrome-40-win7", false))
			k.answers([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			k.serverEnds("FA", 57)
		}, "1 chrome the server answered in plain HTTP local_alert (alert 10 from the client) at client_hello"},
		{"another protocol on the TLS port", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.says(helloOf(t, "chrome-40-win7", false))
			k.answers([]byte("220 mail.example.test ESMTP\r\n"))
			k.serverEnds("FA", 57)
		}, "1 chrome the server answered in what is no TLS local_alert (alert 10 from the client) at client_hello"},
		{"closed while idle", func(w *wireTap) {
			k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
			k.serverEnds("FA", 57)
		}, "1 eof at client_hello"},
	} {
		w := newTap(t, layers.LinkTypeEthernet, "pcap", 1<<16)
		c.play(w)
		if got := strings.Join(lines(w.report()), " + "); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.why, got, c.want)
		}
	}
}

// TestCaptureCut: a capture that breaks off, or keeps little of each packet, is read as far as it goes.
func TestCaptureCut(t *testing.T) {
	w := newTap(t, layers.LinkTypeEthernet, "pcap", 1<<16)
	chainOfTheThread(w, "192.0.2.7:50000", "198.51.100.1:443")
	w.out.Truncate(w.out.Len() - 10)
	r := w.report()
	if len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "breaks off") || len(r.Signatures) != 2 {
		t.Errorf("signatures %v, notes %q", lines(r), r.Notes)
	}
	w = newTap(t, layers.LinkTypeEthernet, "pcap", 80)
	chainOfTheThread(w, "192.0.2.7:50000", "198.51.100.1:443")
	wantLines(t, "80 bytes of each packet", w.report(), "1 peer_alert (alert 86 from the server) at client_hello", "1 reset at client_hello")
}

// FuzzCapture: no capture is fatal, and what is counted are connections of the capture.
func FuzzCapture(f *testing.F) {
	t := &testing.T{}
	w := newTap(t, layers.LinkTypeEthernet, "pcap", 1<<16)
	chainOfTheThread(w, "192.0.2.7:50000", "198.51.100.1:443")
	f.Add(w.out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &reader{report: &Report{}, log: newLogReader()}
		if err := r.capture(context.Background(), bytes.NewReader(data)); err != nil {
			return
		}
		var n int64
		for _, s := range r.captures {
			if n += s.Count; s.Clients < 1 || s.Origin != Capture {
				t.Errorf("a signature without a client: %+v", s)
			}
		}
		if n > int64(len(data)/16) {
			t.Errorf("%d failed connections in %d bytes", n, len(data))
		}
	})
}
