package hello

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Segment is one TCP segment of a capture. Payload is valid until the next one is read.
type Segment struct {
	Time     time.Time
	Src, Dst netip.AddrPort
	Seq, Ack uint32

	SYN, ACK, FIN, RST bool

	TTL     uint8 // or hop limit
	Payload []byte
	Length  int  // of the payload on the wire
	Cut     bool // the capture kept less than the segment held
}

// Segments reads the TCP segments of a pcap or pcapng stream: on Ethernet with or without VLAN tags, loopback,
// raw IP, Linux's "cooked" interfaces and macOS's.
type Segments struct {
	Packets int // read so far, of any protocol
	source  packetSource
	linkOf  func(gopacket.CaptureInfo) layers.LinkType
}

// packetSource is what the readers of pcap and pcapng have in common.
type packetSource interface {
	ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
}

// NewSegments opens a capture.
func NewSegments(r io.Reader) (*Segments, error) {
	in := bufio.NewReader(r)
	head, _ := in.Peek(4) // the readers say what is wrong with less
	if bytes.Equal(head, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		opts := pcapgo.DefaultNgReaderOptions
		opts.WantMixedLinkType = true
		opts.SkipUnknownVersion = true
		ng, err := pcapgo.NewNgReader(in, opts)
		if err != nil {
			return nil, err
		}
		return &Segments{source: ng, linkOf: func(ci gopacket.CaptureInfo) layers.LinkType {
			if i, err := ng.Interface(ci.InterfaceIndex); err == nil {
				return i.LinkType
			}
			return ng.LinkType()
		}}, nil
	}
	pc, err := pcapgo.NewReader(in)
	if err != nil {
		return nil, err
	}
	return &Segments{source: pc, linkOf: func(gopacket.CaptureInfo) layers.LinkType { return pc.LinkType() }}, nil
}

// Next gives the next TCP segment; io.EOF at the end. Any other error is a capture that breaks off.
func (s *Segments) Next() (Segment, error) {
	for {
		raw, ci, err := s.source.ReadPacketData()
		if err != nil {
			return Segment{}, err
		}
		s.Packets++
		if seg, ok := decodeTCP(raw, s.linkOf(ci)); ok {
			seg.Time = ci.Timestamp
			seg.Cut = seg.Cut || ci.CaptureLength < ci.Length
			return seg, nil
		}
	}
}

// linkPKTAP is what macOS captures on several interfaces: a header that tells the packet's own link type.
const linkPKTAP layers.LinkType = 258

// untapped takes the header away: its length in the first four bytes, the link type in the third four.
func untapped(raw []byte) (inner []byte, link layers.LinkType, ok bool) {
	if len(raw) < 12 {
		return nil, 0, false
	}
	n, typ := binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[8:])
	if n < 12 || uint64(n) > uint64(len(raw)) || typ == uint32(linkPKTAP) {
		return nil, 0, false
	}
	return raw[n:], layers.LinkType(typ), true
}

// decodeTCP reads the TCP header and addresses of a packet; ok is false where it is no TCP.
func decodeTCP(raw []byte, link layers.LinkType) (s Segment, ok bool) {
	if link == linkPKTAP {
		if raw, link, ok = untapped(raw); !ok {
			return s, false
		}
	}
	var first gopacket.Decoder = link
	switch link {
	case layers.LinkTypeIPv4:
		first = layers.LayerTypeIPv4
	case layers.LinkTypeIPv6:
		first = layers.LayerTypeIPv6
	case 12, 14: // raw IP as some systems number it
		first = layers.LinkTypeRaw
	}
	p := gopacket.NewPacket(raw, first, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if tcp == nil {
		return s, false
	}
	s = Segment{Seq: tcp.Seq, Ack: tcp.Ack, SYN: tcp.SYN, ACK: tcp.ACK, FIN: tcp.FIN, RST: tcp.RST, Payload: tcp.Payload, Length: len(tcp.Payload)}
	var src, dst netip.Addr
	headers := 4 * int(tcp.DataOffset)
	switch n := p.NetworkLayer().(type) {
	case *layers.IPv4:
		src, _ = netip.AddrFromSlice(n.SrcIP)
		dst, _ = netip.AddrFromSlice(n.DstIP)
		s.TTL = n.TTL
		if n.Length > 0 { // 0: handed over by a card that segments
			s.Length = max(len(s.Payload), int(n.Length)-4*int(n.IHL)-headers)
		}
	case *layers.IPv6:
		src, _ = netip.AddrFromSlice(n.SrcIP)
		dst, _ = netip.AddrFromSlice(n.DstIP)
		s.TTL = n.HopLimit
		if n.Length > 0 {
			s.Length = max(len(s.Payload), int(n.Length)-headers)
		}
	}
	s.Cut = s.Length > len(s.Payload)
	s.Src, s.Dst = netip.AddrPortFrom(src.Unmap(), uint16(tcp.SrcPort)), netip.AddrPortFrom(dst.Unmap(), uint16(tcp.DstPort))
	return s, true
}
