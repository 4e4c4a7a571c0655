package browser

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

// A server that accepts and never answers does not hold up the warm-up: each pair of browser and edge is
// waited for once, and named; the returning browsers behind them are spared.
func TestWarmUpEndsOnASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	s := &server{edges: []Edge{{"edge-1", l.Addr().(*net.TCPAddr).AddrPort()}}}
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1, Returning: 1},
		Visitor{Profile: profile(t, "chrome-40-osx"), Weight: 1, Returning: 1})
	cfg.Load = Load{Model: Open, Connections: 600, PerBrowser: [2]int{1, 1}, Duration: time.Second}
	a, err := NewAgent(cfg, results.NewRecorder(results.RecorderConfig{}), func(faults.Firing) {})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 3*visitLimit)
	defer cancel()
	if err := a.Warm(ctx); err != nil {
		t.Fatal(err)
	}
	if len(a.Warnings()) != 2 {
		t.Errorf("want one warning for each browser: %q", a.Warnings())
	}
	for _, w := range a.Warnings() {
		if !strings.Contains(w, "did not answer within 10s") {
			t.Errorf("warning %q", w)
		}
	}
	if a.loop.Open() != 0 {
		t.Errorf("%d connections are still open", a.loop.Open())
	}
}
