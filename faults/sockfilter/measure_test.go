package sockfilter_test

import (
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/internal/nstest"
	"tlsurge/faults/sockfilter"
)

// TestMeasuredLoss: of the segments that arrive at armed sockets the kernel drops the share asked for,
// within the 99 % interval of the binomial. The kernel's draws are its own, so one sample in a hundred
// falls outside by right; the test fails on two in a row.
func TestMeasuredLoss(t *testing.T) {
	where := nstest.Only
	if sockfilter.Probe() == nil {
		where = func(t *testing.T, f func(*testing.T)) { f(t) }
	}
	where(t, func(t *testing.T) {
		table := &strings.Builder{}
		for _, row := range []struct {
			p     float64
			turns int // on each of the connections
		}{{0.001, 1200}, {0.003, 500}, {0.01, 200}, {0.03, 90}, {0.1, 30}, {0.3, 12}} {
			for try := range 2 {
				dropped, arrived := pingPong(t, row.p, row.turns)
				mean, half := float64(arrived)*row.p, 2.576*math.Sqrt(float64(arrived)*row.p*(1-row.p))+0.5
				fmt.Fprintf(table, "%6.1f %%: %4d of %6d dropped, 99 %% interval %.0f to %.0f\n", 100*row.p, dropped, arrived,
					math.Ceil(mean-half), math.Floor(mean+half))
				if math.Abs(float64(dropped)-mean) <= half {
					break
				}
				if try == 1 {
					t.Errorf("loss %v: twice outside the 99 %% interval", row.p)
				}
			}
		}
		t.Logf("\n%s", table)
	})
}

// pingPong has connections exchange single bytes, so that each segment is one packet, and counts at the
// armed clients: segments dropped, and all that came.
func pingPong(t *testing.T, p float64, turns int) (dropped, arrived int) {
	t.Helper()
	const connections = 40
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(40 * time.Second))
				io.Copy(c, c)
			})
		}
	})
	rule := &faults.Rule{Name: "loss", Engine: faults.EngineSockfilter, Action: faults.Drop, PerPacket: true, Probability: p}
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			d, a, err := oneClient(l.Addr().String(), rule, turns)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			dropped, arrived = dropped+d, arrived+a
			mu.Unlock()
		})
	}
	clients.Wait()
	return dropped, arrived
}

func oneClient(address string, rule *faults.Rule, turns int) (dropped, arrived int, err error) {
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	conn, err := d.Dial("tcp", address)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(40 * time.Second))
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var armed *sockfilter.Armed
	segments := func() (n int) {
		raw.Control(func(fd uintptr) {
			if info, e := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); e == nil {
				n = int(info.Segs_in)
			}
		})
		return n
	}
	before := segments()
	if e := raw.Control(func(fd uintptr) { armed, err = sockfilter.ArmClient(int(fd), rule) }); e != nil {
		return 0, 0, e
	}
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 1)
	for range turns {
		if _, err := conn.Write(buf); err != nil {
			return 0, 0, err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return 0, 0, err
		}
	}
	f, err := armed.Disarm(time.Now())
	return f.Packets, f.Packets + segments() - before, err
}
