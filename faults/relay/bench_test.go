package relay_test

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"tlsurge/faults"
	"tlsurge/faults/relay"
	"tlsurge/faults/stage"
)

// BenchmarkIdle is the memory of an armed connection that has said something and fallen silent: heap and
// stacks of the relay's two goroutines and two sockets, and of the echoing server's and the client's sockets,
// which live in this process too.
func BenchmarkIdle(b *testing.B) {
	const connections = 1000
	rule := &faults.Rule{Name: "never", Engine: faults.EngineRelay, Action: faults.Reset, At: stage.Alert, Direction: stage.ServerToClient, Probability: 1}
	for range b.N {
		r := start(b, relay.Config{Target: echo(b, "127.0.0.1:0")})
		before := memory()
		var conns []net.Conn
		for n := range uint32(connections) {
			src := netip.AddrPortFrom(faults.SourceAddr(rule, n), 0)
			r.Arm(src, rule, faults.Key{})
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(src)}
			c, err := d.Dial("tcp", r.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, c)
			c.Write([]byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"))
			if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(memory()-before)/connections, "bytes/connection")
		for _, c := range conns {
			c.Close()
		}
	}
}

func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
