package engine

import (
	"fmt"
	"strings"

	"tlsurge/profiles/wire"
)

// input is what a state can wait for: a handshake message by its type, or one of the two inputs that
// are no handshake messages.
type input uint16

const (
	inputCCS           input = 0x100 // ChangeCipherSpec
	inputNoCertificate input = 0x101 // the no_certificate warning of SSL 3.0, which stands for a Certificate
)

func (in input) String() string {
	switch in {
	case inputCCS:
		return "ChangeCipherSpec"
	case inputNoCertificate:
		return "no_certificate"
	}
	return wire.HandshakeType(in).String()
}

// row is one legal message of one state, and the flight function that takes it.
type row struct {
	on  input
	run func(*Conn, []byte) (state, error)
	// late: the flight function itself adds c.msg to the transcript, because it first needs the hash of
	// what came before (CertificateVerify, Finished).
	late bool
	// unhashed: the message is no part of the transcript.
	unhashed bool
}

// table is one role and family: state -> legal messages. Anything not in it is unexpected_message.
type table [stateCount][]row

// on decodes, then calls: flight functions get typed messages.
func on[M any](t wire.HandshakeType, parse func([]byte) (M, error), f func(*Conn, M) (state, error)) row {
	return row{on: input(t), run: func(c *Conn, body []byte) (state, error) {
		m, err := parse(body)
		if err != nil {
			return 0, err
		}
		return f(c, m)
	}}
}

// onLate is on for messages that are hashed by their flight function.
func onLate[M any](t wire.HandshakeType, parse func([]byte) (M, error), f func(*Conn, M) (state, error)) row {
	r := on(t, parse, f)
	r.late = true
	return r
}

// onPost is on for messages after the handshake, which are hashed by nobody.
func onPost[M any](t wire.HandshakeType, parse func([]byte) (M, error), f func(*Conn, M) (state, error)) row {
	r := on(t, parse, f)
	r.unhashed = true
	return r
}

// onSignal is a row for an input without a body.
func onSignal(in input, f func(*Conn) (state, error)) row {
	return row{on: in, unhashed: true, run: func(c *Conn, _ []byte) (state, error) { return f(c) }}
}

// rows gives what the present state allows.
func (c *Conn) rows() []row {
	switch {
	case c.isClient && c.family == family13:
		return client13[c.state]
	case c.isClient:
		return client12[c.state]
	case c.family == family13:
		return server13[c.state]
	}
	return server12[c.state]
}

// step runs one input through the table.
func (c *Conn) step(in input, body []byte) error {
	if c.ignores(in) {
		return nil
	}
	rows := c.rows()
	for i := range rows {
		if rows[i].on != in {
			continue
		}
		if !rows[i].late && !rows[i].unhashed && c.hs != nil {
			c.hs.transcript.add(c.msg)
		}
		next, err := rows[i].run(c, body)
		if err != nil {
			return err
		}
		c.state = next
		return nil
	}
	return fmt.Errorf("%w: %v in %v, expected %s", ErrUnexpectedMessage, in, c.state, expected(rows))
}

// ignores: "This message [HelloRequest] will be ignored by the client if the client is currently
// negotiating a session" (RFC 5246 §7.4.1.1), and a ChangeCipherSpec of TLS 1.3 means nothing.
func (c *Conn) ignores(in input) bool {
	if in == inputCCS {
		return c.ignoresCCS13()
	}
	return in == input(wire.TypeHelloRequest) && c.isClient && c.family != family13 && c.state != stateConnected &&
		c.facts.Version != 0
}

func expected(rows []row) string {
	if len(rows) == 0 {
		return "nothing"
	}
	names := make([]string, len(rows))
	for i := range rows {
		names[i] = rows[i].on.String()
	}
	return strings.Join(names, " or ")
}

// maxMessage bounds a handshake message: as OpenSSL bounds a ClientHello.
const maxMessage = 131396

// onHandshakeBytes cuts the handshake stream into messages: several may share a record, and one may
// span many (RFC 5246 §6.2.1, Fragmentation).
func (c *Conn) onHandshakeBytes(p []byte) error {
	for len(p) > 0 {
		msg := p
		if len(c.msgs) > 0 {
			need := c.missing(c.msgs)
			take := min(need, len(p))
			c.msgs = append(c.msgs, p[:take]...)
			p = p[take:]
			if n, err := messageLength(c.msgs); err != nil {
				return err
			} else if n == 0 || len(c.msgs) < n {
				continue
			}
			msg, c.msgs = c.msgs, nil
		} else {
			n, err := messageLength(p)
			if err != nil {
				return err
			}
			if n == 0 || len(p) < n {
				c.msgs = append([]byte(nil), p...)
				return nil
			}
			msg, p = p[:n:n], p[n:]
		}
		if err := c.onMessage(msg, p); err != nil {
			return err
		}
	}
	return nil
}

// onMessage runs one message. rest is what follows it in its record: while it runs, rest counts as
// left over, so that a change of keys refuses it.
func (c *Conn) onMessage(msg, rest []byte) error {
	if c.hs == nil && !c.isClient && c.state == stateWaitCH {
		c.startServerHandshake()
	}
	c.msg, c.msgs = msg, rest
	shaking, sent := c.hs != nil, len(c.out)
	err := c.step(input(msg[0]), msg[wire.MessageHeaderLen:])
	c.msg, c.msgs = nil, nil
	// Where we have answered, or the handshake is over, the peer cannot have meant to go on already.
	if err == nil && shaking && len(rest) > 0 && (len(c.out) > sent || c.hs == nil) {
		return fmt.Errorf("%w: %d bytes behind the last message of a flight", ErrExcessMessage, len(rest))
	}
	return err
}

// missing is how many bytes a message begun in p still wants: first its header, then its body.
func (c *Conn) missing(p []byte) int {
	if n, _ := messageLength(p); n > 0 {
		return n - len(p)
	}
	return wire.MessageHeaderLen - len(p)
}

// messageLength is the whole length of the message that begins p; 0 if p ends before the header does.
func messageLength(p []byte) (int, error) {
	h, err := wire.ParseMessageHeader(p)
	if err != nil {
		return 0, nil
	}
	if h.Length > maxMessage {
		return 0, fmt.Errorf("%w: %v of %d bytes, at most %d allowed", ErrMessageSize, h.Type, h.Length, maxMessage)
	}
	return wire.MessageHeaderLen + h.Length, nil
}
