// Package faults is the damage: the rule language, the draw that decides who is hit, and the ledger of
// firings. The engines that do the damage are its sub-packages sockfilter, relay and link; engine "edge"
// is carried out by harness/proxy.
//
// Deciding is pure: a choice is a function of (seed, phase, browser, connection, attempt, rule).
// What each engine can do, at which stage, is one table: cells.go.
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
	Shape     Action = "shape" // engine "link": the path behaves as a named model
	Kill      Action = "kill"
	Pause     Action = "pause"
	Restart   Action = "restart"

	Alert Action = "alert" // engine "edge": in answer to the ClientHello

	// Engine "edge": what an edge or the application does to itself.
	HandshakeDeadline Action = "handshake_deadline"
	SlowHandshake     Action = "slow_handshake"
	TableFull         Action = "table_full"
	AcceptQueue       Action = "accept_queue_full"
	CertExpired       Action = "cert_expired"
	ClockWrong        Action = "clock_wrong"
	Slow              Action = "slow"
	Error             Action = "error"
	CloseOnReuse      Action = "close_on_reuse"
)

// Part is the part of a TLS record that `corrupt` flips a bit in.
type Part string

const (
	PartHeader Part = "header" // the record's version: the first byte of it
	PartBody   Part = "body"   // the middle of the fragment (the default)
	PartMAC    Part = "mac"    // the last byte: MAC, padding or AEAD tag of a protected record
)

// Selector says who may be hit. An empty field selects all.
type Selector struct {
	Profile    string // globs over profile names, "firefox-*, chrome-40-*"
	Edge       string // globs over edge names, "edge-2, edge-3"
	Address    string // the edge's address or address:port
	Attempt    int    // 1 is the first; 0 selects all
	Connection int    // 1 is the browser's first connection; 0 selects all
	Kind       string // "", "first", "resumed", "retry", "fallback"
}

// Rule is one fault of a scenario. Resolve fills in engine and direction and checks the rest.
type Rule struct {
	Name      string
	Index     int // position in the scenario's list; names the rule's source subnet
	Engine    Engine
	At        stage.Stage // None: no stage (engine link and edge, and drop per packet)
	Direction stage.Direction
	Who       Selector
	Action    Action
	Request   int        // at request and response: which one of the connection, from 1; 0: the first that comes; engine relay
	Hello     HelloMatch // which ClientHellos; a relay sees them, and an edge at client_hello

	Probability float64       // 0..1, per connection attempt, or per packet with PerPacket
	PerPacket   bool          // statistical: probability is drawn for each packet, not from the seed
	Times       int           // segments dropped per attempt that is hit; 0: until the connection ends
	Limit       int           // firings per run; 0: no limit
	From, Until time.Duration // within the phase; Until 0: to its end
	// Ramp: over this time after From the probability grows from 0 in a straight line, and with an
	// Until it falls back to 0 over the same time before it. 0: at once.
	Ramp time.Duration

	// Parameters of single actions; zero where the action has none.
	Duration time.Duration // stall, delay, pause: how long; for stall 0 is for ever
	Jitter   time.Duration // delay: evenly spread over Duration-Jitter .. Duration+Jitter
	Bytes    int           // truncate: how many pass; split: segment size
	Part     Part          // corrupt
	Rate     int64         // throttle: bytes per second
	Burst    float64       // drop per packet on link: mean length of a run of lost packets; 0 or 1: no runs
	Model    string        // shape: name of a link model
	Max      int           // table_full: connections the table holds
	Alert    int           // alert: its number
}

// Subject is one attempt that is about to start, as the draw sees it.
type Subject struct {
	Key
	Profile string
	Edge    string
	Address string // host:port of the edge
	Kind    string // first, resumed, retry, fallback
	// At is the intended start within the phase.
	At time.Duration
}
