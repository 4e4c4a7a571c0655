package evidence

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
)

// wholePacket is more than any packet: nothing is cut.
const wholePacket = 1 << 18

// Offsets in an IPv4 header (RFC 791 §3.1) and an IPv6 header (RFC 8200 §3). The programs see a packet from its
// IP header on.
const (
	offProtocol4 = 9
	offSource4   = 12
	offTarget4   = 16
	offNext6     = 6
	protocolTCP  = 6
)

// filterFor is the coarse filter that runs in the kernel: TCP over IPv4 between the nets and anybody, but for
// the hosts in except; with six, all TCP over IPv6 without extension headers. What exactly belongs to the run
// is decided afterwards, by addresses and ports.
func filterFor(nets []netip.Prefix, except []netip.Addr, six bool) ([]bpf.RawInstruction, error) {
	keep, drop := bpf.RetConstant{Val: wholePacket}, bpf.RetConstant{Val: 0}
	code := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 4, SkipTrue: 5}, // to IPv4's part
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipFalse: 3},
		bpf.LoadAbsolute{Off: offNext6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolTCP, SkipFalse: 1},
		verdict(six), drop,
		bpf.LoadAbsolute{Off: offProtocol4, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolTCP, SkipTrue: 1}, drop,
	}
	for _, off := range []uint32{offSource4, offTarget4} {
		for _, a := range except {
			code = append(code, bpf.LoadAbsolute{Off: off, Size: 4},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: word4(a), SkipFalse: 1}, drop)
		}
	}
	for _, off := range []uint32{offSource4, offTarget4} {
		for _, n := range nets {
			if !n.Addr().Is4() {
				continue
			}
			code = append(code, bpf.LoadAbsolute{Off: off, Size: 4},
				bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: ^uint32(0) << (32 - n.Bits())},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: word4(n.Masked().Addr()), SkipFalse: 1}, keep)
		}
	}
	return bpf.Assemble(append(code, drop))
}

func verdict(keep bool) bpf.Instruction {
	if keep {
		return bpf.RetConstant{Val: wholePacket}
	}
	return bpf.RetConstant{Val: 0}
}

func word4(a netip.Addr) uint32 {
	b := a.Unmap().As4()
	return binary.BigEndian.Uint32(b[:])
}
