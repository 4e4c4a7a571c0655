package engine

import (
	"fmt"
	"time"

	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

const (
	maxEmptyRecords = 32 // in a row
	maxWarnings     = 4  // in a row, as OpenSSL and BoringSSL
)

// Receive takes bytes from the peer, in any pieces. It opens records in place, so p is overwritten, and
// events' Data may alias p. What it leaves behind is at most the beginning of one record.
func (c *Conn) Receive(now time.Time, p []byte) error {
	if c.err != nil {
		return c.err
	}
	c.wake()
	c.now = now
	if len(c.in) > 0 {
		rec, rest, err := c.completeRecord(p)
		if err != nil {
			return c.fail(err)
		}
		if p = rest; rec == nil {
			return nil
		}
		if err := c.onRecord(rec); err != nil {
			return c.fail(err)
		}
	}
	for len(p) > 0 && !c.peerClosed {
		n, err := c.recordLength(p)
		if err != nil {
			return c.fail(err)
		}
		if n == 0 || len(p) < n {
			c.in = append(make([]byte, 0, max(n, wire.RecordHeaderLen)), p...)
			return nil
		}
		if err := c.onRecord(p[:n:n]); err != nil {
			return c.fail(err)
		}
		p = p[n:]
	}
	return nil
}

// completeRecord adds to the record begun in c.in; rec is nil while it is not whole.
func (c *Conn) completeRecord(p []byte) (rec, rest []byte, err error) {
	for {
		n, err := c.recordLength(c.in)
		if err != nil {
			return nil, nil, err
		}
		want := max(n, wire.RecordHeaderLen)
		if n > 0 && len(c.in) == n {
			rec, c.in = c.in, nil
			return rec, p, nil
		}
		if cap(c.in) < want {
			c.in = append(make([]byte, 0, want), c.in...)
		}
		take := min(want-len(c.in), len(p))
		c.in = append(c.in, p[:take]...)
		if p = p[take:]; len(c.in) < want {
			return nil, nil, nil
		}
	}
}

// recordLength judges the header at the start of p and gives the whole record's length; 0 if p is
// shorter than a header.
func (c *Conn) recordLength(p []byte) (int, error) {
	if len(p) < wire.RecordHeaderLen {
		return 0, nil
	}
	if !c.gotFirst && !c.isClient {
		if n, err := firstBytes(p); n != 0 || err != nil {
			return n, c.unknownProtocol(err)
		}
	}
	h, _ := wire.ParseRecordHeader(p)
	if err := c.checkRecordHeader(h); err != nil {
		return 0, err
	}
	limit := wire.MaxPlaintext
	if !c.isClient && c.server.Rules.Statem {
		limit = statemBuffer
	}
	if c.read != nil {
		limit = wire.MaxCiphertext12
		if c.family == family13 {
			limit = wire.MaxCiphertext13
		}
	}
	if h.Length > limit {
		return 0, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrRecordOverflow, h.Length, limit)
	}
	return wire.RecordHeaderLen + h.Length, nil
}

// minSSLv2Hello is the fixed part, one cipher spec and the shortest challenge.
const minSSLv2Hello = 9 + 3 + 16

// firstBytes looks at a client's first five bytes: an SSLv2-format CLIENT-HELLO has a length of its own
// kind, and plain HTTP is told apart from garbage because servers answer it differently.
func firstBytes(p []byte) (int, error) {
	switch {
	case p[0]&0x80 != 0 && p[2] == 1 && (p[3] == 3 || p[3] == 0 && p[4] == 2):
		n := int(p[0]&0x7f)<<8 + int(p[1])
		if n < minSSLv2Hello {
			return 0, fmt.Errorf("%w: an SSLv2-format hello of %d bytes, at least %d needed", ErrDecode, n, minSSLv2Hello)
		}
		return 2 + n, nil
	case p[0] >= byte(wire.RecordChangeCipherSpec) && p[0] <= byte(wire.RecordHeartbeat):
		return 0, nil
	}
	switch string(p[:4]) {
	case "GET ", "POST", "HEAD", "PUT ", "CONN", "OPTI", "DELE", "PATC", "TRAC":
		return 0, &silent{fmt.Errorf("%w: %q", ErrHTTPRequest, p[:5])}
	}
	return 0, fmt.Errorf("%w: first bytes %x", ErrUnknownProtocol, p[:5])
}

// unknownProtocol: SSL23_GET_CLIENT_HELLO closes without a word on what it cannot make out.
func (c *Conn) unknownProtocol(err error) error {
	if err != nil && c.server.Rules.VersionRefusal == RefuseAsSSL23 {
		return &silent{err}
	}
	return err
}

// checkRecordHeader: a server reads the version first, as OpenSSL does; a client the type, so that an answer that is
// no TLS at all is unexpected_message and not another version.
func (c *Conn) checkRecordHeader(h wire.RecordHeader) error {
	if c.isClient {
		if err := c.checkRecordType(h); err != nil {
			return err
		}
	}
	if err := c.checkRecordVersion(h); err != nil {
		return err
	}
	return c.checkRecordType(h)
}

func (c *Conn) checkRecordType(h wire.RecordHeader) error {
	switch h.Type {
	case wire.RecordChangeCipherSpec, wire.RecordAlert, wire.RecordHandshake, wire.RecordApplicationData, wire.RecordHeartbeat:
		return nil
	}
	if c.refusesBeforeHello() { // which does so with the whole record
		return nil
	}
	return fmt.Errorf("%w: %d", ErrRecordType, uint8(h.Type))
}

// checkRecordVersion: before the version is agreed any 0x03xx will do (RFC 5246 Appendix E.1).
func (c *Conn) checkRecordVersion(h wire.RecordHeader) error {
	agreed := c.facts.Version
	switch {
	case h.Version>>8 != 3:
		err := fmt.Errorf("%w: %v, expected 0x03xx", ErrRecordVersion, h.Version)
		if !c.isClient && c.server.Rules.SilentRecordVersion && !(c.gotFirst && c.server.Rules.Statem) {
			return &silent{err}
		}
		return err
	case agreed == 0 || c.family == family13:
		// "legacy_record_version ... MUST be ignored for all purposes" (RFC 8446 §5.1, Record Layer)
		return nil
	case h.Version != agreed && h.Type != wire.RecordAlert:
		return fmt.Errorf("%w: %v, agreed on %v", ErrRecordVersion, h.Version, agreed)
	}
	return nil
}

// onRecord opens one whole record and hands on what is in it.
func (c *Conn) onRecord(rec []byte) error {
	first := !c.gotFirst
	c.gotFirst = true
	if first {
		c.helloRecord = wire.Version(uint16(rec[1])<<8 | uint16(rec[2]))
	}
	if first && !c.isClient && rec[0]&0x80 != 0 {
		return c.onSSLv2Hello(rec)
	}
	typ, plain := wire.RecordType(rec[0]), rec[wire.RecordHeaderLen:]
	if c.read != nil && !c.clearRecord13(typ, plain) {
		var err error
		if typ, plain, err = c.read.Open(rec); err != nil {
			if c.skipEarlyData13(len(rec)) {
				return nil
			}
			return err
		}
	} else if c.family == family13 || c.hs != nil && c.hs.h13 != nil {
		if c.skipClearEarlyData13(typ, len(rec)) {
			return nil
		}
	}
	if c.read == nil && len(plain) > wire.MaxPlaintext {
		return fmt.Errorf("%w: %d bytes, at most %d allowed", ErrRecordOverflow, len(plain), wire.MaxPlaintext)
	}
	if typ != wire.RecordHandshake && c.refusesBeforeHello() {
		return c.refuseBeforeHello(typ, rec)
	}
	if len(plain) == 0 {
		return c.onEmptyRecord(typ)
	}
	if len(c.msgs) > 0 && typ != wire.RecordHandshake && typ != wire.RecordAlert {
		return fmt.Errorf("%w: a record of type %v inside a handshake message", ErrUnexpectedMessage, typ)
	}
	switch typ {
	case wire.RecordHandshake:
		c.empties = 0
		return c.onHandshakeBytes(plain)
	case wire.RecordChangeCipherSpec:
		if len(plain) != 1 || plain[0] != 1 {
			return fmt.Errorf("%w: ChangeCipherSpec %x, expected 01", ErrDecode, plain[:min(len(plain), 8)])
		}
		return c.step(inputCCS, nil)
	case wire.RecordAlert:
		return c.onAlert(rec, plain)
	case wire.RecordApplicationData:
		return c.onData(plain)
	case wire.RecordHeartbeat:
		// Heartbeat is offered and acknowledged for the hello's sake; messages are dropped
		// (RFC 6520 §4: "discarded silently" is what an unexpected one gets).
		if c.facts.Heartbeat {
			return nil
		}
	}
	return fmt.Errorf("%w: record type %v in %v", ErrUnexpectedMessage, typ, c.state)
}

// onEmptyRecord: "Zero-length fragments of Application data MAY be sent as they are potentially useful
// as a traffic analysis countermeasure" (RFC 5246 §6.2.1); of the other types they must not be.
func (c *Conn) onEmptyRecord(typ wire.RecordType) error {
	skips := typ == wire.RecordHandshake && !c.isClient && c.server.Rules.Statem && c.read == nil
	if !skips && (typ != wire.RecordApplicationData || !c.acceptsData()) {
		return fmt.Errorf("%w: type %v in %v", ErrEmptyRecord, typ, c.state)
	}
	if c.empties++; c.empties > maxEmptyRecords {
		return fmt.Errorf("%w: more than %d", ErrTooManyEmpty, maxEmptyRecords)
	}
	return nil
}

// acceptsData: on an established connection, and during renegotiation until the peer changes its keys.
func (c *Conn) acceptsData() bool {
	switch c.state {
	case stateWaitServerFin, stateWaitServerFinRes, stateWaitNextProto, stateWaitNextProtoRes, stateWaitClientFin, stateWaitClientFinRes:
		return false
	}
	return c.done || c.acceptsEarlyData13()
}

func (c *Conn) onData(plain []byte) error {
	if !c.acceptsData() {
		return fmt.Errorf("%w: application data in %v", ErrUnexpectedMessage, c.state)
	}
	if err := c.countData13(len(plain)); err != nil {
		return err
	}
	c.empties, c.warnings = 0, 0
	c.emit(Event{Kind: EventData, Data: plain})
	return nil
}

func (c *Conn) onAlert(rec, plain []byte) error {
	if len(plain) != 2 {
		// An alert split over records is legal in TLS 1.2 and below and sent by nobody.
		return fmt.Errorf("%w: alert of %d bytes, expected 2", ErrDecode, len(plain))
	}
	level, d := wire.AlertLevel(plain[0]), wire.AlertDescription(plain[1])
	switch {
	case d == wire.AlertCloseNotify:
		c.peerClosed = true
		c.emit(Event{Kind: EventCloseNotify})
		return nil
	case level == wire.LevelFatal, c.family == family13 && d != wire.AlertUserCanceled:
		// "The 'level' ... can safely be ignored. Error alerts ... MUST be treated as error alerts when
		// received regardless of the AlertLevel" (RFC 8446 §6, Alert Protocol)
		return &PeerAlert{Description: d, State: c.state.String(), RecordVer: wire.Version(uint16(rec[1])<<8 | uint16(rec[2]))}
	case level != wire.LevelWarning:
		return fmt.Errorf("%w: alert level %d", ErrAlertLevel, level)
	}
	if c.warnings++; c.warnings > maxWarnings {
		return fmt.Errorf("%w: more than %d", ErrTooManyWarnings, maxWarnings)
	}
	c.emit(Event{Kind: EventWarning, Alert: d})
	if d == wire.AlertNoCertificate && c.facts.Version == wire.SSL30 {
		return c.step(inputNoCertificate, nil)
	}
	return nil
}

// setRead changes the keys of what we read.
func (c *Conn) setRead(h record.Half) error {
	if len(c.msgs) > 0 {
		return fmt.Errorf("%w: %d bytes in %v", ErrExcessMessage, len(c.msgs), c.state)
	}
	c.read = h
	return nil
}

// onSSLv2Hello reads the SSLv2-format ClientHello (RFC 5246 Appendix E.2). The transcript begins after
// its two bytes of header.
func (c *Conn) onSSLv2Hello(rec []byte) error {
	if n := int(rec[7])<<8 | int(rec[8]); n > 32 && c.server.Rules.Statem {
		return fmt.Errorf("%w: session_id of %d bytes in an SSLv2-format hello", ErrSessionIDLength, n)
	}
	ch, rest, err := hello.Parse(rec)
	if err == nil && len(rest) > 0 {
		err = &wire.DecodeError{What: "ClientHello", Reason: "SSLv2 header and length disagree"}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDecode, err)
	}
	c.startServerHandshake()
	c.hs.transcript.add(rec[2:])
	next, err := c.onClientHello(ch)
	if err != nil {
		return err
	}
	c.state = next
	return nil
}
