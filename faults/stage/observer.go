package stage

import (
	"bytes"

	"tlsurge/profiles/wire"
)

// Observer names the bytes of one connection. It keeps no payload beyond the front of a ServerHello and
// is used from one goroutine at a time. The zero value is ready.
//
// Law: however the bytes of a direction are cut into calls, the spans say the same of each byte, as long
// as the two directions are interleaved in the order in which they came.
//
// What it cannot see without keys: in TLS 1.3, 0-RTT data that it meets after the ServerHello, and what a
// client with a certificate sends behind its first protected record, get their neighbour's name (Finished,
// Request); NewSessionTicket is a Response.
type Observer struct {
	halves [2]half
	// tls13 is known once a ServerHello has passed.
	helloSeen, tls13 bool
	clientFinished   bool // TLS 1.3: the client's first protected record after the ServerHello has passed
}

// Span is a run of bytes of one direction that belong to one stage. It crosses the end of a record only
// where the front of a ServerHello is spread over two.
type Span struct {
	Stage Stage
	N     int // bytes, counted from the end of the span before
	// Start: the first byte is the first of a record whose fragment is Fragment bytes long. End: the last
	// byte is the last of a record.
	Start, End bool
	Fragment   int
}

const (
	recordHeader  = 5
	messageHeader = 4
	// A record that claims more is not TLS (RFC 5246 §6.2.3, Record Payload Protection: 2^14 + 2048).
	maxFragment = 1<<14 + 2048
	// helloFront is how much of a ServerHello tells it from a HelloRetryRequest: header, version, random.
	helloFront = messageHeader + 2 + 32
	// maxHello bounds what is kept of a ServerHello; a longer one counts as TLS 1.2.
	maxHello = 4096
)

// half is what is known of one direction.
type half struct {
	started   bool
	notTLS    bool
	encrypted bool // TLS 1.2 and older: ChangeCipherSpec has passed
	data      bool // application data has passed
	last      Stage
	v2        int // bytes still to come of an SSLv2 hello

	header []byte // of the current record, while incomplete or unnamed
	typ    wire.RecordType
	length int // of the current record's fragment
	left   int // of it still to come

	message  []byte // front of the current handshake message, as far as it is needed
	msgLeft  int    // of the message still to come, header excluded
	msgStage Stage
	inside   bool // a message has begun and its stage is known

	held  int  // bytes seen and not yet named
	start bool // the next span begins a record
}

// Last is the latest stage named in a direction.
func (o *Observer) Last(d Direction) Stage { return o.halves[d-1].last }

// TLS13 says whether a TLS 1.3 ServerHello has passed.
func (o *Observer) TLS13() bool { return o.tls13 }

// Held is how many bytes of a direction have been observed and not named: at most the front of a record
// and of a ServerHello. At the end of the stream they stay without a name.
func (o *Observer) Held(d Direction) int { return o.halves[d-1].held }

// Observe takes the next bytes of a direction and appends to spans what can be named now. A span's bytes
// may have come with earlier calls.
func (o *Observer) Observe(d Direction, p []byte, spans []Span) []Span {
	h := &o.halves[d-1]
	for len(p) > 0 {
		switch {
		case h.notTLS:
			return h.name(spans, None, len(p))
		case h.v2 > 0:
			n := min(h.v2, len(p))
			h.v2 -= n
			p = p[n:]
			spans = h.name(spans, ClientHello, n)
		case h.left == 0 || len(h.header) < recordHeader:
			h.header = append(h.header, p[0])
			h.held++
			p = p[1:]
			spans = o.onHeader(d, h, spans)
		case h.typ == wire.RecordHandshake && !h.encrypted:
			var n int
			n, spans = o.onHandshake(d, h, p, spans)
			p = p[n:]
		default:
			n := min(h.left, len(p))
			p = p[n:]
			h.left -= n
			spans = h.name(spans, h.last, n)
			spans = o.endRecord(d, h, spans)
		}
	}
	return spans
}

// name gives n more bytes, and all held ones before them, to a stage.
func (h *half) name(spans []Span, s Stage, n int) []Span {
	n += h.held
	h.held = 0
	if n == 0 {
		return spans
	}
	h.last = s
	span := Span{Stage: s, N: n, Start: h.start}
	if h.start {
		span.Fragment = h.length
		h.start = false
	} else if k := len(spans) - 1; k >= 0 && spans[k].Stage == s && !spans[k].End {
		spans[k].N += n
		return spans
	}
	return append(spans, span)
}

// onHeader looks at the record header as far as it has come.
func (o *Observer) onHeader(d Direction, h *half, spans []Span) []Span {
	b := h.header
	if !h.started && d == ClientToServer && b[0]&0x80 != 0 {
		// An SSLv2 hello: two bytes of length with the top bit set, then message type 1 (RFC 5246 §E.2,
		// Compatibility with SSL 2.0).
		if len(b) < 3 {
			return spans
		}
		if n := int(b[0]&0x7f)<<8 | int(b[1]); b[2] == 1 && n > 1 {
			h.started = true
			h.header = h.header[:0]
			h.v2 = n - 1
			return h.name(spans, ClientHello, 0)
		}
		return h.giveUp(spans)
	}
	typ := wire.RecordType(b[0])
	if typ < wire.RecordChangeCipherSpec || typ > wire.RecordHeartbeat || len(b) > 1 && b[1] != 3 {
		return h.giveUp(spans)
	}
	if len(b) < recordHeader {
		return spans
	}
	h.typ, h.length = typ, int(b[3])<<8|int(b[4])
	if h.length > maxFragment {
		return h.giveUp(spans)
	}
	h.started, h.start, h.left = true, true, h.length
	if typ == wire.RecordHandshake && !h.encrypted {
		if h.inside || h.length == 0 {
			s := h.msgStage
			if !h.inside {
				s = h.last
			}
			spans = h.name(spans, s, 0)
		}
	} else {
		spans = h.name(spans, o.opaqueStage(d, h), 0)
	}
	return o.endRecord(d, h, spans)
}

// giveUp: this direction does not speak TLS.
func (h *half) giveUp(spans []Span) []Span {
	h.notTLS = true
	h.header = nil
	return h.name(spans, None, 0)
}

// opaqueStage names a record whose content is not looked at, by its type and what has passed before.
func (o *Observer) opaqueStage(d Direction, h *half) Stage {
	client := d == ClientToServer
	switch h.typ {
	case wire.RecordChangeCipherSpec:
		switch {
		case !o.helloSeen && client:
			return ClientHello // TLS 1.3 compatibility mode: beside the early data or the second hello
		case !o.helloSeen:
			return HelloRetryRequest
		case client:
			return Finished
		case o.tls13:
			return ServerFlight
		}
		return ServerFinished
	case wire.RecordHandshake: // protected, TLS 1.2 and older
		switch {
		case h.data:
			return h.last
		case client:
			return Finished
		}
		return ServerFinished
	case wire.RecordAlert:
		if !client && !h.encrypted {
			return Alert
		}
	case wire.RecordApplicationData:
		switch {
		case client && o.tls13 && !o.clientFinished:
			return Finished
		case client:
			return Request
		case o.tls13 && !o.clientFinished:
			return ServerFlight
		}
		return Response
	}
	return h.last
}

// onHandshake walks the messages of a handshake record in the clear and says how many bytes it took.
func (o *Observer) onHandshake(d Direction, h *half, p []byte, spans []Span) (int, []Span) {
	n := min(h.left, len(p))
	if h.inside && len(h.message) >= messageHeader { // the middle of a message: nothing to look at but a ServerHello
		n = min(n, h.msgLeft)
		o.keep(h, p[:n])
		h.msgLeft -= n
		h.left -= n
		spans = h.name(spans, h.msgStage, n)
		if h.msgLeft == 0 {
			o.endMessage(h)
		}
		return n, o.endRecord(d, h, spans)
	}
	// The front of a message, one byte at a time until it can be named and its length is known.
	h.message = append(h.message, p[0])
	h.left--
	h.held++
	if len(h.message) == messageHeader {
		h.msgLeft = int(h.message[1])<<16 | int(h.message[2])<<8 | int(h.message[3])
	} else if len(h.message) > messageHeader {
		h.msgLeft--
	}
	if !h.inside {
		h.msgStage, h.inside = o.messageStage(d, h)
	}
	if h.inside {
		spans = h.name(spans, h.msgStage, 0)
	}
	if len(h.message) >= messageHeader && h.msgLeft == 0 {
		o.endMessage(h)
	}
	return 1, o.endRecord(d, h, spans)
}

// messageStage names the message whose front has come; ok is false while more of it is needed.
func (o *Observer) messageStage(d Direction, h *half) (s Stage, ok bool) {
	typ := wire.HandshakeType(h.message[0])
	if d == ClientToServer {
		switch typ {
		case wire.TypeClientHello:
			return ClientHello, true
		case wire.TypeCertificate, wire.TypeClientKeyExchange, wire.TypeCertificateVerify:
			return ClientKeyExchange, true
		}
		return h.last, true
	}
	switch typ {
	case wire.TypeServerHello:
		switch {
		case len(h.message) >= helloFront && bytes.Equal(h.message[helloFront-32:helloFront], wire.HelloRetryRandom[:]):
			return HelloRetryRequest, true
		case len(h.message) >= helloFront, len(h.message) >= messageHeader && h.msgLeft == 0:
			return ServerHello, true
		}
		return None, false
	case wire.TypeCertificate, wire.TypeServerKeyExchange, wire.TypeCertificateRequest, wire.TypeServerHelloDone,
		wire.TypeCertificateStatus:
		return ServerFlight, true
	case wire.TypeNewSessionTicket:
		return ServerFinished, true
	}
	return h.last, true
}

// keep holds on to the rest of a ServerHello, which says the version.
func (o *Observer) keep(h *half, p []byte) {
	if h.msgStage == ServerHello && len(h.message)+len(p) <= maxHello {
		h.message = append(h.message, p...)
	}
}

// endMessage learns from a whole ServerHello and makes room for the next message.
func (o *Observer) endMessage(h *half) {
	if h.msgStage == ServerHello && wire.HandshakeType(h.message[0]) == wire.TypeServerHello {
		o.helloSeen = true
		if sh, err := wire.ParseServerHello(h.message[messageHeader:]); err == nil {
			v, ok := sh.Extension(wire.ExtSupportedVersions)
			// Drafts count as TLS 1.3: 0x7f.. (RFC 8446 §4.2.1 became the number 0x0304 at the end).
			o.tls13 = ok && len(v) == 2 && (v[0] == 0x7f || wire.Version(uint16(v[0])<<8|uint16(v[1])) == wire.TLS13)
		}
	}
	h.message = h.message[:0]
	h.inside = false
}

// endRecord marks the end of a record that is complete.
func (o *Observer) endRecord(d Direction, h *half, spans []Span) []Span {
	if h.left > 0 || len(h.header) < recordHeader {
		return spans
	}
	h.header = h.header[:0]
	if k := len(spans) - 1; k >= 0 && h.held == 0 {
		spans[k].End = true
	}
	switch h.typ {
	case wire.RecordChangeCipherSpec:
		h.encrypted = h.encrypted || o.helloSeen && !o.tls13
	case wire.RecordApplicationData:
		h.data = true
		if d == ClientToServer && o.tls13 {
			o.clientFinished = true
		}
	}
	return spans
}
