package faults_test

import (
	"sync"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/link"
	"tlsurge/faults/stage"
)

// linkProofs cover what happens to packets. Each holds a conversation from the rule's own subnet against
// one from another address over the same link.
func linkProofs() []proof {
	on := func(a faults.Action, seen string, run func(*testing.T, faults.Rule)) proof {
		return proof{engine: faults.EngineLink, action: a, seen: seen, run: run}
	}
	packets := func(p proof) proof { p.perPacket = true; return p }
	at := func(p proof, s stage.Stage) proof { p.at = s; return p }
	return []proof{
		at(on(faults.Drop, "the first SYN was lost and sent again by the client's kernel, the connect took a SYN timeout longer", proveLinkDrop), stage.Syn),
		at(on(faults.Drop, "the first SYN-ACK was lost and sent again by the server's kernel, the connect took a SYN timeout longer", proveLinkDrop), stage.SynAck),
		packets(on(faults.Drop, "with probability 0.2 all went well and segments were retransmitted; the forwarder's count of lost packets is the ledger's, which names that client alone", proveLinkLoss)),
		on(faults.Blackhole, "the connect timed out; the client beside it was served", proveLinkHole),
		packets(on(faults.Delay, "the connect took `duration` − `jitter` longer in each direction", proveLinkDelay)),
		packets(on(faults.Duplicate, "the client's kernel counted every segment of the answer twice, the answer arrived once", proveLinkTwice)),
		packets(on(faults.Reorder, "the client's kernel counted segments out of order, the answer was whole", proveLinkReorder)),
		packets(on(faults.Corrupt, "with probability 0.2 the kernel's checksum dropped packets, they were retransmitted, the answer was whole", proveLinkLoss)),
		on(faults.Throttle, "40,000 bytes took as long as `rate` says; the client beside it had them at once", proveLinkThrottle),
		on(faults.Shape, "over `satellite` the connect took 560 ms; the client beside it connected at once", proveLinkShape),
	}
}

// linked is a server behind a link that carries the rule.
type linked struct {
	link   *link.Link
	server *dialogue.Server
	rule   *faults.Rule
	spec   dialogue.Spec

	mu      sync.Mutex
	firings []faults.Firing
}

func behind(t *testing.T, r faults.Rule) *linked {
	t.Helper()
	d := &linked{rule: must(t, r)}
	var err error
	if d.link, err = link.New(link.Config{Seed: 42, Rules: []faults.Rule{*d.rule}, Ledger: func(f faults.Firing) {
		d.mu.Lock()
		d.firings = append(d.firings, f)
		d.mu.Unlock()
	}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.link.Close() })
	d.server = dialogue.Serve(t, dialogue.ServerOptions{Address: "10.2.0.11:0", Inside: d.link.Servers.Do})
	d.spec = dialogue.Spec{Address: d.server.Addr().String(), Answer: 40_000, Timeout: 30 * time.Second}
	return d
}

// both holds the armed conversation and the one beside it, which nothing may touch.
func (d *linked) both(t *testing.T, hit dialogue.Spec) (armed, beside dialogue.Result) {
	t.Helper()
	hit.Source = faults.SourceAddrFor(d.rule, 3, d.server.Addr().Addr())
	free := d.spec
	free.Source = link.ClientNet.Addr().Next()
	if err := d.link.Clients.Do(func() error { beside = free.Run(); armed = hit.Run(); return nil }); err != nil {
		t.Fatal(err)
	}
	// Its retransmissions are no measure here: a forwarder that waits for a busy processor makes kernels
	// send a segment twice. What the link took from whom, hits knows exactly.
	if beside.Err != nil || beside.Answers != 1 {
		t.Errorf("the client beside it: %v, %d answers", beside.Err, beside.Answers)
	}
	return armed, beside
}

// hits closes the link and adds up the ledger, which may name the armed client alone, and must account for
// all that the forwarders did.
func (d *linked) hits(t *testing.T, armed dialogue.Result) (packets int) {
	t.Helper()
	d.link.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.firings {
		if f.Rule != d.rule.Name || f.Engine != "link" || f.Tuple.Client.Addr() != faults.SourceAddrFor(d.rule, 3, d.server.Addr().Addr()) ||
			armed.Client.IsValid() && f.Tuple.Client != armed.Client || f.Time.IsZero() {
			t.Errorf("ledger has %+v for the client %s", f, armed.Client)
		}
		packets += f.Packets
	}
	up, down := d.link.Counters()
	if lost := up.Lost + down.Lost + up.Corrupted + down.Corrupted; lost != int64(packets) {
		t.Errorf("the ledger has %d packets, the forwarders lost %d: %+v %+v", packets, lost, up, down)
	}
	if len(d.firings) != 1 && armed.Client.IsValid() {
		t.Errorf("%d lines in the ledger for one connection", len(d.firings))
	}
	return packets
}

func (d *linked) retransmits(t *testing.T, r dialogue.Result) int {
	return r.Retransmits + d.server.Seen(t, r.Client).Retransmits
}

func proveLinkDrop(t *testing.T, r faults.Rule) {
	r.Times = 1
	d := behind(t, r)
	got, _ := d.both(t, d.spec)
	if got.Err != nil || got.Connect < 900*time.Millisecond || d.retransmits(t, got) < 1 {
		t.Errorf("%v, connected after %v, %d retransmissions; want the initial RTO of 1 s and one or more", got.Err, got.Connect, d.retransmits(t, got))
	}
	if n := d.hits(t, got); n != 1 {
		t.Errorf("the ledger has %d packets, want 1", n)
	}
}

// proveLinkLoss holds for corruption as well: to TCP it is loss.
func proveLinkLoss(t *testing.T, r faults.Rule) {
	r.Probability = 0.2
	d := behind(t, r)
	got, _ := d.both(t, d.spec)
	if got.Err != nil || got.Answers != 1 {
		t.Errorf("%v with %d answers", got.Err, got.Answers)
	}
	retransmits, lost := d.retransmits(t, got), d.hits(t, got)
	if lost < 3 || retransmits < 1 {
		t.Errorf("%d packets hit, %d retransmitted", lost, retransmits)
	}
}

func proveLinkHole(t *testing.T, r faults.Rule) {
	d := behind(t, r)
	spec := d.spec
	spec.Timeout = 500 * time.Millisecond
	got, _ := d.both(t, spec)
	if got.End() != "timeout" || got.Reached != stage.None {
		t.Errorf("%v at %s, want a timeout of the connect", got.Err, got.Reached)
	}
	if n := d.hits(t, got); n < 1 {
		t.Error("nothing in the ledger")
	}
}

func proveLinkDelay(t *testing.T, r faults.Rule) {
	r.Duration, r.Jitter = 60*time.Millisecond, 20*time.Millisecond
	d := behind(t, r)
	got, beside := d.both(t, d.spec)
	if got.Err != nil || got.Connect < 80*time.Millisecond || got.Handshake < 160*time.Millisecond {
		t.Errorf("%v, connect %v, handshake %v; beside it %v and %v", got.Err, got.Connect, got.Handshake, beside.Connect, beside.Handshake)
	}
	d.hits(t, got)
}

func proveLinkTwice(t *testing.T, r faults.Rule) {
	r.Direction = stage.ServerToClient
	d := behind(t, r)
	got, beside := d.both(t, d.spec)
	if got.Err != nil || got.Answers != 1 || got.SegmentsIn < beside.SegmentsIn*3/2 {
		t.Errorf("%v, %d segments, beside it %d", got.Err, got.SegmentsIn, beside.SegmentsIn)
	}
	d.hits(t, got)
}

func proveLinkReorder(t *testing.T, r faults.Rule) {
	r.Direction, r.Probability, r.Duration = stage.ServerToClient, 0.2, 3*time.Millisecond
	d := behind(t, r)
	got, beside := d.both(t, d.spec)
	if got.Err != nil || got.Answers != 1 || got.OutOfOrder == 0 {
		t.Errorf("%v, %d segments out of order, beside it %d", got.Err, got.OutOfOrder, beside.OutOfOrder)
	}
	d.hits(t, got)
}

func proveLinkThrottle(t *testing.T, r faults.Rule) {
	r.Rate, r.Direction = 80_000, stage.ServerToClient
	d := behind(t, r)
	got, beside := d.both(t, d.spec)
	if got.Err != nil || got.Exchange < 450*time.Millisecond {
		t.Errorf("%v, %v, beside it %v", got.Err, got.Exchange, beside.Exchange)
	}
	d.hits(t, got)
}

func proveLinkShape(t *testing.T, r faults.Rule) {
	r.Model = "satellite"
	d := behind(t, r)
	got, beside := d.both(t, d.spec)
	if got.Err != nil || got.Connect < 540*time.Millisecond {
		t.Errorf("%v, connect %v, beside it %v", got.Err, got.Connect, beside.Connect)
	}
	d.hits(t, got)
}
