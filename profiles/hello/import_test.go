package hello

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tlsurge/profiles/wire"
)

// packet is one TCP segment of a capture that a test makes.
type packet struct {
	client, server netip.AddrPort
	seq            uint32
	syn            bool
	data           []byte
}

var (
	client = netip.MustParseAddrPort("127.0.0.1:40001")
	server = netip.MustParseAddrPort("127.0.0.11:8443")
)

// link puts the packet into an IP packet and a frame of the link type.
func (p packet) frame(t testing.TB, link layers.LinkType) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(p.client.Port()), DstPort: layers.TCPPort(p.server.Port()), Seq: p.seq, SYN: p.syn, ACK: !p.syn, Window: 65535}
	var ip gopacket.SerializableLayer
	family, proto := uint32(2), uint16(0x0800)
	if p.client.Addr().Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: p.client.Addr().AsSlice(), DstIP: p.server.Addr().AsSlice()}
		ip = v4
		tcp.SetNetworkLayerForChecksum(v4)
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: p.client.Addr().AsSlice(), DstIP: p.server.Addr().AsSlice()}
		ip = v6
		family, proto = 30, 0x86dd
		tcp.SetNetworkLayerForChecksum(v6)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(p.data)); err != nil {
		t.Fatal(err)
	}
	var head []byte
	switch link {
	case layers.LinkTypeEthernet:
		head = binary.BigEndian.AppendUint16(make([]byte, 12), proto)
	case layers.LinkTypeNull:
		head = binary.LittleEndian.AppendUint32(nil, family)
	case layers.LinkTypeLoop:
		head = binary.BigEndian.AppendUint32(nil, family)
	case layers.LinkTypeLinuxSLL:
		head = binary.BigEndian.AppendUint16([]byte{0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0}, proto)
	case layers.LinkTypeLinuxSLL2:
		head = append(binary.BigEndian.AppendUint16(nil, proto), 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return append(head, buf.Bytes()...)
}

var captureStart = time.Date(2015, 1, 13, 12, 0, 0, 0, time.UTC)

// pcapOf writes the packets as a pcap, in the order given, a millisecond apart.
func pcapOf(t testing.TB, link layers.LinkType, snap int, packets ...packet) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriter(&out)
	if err := w.WriteFileHeader(65536, link); err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, link, snap, 0, packets)
	return out.Bytes()
}

// pcapngOf writes the packets as a pcapng.
func pcapngOf(t testing.TB, link layers.LinkType, packets ...packet) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, link)
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, link, 65536, 0, packets)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func writeAll(t testing.TB, w interface {
	WritePacket(gopacket.CaptureInfo, []byte) error
}, link layers.LinkType, snap, iface int, packets []packet) {
	t.Helper()
	for i, p := range packets {
		f := p.frame(t, link)
		ci := gopacket.CaptureInfo{Timestamp: captureStart.Add(time.Duration(i) * time.Millisecond), Length: len(f), CaptureLength: min(len(f), snap), InterfaceIndex: iface}
		if err := w.WritePacket(ci, f[:ci.CaptureLength]); err != nil {
			t.Fatal(err)
		}
	}
}

// connection cuts data into segments of at most mss after a SYN.
func connection(c, s netip.AddrPort, isn uint32, mss int, data []byte) []packet {
	out := []packet{{client: c, server: s, seq: isn, syn: true}}
	for off := 0; off < len(data); off += mss {
		out = append(out, packet{client: c, server: s, seq: isn + 1 + uint32(off), data: data[off:min(len(data), off+mss)]})
	}
	return out
}

func testCapture(t testing.TB) []byte {
	return pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 7, 1448, captured(t)["chromium-156-linux"])...)
}

func TestImportCaptures(t *testing.T) {
	all := captured(t)
	pq, small, hrr := all["chromium-156-linux"], all["openssl-3.0.22-s_client"], all["chromium-156-linux-hrr"]
	other := netip.MustParseAddrPort("127.0.0.1:40002")
	v6c, v6s := netip.MustParseAddrPort("[::1]:40001"), netip.MustParseAddrPort("[::1]:8443")
	reversed := func(p []packet) []packet {
		out := make([]packet, len(p))
		for i := range p {
			out[len(p)-1-i] = p[i]
		}
		return out
	}
	two := connection(client, server, 100, 1448, pq)
	answer := packet{client: server, server: client, seq: 9000, data: wire.AppendAlert(nil, wire.TLS12, wire.LevelFatal, wire.AlertHandshakeFailure)}
	for _, c := range []struct {
		why  string
		file []byte
		want [][]byte
	}{
		{"a post-quantum hello over two segments", pcapOf(t, layers.LinkTypeEthernet, 65536, two...), [][]byte{pq}},
		{"its segments in the wrong order", pcapOf(t, layers.LinkTypeEthernet, 65536, reversed(two)...), [][]byte{pq}},
		{"a retransmitted segment and the answer between", pcapOf(t, layers.LinkTypeEthernet, 65536, two[0], two[1], answer, two[1], two[2], two[2]), [][]byte{pq}},
		{"one byte a segment", pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 5, 1, small)...), [][]byte{small}},
		{"sequence numbers that wrap in the hello", pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 1<<32-700, 600, pq)...), [][]byte{pq}},
		{"no SYN in the capture", pcapOf(t, layers.LinkTypeEthernet, 65536, two[1:]...), [][]byte{pq}},
		{"two connections, their segments mixed", pcapOf(t, layers.LinkTypeEthernet, 65536,
			append(connection(other, server, 3, 200, small), two...)...), [][]byte{small, pq}},
		{"the same port used twice", pcapOf(t, layers.LinkTypeEthernet, 65536,
			append(connection(client, server, 1000, 1448, small), connection(client, server, 900000, 1448, pq)...)...), [][]byte{small, pq}},
		{"the second hello after a HelloRetryRequest on the same connection", pcapOf(t, layers.LinkTypeEthernet, 65536,
			connection(client, server, 1, 1448, retried(t, pq, hrr))...), [][]byte{pq, nil}},
		{"BSD loopback", pcapOf(t, layers.LinkTypeNull, 65536, two...), [][]byte{pq}},
		{"OpenBSD loopback", pcapOf(t, layers.LinkTypeLoop, 65536, two...), [][]byte{pq}},
		{"raw IP", pcapOf(t, layers.LinkTypeRaw, 65536, two...), [][]byte{pq}},
		{"raw IPv4 by its own number", pcapOf(t, layers.LinkTypeIPv4, 65536, two...), [][]byte{pq}},
		{"Linux cooked", pcapOf(t, layers.LinkTypeLinuxSLL, 65536, two...), [][]byte{pq}},
		{"Linux cooked, version 2", pcapOf(t, layers.LinkTypeLinuxSLL2, 65536, two...), [][]byte{pq}},
		{"IPv6", pcapOf(t, layers.LinkTypeEthernet, 65536, connection(v6c, v6s, 100, 1440, pq)...), [][]byte{pq}},
		{"a compressed capture", gzipped(t, pcapOf(t, layers.LinkTypeEthernet, 65536, two...)), [][]byte{pq}},
		{"pcapng", pcapngOf(t, layers.LinkTypeEthernet, two...), [][]byte{pq}},
		{"pcapng, cooked", pcapngOf(t, layers.LinkTypeLinuxSLL2, two...), [][]byte{pq}},
		{"pcapng with two interfaces of two kinds", twoInterfaces(t, two, connection(other, server, 3, 200, small)), [][]byte{pq, small}},
		{"behind a proxy's CONNECT", pcapOf(t, layers.LinkTypeEthernet, 65536,
			connection(client, server, 1, 500, append([]byte("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"), small...))...), [][]byte{small}},
		{"after STARTTLS, where a segment begins", pcapOf(t, layers.LinkTypeEthernet, 65536,
			append(connection(client, server, 1, 500, []byte("EHLO a\r\nSTARTTLS\r\n")), packet{client: client, server: server, seq: 20, data: small})...), [][]byte{small}},
		{"SSLv2 format", pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 1, 30, sslv2())...), [][]byte{sslv2()}},
		{"a capture that ends inside a later packet", func() []byte {
			f := pcapOf(t, layers.LinkTypeEthernet, 65536, append(two, answer)...)
			return f[:len(f)-3]
		}(), [][]byte{pq}},
	} {
		found, err := Import(c.file)
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		if len(found) != len(c.want) {
			t.Errorf("%s: %d hellos, expected %d", c.why, len(found), len(c.want))
			continue
		}
		for i, f := range found {
			if c.want[i] != nil && !bytes.Equal(f.Raw, c.want[i]) {
				t.Errorf("%s: hello %d has other bytes", c.why, i+1)
			}
			if f.Time.Before(captureStart) || f.Server != server && f.Server != v6s {
				t.Errorf("%s: hello %d at %v to %v", c.why, i+1, f.Time, f.Server)
			}
			if f.Second != (c.want[i] == nil) {
				t.Errorf("%s: hello %d: second is %v", c.why, i+1, f.Second)
			}
		}
	}
}

// retried puts a second hello, with the first one's random, behind a first and a dummy change_cipher_spec.
func retried(t testing.TB, first, second []byte) []byte {
	t.Helper()
	p := append(bytes.Clone(first), wire.AppendRecord(nil, wire.RecordChangeCipherSpec, wire.TLS12, []byte{1})...)
	at := len(p)
	p = append(p, second...)
	copy(p[at+11:], first[11:11+32])
	return p
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func twoInterfaces(t testing.TB, a, b []packet) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.AddInterface(pcapgo.NgInterface{Name: "lo", LinkType: layers.LinkTypeNull, SnapLength: 65536})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, w, layers.LinkTypeEthernet, 65536, 0, a)
	writeAll(t, w, layers.LinkTypeNull, 65536, id, b)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestImportDumps(t *testing.T) {
	raw := captured(t)["openssl-3.0.22-s_client"]
	digits := hex.EncodeToString(raw)
	xxd, canonical, wireshark := new(strings.Builder), new(strings.Builder), new(strings.Builder)
	for off := 0; off < len(raw); off += 16 {
		line := raw[off:min(off+16, len(raw))]
		ascii := strings.Map(func(r rune) rune {
			if r < 0x20 || r > 0x7e {
				return '.'
			}
			return r
		}, string(bytes.Map(func(r rune) rune { return r & 0x7f }, line)))
		var two, one, gap string
		for i, b := range line {
			two += fmt.Sprintf("%02x", b)
			if i%2 == 1 {
				two += " "
			}
			one += fmt.Sprintf("%02x ", b)
			gap += fmt.Sprintf("%02x ", b)
			if i == 7 {
				gap += " "
			}
		}
		fmt.Fprintf(xxd, "%08x: %-40s %s\n", off, two, ascii)
		fmt.Fprintf(canonical, "%08x  %-49s |%s|\n", off, gap, ascii)
		fmt.Fprintf(wireshark, "%04x   %-49s  %s\n", off, one, ascii)
	}
	fmt.Fprintf(canonical, "%08x\n", len(raw))
	colons := strings.TrimSuffix(strings.ReplaceAll(hex.EncodeToString(raw), "", ""), "")
	for why, in := range map[string]string{
		"plain digits":              digits,
		"upper case and a line end": strings.ToUpper(digits) + "\r\n",
		"folded":                    fold(digits, 64),
		"with colons":               separate(colons, ":"),
		"as C":                      "{ 0x" + strings.Join(strings.Split(separate(digits, ":"), ":"), ", 0x") + " };",
		"xxd":                       xxd.String(),
		"hexdump -C":                canonical.String(),
		"Wireshark":                 wireshark.String(),
		"with a comment":            "# from a ticket\n" + digits,
		"raw bytes":                 string(raw),
		"the bare message":          string(raw[5:]),
		"followed by more":          digits + "140303000101",
		"a whole packet":            hex.EncodeToString(packet{client: client, server: server, seq: 1, data: raw}.frame(t, layers.LinkTypeEthernet)),
	} {
		found, err := Import([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", why, err)
			continue
		}
		if len(found) != 1 || !bytes.Equal(found[0].Raw, raw) {
			t.Errorf("%s: %d hellos, or other bytes", why, len(found))
		}
	}
	if found, err := Import([]byte(digits + "\n" + hex.EncodeToString(sslv2()) + "\n")); err != nil || len(found) != 2 {
		t.Errorf("one hello a line: %d, %v", len(found), err)
	}
}

func fold(s string, n int) string {
	var b strings.Builder
	for ; len(s) > n; s = s[n:] {
		b.WriteString(s[:n] + "\n")
	}
	return b.String() + s
}

func separate(s, sep string) string {
	var parts []string
	for i := 0; i+1 < len(s); i += 2 {
		parts = append(parts, s[i:i+2])
	}
	return strings.Join(parts, sep)
}

func TestImportRefuses(t *testing.T) {
	all := captured(t)
	pq := all["chromium-156-linux"]
	serverHello := wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS12, (&wire.ServerHello{Version: wire.TLS12, Suite: 0x2f}).AppendMessage(nil))
	two := connection(client, server, 100, 1448, pq)
	empty := func() []byte {
		var b bytes.Buffer
		if err := pcapgo.NewWriter(&b).WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	for _, c := range []struct {
		why, says string
		in        []byte
	}{
		{"nothing at all", "the input is empty", nil},
		{"blank lines", "the input is empty", []byte("\n \n")},
		{"truncated hex", "cut off: 100 bytes of at least 2016", []byte(hex.EncodeToString(pq[:100]))},
		{"half a compressed file", "compressed input", gzipped(t, pq)[:100]},
		{"half a byte of hex", "odd number of hex digits", []byte(hex.EncodeToString(pq[:100]) + "f")},
		{"a word", "neither a capture nor hex", []byte("hello world")},
		{"a ServerHello", "a ServerHello message", serverHello},
		{"a ServerHello in hex", "a ServerHello message", []byte(hex.EncodeToString(serverHello))},
		{"an empty capture", "an empty capture", empty},
		{"a capture of a ServerHello alone", "a ServerHello message", pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 1, 1448, serverHello)...)},
		{"a capture without its second segment", "cut off: 1448 bytes of at least 2016", pcapOf(t, layers.LinkTypeEthernet, 65536, two[:2]...)},
		{"a capture without its first segment", "not in the capture", pcapOf(t, layers.LinkTypeEthernet, 65536, two[0], two[2])},
		{"a short snap length", "snap length", pcapOf(t, layers.LinkTypeEthernet, 200, two...)},
		{"a capture without bytes", "carry no bytes", pcapOf(t, layers.LinkTypeEthernet, 65536, two[0])},
		{"the head of a pcap", "cannot be read", empty[:10]},
		{"a pcapng of noise", "cannot be read", append([]byte{0x0a, 0x0d, 0x0d, 0x0a}, bytes.Repeat([]byte{7}, 40)...)},
		{"plain HTTP in a capture", "plain text", pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 1, 1448, []byte("GET / HTTP/1.1\r\n\r\n"))...)},
	} {
		found, err := Import(c.in)
		if err == nil {
			t.Errorf("%s: %d hellos were found", c.why, len(found))
			continue
		}
		if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, expected one line that says %q", c.why, err, c.says)
		}
	}
}

// TestImportKeepsLittle: a hello in front of a long upload is found, and the upload is not held in memory.
func TestImportKeepsLittle(t *testing.T) {
	raw := captured(t)["openssl-3.0.22-s_client"]
	long := append(bytes.Clone(raw), bytes.Repeat([]byte{23, 3, 3, 0, 1, 0}, 1<<19)...)
	flows, packets, err := readFlows(pcapOf(t, layers.LinkTypeEthernet, 65536, connection(client, server, 77, 8192, long)...))
	if err != nil || packets < 300 || len(flows) != 1 {
		t.Fatalf("%d packets, %d flows, %v", packets, len(flows), err)
	}
	kept := 0
	for _, s := range flows[0].segments {
		kept += len(s.data)
	}
	if kept > 3*maxStream {
		t.Errorf("%d bytes of a stream of %d are kept", kept, len(long))
	}
	c, err := flows[0].streams()[0].hellos()
	if err != nil || !bytes.Equal(c[0].Raw, raw) {
		t.Errorf("%d hellos, %v", len(c), err)
	}
}
