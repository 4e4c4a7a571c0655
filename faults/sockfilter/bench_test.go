package sockfilter_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

// echoing makes this test binary an echo server in a process of its own, so that 10,000 connections need
// no more than 10,000 files on either side.
const echoing = "TLSURGE_BENCH_ECHO"

func init() {
	if os.Getenv(echoing) != "" {
		echoUntilClosed()
		os.Exit(0)
	}
}

// echoUntilClosed serves, with a listener's filter that concerns nobody who connects, until standard input ends.
func echoUntilClosed() {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr())
	go func() { io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { defer c.Close(); io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) }() // no splice: its pipes are files
	}
}

// BenchmarkArmed is the cost of an armed rule that never fires: 10,000 connections exchange a kilobyte in
// turn, each armed for a drop at alert, which no byte of them looks like; against the same connections
// without. Rounds alternate; the result is the median of their ratios. No timing gates it.
func BenchmarkArmed(b *testing.B) {
	if err := sockfilter.Probe(); err != nil {
		b.Skip(err)
	}
	const want = 10000
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), echoing+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	to, err := netip.ParseAddrPort(line[:len(line)-1])
	if err != nil {
		b.Fatal(err)
	}
	conns := make([]*net.TCPConn, 0, want)
	defer func() {
		for _, c := range conns {
			c.SetLinger(0)
			c.Close()
		}
	}()
	for range want {
		c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
		if err != nil {
			b.Fatalf("%d connections, then %v", len(conns), err)
		}
		conns = append(conns, c)
	}
	rule := &faults.Rule{Name: "never", Engine: faults.EngineSockfilter, Action: faults.Drop, At: stage.Alert, Direction: stage.ServerToClient, Probability: 1}
	armed := make([]*sockfilter.Armed, len(conns))
	arm := func(on bool) {
		for i, c := range conns {
			raw, err := c.SyscallConn()
			if err != nil {
				b.Fatal(err)
			}
			raw.Control(func(fd uintptr) {
				if on {
					armed[i], err = sockfilter.ArmClient(int(fd), rule)
				} else if armed[i] != nil {
					_, err = armed[i].Disarm(time.Now())
				}
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	var ratios []float64
	b.ResetTimer()
	for range b.N {
		round(b, conns) // warm
		plain := round(b, conns)
		arm(true)
		with := round(b, conns)
		again := round(b, conns)
		arm(false)
		plain += round(b, conns)
		ratios = append(ratios, (with+again).Seconds()/plain.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(100*(ratios[len(ratios)/2]-1), "%cost")
	b.ReportMetric(float64(len(conns)), "connections")
}

// round has every connection send a kilobyte and read it back, 64 at a time.
func round(b *testing.B, conns []*net.TCPConn) time.Duration {
	const workers = 64
	start := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			p := make([]byte, 1024)
			for i := w; i < len(conns); i += workers {
				if _, err := conns[i].Write(p); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(conns[i], p); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
