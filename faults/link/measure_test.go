package link_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults/link"
)

// TestMeasuredLoss: datagrams over a real link arrive but for the share asked for, within the 99 % interval
// of the binomial. The draws are the seed's, so a pass today is a pass tomorrow.
func TestMeasuredLoss(t *testing.T) {
	if !allowed(t) {
		return
	}
	table := &strings.Builder{}
	for _, p := range []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3} {
		n := 10000
		if p < 0.01 {
			n = 40000
		}
		l := open(t, link.Config{Seed: 42, Base: link.Model{Up: link.Impairment{Loss: p}}})
		lost := n - datagrams(t, l, n)
		low, high := interval99(n, p)
		fmt.Fprintf(table, "%6.1f %%: %5d of %d lost, 99 %% interval %d to %d\n", 100*p, lost, n, low, high)
		if lost < low || lost > high {
			t.Errorf("loss %v: %d of %d lost, want %d to %d", p, lost, n, low, high)
		}
	}
	t.Logf("\n%s", table)
}

func interval99(n int, p float64) (low, high int) {
	mean, half := float64(n)*p, 2.576*math.Sqrt(float64(n)*p*(1-p))+0.5
	return int(math.Ceil(mean - half)), int(math.Floor(mean + half))
}

// datagrams sends n of them over the link and counts those that arrive.
func datagrams(t *testing.T, l *link.Link, n int) (arrived int) {
	t.Helper()
	var server *net.UDPConn
	if err := l.Servers.Do(func() (err error) {
		server, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 2, 0, 11)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.SetReadBuffer(4 << 20)
	var client net.Conn
	if err := l.Clients.Do(func() (err error) { client, err = net.Dial("udp4", server.LocalAddr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			server.SetReadDeadline(time.Now().Add(10 * time.Second))
			m, err := server.Read(buf)
			if err != nil || m == 1 {
				return
			}
			count.Add(1)
		}
	}()
	for i := range n {
		if _, err := client.Write([]byte("datagram")); err != nil {
			t.Fatal(err)
		}
		if i%100 < 99 && i < n-1 {
			continue
		}
		// No queue on the way may fill up: wait until these have entered the link, and have come or been lost.
		for range 2000 {
			up, _ := l.Counters()
			if up.In > int64(i) && count.Load() >= int64(i+1)-up.Lost {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range 50 { // the end, often enough that one arrives
		client.Write([]byte("x"))
	}
	<-done
	if n := l.Overruns(); n > 0 {
		t.Errorf("the devices dropped %d packets of their own", n)
	}
	return int(count.Load())
}

// TestMathis: the throughput of one long transfer against Mathis et al., The Macroscopic Behavior of the
// TCP Congestion Avoidance Algorithm (1997): MSS/RTT * sqrt(3/2)/sqrt(p), within a factor of 2 up to 3 %
// loss. Above, timeouts rule, which the formula does not know; throughput must go on falling.
func TestMathis(t *testing.T) {
	if testing.Short() || !allowed(t) {
		return
	}
	const (
		rtt = 30 * time.Millisecond
		mss = 1448
	)
	table := &strings.Builder{}
	last := math.Inf(1)
	for _, p := range []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3} {
		l := open(t, link.Config{Seed: 7, Base: link.Model{Up: link.Impairment{Delay: rtt / 2}, Down: link.Impairment{Delay: rtt / 2, Loss: p}}})
		run := 2500 * time.Millisecond
		if p < 0.01 { // a dozen losses at least: a handful would say little of the mean
			run = 8 * time.Second
		}
		got := throughput(t, l, run)
		theory := mss / rtt.Seconds() * math.Sqrt(1.5/p)
		fmt.Fprintf(table, "%6.1f %%: %9.0f bytes/s, Mathis %9.0f, ratio %.2f\n", 100*p, got, theory, got/theory)
		if ratio := got / theory; p <= 0.03 && (ratio < 0.5 || ratio > 2) {
			t.Errorf("loss %v: %.0f bytes/s, Mathis has %.0f", p, got, theory)
		}
		if got >= last {
			t.Errorf("loss %v: %.0f bytes/s, no less than with less loss", p, got)
		}
		last = got
		l.Close()
	}
	t.Logf("\n%s", table)
}

// throughput is what one transfer with Reno's congestion control brings in that time, slow start left out.
func throughput(t *testing.T, l *link.Link, run time.Duration) float64 {
	t.Helper()
	reno := func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno") })
		if e != nil {
			return e
		}
		return err
	}
	var listener net.Listener
	if err := l.Servers.Do(func() (err error) {
		lc := net.ListenConfig{Control: reno}
		lc.SetMultipathTCP(false)
		listener, err = lc.Listen(t.Context(), "tcp4", "10.2.0.11:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	ended, end := context.WithCancel(t.Context())
	defer func() { listener.Close(); end(); <-sent }()
	go func() {
		defer close(sent)
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		context.AfterFunc(ended, func() { c.SetDeadline(time.Unix(1, 0)) })
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}()
	var c net.Conn
	if err := l.Clients.Do(func() (err error) {
		d := net.Dialer{Timeout: 20 * time.Second}
		d.SetMultipathTCP(false)
		c, err = d.Dial("tcp4", listener.Addr().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	copyFor := func(d time.Duration) int64 {
		c.SetReadDeadline(time.Now().Add(d))
		n, _ := io.Copy(io.Discard, c)
		return n
	}
	copyFor(time.Second)
	start := time.Now()
	n := copyFor(run)
	return float64(n) / time.Since(start).Seconds()
}
