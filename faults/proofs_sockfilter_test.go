package faults_test

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

// sockfilterProofs cover drop and blackhole by classic BPF.
func sockfilterProofs() []proof {
	const twice = "at least 2 segments dropped, 2 or more retransmitted by the server's kernel, then all went well; the connection beside it lost none"
	const twiceBack = "at least 2 segments dropped, 2 or more retransmitted by the client's kernel, then all went well; a connection from another source lost none"
	dropAt := func(at stage.Stage, seen string, run func(*testing.T, faults.Rule)) proof {
		return proof{engine: faults.EngineSockfilter, action: faults.Drop, at: at, seen: seen, run: run}
	}
	clientDrop := func(spec dialogue.Spec, o dialogue.ServerOptions) func(*testing.T, faults.Rule) {
		return func(t *testing.T, r faults.Rule) { proveClientDrop(t, r, spec, o) }
	}
	listenerDrop := func(spec dialogue.Spec) func(*testing.T, faults.Rule) {
		return func(t *testing.T, r faults.Rule) { proveListenerDrop(t, r, spec) }
	}
	resumed := func(t *testing.T, r faults.Rule) {
		proveListenerDrop(t, r, dialogue.Spec{Resume: tls.NewLRUClientSessionCache(1)})
	}
	refuse := func(t *testing.T, r faults.Rule) { proveAlertDrop(t, r) }
	all := []proof{
		dropAt(stage.Syn, "the connect took a SYN timeout longer, the listener's drop counter rose by the SYN lost; other sources connected at once", proveSynDrop),
		dropAt(stage.SynAck, "the SYN-ACK was sent again by the server's kernel, the connect took a SYN timeout longer, then all went well", proveSynAckDrop),
		dropAt(stage.ClientHello, twiceBack, listenerDrop(dialogue.Spec{})),
		dropAt(stage.HelloRetryRequest, twice, clientDrop(dialogue.Spec{Version: tls.VersionTLS13}, dialogue.ServerOptions{Curves: []tls.CurveID{tls.CurveP384}})),
		dropAt(stage.ServerHello, twice, clientDrop(dialogue.Spec{}, dialogue.ServerOptions{})),
		dropAt(stage.ClientKeyExchange, twiceBack, listenerDrop(dialogue.Spec{})),
		dropAt(stage.Finished, twiceBack+" (a resumed handshake, where Finished begins a flight)", resumed),
		dropAt(stage.ServerFinished, twice, clientDrop(dialogue.Spec{}, dialogue.ServerOptions{})),
		dropAt(stage.Request, twiceBack, listenerDrop(dialogue.Spec{})),
		dropAt(stage.Response, twice, clientDrop(dialogue.Spec{}, dialogue.ServerOptions{})),
		dropAt(stage.Alert, "at least 2 alert segments dropped, 2 or more retransmitted by the server's kernel, then the client read the alert", refuse),
		{engine: faults.EngineSockfilter, action: faults.Drop, perPacket: true, run: proveLossyClient,
			seen: "with probability 0.3 every answer arrived whole, and drops and the server's retransmissions are above 0; with 0 nothing is dropped"},
	}
	for _, at := range []stage.Stage{stage.SynAck, stage.ServerHello, stage.ServerFinished, stage.Response, stage.Idle} {
		all = append(all, proof{engine: faults.EngineSockfilter, action: faults.Blackhole, at: at, run: proveBlackhole,
			seen: "the client timed out at this stage, not before, and had no byte of it; the connection beside it went well"})
	}
	return all
}

// proveClientDrop: at the right moment the client arms its own socket, for two drops.
func proveClientDrop(t *testing.T, r faults.Rule, spec dialogue.Spec, o dialogue.ServerOptions) {
	r.Times = 2
	rule := must(t, r)
	server := dialogue.Serve(t, o)
	spec.Address = server.Addr().String()
	control := spec.Run()
	armed := arming(t, rule, &spec)
	hit := spec.Run()
	f := armed().finish(t)

	wantGood(t, "the connection beside it", control, server)
	if hit.Err != nil || hit.Reached != stage.Response {
		t.Errorf("after the drops: %v at %s, want a whole answer", hit.Err, hit.Reached)
	}
	if seen := server.Seen(t, hit.Client); seen.Retransmits < 2 {
		t.Errorf("the server's kernel retransmitted %d segments, want 2 or more", seen.Retransmits)
	}
	wantFiring(t, f, rule, 2)
	// The last of a flight's segments is only missed by a timer: a loss probe or the smallest RTO, 200 ms.
	if took := hit.Handshake + hit.Exchange; took < 190*time.Millisecond {
		t.Errorf("two losses in a row cost %v; the kernel's own timers are slower", took)
	}
}

// arming hooks the rule into the conversation at the moment that its stage asks for, and returns how to
// come by the poller.
func arming(t *testing.T, rule *faults.Rule, spec *dialogue.Spec) func() *poller {
	moment := map[stage.Stage]stage.Stage{stage.ServerHello: stage.ClientHello, stage.HelloRetryRequest: stage.ClientHello,
		stage.Alert: stage.ClientHello, stage.ServerFinished: stage.ClientKeyExchange, stage.Response: stage.Request}[rule.At]
	var once sync.Once
	var p *poller
	closeOwn := func() {}
	arm := func(fd int) {
		once.Do(func() {
			a, err := sockfilter.ArmClient(fd, rule)
			if err != nil {
				t.Error(err)
				return
			}
			p = poll(a)
		})
	}
	switch {
	case rule.At == stage.SynAck, rule.PerPacket:
		spec.BeforeConnect = func(fd int) {
			own, err := unix.Dup(fd) // a connect that fails closes the socket before its drops are read
			if err != nil {
				t.Error(err)
				return
			}
			closeOwn = sync.OnceFunc(func() { unix.Close(own) })
			t.Cleanup(closeOwn)
			arm(own)
		}
	case rule.At == stage.Idle:
		spec.Idle = func(c *net.TCPConn) { arm(fdOf(c)) }
	default:
		spec.Before = func(c *net.TCPConn, s stage.Stage) {
			if s == moment {
				arm(fdOf(c))
			}
		}
	}
	spec.Closing = func(*net.TCPConn) {
		if p != nil {
			close(p.stop)
			<-p.done
			p.stop = make(chan struct{}) // finish closes it again
			closeOwn()
		}
	}
	return func() *poller {
		if p == nil {
			t.Fatal("the conversation never came to where the rule is armed")
		}
		return p
	}
}

// wantGood: nothing was done to this conversation: the kernel dropped no segment at either end. Its
// retransmissions are no measure: on a busy machine kernels send a segment twice that was never lost.
func wantGood(t *testing.T, who string, r dialogue.Result, server *dialogue.Server) {
	t.Helper()
	if r.Err != nil || r.Dropped != 0 {
		t.Errorf("%s: %v, %d segments dropped, want none", who, r.Err, r.Dropped)
		return
	}
	if seen := server.Seen(t, r.Client); seen.Err != nil || seen.Dropped != 0 {
		t.Errorf("%s at the server: %v, %d segments dropped, want none", who, seen.Err, seen.Dropped)
	}
}

// wantFiring: the ledger says this rule did this to so many packets, or to more if the poller was late.
func wantFiring(t *testing.T, f faults.Firing, r *faults.Rule, packets int) {
	t.Helper()
	if f.Rule != r.Name || f.Action != string(r.Action) || f.Stage != r.At.String() || f.Engine != "sockfilter" ||
		f.Packets < packets || f.Time.IsZero() {
		t.Errorf("ledger has %+v, want rule %q at %s with %d packets or more and a time", f, r.Name, r.At, packets)
	}
}

func proveSynAckDrop(t *testing.T, r faults.Rule) {
	r.Times = 1
	rule := must(t, r)
	server := dialogue.Serve(t, dialogue.ServerOptions{})
	spec := dialogue.Spec{Address: server.Addr().String()}
	control := spec.Run()
	armed := arming(t, rule, &spec)
	hit := spec.Run()
	wantGood(t, "the connection beside it", control, server)
	if hit.Err != nil || hit.Connect < 900*time.Millisecond {
		t.Errorf("%v, connected after %v; want no error and the initial RTO of 1 s", hit.Err, hit.Connect)
	}
	if seen := server.Seen(t, hit.Client); seen.Retransmits < 1 {
		t.Errorf("the server's kernel retransmitted %d SYN-ACKs", seen.Retransmits)
	}
	wantFiring(t, armed().finish(t), rule, 1)
}

// listening makes a server whose listener carries the rule, and whose accepted sockets are polled.
func listening(t *testing.T, rule *faults.Rule, address string) (*dialogue.Server, *sockfilter.ListenerFilter, func(netip.AddrPort) *poller) {
	var filter *sockfilter.ListenerFilter
	var mu sync.Mutex
	pollers := map[netip.AddrPort]*poller{}
	server := dialogue.Serve(t, dialogue.ServerOptions{
		Address: address,
		Control: func(l net.Listener) {
			filter = sockfilter.NewListenerFilter(l.(*net.TCPListener))
			if err := filter.SetRules([]faults.Rule{*rule}); err != nil {
				t.Error(err)
			}
		},
		Accepted: func(c *net.TCPConn) {
			client := c.RemoteAddr().(*net.TCPAddr).AddrPort()
			a, err := filter.Accepted(c, client, c.LocalAddr().(*net.TCPAddr).AddrPort())
			if err != nil {
				t.Error(err)
			}
			if a != nil {
				mu.Lock()
				pollers[client] = poll(a)
				mu.Unlock()
			}
		},
	})
	return server, filter, func(client netip.AddrPort) *poller {
		mu.Lock()
		defer mu.Unlock()
		return pollers[client]
	}
}

// proveListenerDrop: the edge drops what comes from the rule's own sources, twice, and from nobody else.
func proveListenerDrop(t *testing.T, r faults.Rule, spec dialogue.Spec) {
	proveListenerDropAt(t, r, spec, "", faults.SourceAddr(&r, 7))
}

func proveListenerDropAt(t *testing.T, r faults.Rule, spec dialogue.Spec, address string, source netip.Addr) {
	r.Times = 2
	rule := must(t, r)
	server, _, pollerOf := listening(t, rule, address)
	spec.Address = server.Addr().String()
	control := spec.Run() // it also earns the session that a resumed handshake needs
	hit := spec
	hit.Source = source
	var p *poller
	hit.Closing = func(c *net.TCPConn) { p = pollerOf(c.LocalAddr().(*net.TCPAddr).AddrPort()) }
	got := hit.Run()
	wantGood(t, "the connection from another source", control, server)
	if pollerOf(control.Client) != nil {
		t.Error("the connection from another source was armed")
	}
	if p == nil {
		t.Fatal("the connection from the rule's source was not armed")
	}
	if got.Err != nil || got.Reached != stage.Response || got.Retransmits < 2 {
		t.Errorf("after the drops: %v at %s, %d retransmissions by the client's kernel; want a whole answer and 2 or more",
			got.Err, got.Reached, got.Retransmits)
	}
	if got.Resumed != (spec.Resume != nil) {
		t.Errorf("resumed = %v", got.Resumed)
	}
	wantFiring(t, p.finish(t), rule, 2)
}

func proveSynDrop(t *testing.T, r faults.Rule) {
	r.Times = 1
	rule := must(t, r)
	server, filter, pollerOf := listening(t, rule, "")
	spec := dialogue.Spec{Address: server.Addr().String()}
	control := spec.Run()
	hit := spec
	hit.Source = faults.SourceAddr(rule, 9)
	watched := make(chan struct{})
	hit.BeforeConnect = func(fd int) {
		go func() { // what an agent does on its timer: count the SYNs, tell the edge to let this source through
			defer close(watched)
			for range 300 {
				if n, err := sockfilter.SynsSent(fd); err != nil || n > rule.Times-1 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond) // the first SYN leaves after this hook
			if err := filter.Release(hit.Source); err != nil {
				t.Error(err)
			}
		}()
	}
	got := hit.Run()
	<-watched
	wantGood(t, "the connection from another source", control, server)
	if got.Err != nil || got.Connect < 900*time.Millisecond || got.Retransmits != 1 {
		t.Errorf("%v, connected after %v with %d SYNs sent again; want the initial RTO of 1 s and 1", got.Err, got.Connect, got.Retransmits)
	}
	if drops, err := sockfilter.Drops(listenerFD(t, server)); err != nil || drops != 1 {
		t.Errorf("the listener dropped %d segments, %v; want 1", drops, err)
	}
	if pollerOf(got.Client) != nil {
		t.Error("a connection whose SYN was dropped stays armed")
	}
	// The release was for that connection alone: the next one from the same source loses its SYN again.
	again := dialogue.Spec{Address: spec.Address, Source: hit.Source, Timeout: 300 * time.Millisecond}.Run()
	if again.End() != "timeout" {
		t.Errorf("the next connection from the released source: %v, want a timeout", again.Err)
	}
}

func listenerFD(t *testing.T, s *dialogue.Server) (fd int) {
	raw, err := s.Listener.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(f uintptr) { fd = int(f) })
	return fd
}

// proveAlertDrop: the server refuses a client that offers a protocol it does not know.
func proveAlertDrop(t *testing.T, r faults.Rule) {
	r.Times = 2
	rule := must(t, r)
	server := dialogue.Serve(t, dialogue.ServerOptions{})
	spec := dialogue.Spec{Address: server.Addr().String(), ALPN: "nobody-knows-this"}
	control := spec.Run()
	armed := arming(t, rule, &spec)
	hit := spec.Run()
	const refused = "alert tls: no application protocol"
	if control.End() != refused || hit.End() != refused {
		t.Errorf("without the drops %q, with them %q; want %q for both", control.End(), hit.End(), refused)
	}
	if hit.SegmentsIn < 1 {
		t.Error("the alert never arrived")
	}
	wantFiring(t, armed().finish(t), rule, 2)
	// The same armed rule lets a handshake without an alert pass untouched.
	good := dialogue.Spec{Address: spec.Address}
	armed = arming(t, rule, &good)
	if r := good.Run(); r.Err != nil {
		t.Errorf("no alert, no firing: %v", r.Err)
	}
	if f := armed().finish(t); f.Packets != 0 {
		t.Errorf("%d segments dropped of a conversation without an alert", f.Packets)
	}
}

// proveBlackhole: nothing arrives any more, so the client waits until its own timeout.
func proveBlackhole(t *testing.T, r faults.Rule) {
	rule := must(t, r)
	server := dialogue.Serve(t, dialogue.ServerOptions{Deadline: 2 * time.Second})
	spec := dialogue.Spec{Address: server.Addr().String(), Requests: 2}
	control := spec.Run()
	spec.Timeout = time.Second
	armed := arming(t, rule, &spec)
	hit := spec.Run()
	wantGood(t, "the connection beside it", control, server)
	reached := map[stage.Stage]stage.Stage{stage.SynAck: stage.None, stage.ServerHello: stage.ClientHello,
		stage.ServerFinished: stage.ClientHello, stage.Response: stage.Request, stage.Idle: stage.Request}[r.At]
	if hit.End() != "timeout" || hit.Reached != reached {
		t.Errorf("%v at %q, want a timeout at %q", hit.Err, hit.Reached, reached)
	}
	if answers := map[stage.Stage]int{stage.Idle: 1}[r.At]; hit.Answers != answers {
		t.Errorf("%d answers, want %d", hit.Answers, answers)
	}
	if r.At == stage.ServerHello && hit.BytesReceived != 0 {
		t.Errorf("%d bytes arrived through a blackhole", hit.BytesReceived)
	}
	f := armed().finish(t)
	if f.Packets < 1 {
		t.Errorf("ledger has %+v, want packets", f)
	}
}

// proveLossyClient: the kernel draws for each segment.
func proveLossyClient(t *testing.T, r faults.Rule) {
	server := dialogue.Serve(t, dialogue.ServerOptions{})
	for _, p := range []float64{0, 0.3} {
		r.Probability = p
		rule := must(t, r)
		// Answers one behind the other keep segments small and many.
		spec := dialogue.Spec{Address: server.Addr().String(), Requests: 40, Timeout: 60 * time.Second}
		armed := arming(t, rule, &spec)
		got := spec.Run()
		if got.Err != nil || got.Answers != 40 {
			t.Errorf("with probability %v: %d answers, %v; want 40", p, got.Answers, got.Err)
		}
		f := armed().finish(t)
		retransmits := server.Seen(t, got.Client).Retransmits
		if p == 0 && f.Packets != 0 || p > 0 && (f.Packets == 0 || retransmits == 0) {
			t.Errorf("with probability %v: %d dropped, %d retransmitted", p, f.Packets, retransmits)
		}
	}
}
