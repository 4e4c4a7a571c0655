package evidence

import (
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
)

// build makes a packet with gopacket, which knows nothing of our parser.
func build(t testing.TB, from, to string, tcp layers.TCP, payload string) []byte {
	t.Helper()
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port())
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	var err error
	if src.Addr().Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Id: 77, Protocol: layers.IPProtocolTCP, SrcIP: net.IP(src.Addr().AsSlice()), DstIP: net.IP(dst.Addr().AsSlice())}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		err = gopacket.SerializeLayers(buf, opts, ip, &tcp, gopacket.Payload(payload))
	} else {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: net.IP(src.Addr().AsSlice()), DstIP: net.IP(dst.Addr().AsSlice())}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		err = gopacket.SerializeLayers(buf, opts, ip, &tcp, gopacket.Payload(payload))
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestParseSegment(t *testing.T) {
	sack := layers.TCPOption{OptionType: layers.TCPOptionKindSACK, OptionLength: 10, OptionData: []byte{0, 0, 0, 9, 0, 0, 0, 12}}
	nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
	for _, ends := range [][2]string{{"127.64.0.1:4000", "127.0.0.11:443"}, {"[fd74:6c73:7572:1::1]:4000", "[::1]:443"}} {
		p := build(t, ends[0], ends[1], layers.TCP{Seq: 5, Ack: 8, ACK: true, FIN: true, Options: []layers.TCPOption{nop, sack}}, "abc")
		s, ok := parseSegment(p)
		if !ok || s.from.String() != ends[0] || s.to.String() != ends[1] || s.flags != flagACK|flagFIN || s.seq != 5 || s.ack != 8 || s.size != 3 || s.end() != 9 {
			t.Errorf("parsed %+v, %v", s, ok)
		}
		if !s.sacks(9, 12) || !s.sacks(10, 11) || s.sacks(8, 10) || s.sacks(11, 13) {
			t.Errorf("selective acknowledgement %v", s.sack)
		}
		for n := range p[:len(p)-3] {
			if _, ok := parseSegment(p[:n]); ok && n < len(p)-3-len("abc") {
				t.Errorf("a packet of %d bytes, cut to %d, passes for a segment", len(p), n)
			}
		}
	}
}

// FuzzParseSegment: whatever it accepts agrees with gopacket's reading.
func FuzzParseSegment(f *testing.F) {
	f.Add(build(f, "127.64.0.1:4000", "127.0.0.11:443", layers.TCP{Seq: 5, Ack: 8, ACK: true}, "abc"))
	f.Add(build(f, "[::1]:4000", "[::1]:443", layers.TCP{SYN: true, Seq: 1}, ""))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, ok := parseSegment(p)
		if !ok {
			return
		}
		first := layers.LayerTypeIPv4
		if p[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		packet := gopacket.NewPacket(p, first, gopacket.NoCopy)
		tcp, ok := packet.TransportLayer().(*layers.TCP)
		if !ok || packet.ErrorLayer() != nil {
			return // gopacket refuses more: reserved bits, lengths that disagree
		}
		if tcp.Seq != s.seq || tcp.Ack != s.ack || tcp.SYN != (s.flags&flagSYN != 0) || tcp.RST != (s.flags&flagRST != 0) ||
			uint16(tcp.SrcPort) != s.from.Port() || uint16(tcp.DstPort) != s.to.Port() {
			t.Errorf("%+v, gopacket reads %+v", s, tcp)
		}
	})
}

// TestFilter runs the kernel's program in x/net's machine.
func TestFilter(t *testing.T) {
	nets := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24"), netip.MustParsePrefix("192.0.2.7/32")}
	raw, err := filterFor(nets, []netip.Addr{netip.MustParseAddr("127.0.0.20"), netip.MustParseAddr("127.0.0.21")}, false)
	if err != nil {
		t.Fatal(err)
	}
	six, err := filterFor(nets, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	udp := build(t, "127.64.0.1:4000", "127.0.0.11:443", layers.TCP{}, "")
	udp[9] = 17
	for _, tt := range []struct {
		why    string
		filter []bpf.RawInstruction
		p      []byte
		keeps  bool
	}{
		{"to an edge", raw, build(t, "127.64.0.1:4000", "127.0.0.11:443", layers.TCP{}, "x"), true},
		{"from an edge", raw, build(t, "127.0.0.11:443", "127.64.0.1:4000", layers.TCP{}, "x"), true},
		{"to a relay", raw, build(t, "127.64.0.1:4000", "127.0.0.1:999", layers.TCP{}, "x"), true},
		{"to a target", raw, build(t, "192.0.2.1:4000", "192.0.2.7:443", layers.TCP{}, "x"), true},
		{"to the balancer", raw, build(t, "127.0.0.1:4000", "127.0.0.20:80", layers.TCP{}, "x"), false},
		{"from the application", raw, build(t, "127.0.0.21:80", "127.0.0.20:4000", layers.TCP{}, "x"), false},
		{"strangers", raw, build(t, "192.0.2.1:4000", "192.0.2.8:443", layers.TCP{}, "x"), false},
		{"UDP", raw, udp, false},
		{"IPv6, not asked for", raw, build(t, "[::1]:4000", "[::1]:443", layers.TCP{}, "x"), false},
		{"IPv6", six, build(t, "[::1]:4000", "[::1]:443", layers.TCP{}, "x"), true},
		{"nothing", raw, nil, false},
	} {
		code, _ := bpf.Disassemble(tt.filter)
		vm, err := bpf.NewVM(code)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := vm.Run(tt.p); err != nil || (n > 0) != tt.keeps {
			t.Errorf("%s: keeps %d bytes (%v), want %v", tt.why, n, err, tt.keeps)
		}
	}
}
