package symptom

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// recorded are captures that tcpdump 4.99 made of OpenSSL 3.0's s_client and curl 7.88 against nginx 1.22 (TLS 1.2 and
// 1.3, an ECDSA certificate) and against servers of a few lines that reset, close, or say nothing.
var recorded = map[string]string{
	"fallback-refused":        "1 openssl peer_alert (alert 86 from the server) at client_hello",
	"fallback-refused-any":    "1 openssl peer_alert (alert 86 from the server) at client_hello", // cooked, version 2
	"fallback-refused-sll":    "1 openssl peer_alert (alert 86 from the server) at client_hello", // cooked
	"fallback-refused-snap96": "1 peer_alert (alert 86 from the server) at client_hello",         // of the hello too little is kept
	"fallback-refused-nano":   "1 openssl peer_alert (alert 86 from the server) at client_hello",
	"version-refused-ipv6":    "1 peer_alert (alert 70 from the server) at client_hello",
	"no-shared-cipher":        "1 safari peer_alert (alert 40 from the server) at client_hello", // one suite of many: it may be anybody
	"unknown-ca-tls12":        "1 curl certificate (alert 48 from the client) at server_hello",
	"unknown-ca-tls13":        "1 curl certificate (alert 48 from the client) at server_hello",
	"reset-at-hello":          "1 openssl reset at client_hello",
	"hello-retry-reset":       "2 openssl reset at hello_retry_request", // by a relay of a few lines, at the second hello
	"closed-at-hello":         "1 openssl eof at client_hello",
	"no-answer":               "1 curl handshake_timeout at client_hello",
	"refused":                 "1 connect_refused at syn",
	"https-to-http":           "1 openssl the server answered in plain HTTP local_alert (alert 10 from the client) at client_hello",
	"http-to-https":           "note: 1 connection to 127.0.0.1:24443 speaks plain HTTP, no TLS, to a port of HTTPS",
	"plain-http":              "note: 1 connection to 127.0.0.1:28080 speaks plain HTTP, no TLS",
	"smtp":                    "note: 1 connection to 127.0.0.1:24504 speaks no TLS",
	"midstream":               "note: 1 connection to 127.0.0.1:24443 is what began before the capture: how it failed, if it did, cannot be told",
	"fine":                    "",
}

func shownBy(r *Report) string {
	text := strings.Join(lines(r), " + ")
	for _, n := range r.Notes {
		text = strings.TrimSpace(text + " note: " + n)
	}
	return text
}

func TestRecordedCaptures(t *testing.T) {
	for name, want := range recorded {
		r, err := Read(context.Background(), []string{filepath.Join("testdata/captures", name+".pcap")}, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := shownBy(r); got != want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
}

type taken struct {
	at   time.Time
	data []byte
}

func packetsOf(t *testing.T, name string) (list []taken) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/captures", name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := pcapgo.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, ci, err := in.ReadPacketData()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, taken{ci.Timestamp, p})
	}
}

// pcapOf writes a classic capture in a byte order, whose packets have something in front of or in the place of their
// Ethernet header.
func pcapOf(order binary.ByteOrder, link uint32, list []taken, head func(ether []byte) []byte) []byte {
	out := make([]byte, 24)
	order.PutUint32(out, 0xa1b2c3d4)
	order.PutUint16(out[4:], 2)
	order.PutUint16(out[6:], 4)
	order.PutUint32(out[16:], 1<<18)
	order.PutUint32(out[20:], link)
	for _, p := range list {
		data := head(p.data)
		h := make([]byte, 16)
		order.PutUint32(h, uint32(p.at.Unix()))
		order.PutUint32(h[4:], uint32(p.at.Nanosecond()/1000))
		order.PutUint32(h[8:], uint32(len(data)))
		order.PutUint32(h[12:], uint32(len(data)))
		out = append(append(out, h...), data...)
	}
	return out
}

// twoInterfaces writes pcapng in which every other packet is from a second interface without a link header.
func twoInterfaces(t *testing.T, list []taken) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.AddInterface(pcapgo.NgInterface{Name: "tun0", LinkType: layers.LinkTypeRaw, SnapLength: 1 << 18})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range list {
		ci := gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: len(p.data)}
		data := p.data
		if i%2 == 1 {
			data = data[14:]
			ci.InterfaceIndex, ci.CaptureLength, ci.Length = second, len(data), len(data)
		}
		if err := w.WritePacket(ci, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestCaptureTransforms: in whatever file, and in whatever disorder, the packets of a connection tell the same.
func TestCaptureTransforms(t *testing.T) {
	same := func(b []byte) []byte { return b }
	for name, want := range recorded {
		if strings.Contains(name, "-any") || strings.Contains(name, "-sll") || strings.Contains(name, "-nano") || strings.Contains(name, "snap") {
			continue
		}
		list := packetsOf(t, name)
		ipv6 := strings.Contains(name, "ipv6")
		again := slices.Clone(list)
		for i := len(again) - 1; i >= 0; i-- { // every packet twice
			again = slices.Insert(again, i, again[i])
		}
		family := map[bool]byte{false: 2, true: 30}[ipv6]
		for why, data := range map[string][]byte{
			"big-endian":             pcapOf(binary.BigEndian, 1, list, same),
			"little-endian":          pcapOf(binary.LittleEndian, 1, list, same),
			"two VLAN tags":          pcapOf(binary.LittleEndian, 1, list, func(b []byte) []byte { return slices.Insert(slices.Clone(b), 12, 0x88, 0xa8, 0, 9, 0x81, 0, 0, 7) }),
			"raw IP":                 pcapOf(binary.LittleEndian, 101, list, func(b []byte) []byte { return b[14:] }),
			"raw IP, number 12":      pcapOf(binary.LittleEndian, 12, list, func(b []byte) []byte { return b[14:] }),
			"BSD loopback":           pcapOf(binary.LittleEndian, 0, list, func(b []byte) []byte { return append([]byte{family, 0, 0, 0}, b[14:]...) }),
			"BSD loopback, swapped":  pcapOf(binary.LittleEndian, 0, list, func(b []byte) []byte { return append([]byte{0, 0, 0, family}, b[14:]...) }),
			"OpenBSD loopback":       pcapOf(binary.LittleEndian, 108, list, func(b []byte) []byte { return append([]byte{0, 0, 0, family}, b[14:]...) }),
			"macOS, any interface":   pcapOf(binary.LittleEndian, 258, list, func(b []byte) []byte { return append(pktap(1), b...) }),
			"pcapng, two interfaces": twoInterfaces(t, list),
			"every packet twice":     pcapOf(binary.LittleEndian, 1, again, same),
			"gzip":                   zipped(t, string(pcapOf(binary.LittleEndian, 1, list, same))),
		} {
			path := filepath.Join(t.TempDir(), "capture")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Read(context.Background(), []string{path}, nil)
			if err != nil {
				t.Errorf("%s, %s: %v", name, why, err)
				continue
			}
			if got := shownBy(r); got != want {
				t.Errorf("%s, %s:\n got %q\nwant %q", name, why, got, want)
			}
		}
	}
}

// pktap is the header that macOS puts before each packet where it captures on several interfaces.
func pktap(link uint32) []byte {
	h := make([]byte, 108)
	binary.LittleEndian.PutUint32(h, uint32(len(h)))
	binary.LittleEndian.PutUint32(h[4:], 1)
	binary.LittleEndian.PutUint32(h[8:], link)
	return h
}

// TestCaptureOutOfOrder: the pieces of a hello may come in any order.
func TestCaptureOutOfOrder(t *testing.T) {
	w := newTap(t, layers.LinkTypeEthernet, "pcap", 1<<16)
	k := w.connect("192.0.2.7:50000", "198.51.100.1:443")
	h := helloOf(t, "firefox-35-osx", true)
	at := k.c
	for _, part := range [][2]int{{120, len(h)}, {60, 120}, {0, 70}} {
		k.packet(k.client, k.server, at+uint32(part[0]), k.s, "A", 64, h[part[0]:part[1]])
	}
	k.c = at + uint32(len(h))
	k.answers(alert(2, 86))
	k.serverEnds("FA", 57)
	r := w.report()
	wantLines(t, "pieces in the wrong order", r, "1 firefox peer_alert (alert 86 from the server) at client_hello")
	if len(r.Hellos) != 1 || !r.Hellos[0].SCSV {
		t.Errorf("hellos %+v", r.Hellos)
	}
}
