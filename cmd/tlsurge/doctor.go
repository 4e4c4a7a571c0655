package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tlsurge/faults/sockfilter"
	"tlsurge/harness/evidence"
	"tlsurge/harness/fleet"
)

// finding is one line of the doctor's report.
type finding struct {
	What   string `json:"what"`
	Found  string `json:"found"`
	Allows string `json:"allows"`
	Lift   string `json:"lift,omitempty"`
}

func (a *app) doctorCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Tell what this machine allows, and how to lift its limits",
		Example: "  tlsurge doctor\n  tlsurge doctor --json",
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			list := findings(fleet.ReadLimits())
			if asJSON {
				return writeJSON(a.out, list)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, f := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\n", f.What, f.Found, f.Allows)
				if f.Lift != "" {
					fmt.Fprintf(w, "\t\tto lift: %s\n", f.Lift)
				}
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func findings(l fleet.Limits) []finding {
	held := mostConnections(l)
	list := []finding{
		{"open files per process", fmt.Sprint(l.Files), perProcess(l.Files),
			"ulimit -n; more agents and edges need no more files each"},
		{"open files in all", fmt.Sprint(l.FilesSystem), "both ends of a loopback connection count", ""},
		{"cores", fmt.Sprint(l.Cores), "one event loop each; an RSA-2048 handshake costs about 2 ms, both ends together", ""},
		{"free memory", fmt.Sprintf("%d MiB", l.MemoryBytes>>20), fmt.Sprintf("about %d held connections, both ends on this machine (38 KiB each with the kernel's part)", held), ""},
		{"local ports", fmt.Sprintf("%d-%d", l.PortLow, l.PortHigh), fmt.Sprintf("%d connections for each pair of addresses; agents use as many loopback addresses as they need", l.PortHigh-l.PortLow+1),
			"sysctl net.ipv4.ip_local_port_range, for targets beyond loopback"},
		{"listen backlog", fmt.Sprint(l.Somaxconn), "the edges ask for 511, as nginx does", ""},
	}
	f := finding{What: "socket filters", Found: "allowed here", Allows: "faults of engine sockfilter, in this network namespace"}
	if err := sockfilter.Probe(); err != nil {
		f = finding{"socket filters", "not in this network namespace", "a run that needs them moves into a user and network namespace of its own", "CAP_NET_ADMIN"}
	}
	c := finding{What: "packet capture", Found: "allowed here", Allows: "run --capture, in this network namespace too"}
	if err := evidence.Probe(); err != nil {
		c = finding{"packet capture", "not in this network namespace", "run --capture moves into a user and network namespace of its own; a target outside cannot be captured", "CAP_NET_RAW"}
	}
	return append(list, f, c)
}

// perProcess is how many connections an agent and an edge can hold with so many files, of which 300 go to other things.
func perProcess(files int64) string {
	const spare = 300
	if files <= spare {
		return fmt.Sprintf("no load: a process needs %d files beside its connections", spare)
	}
	return fmt.Sprintf("%d connections per agent, %d per edge", min(fleet.ConnectionsPerAgent, files-spare), (files-spare)*4/5)
}

// mostConnections is a bound by memory: what was measured for a connection with both ends here.
func mostConnections(l fleet.Limits) int64 { return l.MemoryBytes / (38 << 10) }
