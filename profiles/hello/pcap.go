package hello

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"tlsurge/profiles/wire"
)

// segment is one TCP segment that carried bytes.
type segment struct {
	seq   uint32
	data  []byte
	time  time.Time
	short bool // the capture kept less than the segment held
}

// flow is one direction of one or more TCP connections between the same two ports.
type flow struct {
	src, dst netip.AddrPort
	first    time.Time
	isns     []uint32 // initial sequence numbers of the SYNs seen
	segments []segment
	kept     int // bytes in segments since the last SYN
}

// wants says whether a segment may still be part of a hello: a capture of a long download is not kept.
func (f *flow) wants(seq uint32) bool {
	if f.kept > 2*maxStream {
		return false
	}
	return len(f.isns) == 0 || slices.ContainsFunc(f.isns, func(isn uint32) bool { return seq-isn <= maxStream })
}

// maxStream is how much of a connection is looked at: a ClientHello is one message of a few records.
const maxStream = 1 << 17

// fromCapture finds every ClientHello in a capture: any number of connections, segments in any order and
// more than once, on Ethernet, loopback, raw IP and Linux "cooked" interfaces.
func fromCapture(data []byte) ([]Captured, error) {
	flows, packets, readErr := readFlows(data)
	var found []Captured
	var why error
	streams := 0
	for _, f := range flows {
		for _, s := range f.streams() {
			streams++
			c, err := s.hellos()
			if err != nil {
				if why == nil || errors.Is(why, wire.ErrShort) {
					why = err
				}
				continue
			}
			for i := range c {
				c[i].Client, c[i].Server, c[i].Time = f.src, f.dst, s.start
			}
			found = append(found, c...)
		}
	}
	slices.SortStableFunc(found, func(a, b Captured) int { return a.Time.Compare(b.Time) })
	switch {
	case len(found) > 0:
		return found, nil
	case readErr != nil && packets == 0:
		return nil, fmt.Errorf("the capture cannot be read: %w", readErr)
	case packets == 0:
		return nil, errors.New("an empty capture: it holds no packets")
	case streams == 0:
		return nil, fmt.Errorf("no ClientHello in the capture: its %d packets carry no bytes over TCP", packets)
	}
	return nil, fmt.Errorf("no ClientHello in the capture: %d packets, %d TCP streams; the first: %w", packets, streams, why)
}

// readFlows sorts the TCP segments of a capture by flow, in the order in which flows appear. A capture
// that breaks off in a packet is read up to there.
func readFlows(data []byte) (flows []*flow, packets int, err error) {
	r, err := NewSegments(bytes.NewReader(data))
	if err != nil {
		return nil, 0, err
	}
	byKey := make(map[[2]netip.AddrPort]*flow)
	for {
		p, err := r.Next()
		if err == io.EOF {
			return flows, r.Packets, nil
		}
		if err != nil {
			return flows, r.Packets, err
		}
		key := [2]netip.AddrPort{p.Src, p.Dst}
		f := byKey[key]
		if f == nil {
			f = &flow{src: key[0], dst: key[1], first: p.Time}
			byKey[key] = f
			flows = append(flows, f)
		}
		if p.SYN && !slices.Contains(f.isns, p.Seq) {
			f.isns = append(f.isns, p.Seq)
			f.kept = 0
		}
		if len(p.Payload) > 0 && f.wants(p.Seq) {
			seq := p.Seq
			if p.SYN {
				seq++
			}
			f.kept += len(p.Payload)
			f.segments = append(f.segments, segment{seq, bytes.Clone(p.Payload), p.Time, p.Cut})
		}
	}
}

// stream is the bytes of one connection in one direction, as far as they follow each other.
type stream struct {
	data  []byte
	marks []int // where segments begin
	start time.Time
	gap   bool // something after data is there, but not what comes next
	short bool
}

// streams puts the segments of a flow in order. A segment belongs to the connection whose SYN is the
// nearest before it; without any SYN the lowest sequence number is the beginning.
func (f *flow) streams() []stream {
	groups := make(map[uint32][]segment)
	bases := slices.Clone(f.isns)
	if len(bases) == 0 && len(f.segments) > 0 {
		low := f.segments[0].seq
		for _, s := range f.segments {
			if int32(s.seq-low) < 0 {
				low = s.seq
			}
		}
		bases = []uint32{low - 1}
	}
	for _, s := range f.segments {
		best, dist := uint32(0), uint32(1<<31)
		for _, isn := range bases {
			if d := s.seq - isn; d < dist {
				best, dist = isn, d
			}
		}
		if dist < 1<<31 {
			groups[best] = append(groups[best], s)
		}
	}
	var out []stream
	for _, isn := range bases {
		if segs := groups[isn]; len(segs) > 0 {
			out = append(out, assemble(isn+1, segs))
		}
	}
	return out
}

// assemble joins segments from base on: sorted, repeats and overlaps left out, up to the first gap.
func assemble(base uint32, segs []segment) stream {
	slices.SortStableFunc(segs, func(a, b segment) int { return cmp.Compare(a.seq-base, b.seq-base) })
	s := stream{start: segs[0].time}
	for _, g := range segs {
		off := int(int32(g.seq - base))
		if off > len(s.data) {
			s.gap = true
			break
		}
		if fresh := len(s.data) - off; off >= 0 && fresh < len(g.data) {
			s.marks = append(s.marks, len(s.data))
			s.data = append(s.data, g.data[fresh:]...)
		}
		if g.short {
			s.short = true
			break
		}
		if len(s.data) > maxStream {
			break
		}
	}
	return s
}

// hellos finds the hellos in a stream: at its start, or where a segment begins (after STARTTLS, say).
func (s *stream) hellos() ([]Captured, error) {
	if len(s.data) == 0 {
		return nil, errors.New("the first bytes of the connection are not in the capture")
	}
	c, err := fromStream(s.data)
	for _, m := range s.marks {
		if err == nil || len(s.data)-m < 5 || m > 1<<14 {
			break
		}
		if m > 0 && s.data[m] == byte(wire.RecordHandshake) {
			if later, err2 := fromStream(s.data[m:]); err2 == nil {
				return later, nil
			}
		}
	}
	if errors.Is(err, wire.ErrShort) {
		switch {
		case s.short:
			return nil, fmt.Errorf("%w: the capture's snap length cut the packet", cutOff(err, s.data))
		case s.gap:
			return nil, fmt.Errorf("%w, and the next segment is missing", cutOff(err, s.data))
		}
		return nil, cutOff(err, s.data)
	}
	return c, err
}
