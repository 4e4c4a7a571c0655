package fleet

import (
	"time"

	"tlsurge/faults"
	"tlsurge/harness/proxy"
)

// edgeOrder is what an edge is told at its start.
type edgeOrder struct {
	Phase   string
	Rules   []faults.Rule
	Options proxy.Options
	CPUs    int    // the processors that it may use; 0: all
	KeyLog  string // file of TLS secrets; empty: none
}

// agentOrder is what an agent of this machine is told at its start.
type agentOrder struct {
	SpareCPUs int // the processors that it leaves to the edges; 0: none
}

// behindOrder is what the application and the balancer are told.
type behindOrder struct {
	Listen    string
	Upstreams []string // of the balancer
	Seed      uint64
	Application
}

// Application is how fast the application makes pages: Workers at a time, each in Think. No workers: any number.
type Application struct {
	Workers int
	Think   time.Duration
}

// phaseOrder is the verb "phase" of a child that is kept from one phase to the next.
type phaseOrder struct {
	Phase string
	Seed  uint64
	Rules []faults.Rule
}
