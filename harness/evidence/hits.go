package evidence

import (
	"fmt"
	"slices"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// mark is a comment on a packet.
type mark struct {
	end   end
	frame int
	at    time.Time
	text  string
}

// blow is a firing with the connection it hit, as both ends saw it; an end may be nil. Behind a relay the
// two are different connections.
type blow struct {
	faults.Firing
	client, server *flow
	told           *faults.Firing // the attempt's own copy; nil where no attempt is known
	// incomplete: packets of the run may be missing from the capture, so that a gap proves nothing.
	incomplete bool
}

// marks finds the packets that show the blow. There is at least one where either end was seen.
func (b *blow) marks() (list []mark) {
	switch faults.Engine(b.Engine) {
	case faults.EngineSockfilter:
		list = b.dropped()
	case faults.EngineLink:
		list = b.onPath()
	case faults.EngineRelay:
		list = b.relayed()
	case faults.EngineEdge:
		list = b.byEdge()
	}
	if len(list) > 0 {
		return list
	}
	for _, fl := range []*flow{b.client, b.server} {
		if s := fl.nearest(b.Time); s != nil {
			list = append(list, fl.mark(s, "FAULT: about here "+b.words()+"; no packet shows it"))
		}
	}
	return list
}

func (fl *flow) mark(s *sighting, text string) mark { return mark{fl.end, s.frame, s.at, text} }

// date corrects the time of a drop: the ledger has it from a look at a counter, the capture from the packet.
func (b *blow) date(list []mark) {
	if b.told != nil && faults.Engine(b.Engine) == faults.EngineSockfilter {
		b.told.Time = slices.MinFunc(list, func(x, y mark) int { return x.at.Compare(y.at) }).at
	}
}

// words names the rule and where it struck.
func (b *blow) words() string {
	t := fmt.Sprintf("rule %q did %s (%s", b.Rule, b.Action, b.Engine)
	if b.Stage != "" && b.Stage != stage.None.String() {
		t += ", at " + b.Stage
	}
	if b.Direction != "" {
		t += ", " + b.Direction
	}
	if b.Offset >= 0 && faults.Engine(b.Engine) == faults.EngineRelay {
		t += fmt.Sprintf(", byte %d of the stream", b.Offset)
	}
	return t + ")"
}

func (b *blow) direction() stage.Direction {
	switch b.Direction {
	case stage.ClientToServer.String():
		return stage.ClientToServer
	case stage.ServerToClient.String():
		return stage.ServerToClient
	}
	return 0
}

// dropped finds the segments that a socket filter dropped. They did arrive at the receiver's host, so both
// ends' captures have them; what shows the drop is that the receiver's TCP never answers them.
func (b *blow) dropped() (list []mark) {
	d := b.direction()
	receiver, sender := b.client, b.server
	if d == stage.ClientToServer {
		receiver, sender = b.server, b.client
	}
	lost := receiver.lost(d)
	if len(lost) > b.Packets {
		lost = lost[:b.Packets] // the last one may only be unanswered because the connection ended
	}
	other := sender.twins()
	for i, s := range lost {
		which := fmt.Sprintf("%d of %d", i+1, b.Packets)
		list = append(list, receiver.mark(s, fmt.Sprintf("FAULT: this segment arrived and was dropped before TCP saw it: %s; %s", b.words(), which)))
		if sent := other.take(s); sent != nil {
			list = append(list, sender.mark(sent, fmt.Sprintf("FAULT: dropped on arrival at the other end, before its TCP saw it: %s; %s", b.words(), which)))
		}
	}
	return list
}

// lost lists the arrivals of a direction that take sequence space and that the receiver's TCP does not
// acknowledge before the same bytes come again, or at all.
func (fl *flow) lost(d stage.Direction) (list []*sighting) {
	if fl == nil {
		return nil
	}
	for i := range fl.packets {
		s := &fl.packets[i]
		if s.in && s.units() > 0 && s.fromClient == (d == stage.ClientToServer) && !fl.answered(s, fl.packets[i+1:]) {
			list = append(list, s)
		}
	}
	return list
}

// answered says whether the receiver's TCP has taken s, judging by what followed.
func (fl *flow) answered(s *sighting, then []sighting) bool {
	for i := range then {
		q := &then[i]
		switch {
		case q.fromClient != s.fromClient:
			if q.flags&flagACK != 0 && !before(q.ack, s.end()) || q.sacks(s.seq, s.end()) {
				return true
			}
		case q.units() > 0 && !before(s.seq, q.seq) && before(s.seq, q.end()):
			return false // the same bytes again
		}
	}
	return false
}

// identity is what a packet has at both ends of a path.
type identity struct {
	fromClient bool
	flags      uint8
	id         uint16
	seq, ack   uint32
	size       uint32
}

func (s *sighting) identity() identity {
	return identity{s.fromClient, s.flags, s.id, s.seq, s.ack, s.size}
}

// twins are one end's packets by their identity, in order; equal ones stand one behind the other.
type twins map[identity][]*sighting

func (fl *flow) twins() twins {
	t := twins{}
	for _, s := range fl.from(0) {
		t[s.identity()] = append(t[s.identity()], s)
	}
	return t
}

// take finds the same packet at the other end, each only once; nil where there is none.
func (t twins) take(s *sighting) *sighting {
	list := t[s.identity()]
	if len(list) == 0 {
		return nil
	}
	t[s.identity()] = list[1:]
	return list[0]
}

// noticeable is a delay on a path that a reader should hear of: our own forwarder takes well below it.
const noticeable = 5 * time.Millisecond

// onPath compares what one end sent with what arrived at the other.
func (b *blow) onPath() (list []mark) {
	for _, d := range []stage.Direction{stage.ClientToServer, stage.ServerToClient} {
		sender, receiver := b.client, b.server
		if d == stage.ServerToClient {
			sender, receiver = b.server, b.client
		}
		if b.direction() == 0 || b.direction() == d {
			list = append(list, b.oneWay(d, sender, receiver)...)
		}
	}
	return list
}

func (b *blow) oneWay(d stage.Direction, sender, receiver *flow) (list []mark) {
	arrived := receiver.twins()
	sent := slices.DeleteFunc(sender.from(d), func(s *sighting) bool { return s.in })
	came := make([]*sighting, len(sent))
	for i, s := range sent {
		came[i] = arrived.take(s)
	}
	var earliest time.Time // arrival among what was sent later
	for i := len(sent) - 1; i >= 0; i-- {
		s, t := sent[i], came[i]
		if t == nil {
			text := "FAULT: lost on the path: "
			switch {
			case faults.Action(b.Action) == faults.Corrupt:
				text = "FAULT: did not arrive as it was sent: "
			case b.incomplete:
				text = "FAULT: not seen at the other end, where packets are missing for want of time too; perhaps lost on the path: "
			}
			list = append(list, sender.mark(s, text+b.words()))
			continue
		}
		what := ""
		took := t.at.Sub(s.at).Round(time.Millisecond / 10)
		switch {
		case t.sum != s.sum:
			what = "damaged on the path"
		case !earliest.IsZero() && t.at.After(earliest):
			what = fmt.Sprintf("overtaken on the path, %v under way", took)
		case took >= noticeable:
			what = fmt.Sprintf("%v under way on the path", took)
		}
		if what != "" {
			list = append(list, receiver.mark(t, "FAULT: "+what+": "+b.words()))
		}
		if earliest.IsZero() || t.at.Before(earliest) {
			earliest = t.at
		}
	}
	slices.Reverse(list)
	for _, rest := range arrived {
		for _, again := range rest {
			if again.in && again.fromClient == (d == stage.ClientToServer) {
				list = append(list, receiver.mark(again, "FAULT: arrived, and was not sent so: a copy made or damage done on the path: "+b.words()))
			}
		}
	}
	return list
}

// relayed finds the bytes that a relay struck at, on the side they came from, and what it sent instead.
func (b *blow) relayed() (list []mark) {
	d := b.direction()
	from, to := b.client, b.server
	if d == stage.ServerToClient {
		from, to = to, from
	}
	if d != 0 {
		if s := from.byteAt(d, b.Offset); s != nil {
			list = append(list, from.mark(s, "FAULT: what arrived at the relay with this packet was struck: "+b.words()))
		}
	}
	ending := map[faults.Action]uint8{faults.Reset: flagRST, faults.FIN: flagFIN, faults.Truncate: flagFIN | flagRST}[faults.Action(b.Action)]
	if ending == 0 {
		if s := to.byteAt(d, b.Offset); s != nil {
			list = append(list, to.mark(s, "FAULT: what the relay made of it: "+b.words()))
		}
		return list
	}
	since := b.Time.Add(-grain)
	if s := b.client.flagged(stage.ServerToClient, ending, since); s != nil {
		list = append(list, b.client.mark(s, "FAULT: sent by the relay, not by the server: "+b.words()))
	}
	if s := b.server.flagged(stage.ClientToServer, ending, since); s != nil {
		list = append(list, b.server.mark(s, "FAULT: sent by the relay, not by the client: "+b.words()))
	}
	return list
}

// byEdge finds what the edge sent, or stopped sending, when a rule made it do so.
func (b *blow) byEdge() (list []mark) {
	since := b.Time.Add(-grain)
	for _, fl := range []*flow{b.server, b.client} {
		var s *sighting
		switch faults.Action(b.Action) {
		case faults.CertExpired, faults.ClockWrong, faults.Error, faults.Slow, faults.Alert:
			s = fl.data(stage.ServerToClient, since)
		case faults.Stall, faults.Blackhole: // silence
		case faults.AcceptQueue:
			s = fl.flagged(stage.ClientToServer, flagSYN, time.Time{})
		default:
			s = fl.flagged(stage.ServerToClient, flagFIN|flagRST, since)
		}
		if s != nil {
			list = append(list, fl.mark(s, "FAULT: "+b.words()))
		}
	}
	return list
}
