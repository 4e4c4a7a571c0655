// Package faults is the damage: the rule language, the draw that decides who is hit, and the ledger of
// firings. The engines that do the damage are its sub-packages sockfilter, relay and link; engine "edge"
// is carried out by harness/proxy.
//
// Deciding is pure: a choice is a function of (seed, phase, browser, connection, attempt, rule).
package faults

import (
	"time"

	"tlsurge/faults/stage"
)

// Engine is who carries a rule out.
type Engine string

const (
	EngineAuto       Engine = "auto"
	EngineSockfilter Engine = "sockfilter"
	EngineRelay      Engine = "relay"
	EngineLink       Engine = "link"
	EngineEdge       Engine = "edge"
)

// Action is what happens to the connection.
type Action string

const (
	Drop      Action = "drop"
	Reset     Action = "reset"
	FIN       Action = "fin"
	Stall     Action = "stall"
	Truncate  Action = "truncate"
	Split     Action = "split"
	Delay     Action = "delay"
	Corrupt   Action = "corrupt"
	Duplicate Action = "duplicate"
	Reorder   Action = "reorder"
	Throttle  Action = "throttle"
	Blackhole Action = "blackhole"
	Kill      Action = "kill"
	Pause     Action = "pause"
	Restart   Action = "restart"

	// Engine "edge": what an edge or the application does to itself.
	HandshakeDeadline Action = "handshake_deadline"
	TableFull         Action = "table_full"
	AcceptQueue       Action = "accept_queue_full"
	CertExpired       Action = "cert_expired"
	ClockWrong        Action = "clock_wrong"
	Slow              Action = "slow"
	Error             Action = "error"
	CloseOnReuse      Action = "close_on_reuse"
)

// Selector says who may be hit. An empty field selects all.
type Selector struct {
	Profile    string // glob over profile names, "firefox-*"
	Edge       string // glob over edge names, "edge-2"
	Address    string // the edge's address or address:port
	Attempt    int    // 1 is the first; 0 selects all
	Connection int    // 1 is the browser's first connection; 0 selects all
	Kind       string // "", "first", "resumed", "fallback"
}

// Rule is one fault of a scenario, resolved: engine chosen, stage and direction checked.
type Rule struct {
	Name      string
	Index     int // position in the scenario's list; names the rule's source subnet
	Engine    Engine
	At        stage.Stage
	Direction stage.Direction
	Who       Selector
	Action    Action

	Probability float64       // 0..1, per connection attempt (or per packet)
	PerPacket   bool          // statistical: probability is drawn for each packet
	Times       int           // segments dropped per attempt that is hit; 0: until the connection ends
	Limit       int           // firings per run; 0: no limit
	From, Until time.Duration // within the phase; Until 0: to its end

	// Parameters of single actions; zero where the action has none.
	Duration time.Duration // stall, delay, pause: how long; 0 is for ever
	Jitter   time.Duration // delay
	Bytes    int           // truncate, split: how many; corrupt: which
	Rate     int64         // throttle: bytes per second
	Max      int           // table_full: connections the table holds
}

// Subject is one attempt that is about to start, as the draw sees it.
type Subject struct {
	Key
	Profile string
	Edge    string
	Address string // host:port of the edge
	Kind    string // first, resumed, fallback
	// At is the intended start within the phase.
	At time.Duration
}
