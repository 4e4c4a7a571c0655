package faults

import (
	"slices"

	"tlsurge/faults/stage"
)

// Cell is one line of what is claimed: this engine does this action at these stages. The table in
// docs/FAULTS.md is generated from Cells, and every cell has a test that sees it from the peer's side.
type Cell struct {
	Engine Engine
	Action Action
	// Stages the action can name with `at`. Empty: the action has no stage.
	Stages []stage.Stage
	// NoStage: `at` may be left out (always so where Stages is empty).
	NoStage bool
	// PerPacket: `per = "packet"` is possible, and then without a stage; OnlyPerPacket: nothing else is.
	PerPacket, OnlyPerPacket bool
	Meaning                  string
}

// Stages that engines treat alike.
var (
	// What arrives at the client and begins a segment there: the agent arms its own socket.
	clientSocketStages = []stage.Stage{stage.SynAck, stage.HelloRetryRequest, stage.ServerHello,
		stage.ServerFinished, stage.Response, stage.Alert}
	// What arrives at the edge, whose listener carries the filter.
	listenerStages = []stage.Stage{stage.Syn, stage.ClientHello, stage.ClientKeyExchange, stage.Finished,
		stage.Request}
	// What a relay sees as bytes.
	byteStages = []stage.Stage{stage.ClientHello, stage.HelloRetryRequest, stage.ServerHello, stage.ServerFlight,
		stage.ClientKeyExchange, stage.Finished, stage.ServerFinished, stage.Request, stage.Response, stage.Alert}
	withIdle = append(slices.Clone(byteStages), stage.Idle)
	// What an edge does about a hello that it cannot bear.
	helloAlone = []stage.Stage{stage.ClientHello}
)

// Cells is the whole table, the cheapest engine first: that order is what "auto" follows.
func Cells() []Cell {
	return []Cell{
		{Engine: EngineSockfilter, Action: Drop, Stages: slices.Concat(listenerStages, clientSocketStages), PerPacket: true,
			Meaning: "the kernel drops arriving segments before TCP sees them, `times` of them or all; the sender retransmits"},
		{Engine: EngineSockfilter, Action: Blackhole,
			Stages:  []stage.Stage{stage.SynAck, stage.ServerHello, stage.ServerFinished, stage.Response, stage.Idle},
			Meaning: "from this stage on nothing arrives at the client any more, acknowledgements included"},

		{Engine: EngineRelay, Action: Reset, Stages: withIdle, Meaning: "both ends get a RST instead of the stage's bytes"},
		{Engine: EngineRelay, Action: FIN, Stages: withIdle, Meaning: "both ends get a FIN instead of the stage's bytes"},
		{Engine: EngineRelay, Action: Stall, Stages: withIdle, Meaning: "the stage's bytes and all behind them in that direction wait for `duration`, or for ever"},
		{Engine: EngineRelay, Action: Blackhole, Stages: withIdle, Meaning: "from this stage on all bytes of both directions are acknowledged and thrown away"},
		{Engine: EngineRelay, Action: Truncate, Stages: byteStages, Meaning: "the first `bytes` bytes of the stage pass, then both ends get a FIN"},
		{Engine: EngineRelay, Action: Split, Stages: byteStages, Meaning: "the stage's bytes travel in segments of `bytes` bytes"},
		{Engine: EngineRelay, Action: Delay, Stages: byteStages, Meaning: "the stage's bytes, and what is behind them, arrive `duration` ± `jitter` later"},
		{Engine: EngineRelay, Action: Corrupt, Stages: byteStages, Meaning: "one bit is flipped in the stage's first record: `part` header, body or mac; TCP's checksum is right"},
		{Engine: EngineRelay, Action: Throttle, Stages: byteStages, Meaning: "from this stage on that direction carries `rate` bytes per second"},

		{Engine: EngineLink, Action: Drop, Stages: []stage.Stage{stage.Syn, stage.SynAck}, PerPacket: true,
			Meaning: "packets are lost on the path, singly or in runs (`burst`)"},
		{Engine: EngineLink, Action: Blackhole, NoStage: true, Meaning: "no packet of the connection passes"},
		{Engine: EngineLink, Action: Delay, PerPacket: true, OnlyPerPacket: true, Meaning: "packets arrive `duration` ± `jitter` later, in order"},
		{Engine: EngineLink, Action: Duplicate, PerPacket: true, OnlyPerPacket: true, Meaning: "packets arrive twice"},
		{Engine: EngineLink, Action: Reorder, PerPacket: true, OnlyPerPacket: true, Meaning: "packets are overtaken by those sent within `duration` after them"},
		{Engine: EngineLink, Action: Corrupt, PerPacket: true, OnlyPerPacket: true, Meaning: "one bit of the packet is flipped; the receiver's checksum drops it"},
		{Engine: EngineLink, Action: Throttle, NoStage: true, Meaning: "the path carries `rate` bytes per second and queues the rest"},
		{Engine: EngineLink, Action: Shape, NoStage: true, Meaning: "the path has the loss, delay, jitter and rate of the link model `model`"},

		{Engine: EngineEdge, Action: Reset, Stages: helloAlone, Meaning: "the edge answers the ClientHello with a RST, and logs nothing"},
		{Engine: EngineEdge, Action: FIN, Stages: helloAlone, Meaning: "the edge answers the ClientHello with a FIN, and logs nothing"},
		{Engine: EngineEdge, Action: Stall, Stages: helloAlone, Meaning: "the edge never answers the ClientHello; its handshake deadline ends the connection"},
		{Engine: EngineEdge, Action: Alert, Stages: helloAlone, Meaning: "the edge answers the ClientHello with the fatal alert `alert`, and logs nothing"},
		{Engine: EngineEdge, Action: HandshakeDeadline, NoStage: true, Meaning: "the edge closes a handshake that is not complete `duration` after accept"},
		{Engine: EngineEdge, Action: SlowHandshake, NoStage: true, Meaning: "each handshake keeps the edge's only worker busy for `duration`, one after another, also those whose client has given up"},
		{Engine: EngineEdge, Action: TableFull, NoStage: true, Meaning: "the edge's connection table holds `max`; it closes reusable connections as nginx does"},
		{Engine: EngineEdge, Action: AcceptQueue, NoStage: true, Meaning: "the edge stops accepting; the kernel's queue fills"},
		{Engine: EngineEdge, Action: CertExpired, NoStage: true, Meaning: "the edge serves a certificate that has expired"},
		{Engine: EngineEdge, Action: ClockWrong, NoStage: true, Meaning: "the edge's clock is off by `duration`"},
		{Engine: EngineEdge, Action: Slow, NoStage: true, Meaning: "the application answers `duration` later"},
		{Engine: EngineEdge, Action: Error, NoStage: true, Meaning: "the application answers 500"},
		{Engine: EngineEdge, Action: CloseOnReuse, NoStage: true, Meaning: "the edge closes a kept-alive connection as the next request arrives"},
		{Engine: EngineEdge, Action: Kill, NoStage: true, Meaning: "the edge's process is killed"},
		{Engine: EngineEdge, Action: Pause, NoStage: true, Meaning: "the edge's process is stopped (SIGSTOP) for `duration`"},
		{Engine: EngineEdge, Action: Restart, NoStage: true, Meaning: "the edge's process starts anew: session cache and ticket keys are lost"},
	}
}

// Does says whether the cell covers the rule's action, stage and packet mode.
func (c *Cell) Does(r *Rule) bool {
	switch {
	case c.Action != r.Action:
		return false
	case r.PerPacket:
		return c.PerPacket && r.At == stage.None
	case r.At == stage.None:
		return !c.OnlyPerPacket && c.NoStage
	}
	return slices.Contains(c.Stages, r.At)
}

// readsHello says whether the engine sees what the rule's condition on ClientHellos is about.
func (c *Cell) readsHello(r *Rule) bool {
	return c.Engine == EngineRelay || c.Engine == EngineEdge && r.At == stage.ClientHello
}

// Capability is something the machine or the target must give before a rule can act.
type Capability string

const (
	// NetAdmin is CAP_NET_ADMIN over the network namespace of the sockets. Without it, run in a user and
	// network namespace of our own.
	NetAdmin Capability = "CAP_NET_ADMIN over the network namespace"
	// OwnEdge: the bundled edge must be the target, because its listener carries the filter or because it
	// does the damage itself.
	OwnEdge Capability = "the bundled edge as target"
	// OwnFleet: a fleet of this run must be the target, whatever server its edges are, because the fleet strikes
	// their processes, or puts them where a link reaches them.
	OwnFleet Capability = "a fleet of this run as target"
	// OwnNamespaces: agents and edges must sit in network namespaces that we make, with devices between.
	OwnNamespaces Capability = "network namespaces of our own"
)

// Requires lists what a resolved rule needs. An empty list: any target, any user.
func Requires(r *Rule) []Capability {
	switch r.Engine {
	case EngineSockfilter:
		if r.OnListener() {
			return []Capability{NetAdmin, OwnEdge}
		}
		return []Capability{NetAdmin}
	case EngineLink:
		return []Capability{OwnNamespaces, OwnFleet} // a namespace of our own has no road to anybody else's server
	case EngineEdge:
		if r.Action == Kill || r.Action == Pause || r.Action == Restart {
			return []Capability{OwnFleet}
		}
		return []Capability{OwnEdge}
	}
	return nil
}

// OnListener says whether the rule is carried out by a filter on the edge's listener and the sockets
// accepted from it, against the rule's own source subnet; the other sockfilter rules sit on the client's socket.
func (r *Rule) OnListener() bool {
	return r.Engine == EngineSockfilter && r.Action == Drop && r.Direction == stage.ClientToServer
}

// OnClient says whether the agent arms its own socket for the rule.
func (r *Rule) OnClient() bool { return r.Engine == EngineSockfilter && !r.OnListener() }

// NeedsSource says whether an attempt hit by the rule must bind to SourceAddr, because somebody else than
// the agent has to recognise it: a listener's filter, an edge, a link.
func (r *Rule) NeedsSource() bool {
	return r.OnListener() || r.Engine == EngineLink || r.Engine == EngineEdge && !r.HitsEdge()
}

// HitsEdge says whether the rule does damage to an edge or its process as a whole and not to attempts: no
// attempt draws for it.
func (r *Rule) HitsEdge() bool {
	switch r.Action {
	case TableFull, AcceptQueue, Kill, Pause, Restart:
		return r.Engine == EngineEdge
	}
	return false
}
