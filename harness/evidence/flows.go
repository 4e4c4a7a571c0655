package evidence

import (
	"net/netip"
	"slices"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// sighting is a packet as one end saw it.
type sighting struct {
	segment
	frame      int // its number in the end's file, from 1
	at         time.Time
	in         bool // it arrived here
	fromClient bool
}

// flow is one connection as one end saw it.
type flow struct {
	end         end
	start       time.Time
	isn         uint32 // of the first packet, which is the client's SYN if the capture saw it
	first, last int    // frames
	packets     []sighting
}

// flows gathers the connections that somebody will ask about, from packets in the order of the spool.
type flows struct {
	// known tuples give a packet its direction; of those with true every packet is kept, of others the ends.
	known map[faults.Tuple]bool
	seen  [2]map[faults.Tuple][]*flow // by end; several where a port came back
	count [2]int                      // frames so far
}

func newFlows() *flows {
	return &flows{known: map[faults.Tuple]bool{}, seen: [2]map[faults.Tuple][]*flow{{}, {}}}
}

// plain is a tuple with IPv4 addresses written as such: what packets have.
func plain(t faults.Tuple) faults.Tuple {
	unmap := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
	return faults.Tuple{Client: unmap(t.Client), Server: unmap(t.Server)}
}

// want announces a connection.
func (f *flows) want(t faults.Tuple, packets bool) {
	if !t.Client.IsValid() || !t.Server.IsValid() {
		return
	}
	t = plain(t)
	f.known[t] = f.known[t] || packets
}

// see takes the next packet of the spool.
func (f *flows) see(e end, at time.Time, in bool, s addressed) {
	f.count[e]++
	t, fromClient := faults.Tuple{Client: s.from, Server: s.to}, true
	whole, known := f.known[t]
	if !known {
		t, fromClient = faults.Tuple{Client: s.to, Server: s.from}, false
		if whole, known = f.known[t]; !known {
			return
		}
	}
	list := f.seen[e][t]
	opens := fromClient && s.flags&(flagSYN|flagACK) == flagSYN
	if len(list) == 0 || opens && list[len(list)-1].isn != s.seq {
		list = append(list, &flow{end: e, start: at, isn: s.seq, first: f.count[e]})
		f.seen[e][t] = list
	}
	fl := list[len(list)-1]
	fl.last = f.count[e]
	if whole {
		fl.packets = append(fl.packets, sighting{segment: s.segment, frame: f.count[e], at: at, in: in, fromClient: fromClient})
	}
}

// grain is how much later than a time that was noted a packet may look: clocks are read before and after.
const grain = 50 * time.Millisecond

// opened gives the connection that an attempt begun at a time has opened. Its first packet may come to the other
// end much later, where some were lost.
func (f *flows) opened(e end, t faults.Tuple, at time.Time) (best *flow) {
	for _, fl := range f.seen[e][plain(t)] {
		if best == nil || fl.start.Sub(at).Abs() < best.start.Sub(at).Abs() {
			best = fl
		}
	}
	return best
}

// otherEnd gives the server's view of a connection that no relay has cut in two: it begins with the same sequence
// number, however late.
func (f *flows) otherEnd(client *flow, t faults.Tuple) *flow {
	if client == nil {
		return nil
	}
	for _, fl := range f.seen[serverEnd][plain(t)] {
		if fl.isn == client.isn {
			return fl
		}
	}
	return nil
}

// had gives the connection that had the tuple at a time: the last one to begin before it.
func (f *flows) had(e end, t faults.Tuple, at time.Time) *flow {
	list := f.seen[e][plain(t)]
	for _, fl := range slices.Backward(list) {
		if !fl.start.After(at.Add(grain)) {
			return fl
		}
	}
	return nil
}

// from gives the packets of a direction; 0 is both.
func (fl *flow) from(d stage.Direction) (list []*sighting) {
	if fl == nil {
		return nil
	}
	for i := range fl.packets {
		if s := &fl.packets[i]; d == 0 || s.fromClient == (d == stage.ClientToServer) {
			list = append(list, s)
		}
	}
	return list
}

// byteAt finds the first packet that carries byte offset of the direction's stream.
func (fl *flow) byteAt(d stage.Direction, offset int64) *sighting {
	var first uint32 // sequence number of the stream's byte 0
	synced := false
	for _, s := range fl.from(d) {
		if s.flags&flagSYN != 0 {
			first, synced = s.seq+1, true
			continue
		}
		at := first + uint32(offset)
		if synced && s.size > 0 && !before(at, s.seq) && before(at, s.seq+s.size) {
			return s
		}
	}
	return nil
}

// flagged finds the first packet of a direction with one of the flags, at a time or later.
func (fl *flow) flagged(d stage.Direction, flags uint8, at time.Time) *sighting {
	for _, s := range fl.from(d) {
		if s.flags&flags != 0 && !s.at.Before(at) {
			return s
		}
	}
	return nil
}

// data finds the first packet of a direction with payload, at a time or later.
func (fl *flow) data(d stage.Direction, at time.Time) *sighting {
	for _, s := range fl.from(d) {
		if s.size > 0 && !s.at.Before(at) {
			return s
		}
	}
	return nil
}

// nearest finds the packet closest to a time.
func (fl *flow) nearest(at time.Time) (best *sighting) {
	for _, s := range fl.from(0) {
		if best == nil || s.at.Sub(at).Abs() < best.at.Sub(at).Abs() {
			best = s
		}
	}
	return best
}
