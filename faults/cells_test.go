package faults_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/internal/nstest"
	"tlsurge/faults/link"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// proof is the test of one claimed cell: a real conversation in which the fault happens as described, and
// one beside it in which nothing does.
type proof struct {
	engine    faults.Engine
	action    faults.Action
	at        stage.Stage
	perPacket bool
	// seen is what the test establishes from the peer's side: a sentence of docs/FAULTS.md.
	seen string
	run  func(t *testing.T, r faults.Rule)
}

func (p proof) rule() faults.Rule {
	return faults.Rule{Name: "proof", Engine: p.engine, Action: p.action, At: p.at, PerPacket: p.perPacket, Probability: 1}
}

func (p proof) String() string {
	if p.perPacket {
		return fmt.Sprintf("%s/%s/per packet", p.engine, p.action)
	}
	if p.at == stage.None {
		return fmt.Sprintf("%s/%s/no stage", p.engine, p.action)
	}
	return fmt.Sprintf("%s/%s/%s", p.engine, p.action, p.at)
}

// must resolves a rule that a proof has completed.
func must(t *testing.T, r faults.Rule) *faults.Rule {
	t.Helper()
	r, err := faults.Resolve(r)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

// proofs are all of them.
func proofs() []proof { return slices.Concat(sockfilterProofs(), relayProofs(), linkProofs()) }

// TestCells runs every proof: as the user who runs the tests, and as uid 65534 in namespaces of its own.
func TestCells(t *testing.T) {
	nstest.Both(t, func(t *testing.T) {
		for _, p := range proofs() {
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				if allowed := map[faults.Engine]func() error{faults.EngineSockfilter: sockfilter.Probe, faults.EngineLink: link.Probe}[p.engine]; allowed != nil && !possible(t, allowed()) {
					return
				}
				p.run(t, p.rule())
			})
		}
	})
}

// possible: where the kernel does not let this user have the engine, the refusal itself is what is proved;
// the proofs then run in the namespaces only.
func possible(t *testing.T, err error) bool {
	if err == nil {
		return true
	}
	if nstest.Inside() || os.Getuid() == 0 {
		t.Fatalf("must be possible here: %v", err)
	}
	if !errors.Is(err, faults.ErrUnsupported) {
		t.Error(err)
	}
	t.Logf("said before any load: %v", err)
	return false
}

// poller is the caller that an armed socket needs: it polls every 10 ms.
type poller struct {
	armed  *sockfilter.Armed
	stop   chan struct{}
	done   chan struct{}
	firing faults.Firing
	err    error
}

func poll(a *sockfilter.Armed) *poller {
	p := &poller{armed: a, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				p.firing, p.err = p.armed.Disarm(time.Now())
				return
			case <-tick.C:
				var done bool
				if p.firing, done, p.err = p.armed.Poll(time.Now()); done || p.err != nil {
					<-p.stop
					return
				}
			}
		}
	}()
	return p
}

// finish ends the polling and gives the ledger's entry.
func (p *poller) finish(t *testing.T) faults.Firing {
	t.Helper()
	close(p.stop)
	<-p.done
	if p.err != nil {
		t.Error(p.err)
	}
	return p.firing
}

// fdOf is the descriptor of a connection that stays open meanwhile.
func fdOf(c *net.TCPConn) (fd int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	raw.Control(func(f uintptr) { fd = int(f) })
	return fd
}
