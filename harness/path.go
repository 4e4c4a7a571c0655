package harness

import (
	"fmt"
	"os/exec"

	"tlsurge/faults"
	"tlsurge/faults/link"
	"tlsurge/harness/fleet"
	"tlsurge/harness/scenario"
)

// needsLink says whether a rule of the scenario is about packets on the path, so that agents and edges must
// live on two sides of one.
func needsLink(sc *scenario.Scenario) bool {
	for _, p := range sc.Phases {
		for i := range p.Rules {
			if p.Rules[i].Engine == faults.EngineLink {
				return true
			}
		}
	}
	return false
}

// openLink makes the path. It carries loopback's addresses, so agents and edges keep theirs.
func (d *drive) openLink() (err error) {
	if !needsLink(d.sc) {
		return nil
	}
	if d.sc.Run.RemoteAgents > 0 {
		return &faults.UnsupportedError{Engine: faults.EngineLink, What: "a path between namespaces", Instead: "remote_agents = 0",
			Reason: "agents on other machines cannot stand on its near side"}
	}
	d.link, err = link.New(link.Config{Loopback: true, Seed: d.sc.Seed, Ledger: d.firing})
	return err
}

// closeLink ends the path and says what its devices lost on their own.
func (d *drive) closeLink() {
	if d.link == nil {
		return
	}
	if n := d.link.Overruns(); n > 0 {
		d.progress.Step(fmt.Sprintf("the link's devices dropped %d packets that no rule asked for: this machine is too slow for the load", n))
	}
	_ = d.link.Close()
	d.link = nil
}

// clientSide starts agents, serverSide what they talk to.
func (d *drive) clientSide() func(*exec.Cmd) error {
	if d.link == nil {
		return nil
	}
	return d.link.Clients.Start
}

func (d *drive) serverSide() (start func(*exec.Cmd) error, inside func(func() error) error) {
	if d.link == nil {
		return nil, nil
	}
	return d.link.Servers.Start, d.link.Servers.Do
}

// setRules tells the path of an act's rules.
func (d *drive) setRules(p *scenario.Phase) error {
	if d.link == nil {
		return nil
	}
	return d.link.SetRules(p.Rules)
}

// everywhere runs f where the run's sockets live: here, or on both sides of the path.
func (d *drive) everywhere(f func() error) error {
	if d.link == nil {
		return f()
	}
	if err := d.link.Clients.Do(f); err != nil {
		return err
	}
	return d.link.Servers.Do(f)
}

// readKernel reads the counters of where the run's sockets live, both sides together.
func (d *drive) readKernel() (fleet.Kernel, error) {
	sum := fleet.Kernel{}
	err := d.everywhere(func() error {
		k, err := fleet.ReadKernel()
		for name, v := range k {
			sum[name] += v
		}
		return err
	})
	if d.link != nil {
		sum["LinkOverruns"] = d.link.Overruns() // beside the kernel's: packets lost for want of time
	}
	return sum, err
}
