package faults_test

import (
	"crypto/tls"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/relay"
	"tlsurge/faults/stage"
)

// relayProofs cover what a TCP relay does, at every stage that a TLS 1.2 or 1.3 conversation has.
func relayProofs() []proof {
	var all []proof
	for _, c := range faults.Cells() {
		prove, ok := map[faults.Action]struct {
			run  func(*testing.T, faults.Rule)
			seen string
		}{
			faults.Reset:     {proveEnd("reset"), "client and server both had ECONNRESET at this stage, not before; none of its bytes arrived"},
			faults.FIN:       {proveEnd("fin"), "client and server both read the end of the stream at this stage, not before; none of its bytes arrived"},
			faults.Stall:     {proveStall, "held for 400 ms all went well 400 ms later; held for ever the client timed out at this stage, not before"},
			faults.Blackhole: {proveHole, "the client timed out at this stage, not before; the server heard nothing of the client's end"},
			faults.Truncate:  {proveTruncate, "the receiver's kernel counted exactly the bytes before the cut, then the end of the stream"},
			faults.Split:     {proveSplit, "all went well in more segments, by the receiver's kernel's count, than the connection beside it"},
			faults.Delay:     {proveDelay, "all went well, later by at least `duration` − `jitter`"},
			faults.Corrupt:   {proveCorrupt, "the handshake or exchange failed on a TLS error at either end, for each part of the record"},
			faults.Throttle:  {proveThrottle, "all went well, no sooner than the stage's bytes take at `rate`"},
		}[c.Action]
		if c.Engine != faults.EngineRelay || !ok {
			continue
		}
		for _, at := range c.Stages {
			all = append(all, proof{engine: c.Engine, action: c.Action, at: at, seen: prove.seen, run: prove.run})
		}
	}
	return all
}

// relayed is a server with a relay before it, and what the ledger says.
type relayed struct {
	server *dialogue.Server
	relay  *relay.Relay
	rule   *faults.Rule
	spec   dialogue.Spec

	mu      sync.Mutex
	firings []faults.Firing
}

// before sets up the conversation in which the rule's stage occurs.
func before(t *testing.T, r faults.Rule) *relayed {
	t.Helper()
	d := &relayed{rule: must(t, r)}
	o := dialogue.ServerOptions{Deadline: 4 * time.Second}
	switch r.At {
	case stage.HelloRetryRequest:
		d.spec.Version = tls.VersionTLS13
		o.Curves = []tls.CurveID{tls.CurveP384}
	case stage.Alert:
		d.spec.ALPN = "nobody-knows-this"
	case stage.Idle:
		d.spec.Requests, d.spec.Pause = 2, 400*time.Millisecond
	}
	d.server = dialogue.Serve(t, o)
	var err error
	d.relay, err = relay.Start(relay.Config{Target: d.server.Addr(), Seed: 42, IdleAfter: 100 * time.Millisecond,
		Ledger: func(f faults.Firing) {
			d.mu.Lock()
			d.firings = append(d.firings, f)
			d.mu.Unlock()
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.relay.Close() })
	d.spec.Address = d.relay.Addr().String()
	return d
}

// untouched is the conversation that nobody armed.
func (d *relayed) untouched(t *testing.T) dialogue.Result {
	t.Helper()
	r := d.spec.Run()
	if want := map[bool]string{false: "ok", true: refusedALPN}[d.spec.ALPN != ""]; r.End() != want {
		t.Fatalf("through the relay, unarmed: %v, want %s", r.Err, want)
	}
	return r
}

const refusedALPN = "alert tls: no application protocol"

// armed is the conversation that the rule hits: what the client saw, the one firing, and the address that
// the server saw it from.
func (d *relayed) armed(t *testing.T, spec dialogue.Spec) (dialogue.Result, faults.Firing, netip.AddrPort) {
	t.Helper()
	spec.Source = faults.SourceAddr(d.rule, 3)
	key := faults.Key{Phase: "proof", Browser: 7, Attempt: 1}
	d.relay.Arm(netip.AddrPortFrom(spec.Source, 0), d.rule, key)
	r := spec.Run()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.firings) != 1 {
		t.Fatalf("%d firings in the ledger, want 1 (the client: %v)", len(d.firings), r.Err)
	}
	f := d.firings[0]
	d.firings = nil
	if f.Rule != d.rule.Name || f.Stage != d.rule.At.String() || f.Direction != d.rule.Direction.String() || f.Key != key || !f.HasKey ||
		f.Tuple.Client != r.Client || f.Tuple.Server != r.Server || f.Upstream == nil || f.Upstream.Server != d.server.Addr() ||
		f.Upstream.Client.Addr() != spec.Source {
		t.Fatalf("ledger has %+v, for a connection %s -> %s", f, r.Client, r.Server)
	}
	return r, f, f.Upstream.Client
}

// reached is how far a client comes when this stage of its conversation does not pass.
func reached(at stage.Stage) stage.Stage {
	switch at {
	case stage.Request, stage.Response:
		return stage.Request
	case stage.Idle:
		return stage.Response
	}
	return stage.ClientHello
}

// cutTimeout is how long a client waits for what will not come; all before must fit in, on a busy machine.
const cutTimeout = 2 * time.Second

// shaken says whether the server's handshake is done when it has sent this stage or waits for it.
func shaken(at stage.Stage) bool {
	return at == stage.ServerFinished || reached(at) != stage.ClientHello
}

// wantCut: the client's conversation ended so, at the rule's stage.
func (d *relayed) wantCut(t *testing.T, r dialogue.Result, end string) {
	t.Helper()
	if r.Reached == stage.Request && d.rule.At == stage.Idle {
		r.Reached = stage.Response // the second request was written into the cut connection
	}
	if want := reached(d.rule.At); r.End() != end || r.Reached != want {
		t.Errorf("the client: %q (%v) at %q, want %q at %q", r.End(), r.Err, r.Reached, end, want)
	}
	if want := map[bool]int{true: 1}[d.rule.At == stage.Idle]; r.Answers != want {
		t.Errorf("the client had %d answers, want %d", r.Answers, want)
	}
}

// proveEnd: the connection ends for both, with the stage's bytes unseen.
func proveEnd(end string) func(*testing.T, faults.Rule) {
	return func(t *testing.T, r faults.Rule) {
		d := before(t, r)
		d.untouched(t)
		got, f, from := d.armed(t, d.spec)
		d.wantCut(t, got, end)
		seen := d.server.Seen(t, from)
		received := map[stage.Direction]int64{stage.ClientToServer: seen.BytesReceived, stage.ServerToClient: got.BytesReceived}
		if n, ok := received[d.rule.Direction]; ok && n != f.Offset && n != f.Offset+1 {
			t.Errorf("%d bytes arrived %s, cut at %d", n, d.rule.Direction, f.Offset)
		}
		want := end
		switch {
		case d.rule.At == stage.Alert:
			return // the server had ended it before
		case end == "fin" && shaken(d.rule.At):
			want = "ok" // between two requests the end of the stream is in order
		}
		if dialogue.End(seen.Err) != want {
			t.Errorf("the server: %v, want %q", seen.Err, want)
		}
	}
}

func proveStall(t *testing.T, r faults.Rule) {
	r.Duration = 400 * time.Millisecond
	if r.At == stage.Idle { // the hold begins within the pause and must outlast it
		r.Duration = 800 * time.Millisecond
	}
	d := before(t, r)
	d.untouched(t)
	start := time.Now()
	got, _, _ := d.armed(t, d.spec)
	took := time.Since(start)
	if want := map[bool]string{false: "ok", true: refusedALPN}[d.spec.ALPN != ""]; got.End() != want {
		t.Errorf("held for %v: %v, want %q", r.Duration, got.Err, want)
	}
	if took < r.Duration {
		t.Errorf("held for %v, over after %v", r.Duration, took)
	}
	d.rule.Duration = 0
	spec := d.spec
	spec.Timeout = cutTimeout
	got, _, _ = d.armed(t, spec)
	d.wantCut(t, got, "timeout")
}

func proveHole(t *testing.T, r faults.Rule) {
	d := before(t, r)
	d.untouched(t)
	spec := d.spec
	spec.Timeout = cutTimeout
	start := time.Now()
	got, _, from := d.armed(t, spec)
	d.wantCut(t, got, "timeout")
	if r.At == stage.Alert {
		return // the server has said all it had to say
	}
	if shaken(r.At) {
		return // its own deadline is long
	}
	// The client is gone after 2 s; the server, untold, waits until its own deadline.
	if seen := d.server.Seen(t, from); dialogue.End(seen.Err) != "timeout" || time.Since(start) < 3*time.Second {
		t.Errorf("the server after %v: %v, want its own timeout", time.Since(start), seen.Err)
	}
}

func proveTruncate(t *testing.T, r faults.Rule) {
	r.Bytes = 3
	d := before(t, r)
	d.untouched(t)
	got, f, from := d.armed(t, d.spec)
	seen := d.server.Seen(t, from)
	d.wantCut(t, got, "fin")
	received := got.BytesReceived
	if d.rule.Direction == stage.ClientToServer {
		received = seen.BytesReceived
	}
	if received != f.Offset && received != f.Offset+1 {
		t.Errorf("%d bytes arrived %s, cut at %d", received, d.rule.Direction, f.Offset)
	}
	// A stage that is no longer than that is not cut.
	long := d.rule
	long.Bytes = 1 << 20
	d.relay.Arm(netip.AddrPortFrom(faults.SourceAddr(long, 4), 0), long, faults.Key{})
	spec := d.spec
	spec.Source = faults.SourceAddr(long, 4)
	if r := spec.Run(); r.End() != "ok" && r.End() != refusedALPN || len(d.firings) != 0 {
		t.Errorf("cut at 1 MiB: %v, %d firings", r.Err, len(d.firings))
	}
}

func proveSplit(t *testing.T, r faults.Rule) {
	r.Bytes = 5
	d := before(t, r)
	control := d.untouched(t)
	got, _, from := d.armed(t, d.spec)
	if got.End() != control.End() {
		t.Errorf("%v, want %v", got.Err, control.Err)
	}
	if d.rule.Direction == stage.ServerToClient {
		if got.SegmentsIn <= control.SegmentsIn {
			t.Errorf("%d segments arrived, %d without the fault", got.SegmentsIn, control.SegmentsIn)
		}
	} else if seen := d.server.Seen(t, from); seen.SegmentsIn < 6 {
		// The shortest of these stages is a request: 38 bytes, eight segments.
		t.Errorf("%d segments arrived at the server", seen.SegmentsIn)
	}
}

func proveDelay(t *testing.T, r faults.Rule) {
	r.Duration, r.Jitter = 300*time.Millisecond, 100*time.Millisecond
	d := before(t, r)
	control := d.untouched(t)
	start := time.Now()
	got, _, _ := d.armed(t, d.spec)
	if took := time.Since(start); got.End() != control.End() || took < 200*time.Millisecond {
		t.Errorf("%v after %v, want %v after 200 ms or more", got.Err, took, control.Err)
	}
}

func proveCorrupt(t *testing.T, r faults.Rule) {
	for _, part := range []faults.Part{faults.PartHeader, faults.PartBody, faults.PartMAC} {
		r.Part = part
		if faults.Validate(r) != nil {
			continue // no MAC at this stage
		}
		d := before(t, r)
		if part == faults.PartMAC && r.At == stage.ServerFlight {
			d.spec.Version = tls.VersionTLS13 // in TLS 1.2 it is in the clear
		}
		control := d.untouched(t)
		got, _, from := d.armed(t, d.spec)
		seen := d.server.Seen(t, from)
		if got.End() == control.End() {
			t.Errorf("%s: the client noticed nothing: %v", part, got.Err)
		}
		client, server := dialogue.End(got.Err), dialogue.End(seen.Err)
		if !isTLS(client) && !isTLS(server) {
			t.Errorf("%s: the client %q, the server %q: neither is an error of TLS", part, client, server)
		}
	}
}

// isTLS: the peer, or this end, found fault with the bytes.
func isTLS(end string) bool { return end == "garbled" || len(end) > 5 && end[:5] == "alert" }

func proveThrottle(t *testing.T, r faults.Rule) {
	r.Rate = map[stage.Stage]int64{stage.ClientHello: 600, stage.HelloRetryRequest: 2000, stage.ServerHello: 2000, stage.ServerFlight: 1500,
		stage.ClientKeyExchange: 250, stage.Finished: 150, stage.ServerFinished: 300, stage.Request: 100, stage.Response: 300, stage.Alert: 20}[r.At]
	d := before(t, r)
	control := d.untouched(t)
	start := time.Now()
	got, _, _ := d.armed(t, d.spec)
	// The rates are such that the bytes of the stage and what follows it take 300 ms or more.
	if took := time.Since(start); got.End() != control.End() || took < 250*time.Millisecond {
		t.Errorf("%v after %v, want %v after 250 ms or more", got.Err, took, control.Err)
	}
}
