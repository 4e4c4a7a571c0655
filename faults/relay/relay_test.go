package relay_test

import (
	"bytes"
	"context"
	"io"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tlsurge/faults"
	"tlsurge/faults/internal/dialogue"
	"tlsurge/faults/relay"
	"tlsurge/faults/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, cfg relay.Config) *relay.Relay {
	t.Helper()
	r, err := relay.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// echo sends back what it reads until the stream ends, then ends its own.
func echo(t testing.TB, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestPassThrough: whatever nobody armed arrives as it was sent, over IPv4 and IPv6, half-closes included;
// so does what a rule that never comes to its stage sees.
func TestPassThrough(t *testing.T) {
	payload := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{1}).Read(payload)
	never := faults.Rule{Name: "never", Engine: faults.EngineRelay, Action: faults.Reset, At: stage.ServerHello, Direction: stage.ServerToClient, Probability: 1}
	for _, tt := range []struct {
		sentence, address string
		listen            netip.Addr
		armed             bool
	}{
		{"IPv4", "127.0.0.1:0", netip.Addr{}, false},
		{"IPv6", "[::1]:0", netip.IPv6Loopback(), false},
		{"IPv4 to IPv6", "[::1]:0", netip.Addr{}, false},
		{"armed, but it is not TLS", "127.0.0.1:0", netip.Addr{}, true},
		{"armed, over IPv6", "[::1]:0", netip.IPv6Loopback(), true},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			r := start(t, relay.Config{Target: echo(t, tt.address), Listen: tt.listen, Ledger: func(f faults.Firing) { t.Errorf("fired: %+v", f) }})
			if tt.armed {
				r.Arm(netip.AddrPortFrom(r.Addr().Addr(), 0), &never, faults.Key{})
			}
			c, err := net.Dial("tcp", r.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			go func() {
				c.Write(payload)
				c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%d bytes came back of %d, %v", len(got), len(payload), err)
			}
		})
	}
}

// TestSixWithFaults: the whole road over IPv6.
func TestSixWithFaults(t *testing.T) {
	server := dialogue.Serve(t, dialogue.ServerOptions{Address: "[::1]:0"})
	var fired faults.Firing
	var mu sync.Mutex
	r := start(t, relay.Config{Target: server.Addr(), Listen: netip.IPv6Loopback(), Ledger: func(f faults.Firing) { mu.Lock(); fired = f; mu.Unlock() }})
	rule := &faults.Rule{Name: "cut", Engine: faults.EngineRelay, Action: faults.Reset, At: stage.ServerHello, Direction: stage.ServerToClient, Probability: 1}
	r.Arm(netip.AddrPortFrom(netip.IPv6Loopback(), 0), rule, faults.Key{Browser: 3})
	got := dialogue.Spec{Address: r.Addr().String()}.Run()
	mu.Lock()
	defer mu.Unlock()
	if got.End() != "reset" || fired.Key.Browser != 3 || fired.Tuple.Client != got.Client {
		t.Errorf("%v, ledger %+v", got.Err, fired)
	}
}

// TestErrorsPass: an end that goes away takes the other with it, in the same manner.
func TestErrorsPass(t *testing.T) {
	t.Run("a reset by the server", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		r := start(t, relay.Config{Target: l.Addr().(*net.TCPAddr).AddrPort()})
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.(*net.TCPConn).SetLinger(0)
		s.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); dialogue.End(err) != "reset" {
			t.Errorf("the client read %v", err)
		}
	})
	t.Run("a server that is not there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		to := l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		r := start(t, relay.Config{Target: to})
		got := dialogue.Spec{Address: r.Addr().String()}.Run()
		if got.End() != "reset" {
			t.Errorf("the client saw %v", got.Err)
		}
	})
}

// TestCloseFreesAll: Close resets what is open, held and swallowed connections included, and returns with
// no goroutine left (TestMain looks).
func TestCloseFreesAll(t *testing.T) {
	server := dialogue.Serve(t, dialogue.ServerOptions{})
	r, err := relay.Start(relay.Config{Target: server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, action := range []faults.Action{faults.Stall, faults.Blackhole, ""} {
		rule := &faults.Rule{Name: "r", Index: i, Engine: faults.EngineRelay, Action: action, At: stage.ServerHello, Direction: stage.ServerToClient, Probability: 1}
		for n := range uint32(5) {
			src := faults.SourceAddr(rule, n)
			if action != "" {
				r.Arm(netip.AddrPortFrom(src, 0), rule, faults.Key{})
			}
			wg.Go(func() {
				s := dialogue.Spec{Address: r.Addr().String(), Source: src, Requests: 2, Pause: 2 * time.Second}
				if got := s.Run(); got.End() != "reset" {
					t.Errorf("%q: %v, want a reset", action, got.Err)
				}
			})
		}
	}
	time.Sleep(300 * time.Millisecond) // all are in the middle of something by now; if not, Close meets them earlier
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestSameBit: which bit of a connection is flipped is the seed's, and only that bit is.
func TestSameBit(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0, 64, 1, 0, 0, 60}, make([]byte, 60)...)
	target := echo(t, "127.0.0.1:0")
	rule := &faults.Rule{Name: "r", Engine: faults.EngineRelay, Action: faults.Corrupt, At: stage.ClientHello, Direction: stage.ClientToServer, Probability: 1}
	flipped := func(seed uint64, browser uint32) byte {
		r := start(t, relay.Config{Target: target, Seed: seed})
		src := netip.AddrPortFrom(faults.SourceAddr(rule, browser), 0)
		r.Arm(src, rule, faults.Key{Browser: browser})
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(src)}
		c, err := d.DialContext(context.Background(), "tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		c.Write(hello)
		got := make([]byte, len(hello))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		bit := got[13] ^ hello[13] // the ninth byte of the fragment, in the random
		got[13] = hello[13]
		if bits.OnesCount8(bit) != 1 || !bytes.Equal(got, hello) {
			t.Errorf("bits %#x flipped there, and elsewhere: %v", bit, !bytes.Equal(got, hello))
		}
		return bit
	}
	seen := map[byte]bool{}
	for b := range uint32(12) {
		bit := flipped(1, b)
		seen[bit] = true
		if again := flipped(1, b); again != bit {
			t.Errorf("browser %d lost bits %#x and %#x", b, bit, again)
		}
	}
	if len(seen) < 2 {
		t.Error("all connections lose the same bit")
	}
}

// TestDecisions: the faults as the pure functions they are.
func TestDecisions(t *testing.T) {
	p := make([]byte, 100)
	at := func(s stage.Stage, mod ...func(*relay.Bytes)) relay.Bytes {
		b := relay.Bytes{Stage: s, Direction: s.Direction(), P: p, Unit: 0.5, Record: relay.Record{Type: 22, Fragment: 95}}
		for _, m := range mod {
			m(&b)
		}
		return b
	}
	struck := func(b *relay.Bytes) { b.Struck = true }
	rule := func(a faults.Action, mod ...func(*faults.Rule)) faults.Rule {
		r := faults.Rule{Action: a, At: stage.ServerHello, Direction: stage.ServerToClient}
		for _, m := range mod {
			m(&r)
		}
		return r
	}
	tests := []struct {
		sentence string
		rule     faults.Rule
		bytes    relay.Bytes
		want     relay.Verdict
	}{
		{"reset at its stage", rule(faults.Reset), at(stage.ServerHello), relay.Verdict{Strike: true, Ending: relay.Reset}},
		{"reset before it", rule(faults.Reset), at(stage.ClientHello), relay.Verdict{}},
		{"fin at its stage", rule(faults.FIN), at(stage.ServerHello), relay.Verdict{Strike: true, Ending: relay.Close}},
		{"stall for ever", rule(faults.Stall), at(stage.ServerHello), relay.Verdict{Strike: true, Hold: relay.Forever}},
		{"stall for a time", rule(faults.Stall, func(r *faults.Rule) { r.Duration = 5 }), at(stage.ServerHello), relay.Verdict{Strike: true, Hold: 5}},
		{"stall once only", rule(faults.Stall), at(stage.ServerHello, struck), relay.Verdict{}},
		{"blackhole at its stage", rule(faults.Blackhole), at(stage.ServerHello), relay.Verdict{Strike: true, Ending: relay.Discard}},
		{"and everything after, the other way too", rule(faults.Blackhole), at(stage.Request, struck), relay.Verdict{Ending: relay.Discard}},
		{"truncate in the middle", rule(faults.Truncate, func(r *faults.Rule) { r.Bytes = 60 }), at(stage.ServerHello),
			relay.Verdict{Strike: true, At: 60, Forward: 60, Ending: relay.Close}},
		{"truncate counts what came before", rule(faults.Truncate, func(r *faults.Rule) { r.Bytes = 60 }),
			at(stage.ServerHello, func(b *relay.Bytes) { b.Into = 40 }), relay.Verdict{Strike: true, At: 20, Forward: 20, Ending: relay.Close}},
		{"truncate at the very end is none", rule(faults.Truncate, func(r *faults.Rule) { r.Bytes = 100 }), at(stage.ServerHello), relay.Verdict{}},
		{"split", rule(faults.Split, func(r *faults.Rule) { r.Bytes = 7 }), at(stage.ServerHello), relay.Verdict{Strike: true, Segment: 7}},
		{"split goes on for the stage, one firing", rule(faults.Split, func(r *faults.Rule) { r.Bytes = 7 }), at(stage.ServerHello, struck), relay.Verdict{Segment: 7}},
		{"delay without jitter", rule(faults.Delay, func(r *faults.Rule) { r.Duration = 100 }), at(stage.ServerHello), relay.Verdict{Strike: true, Hold: 100}},
		{"delay, the draw at three quarters", rule(faults.Delay, func(r *faults.Rule) { r.Duration, r.Jitter = 100, 40 }),
			at(stage.ServerHello, func(b *relay.Bytes) { b.Unit = 0.75 }), relay.Verdict{Strike: true, Hold: 120}},
		{"throttle", rule(faults.Throttle, func(r *faults.Rule) { r.Rate = 9 }), at(stage.ServerHello), relay.Verdict{Strike: true, Rate: 9}},
		{"throttle what follows that way", rule(faults.Throttle, func(r *faults.Rule) { r.Rate = 9 }), at(stage.Response, struck), relay.Verdict{Rate: 9}},
		{"but not the other way", rule(faults.Throttle, func(r *faults.Rule) { r.Rate = 9 }), at(stage.Request, struck), relay.Verdict{}},
		{"corrupt the header: its version", rule(faults.Corrupt, func(r *faults.Rule) { r.Part = faults.PartHeader }), at(stage.ServerHello),
			relay.Verdict{Strike: true, At: 1, Flip: 0x80}},
		{"corrupt the body: the draw says which bit", rule(faults.Corrupt), at(stage.ServerHello), relay.Verdict{Strike: true, At: 13, Flip: 1 << 4}},
		{"corrupt the MAC: the record's last byte", rule(faults.Corrupt, func(r *faults.Rule) { r.Part = faults.PartMAC }), at(stage.ServerHello),
			relay.Verdict{Strike: true, At: 99, Flip: 1 << 4}},
		{"the byte is not here yet", rule(faults.Corrupt, func(r *faults.Rule) { r.Part = faults.PartMAC }),
			at(stage.ServerHello, func(b *relay.Bytes) { b.Record.Fragment = 200 }), relay.Verdict{}},
		{"it came in a later read", rule(faults.Corrupt, func(r *faults.Rule) { r.Part = faults.PartMAC }),
			at(stage.ServerHello, func(b *relay.Bytes) { b.Record.Fragment, b.Offset, b.Into = 200, 150, 150 }), relay.Verdict{Strike: true, At: 54, Flip: 1 << 4}},
		{"a message behind another in its record: its own ninth byte", rule(faults.Corrupt),
			at(stage.ServerHello, func(b *relay.Bytes) { b.Record.Fragment, b.Offset = 500, 200 }), relay.Verdict{Strike: true, At: 8, Flip: 1 << 4}},
		{"not a ChangeCipherSpec", rule(faults.Corrupt), at(stage.ServerHello, func(b *relay.Bytes) { b.Record.Type = 20 }), relay.Verdict{}},
	}
	for _, tt := range tests {
		t.Run(tt.sentence, func(t *testing.T) {
			if got := relay.Judge(&tt.rule, tt.bytes); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
