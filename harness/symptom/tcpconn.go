package symptom

import (
	"net/netip"
	"slices"
	"time"

	"tlsurge/faults/stage"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Bounds of what is kept of one connection.
const (
	keptStream  = 64 << 10 // of the client's bytes, for its hellos
	keptAhead   = 128      // segments that came before their turn
	longSilence = 5 * time.Second
	alert13     = 19 // a protected alert of TLS 1.3: two bytes, the content type and a tag of 16
)

// connection is one TCP connection of a capture.
type connection struct {
	client, server netip.AddrPort
	start, last    time.Time
	syns           int
	synAck         bool
	half           [2]halfStream // by stage.Direction - 1
	observer       stage.Observer
	spans          []stage.Span
	end            ending // the first thing that ended it
	ends           int

	refused             bool // the client sent a protected alert instead of its Finished
	retried, helloed    bool // a HelloRetryRequest, a ServerHello has passed
	requested, answered bool // application data of the client, and of the server since the last of it
	answer              int64
	requests            int
	progress            time.Time // last byte of the handshake, either way
}

// ending is what began the end of a connection.
type ending struct {
	how    string // "alert", "rst", "fin"
	sender string
	alert  int // -1: encrypted
	at     time.Time
	stage  stage.Stage
	open   bool // the handshake was done
	ttl    uint8
}

// halfStream is one direction.
type halfStream struct {
	known   bool
	next    uint32 // sequence number
	ahead   []heldSegment
	stream  []byte // its beginning
	bytes   int64
	wire    int64 // bytes on the wire, kept or not
	retrans int
	blind   bool // bytes are missing: what follows cannot be read
	fin     bool
	ttl     uint8

	header    []byte // of the current record
	left      int
	typ       wire.RecordType
	body      []byte // of an alert
	length    int
	encrypted bool // ChangeCipherSpec has passed
}

type heldSegment struct {
	seq  uint32
	data []byte
}

func (c *connection) direction(s *hello.Segment) stage.Direction {
	if s.Src == c.client {
		return stage.ClientToServer
	}
	return stage.ServerToClient
}

// take takes a segment of the connection.
func (c *connection) take(s *hello.Segment) {
	d := c.direction(s)
	h := &c.half[d-1]
	c.last = s.Time
	switch {
	case s.SYN && !s.ACK:
		c.syns++
		h.known, h.next = true, s.Seq+1
	case s.SYN:
		c.synAck = true
		h.known, h.next, h.ttl = true, s.Seq+1, s.TTL
	}
	if !h.known && s.Length > 0 {
		h.known, h.next = true, s.Seq
	}
	if h.ttl == 0 && !s.RST {
		h.ttl = s.TTL
	}
	if s.Length > 0 && !s.SYN {
		c.data(d, h, s)
	}
	switch {
	case s.RST:
		c.finish(ending{how: "rst", sender: sender(d), alert: -1, at: s.Time, ttl: s.TTL})
	case s.FIN && !h.fin:
		h.fin = true
		c.finish(ending{how: "fin", sender: sender(d), alert: -1, at: s.Time})
	}
}

func sender(d stage.Direction) string {
	if d == stage.ClientToServer {
		return "client"
	}
	return "server"
}

// finish notes what ended the connection; the first counts, but for a client that closes on an alert it did
// not wait for.
func (c *connection) finish(e ending) {
	c.ends++
	if c.end.how != "" {
		return
	}
	e.stage, e.open = c.stage(), c.open()
	c.end = e
}

// data puts a segment's bytes in order.
func (c *connection) data(d stage.Direction, h *halfStream, s *hello.Segment) {
	off := int32(h.next - s.Seq)
	switch {
	case int64(off) >= int64(s.Length) && s.Length > 0:
		h.retrans++
		return
	case off < 0:
		if len(h.ahead) < keptAhead && !h.blind {
			h.ahead = append(h.ahead, heldSegment{s.Seq, slices.Clone(s.Payload)})
		}
		if len(h.ahead) == keptAhead { // the capture has a hole
			h.blind, h.ahead, h.next = true, nil, s.Seq+uint32(s.Length)
		}
		return
	case off > 0:
		h.retrans++
	}
	fresh := s.Payload[min(int(off), len(s.Payload)):]
	h.next = s.Seq + uint32(s.Length)
	h.wire += int64(s.Length)
	c.deliver(d, h, fresh, s.Time)
	if s.Cut {
		h.blind = true
	}
	for more := true; more; {
		more = false
		for i, a := range h.ahead {
			if off := int32(h.next - a.seq); off >= 0 {
				if int(off) < len(a.data) {
					c.deliver(d, h, a.data[off:], s.Time)
					h.next += uint32(len(a.data)) - uint32(off)
				}
				h.ahead = slices.Delete(h.ahead, i, i+1)
				more = true
				break
			}
		}
	}
}

// deliver takes bytes in order.
func (c *connection) deliver(d stage.Direction, h *halfStream, p []byte, at time.Time) {
	h.bytes += int64(len(p))
	if h.blind || len(p) == 0 {
		return
	}
	if room := keptStream - len(h.stream); room > 0 && !c.open() {
		h.stream = append(h.stream, p[:min(room, len(p))]...)
	}
	if !c.open() {
		c.progress = at
	}
	c.spans = c.observer.Observe(d, p, c.spans[:0])
	for _, s := range c.spans {
		switch s.Stage {
		case stage.HelloRetryRequest:
			c.retried = true
		case stage.ServerHello:
			c.helloed = true
		case stage.Request:
			if c.observer.TLS13() && s.Fragment == alert13 {
				continue
			}
			if !c.requested || c.answered {
				c.requests++
			}
			c.requested, c.answered, c.answer = true, false, 0
		case stage.Response:
			c.answered = true
			c.answer += int64(s.N)
		}
	}
	c.records(d, h, p, at)
}

// records looks for alerts.
func (c *connection) records(d stage.Direction, h *halfStream, p []byte, at time.Time) {
	for len(p) > 0 {
		if h.left == 0 {
			need := min(wire.RecordHeaderLen-len(h.header), len(p))
			h.header = append(h.header, p[:need]...)
			p = p[need:]
			if len(h.header) < wire.RecordHeaderLen {
				return
			}
			head, err := wire.ParseRecordHeader(h.header)
			h.header = h.header[:0]
			if err != nil || head.Version>>8 != 3 || head.Length == 0 {
				h.typ, h.left = 0, 1<<40 // no TLS, or an SSLv2 hello: no alerts to be found
				continue
			}
			h.typ, h.left, h.length, h.body = head.Type, head.Length, head.Length, h.body[:0]
			continue
		}
		n := min(h.left, len(p))
		if h.typ == wire.RecordAlert && len(h.body) < 2 {
			h.body = append(h.body, p[:min(n, 2)]...)
		}
		p = p[n:]
		if h.left -= n; h.left > 0 {
			continue
		}
		switch {
		case h.typ == wire.RecordChangeCipherSpec && !c.observer.TLS13():
			h.encrypted = true
		case h.typ == wire.RecordAlert && len(h.body) == 2:
			c.alert(d, h, at)
		case h.typ == wire.RecordApplicationData:
			if d == stage.ClientToServer && c.observer.TLS13() && h.length == alert13 && !h.encrypted {
				c.refused = true // in the place of its Finished, which is longer
				c.finish(ending{how: "alert", sender: "client", alert: -1, at: at})
			}
			h.encrypted = true
		}
	}
}

func (c *connection) alert(d stage.Direction, h *halfStream, at time.Time) {
	e := ending{how: "alert", sender: sender(d), alert: int(h.body[1]), at: at}
	switch {
	case h.encrypted || h.length != 2:
		if c.open() {
			return // most likely close_notify
		}
		e.alert = -1
	case h.body[0] != 2 && h.body[1] != byte(wire.AlertUserCanceled), h.body[1] == byte(wire.AlertCloseNotify):
		return // a warning
	}
	c.finish(e)
}

// open says whether the handshake is done, as far as it can be seen from outside.
func (c *connection) open() bool {
	client, server := c.observer.Last(stage.ClientToServer), c.observer.Last(stage.ServerToClient)
	return !c.refused && (client == stage.Request || server == stage.Response || server == stage.ServerFinished && client == stage.Finished ||
		c.observer.TLS13() && client == stage.Finished)
}

// stage is the point that the connection has reached, in the words that outcomes use.
func (c *connection) stage() stage.Stage {
	switch client := c.observer.Last(stage.ClientToServer); {
	case !c.synAck && c.syns > 0 && c.half[1].bytes == 0:
		return stage.Syn
	case c.open() && c.requested && !c.answered:
		return stage.Request
	case c.open() && c.requested:
		return stage.Response
	case c.open():
		return stage.Idle
	case client == stage.Finished && !c.refused:
		return stage.Finished
	case c.helloed:
		return stage.ServerHello
	case c.retried:
		return stage.HelloRetryRequest
	}
	return stage.ClientHello
}
