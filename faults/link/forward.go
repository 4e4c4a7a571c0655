package link

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// port is a device's end in our hands: one IP packet per Read and Write. Read honours SetReadDeadline.
type port interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
	overruns() int64 // packets that came and were dropped before we read them, as far as the device counts them here
	Close() error
}

// Counters of one direction, packets.
type Counters struct {
	In, Lost, Overflowed, Duplicated, Reordered, Corrupted, Out int64
}

// forwarder carries one direction. It is one goroutine and owns all its state but counters and rules.
type forwarder struct {
	d        stage.Direction
	in, out  port
	base     *Path
	seed     uint64
	book     *book
	rules    atomic.Pointer[[]faults.Rule]
	counters [7]atomic.Int64 // in the order of Counters

	armed *[]faults.Rule // the rules that flows belong to
	flows map[netip.AddrPort]*flow
	swept time.Time
	queue departures
	seq   uint64
}

// flow is what an armed client's packets go through before the base path.
type flow struct {
	rule   *faults.Rule
	path   *Path
	tuple  faults.Tuple
	last   time.Time
	taken  int  // packets dropped by their flags
	bypass bool // the rule does nothing in this direction
}

const (
	cIn = iota
	cLost
	cOverflowed
	cDuplicated
	cReordered
	cCorrupted
	cOut
)

const (
	mtu       = 1500
	sweepTime = time.Second // how often flows are looked through
	flowIdle  = 2 * time.Minute
)

// departure is a packet on its way.
type departure struct {
	at    time.Time
	seq   uint64
	based bool // it has the base path behind it
	p     []byte
}

type departures []departure

func (q departures) Len() int { return len(q) }
func (q departures) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].seq < q[j].seq
}
func (q departures) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *departures) Push(x any)   { *q = append(*q, x.(departure)) }
func (q *departures) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = departure{}
	*q = old[:len(old)-1]
	return x
}

// run forwards until its input is closed.
func (f *forwarder) run() {
	buf := make([]byte, 1<<16)
	for {
		now := time.Now()
		next := f.deliver(now)
		if now.Sub(f.swept) >= sweepTime {
			f.sweep(now, false)
		}
		if sweep := f.swept.Add(sweepTime); next.IsZero() || sweep.Before(next) {
			next = sweep
		}
		f.in.SetReadDeadline(next)
		n, err := f.in.Read(buf)
		switch {
		case err == nil:
			f.counters[cIn].Add(1)
			f.enter(time.Now(), buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
		default:
			return
		}
	}
}

// deliver sends what is due and says when the next packet is; zero if none waits.
func (f *forwarder) deliver(now time.Time) time.Time {
	for len(f.queue) > 0 {
		if next := f.queue[0].at; next.After(now) {
			return next
		}
		d := heap.Pop(&f.queue).(departure)
		if !d.based {
			f.transit(f.base, d.at, d.p, nil, true)
			continue
		}
		// A device that is down or full drops the packet, as a network does.
		if _, err := f.out.Write(d.p); err == nil {
			f.counters[cOut].Add(1)
		}
	}
	return time.Time{}
}

// enter takes a packet from the device.
func (f *forwarder) enter(now time.Time, p []byte) {
	k, ok := parsePacket(p)
	p = append([]byte(nil), p...)
	if !ok {
		f.push(now, p, true) // not IP as we know it: neighbour discovery and the like pass
		return
	}
	fl := f.flowOf(now, k)
	if fl != nil && k.tcp && k.flags&(flagFIN|flagRST) != 0 {
		f.book.ended(fl.tuple.Client, now)
	}
	switch {
	case fl == nil:
		f.transit(f.base, now, p, nil, true)
	case fl.drops(k):
		f.counters[cLost].Add(1)
		fl.taken++
		f.book.hit(fl.rule, fl.tuple, f.d, now, true)
	case fl.bypass || fl.path == nil:
		f.transit(f.base, now, p, nil, true)
	default:
		f.transit(fl.path, now, p, fl, false)
	}
}

// drops says whether the flow's rule takes this very packet by its flags.
func (fl *flow) drops(k packet) bool {
	r := fl.rule
	return r.Action == faults.Drop && r.At != stage.None && k.at() == r.At && (r.Times == 0 || fl.taken < r.Times)
}

// transit has a path decide about a packet and queues it.
func (f *forwarder) transit(path *Path, now time.Time, p []byte, fl *flow, based bool) {
	fate := path.Transit(now, len(p))
	hit := func(dropped bool) {
		if fl != nil {
			f.book.hit(fl.rule, fl.tuple, f.d, now, dropped)
		}
	}
	count := func(c int, dropped bool) {
		f.counters[c].Add(1)
		hit(dropped)
	}
	switch {
	case fate.Lost:
		count(cLost, true)
		return
	case fate.Overflow:
		count(cOverflowed, true)
		return
	}
	if fate.Flip >= 0 {
		count(cCorrupted, true) // by the receiver's checksum
		p[fate.Flip/8] ^= 1 << (fate.Flip % 8)
	}
	if fate.Late {
		count(cReordered, false)
	}
	if path.Delay > 0 || path.Rate > 0 {
		hit(false)
	}
	if fate.Twice {
		count(cDuplicated, false)
		f.push(fate.At, append([]byte(nil), p...), based)
	}
	f.push(fate.At, p, based)
}

func (f *forwarder) push(at time.Time, p []byte, based bool) {
	f.seq++
	heap.Push(&f.queue, departure{at: at, seq: f.seq, based: based, p: p})
}

// flowOf finds the flow of an armed client, by its address; nil if nobody armed it.
func (f *forwarder) flowOf(now time.Time, k packet) *flow {
	rules := f.rules.Load()
	if rules != f.armed {
		f.sweep(now, true)
		f.armed = rules
	}
	if rules == nil || len(*rules) == 0 {
		return nil
	}
	t := k.tuple(f.d)
	if fl := f.flows[t.Client]; fl != nil {
		fl.last = now
		return fl
	}
	r := faults.RuleOf(*rules, t.Client.Addr())
	if r == nil {
		r = faults.RuleOfIn(faults.LinkNet, *rules, t.Client.Addr())
	}
	if r == nil || r.Engine != faults.EngineLink {
		return nil
	}
	i, ok, err := impairment(r, f.d)
	fl := &flow{rule: r, tuple: t, last: now, bypass: !ok || err != nil}
	if !fl.bypass {
		fl.path = NewPath(i, rand.New(rand.NewPCG(f.seed, hashClient(t.Client.Addr())^uint64(f.d))))
	}
	f.flows[t.Client] = fl
	return fl
}

// hashClient names a client's random stream, so that the same client meets the same draws.
func hashClient(a netip.Addr) uint64 {
	h := uint64(0xcbf29ce484222325)
	b := a.As16()
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

// sweep forgets flows that have ended, and has the ledger written.
func (f *forwarder) sweep(now time.Time, all bool) {
	f.swept = now
	for client, fl := range f.flows {
		if all || now.Sub(fl.last) > flowIdle {
			delete(f.flows, client)
		}
	}
	f.book.write(now, false)
}

// setRules replaces the rules; flows of the old ones end with the next packet of an armed client.
func (f *forwarder) setRules(rules []faults.Rule) {
	f.rules.Store(&rules)
}

func (f *forwarder) read() Counters {
	c := &f.counters
	return Counters{In: c[cIn].Load(), Lost: c[cLost].Load(), Overflowed: c[cOverflowed].Load(), Duplicated: c[cDuplicated].Load(),
		Reordered: c[cReordered].Load(), Corrupted: c[cCorrupted].Load(), Out: c[cOut].Load()}
}
