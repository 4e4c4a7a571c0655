package link

import (
	"encoding/binary"
	"net/netip"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// packet is what the forwarder needs to know of an IP packet.
type packet struct {
	src, dst netip.AddrPort // ports are 0 for what is not TCP or UDP
	tcp      bool
	flags    byte
}

const (
	protoTCP = 6
	protoUDP = 17

	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// parsePacket reads the headers of an IPv4 or IPv6 packet without extension headers; ok is false for
// anything else.
func parsePacket(p []byte) (k packet, ok bool) {
	if len(p) < 20 {
		return k, false
	}
	var src, dst netip.Addr
	var proto byte
	var rest []byte
	switch p[0] >> 4 {
	case 4:
		n := int(p[0]&0x0f) * 4
		if n < 20 || len(p) < n {
			return k, false
		}
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		proto, rest = p[9], p[n:]
		if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			rest = nil // a later fragment has no ports
		}
	case 6:
		if len(p) < 40 {
			return k, false
		}
		src, dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		proto, rest = p[6], p[40:]
	default:
		return k, false
	}
	var sport, dport uint16
	if (proto == protoTCP || proto == protoUDP) && len(rest) >= 4 {
		sport, dport = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	}
	if proto == protoTCP && len(rest) >= 14 {
		k.tcp, k.flags = true, rest[13]
	}
	k.src, k.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return k, true
}

// client is the client's end of a packet that goes this way, and server the server's.
func (k packet) tuple(d stage.Direction) faults.Tuple {
	if d == stage.ClientToServer {
		return faults.Tuple{Client: k.src, Server: k.dst}
	}
	return faults.Tuple{Client: k.dst, Server: k.src}
}

// at is the stage of a packet as far as its flags say it: SYN, SYN-ACK, or none.
func (k packet) at() stage.Stage {
	switch {
	case !k.tcp:
		return stage.None
	case k.flags&(flagSYN|flagACK) == flagSYN:
		return stage.Syn
	case k.flags&(flagSYN|flagACK) == flagSYN|flagACK:
		return stage.SynAck
	}
	return stage.None
}
