package link_test

import (
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/internal/nstest"
	"tlsurge/faults/link"
)

const ms = time.Millisecond

// open makes a link that the test's end takes down; where this user may not, the refusal is what is tested.
func open(t *testing.T, cfg link.Config) *link.Link {
	t.Helper()
	l, err := link.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// allowed: without the right to make namespaces the refusal must come first, with its reason.
func allowed(t *testing.T) bool {
	err := link.Probe()
	if err == nil {
		return true
	}
	if nstest.Inside() || os.Getuid() == 0 {
		t.Fatalf("links must be possible here: %v", err)
	}
	t.Logf("said before any load: %v", err)
	return false
}

// devices are the kinds that this user can make: TUN needs /dev/net/tun.
func devices() []string {
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err == nil {
		f.Close()
		return []string{"tun", "veth"}
	}
	return []string{"veth"}
}

// talk holds a conversation over the link.
func talk(t *testing.T, l *link.Link, s dialogue.Spec) (r dialogue.Result) {
	t.Helper()
	if err := l.Clients.Do(func() error { r = s.Run(); return nil }); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDevices: a conversation over each kind of device, IPv4 and IPv6, as root and as nobody.
func TestDevices(t *testing.T) {
	nstest.Both(t, func(t *testing.T) {
		if !allowed(t) {
			return
		}
		for _, device := range devices() {
			t.Run(device, func(t *testing.T) {
				l := open(t, link.Config{Device: device, Base: link.Model{Up: link.Impairment{Delay: 20 * ms}, Down: link.Impairment{Delay: 30 * ms}}})
				if l.Device != device {
					t.Errorf("made a %s", l.Device)
				}
				for _, a := range []string{"10.2.0.11:0", "[fd74:6c73:7572:2::11]:0"} {
					server := dialogue.Serve(t, dialogue.ServerOptions{Address: a, Inside: l.Servers.Do})
					source := link.ClientNet.Addr().Next()
					if server.Addr().Addr().Is6() {
						source = link.ClientNet6.Addr().Next()
					}
					r := talk(t, l, dialogue.Spec{Address: server.Addr().String(), Source: source, Answer: 200000})
					if r.Err != nil || r.Answers != 1 || r.Client.Addr() != source {
						t.Errorf("%s from %s: %v", a, r.Client, r.Err)
					}
					// Once there and back is 50 ms, for the connect and for a TLS 1.2 handshake twice.
					if r.Connect < 50*ms || r.Handshake < 100*ms || r.Exchange < 50*ms {
						t.Errorf("%s: connect %v, handshake %v, exchange %v over a round trip of 50 ms", a, r.Connect, r.Handshake, r.Exchange)
					}
					// 200,000 bytes in segments of at most 1460: nothing on the way joined them.
					if r.SegmentsIn < 137 {
						t.Errorf("%s: %d segments", a, r.SegmentsIn)
					}
				}
				up, down := l.Counters()
				for wait := 0; wait < 100 && (up.In != up.Out || down.In != down.Out); wait++ { // the last ones are on their way
					time.Sleep(10 * ms)
					up, down = l.Counters()
				}
				if up.In != up.Out || down.In != down.Out || up.Out < 20 || down.Out < 276 {
					t.Errorf("up %+v, down %+v", up, down)
				}
			})
		}
	})
}

// TestRules: a rule concerns the clients in its own subnet and no others, in its own direction, and the
// ledger says what it did to whom.
func TestRules(t *testing.T) {
	if !allowed(t) {
		return
	}
	var mu sync.Mutex
	ledger, lines := map[netip.Addr]int{}, map[netip.Addr]int{}
	loss := faults.Rule{Name: "loss", Index: 1, Engine: faults.EngineLink, Action: faults.Drop, PerPacket: true, Probability: 0.2}
	slow := faults.Rule{Name: "slow", Index: 2, Engine: faults.EngineLink, Action: faults.Throttle, Rate: 100_000, Probability: 1}
	l := open(t, link.Config{Seed: 1, Rules: []faults.Rule{loss, slow}, Ledger: func(f faults.Firing) {
		mu.Lock()
		ledger[f.Tuple.Client.Addr()] += f.Packets
		lines[f.Tuple.Client.Addr()]++
		mu.Unlock()
	}})
	server := dialogue.Serve(t, dialogue.ServerOptions{Address: "10.2.0.11:0", Inside: l.Servers.Do})
	spec := func(source netip.Addr) dialogue.Spec {
		return dialogue.Spec{Address: server.Addr().String(), Source: source, Answer: 50_000, Timeout: 60 * time.Second}
	}
	free := talk(t, l, spec(netip.MustParseAddr("10.1.3.4")))
	lossy := talk(t, l, spec(faults.SourceAddrFor(&loss, 5, server.Addr().Addr())))
	paced := talk(t, l, spec(faults.SourceAddrFor(&slow, 5, server.Addr().Addr())))
	for who, r := range map[string]dialogue.Result{"free": free, "lossy": lossy, "paced": paced} {
		if r.Err != nil {
			t.Errorf("%s: %v", who, r.Err)
		}
	}
	retrans := func(r dialogue.Result) int { return r.Retransmits + server.Seen(t, r.Client).Retransmits }
	if n := retrans(lossy); n < 3 {
		t.Errorf("a fifth of all packets lost, and %d segments were retransmitted", n)
	}
	if paced.Exchange < 450*ms { // 50,000 bytes and headers
		t.Errorf("50,000 bytes at 100,000 a second came in %v", paced.Exchange)
	}
	if err := l.SetRules(nil); err != nil {
		t.Fatal(err)
	}
	before, _ := l.Counters()
	after := talk(t, l, spec(faults.SourceAddrFor(&loss, 5, server.Addr().Addr())))
	if now, _ := l.Counters(); after.Err != nil || now.Lost != before.Lost || now.In == before.In {
		t.Errorf("after the rules were taken away: %v, lost %d more packets", after.Err, now.Lost-before.Lost)
	}
	l.Close()
	mu.Lock()
	defer mu.Unlock()
	// A line for each connection; where the last FIN is lost too, it comes again after the first line was written.
	if n := lines[lossy.Client.Addr()]; lines[free.Client.Addr()] != 0 || ledger[lossy.Client.Addr()] < 3 || ledger[paced.Client.Addr()] != 0 ||
		n < 1 || n > 3 || lines[paced.Client.Addr()] != 1 {
		t.Errorf("packets lost in the ledger: %v, its lines: %v", ledger, lines)
	}
}

// TestLoopbackAddresses: programs that know only loopback's addresses talk over the path: the edge's address,
// ordinary and armed sources, and 127.0.0.1 stays at home.
func TestLoopbackAddresses(t *testing.T) {
	nstest.Both(t, func(t *testing.T) {
		if !allowed(t) {
			return
		}
		slow := faults.Rule{Name: "slow", Engine: faults.EngineLink, Action: faults.Delay, PerPacket: true, Probability: 1, Duration: 30 * ms}
		for _, device := range devices() {
			l := open(t, link.Config{Device: device, Loopback: true, Rules: []faults.Rule{slow}, Base: link.Model{Up: link.Impairment{Delay: 10 * ms}, Down: link.Impairment{Delay: 10 * ms}}})
			server := dialogue.Serve(t, dialogue.ServerOptions{Address: "127.0.0.11:0", Inside: l.Servers.Do})
			for _, tt := range []struct {
				source  string
				atLeast time.Duration
			}{{"127.1.0.5", 20 * ms}, {"127.200.0.5", 20 * ms}, {"127.64.0.9", 80 * ms}} {
				r := talk(t, l, dialogue.Spec{Address: server.Addr().String(), Source: netip.MustParseAddr(tt.source)})
				if r.Err != nil || r.Connect < tt.atLeast || r.Client.Addr().String() != tt.source {
					t.Errorf("%s from %s: %v after %v, want %v", device, tt.source, r.Err, r.Connect, tt.atLeast)
				}
			}
			// What stays at home: a conversation is a dozen packets each way, and none of them enters the link.
			before, _ := l.Counters()
			home := dialogue.Serve(t, dialogue.ServerOptions{Address: "127.0.0.1:0", Inside: l.Clients.Do})
			if r := talk(t, l, dialogue.Spec{Address: home.Addr().String(), Source: netip.MustParseAddr("127.64.0.9")}); r.Err != nil {
				t.Errorf("%s at home: %v", device, r.Err)
			}
			back := dialogue.Serve(t, dialogue.ServerOptions{Address: "127.0.0.20:0", Inside: l.Servers.Do})
			if err := l.Servers.Do(func() error {
				if r := (dialogue.Spec{Address: back.Addr().String()}).Run(); r.Err != nil {
					t.Errorf("%s between servers: %v", device, r.Err)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if after, _ := l.Counters(); after.In-before.In > 5 {
				t.Errorf("%s: %d packets entered the link", device, after.In-before.In)
			}
		}
	})
}
