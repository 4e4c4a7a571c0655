package faults

import (
	"net/netip"
	"time"
)

// Key names one connection attempt: the same in the outcome, the ledger and the draw that decided who
// was hit, and independent of arrival order.
type Key struct {
	Phase      string `json:"phase"`
	Browser    uint32 `json:"browser"`    // index among all browsers of the phase, over all agents
	Connection uint32 `json:"connection"` // index among the connections this browser wanted, from 0
	Attempt    uint16 `json:"attempt"`    // from 1; retries and fallbacks count on
}

// Tuple is the two ends of a TCP connection as the client sees them.
type Tuple struct {
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
}

// Firing is one entry of the ledger: a rule did damage to one connection.
//
// The engine that fired knows the tuple; the key is filled in by the agent, or by the join when the
// engine sits in another process (an edge, a relay).
type Firing struct {
	Rule      string `json:"rule"`
	Engine    string `json:"engine"`
	Action    string `json:"action"`
	Stage     string `json:"at"`
	Direction string `json:"direction,omitempty"`
	Key       Key    `json:"key"`
	HasKey    bool   `json:"has_key"`
	Tuple     Tuple  `json:"tuple"`
	// Upstream is the relay's own connection to the edge: the tuple that the edge sees and logs.
	Upstream *Tuple    `json:"upstream,omitempty"`
	Time     time.Time `json:"time"`
	// Offset is the first byte of the stream, in Direction, that was hit (relay); -1 where unknown.
	Offset int64 `json:"offset"`
	// Packets is how many segments the kernel dropped for it (sockfilter, link).
	Packets int `json:"packets"`
}
