package evidence

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags (RFC 9293 §3.1, Header Format).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// segment is what the headers of a TCP segment say. It holds no slice: there are as many as packets.
type segment struct {
	flags    uint8
	id       uint16 // IPv4's identification: the same for one packet at both ends of a path
	seq, ack uint32
	size     uint32    // of the payload
	sum      uint32    // of the payload's bytes: tells a corrupted packet from the one that was sent
	sack     [4]uint32 // up to two blocks, left and right edges; zero: none
}

// addressed is a segment with its two ends.
type addressed struct {
	from, to netip.AddrPort
	segment
}

// units is how much of the sequence space the segment takes (RFC 9293 §3.4: SYN and FIN count).
func (s *segment) units() uint32 {
	n := s.size
	if s.flags&flagSYN != 0 {
		n++
	}
	if s.flags&flagFIN != 0 {
		n++
	}
	return n
}

func (s *segment) end() uint32 { return s.seq + s.units() }

// parseSegment reads a packet from its IP header on: IPv4, or IPv6 without extension headers, with TCP in it.
// ok is false for anything else, and for what is cut off within the headers.
func parseSegment(p []byte) (s addressed, ok bool) {
	if len(p) < 20 {
		return s, false
	}
	var from, to netip.Addr
	var tcp []byte
	switch p[0] >> 4 {
	case 4:
		header, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
		if p[offProtocol4] != protocolTCP || header < 20 || header > len(p) || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return s, false
		}
		if total < header || total > len(p) { // 0: longer than the field can say
			total = len(p)
		}
		s.id = binary.BigEndian.Uint16(p[4:])
		from, to = netip.AddrFrom4([4]byte(p[offSource4:])), netip.AddrFrom4([4]byte(p[offTarget4:]))
		tcp = p[header:total]
	case 6:
		if len(p) < 40 || p[offNext6] != protocolTCP {
			return s, false
		}
		from, to = netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:]))
		tcp = p[40:]
		if n := int(binary.BigEndian.Uint16(p[4:])); n > 0 && n < len(tcp) { // 0: longer than the field can say
			tcp = tcp[:n]
		}
	default:
		return s, false
	}
	if len(tcp) < 20 {
		return s, false
	}
	header := int(tcp[12]>>4) * 4
	if header < 20 || header > len(tcp) {
		return s, false
	}
	s.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp))
	s.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:]))
	s.seq, s.ack, s.flags = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:]), tcp[13]
	s.size = uint32(len(tcp) - header)
	s.sum = checksum(tcp[header:])
	s.readOptions(tcp[20:header])
	return s, true
}

// readOptions looks for the blocks of a selective acknowledgement (RFC 2018 §3).
func (s *segment) readOptions(o []byte) {
	for len(o) > 1 && o[0] != 0 {
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if n < 2 || n > len(o) {
			return
		}
		if o[0] == 5 {
			for i := 0; i < len(s.sack) && 2+4*i+4 <= n; i++ {
				s.sack[i] = binary.BigEndian.Uint32(o[2+4*i:])
			}
		}
		o = o[n:]
	}
}

// sacks says whether the segment acknowledges the range selectively.
func (s *segment) sacks(from, to uint32) bool {
	for i := 0; i+1 < len(s.sack); i += 2 {
		if l, r := s.sack[i], s.sack[i+1]; l != r && !before(from, l) && !before(r, to) {
			return true
		}
	}
	return false
}

// before compares sequence numbers, which wrap around.
func before(a, b uint32) bool { return int32(a-b) < 0 }

// checksum is FNV-1a: cheap, and enough to see that two payloads differ.
func checksum(p []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range p {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}
