package sockfilter

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/bpf"
)

// Program is a classic BPF program for a TCP socket, a pure value. It is run on every arriving segment and
// sees it from its TCP header on; returning 0 drops the segment before TCP knows of it.
//
// A load beyond the segment's end returns 0 too, so every program compares lengths before it looks at payload.
type Program struct {
	// Doc says in words what is dropped.
	Doc  string
	code []bpf.Instruction
}

// netOffset is SKF_NET_OFF of linux/filter.h: loads from there count from the network header, which is
// how a program that begins at the TCP header finds the source address.
const netOffset = 0xfff00000

const (
	keepAll = 1 << 18 // more than any segment
	dropIt  = 0
)

// TCP header (RFC 9293 §3.1, Header Format): data offset in the upper half of byte 12, flags in byte 13.
const (
	offDataOffset = 12
	offFlags      = 13
	flagSYN       = 0x02
	flagACK       = 0x10
)

var (
	keep = bpf.RetConstant{Val: keepAll}
	drop = bpf.RetConstant{Val: dropIt}
)

// match is a piece of program that falls through if the segment is one to drop, and otherwise jumps past
// the drop behind it: every miss is written as a jump to index len(match)+1.
type match struct {
	doc  string
	code []bpf.Instruction
}

// step appends one instruction; check appends a test whose failure is a miss.
func (m *match) step(i ...bpf.Instruction) { m.code = append(m.code, i...) }

// check is a conditional jump whose false branch must leave the match; its skip is filled in by seal.
func (m *match) check(cond bpf.JumpTest, val uint32) {
	m.code = append(m.code, bpf.JumpIf{Cond: cond, Val: val, SkipFalse: unsealed})
}

func (m *match) checkX(cond bpf.JumpTest) {
	m.code = append(m.code, bpf.JumpIfX{Cond: cond, SkipFalse: unsealed})
}

// unsealed marks a false branch not yet resolved.
const unsealed = 0xff

// seal resolves the misses and ends the match with a drop; what follows is for segments that missed.
func (m match) seal() []bpf.Instruction {
	out := append([]bpf.Instruction(nil), m.code...)
	for i := range out {
		away := uint8(len(out) - i) // from behind i to behind the drop
		switch in := out[i].(type) {
		case bpf.JumpIf:
			if in.SkipFalse == unsealed {
				in.SkipFalse = away
				out[i] = in
			}
		case bpf.JumpIfX:
			if in.SkipFalse == unsealed {
				in.SkipFalse = away
				out[i] = in
			}
		}
	}
	return append(out, drop)
}

// program is a match alone: drop what it matches, keep the rest.
func (m match) program() Program { return Program{Doc: m.doc, code: append(m.seal(), keep)} }

// matchFlags takes segments whose SYN and ACK bits are exactly these.
func matchFlags(doc string, flags uint32) match {
	m := match{doc: doc}
	m.step(bpf.LoadAbsolute{Off: offFlags, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flagSYN | flagACK})
	m.check(bpf.JumpEqual, flags)
	return m
}

// matchPayload takes segments with more than n bytes of payload and leaves the header's length in X.
func matchPayload(doc string, n uint32) match {
	m := match{doc: doc}
	m.step(bpf.LoadAbsolute{Off: offDataOffset, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 2}, // words to bytes
		bpf.TAX{}, bpf.LoadExtension{Num: bpf.ExtLen})
	if n > 0 {
		m.step(bpf.ALUOpConstant{Op: bpf.ALUOpSub, Val: n})
	}
	m.checkX(bpf.JumpGreaterThan)
	return m
}

// matchRecord takes segments whose payload begins with a record of this content type (RFC 8446 §5.1,
// Record Layer).
func matchRecord(doc string, contentType uint32) match {
	m := matchPayload(doc, 0)
	m.step(bpf.LoadIndirect{Off: 0, Size: 1})
	m.check(bpf.JumpEqual, contentType)
	return m
}

// matchHandshake takes segments whose payload begins with a handshake record whose first message is of one
// of these types. The message type stands behind the five bytes of the record header.
func matchHandshake(doc string, types ...uint32) match {
	m := matchPayload(doc, 5)
	m.step(bpf.LoadIndirect{Off: 0, Size: 1})
	m.check(bpf.JumpEqual, recordHandshake)
	m.step(bpf.LoadIndirect{Off: 5, Size: 1})
	for i, typ := range types[:len(types)-1] {
		m.step(bpf.JumpIf{Cond: bpf.JumpEqual, Val: typ, SkipTrue: uint8(len(types) - 1 - i)})
	}
	m.check(bpf.JumpEqual, types[len(types)-1])
	return m
}

// dropEverything drops each segment that arrives.
func dropEverything() Program {
	return Program{Doc: "every segment", code: []bpf.Instruction{drop}}
}

// keepEverything is what Probe attaches.
func keepEverything() Program {
	return Program{Doc: "nothing", code: []bpf.Instruction{keep}}
}

// dropShare drops each segment with probability p, drawn by the kernel.
func dropShare(p float64) Program {
	if p >= 1 {
		return dropEverything()
	}
	m := match{doc: fmt.Sprintf("each segment with probability %g", p)}
	m.step(bpf.LoadExtension{Num: bpf.ExtRand})
	m.check(bpf.JumpLessThan, uint32(p*(1<<32)))
	return m.program()
}

// from puts a source prefix before a match: of segments from elsewhere, or from one of the released
// addresses, nothing matches. IPv4 prefixes may have any length, IPv6 prefixes are /64.
func (m match) from(prefix netip.Prefix, released []netip.Addr) []bpf.Instruction {
	body := append(m.seal(), keep)
	for _, a := range released {
		if prefix.Contains(a) {
			body = append(equalsAddr(a), body...)
		}
	}
	return append(prefixGuard(prefix, len(body)), body...)
}

// prefixGuard jumps over the next n instructions unless the source lies in prefix.
func prefixGuard(prefix netip.Prefix, n int) []bpf.Instruction {
	var g []bpf.Instruction
	over := func() { // the jump table of a conditional is 8 bits wide; a body with many releases is longer
		g = append(g, bpf.Jump{Skip: 0})
	}
	test := func(load bpf.Instruction, mask, val uint32) {
		g = append(g, load, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: val, SkipTrue: 1})
		over()
	}
	version := uint32(0x40)
	if prefix.Addr().Is6() {
		version = 0x60
	}
	test(bpf.LoadAbsolute{Off: netOffset, Size: 1}, 0xf0, version)
	if prefix.Addr().Is4() {
		a := prefix.Masked().Addr().As4()
		mask := ^uint32(0) << (32 - prefix.Bits())
		test(bpf.LoadAbsolute{Off: netOffset + 12, Size: 4}, mask, binary.BigEndian.Uint32(a[:]))
	} else {
		a := prefix.Masked().Addr().As16()
		test(bpf.LoadAbsolute{Off: netOffset + 8, Size: 4}, ^uint32(0), binary.BigEndian.Uint32(a[0:]))
		test(bpf.LoadAbsolute{Off: netOffset + 12, Size: 4}, ^uint32(0), binary.BigEndian.Uint32(a[4:]))
	}
	for i := range g {
		if _, ok := g[i].(bpf.Jump); ok {
			g[i] = bpf.Jump{Skip: uint32(len(g) - i - 1 + n)}
		}
	}
	return g
}

// equalsAddr keeps the segment if its source is a; it costs two to eight instructions and falls through otherwise.
func equalsAddr(a netip.Addr) []bpf.Instruction {
	if a.Is4() {
		b := a.As4()
		return []bpf.Instruction{bpf.LoadAbsolute{Off: netOffset + 12, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b[:]), SkipFalse: 1}, keep}
	}
	b := a.As16() // the prefix has been compared already: the lower half tells
	return []bpf.Instruction{bpf.LoadAbsolute{Off: netOffset + 16, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b[8:]), SkipFalse: 3},
		bpf.LoadAbsolute{Off: netOffset + 20, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b[12:]), SkipFalse: 1}, keep}
}

// Len is the number of instructions; the kernel takes 4096.
func (p Program) Len() int { return len(p.code) }

// String is the program in readable form: one instruction a line, numbered, in the manner of bpf_asm;
// jumps name the lines they lead to.
func (p Program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "; drops %s\n", p.Doc)
	for i, in := range p.code {
		fmt.Fprintf(&b, "%3d: %s\n", i, readable(i, in))
	}
	return b.String()
}

var (
	loads  = map[int]string{1: "ldb", 2: "ldh", 4: "ld"}
	aluOps = map[bpf.ALUOp]string{bpf.ALUOpAnd: "and", bpf.ALUOpShiftRight: "rsh", bpf.ALUOpSub: "sub"}
	jumps  = map[bpf.JumpTest]string{bpf.JumpEqual: "jeq", bpf.JumpLessThan: "jlt", bpf.JumpGreaterThan: "jgt"}
	loaded = map[bpf.Extension]string{bpf.ExtLen: "len", bpf.ExtRand: "rand"}
)

// readable is instruction i in words.
func readable(i int, in bpf.Instruction) string {
	branch := func(jt, jf uint8) string { return fmt.Sprintf("jt %d, jf %d", i+1+int(jt), i+1+int(jf)) }
	switch in := in.(type) {
	case bpf.LoadAbsolute:
		if in.Off >= netOffset {
			return fmt.Sprintf("%s ip[%d]", loads[in.Size], in.Off-netOffset)
		}
		return fmt.Sprintf("%s tcp[%d]", loads[in.Size], in.Off)
	case bpf.LoadIndirect:
		return fmt.Sprintf("%s tcp[x + %d]", loads[in.Size], in.Off)
	case bpf.LoadExtension:
		return "ld " + loaded[in.Num]
	case bpf.ALUOpConstant:
		return fmt.Sprintf("%s %#x", aluOps[in.Op], in.Val)
	case bpf.JumpIf:
		return fmt.Sprintf("%s %#x, %s", jumps[in.Cond], in.Val, branch(in.SkipTrue, in.SkipFalse))
	case bpf.JumpIfX:
		return fmt.Sprintf("%s x, %s", jumps[in.Cond], branch(in.SkipTrue, in.SkipFalse))
	case bpf.Jump:
		return fmt.Sprintf("ja %d", i+1+int(in.Skip))
	case bpf.RetConstant:
		if in.Val == dropIt {
			return "ret 0 ; drop"
		}
		return "ret all ; keep"
	}
	return fmt.Sprint(in)
}

// Keeps runs the program in x/net's BPF machine on one segment, from its TCP header on, that came in an
// IP packet with this header. It is how programs are tested and explained without a kernel; what only the
// kernel has, its random numbers, it does not have.
func (p Program) Keeps(ipHeader, segment []byte) (bool, error) {
	// The machine knows one buffer and no offsets from the network header: the IP header is put behind
	// the segment, and loads of it and of the length are turned to point there.
	code := append([]bpf.Instruction(nil), p.code...)
	for i, in := range code {
		switch in := in.(type) {
		case bpf.LoadAbsolute:
			if in.Off >= netOffset {
				in.Off = in.Off - netOffset + uint32(len(segment))
				code[i] = in
			} else if int(in.Off)+in.Size > len(segment) {
				return false, nil
			}
		case bpf.LoadExtension:
			if in.Num == bpf.ExtLen {
				code[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(len(segment))}
			}
		}
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		return false, fmt.Errorf("program that drops %s: %w", p.Doc, err)
	}
	n, err := vm.Run(append(append([]byte(nil), segment...), ipHeader...))
	return n > 0, err
}
