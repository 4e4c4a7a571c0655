package faults_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tlsurge/faults"
	"tlsurge/faults/internal/nstest"
	"tlsurge/faults/link"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

// TestOrdinaryUser: without rights and without namespaces, the engines that need some say so with what
// could do instead, and what needs none works.
func TestOrdinaryUser(t *testing.T) {
	nstest.Plain(t, func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Fatal("this is root")
		}
		for engine, err := range map[faults.Engine]error{faults.EngineSockfilter: sockfilter.Probe(), faults.EngineLink: link.Probe()} {
			var u *faults.UnsupportedError
			if !errors.As(err, &u) || !errors.Is(err, faults.ErrUnsupported) || u.Engine != engine ||
				!strings.Contains(u.Reason, "operation not permitted (needs CAP_") || !strings.Contains(u.Instead, `netns = "own"`) {
				t.Errorf("%s: %v", engine, err)
			}
			t.Log(err)
		}
		if _, err := link.New(link.Config{}); !errors.Is(err, faults.ErrUnsupported) {
			t.Errorf("link.New: %v", err)
		}
		if drop, err := faults.Resolve(faults.Rule{Name: "x", Action: faults.Drop, At: stage.ServerHello, Probability: 1}, faults.NetAdmin, faults.OwnNamespaces); err == nil {
			t.Errorf("a drop resolves to %s", drop.Engine)
		}
		blackhole, err := faults.Resolve(faults.Rule{Name: "x", Action: faults.Blackhole, At: stage.ServerHello, Probability: 1}, faults.NetAdmin, faults.OwnNamespaces)
		if err != nil || blackhole.Engine != faults.EngineRelay {
			t.Errorf("a blackhole goes to %s, %v; want the relay", blackhole.Engine, err)
		}
		for _, p := range relayProofs() {
			if p.at == stage.ServerHello {
				t.Run(p.String(), func(t *testing.T) { p.run(t, p.rule()) })
			}
		}
	})
}
