package engine

import (
	"errors"
	"io"
	"time"

	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Conn is one end of a TLS connection. It is owned by one goroutine at a time.
//
// Established and drained it holds its keys and nothing else: no buffer, no transcript, no hello.
// While it works it holds at most one record and one handshake message of the peer (18,437 and
// 131,076 bytes), and what the caller has not yet taken with AppendOutput and Next.
type Conn struct {
	isClient bool
	family   family
	state    state

	done        bool // the first handshake is complete
	established bool // Send works: done, or false start
	peerClosed  bool // close_notify received
	weClosed    bool // close_notify sent
	sawEOF      bool
	sentFirst   bool // at least one byte of output was made: SSLv2 and HTTP are over
	gotFirst    bool // at least one record was received
	empties     uint8
	warnings    uint8
	outVersion  wire.Version // of the records we write
	helloRecord wire.Version // server: of the first record
	peerLimit   uint16       // the peer's record_size_limit, 0 without one

	facts  Facts
	client *ClientConfig
	server *ServerConfig

	read, write record.Half // nil: in the clear
	out         []byte

	*work                // nil only where parked
	hs       *handshake  // nil when established
	exporter *exporter12 // where the configuration asks for it
	k13      *post13     // what TLS 1.3 needs after the handshake
	again    *again      // where there may be another handshake
	storedID []byte      // server: the session that a fatal alert drops from the store

	err error // sticky
}

// work is what bytes and events need that are under way: an idle connection has none of them and parks it.
type work struct {
	in     []byte // the beginning of a record
	msgs   []byte // the beginning of a handshake message
	events []Event
	head   int       // first undrained event
	one    [1]Event  // where events begin: most Receives give one
	now    time.Time // during Receive
	msg    []byte    // the handshake message being handled, header included
}

// wake brings back what Park took.
func (c *Conn) wake() {
	if c.work == nil {
		c.work = &work{}
	}
}

// NewClient starts a client's handshake with the hello ch, which goes out byte for byte as given. The
// connection keeps ch until the handshake is over; the caller must not change it meanwhile.
func NewClient(cfg *ClientConfig, ch *hello.ClientHello) (*Conn, error) {
	if cfg.Rand == nil {
		return nil, errors.New("engine: ClientConfig.Rand is nil")
	}
	c := &Conn{isClient: true, client: cfg, outVersion: ch.RecordVersion, work: &work{}}
	if err := c.startClient(ch); err != nil {
		return nil, err
	}
	return c, nil
}

// NewServer waits for a ClientHello.
func NewServer(cfg *ServerConfig) *Conn {
	c := &Conn{server: cfg, state: stateWaitCH, outVersion: wire.TLS10, work: &work{}}
	if cfg.Rules.Statem {
		c.outVersion = wire.TLS12
	}
	return c
}

// Next gives the oldest event that was not drained yet; Kind is EventNone when there is none.
func (c *Conn) Next() Event {
	if c.work == nil {
		return Event{}
	}
	if c.head == len(c.events) {
		clear(c.events)
		c.events, c.head = c.events[:0], 0
		return Event{}
	}
	c.head++
	return c.events[c.head-1]
}

func (c *Conn) emit(e Event) {
	if c.events == nil {
		c.events = c.one[:0]
	}
	c.events = append(c.events, e)
}

// AppendOutput appends what is to be sent to the peer, and forgets it. After an error it still gives
// the alert.
func (c *Conn) AppendOutput(dst []byte) []byte {
	dst = append(dst, c.out...)
	c.out = nil
	return dst
}

// HasOutput says whether AppendOutput would append anything.
func (c *Conn) HasOutput() bool { return len(c.out) > 0 }

// Send seals application data; p may be reused at once. It fails with ErrNotConnected before the
// handshake is complete and with ErrClosed after CloseNotify or a failure.
func (c *Conn) Send(p []byte) error {
	switch {
	case c.err != nil:
		return c.err
	case c.weClosed:
		return ErrClosed
	case !c.established:
		return ErrNotConnected
	}
	return c.sealData(p)
}

// AppendData is Send and AppendOutput in one: it appends to dst whatever waits, then p sealed. With room in
// dst it allocates nothing.
func (c *Conn) AppendData(dst, p []byte) ([]byte, error) {
	if len(c.out) > 0 {
		dst = append(dst, c.out...)
	}
	c.out = dst
	err := c.Send(p)
	dst, c.out = c.out, nil
	return dst, err
}

// CloseNotify sends close_notify, once. The peer's data may still come.
func (c *Conn) CloseNotify() {
	if c.weClosed || c.err != nil {
		return
	}
	c.weClosed = true
	c.writeAlert(wire.LevelWarning, wire.AlertCloseNotify)
}

// ReceiveEOF says that the peer's bytes have ended. Before close_notify that is truncation, an error
// that wraps ErrTruncated; nothing is sent in answer.
func (c *Conn) ReceiveEOF(now time.Time) error {
	c.wake()
	c.now = now
	c.sawEOF = true
	switch {
	case c.err != nil:
		return c.err
	case c.peerClosed:
		return nil
	}
	c.err = &EOFError{State: c.state.String()}
	c.release()
	return c.err
}

// EOFError is a FIN before close_notify; it wraps ErrTruncated.
type EOFError struct{ State string }

func (e *EOFError) Error() string { return "tls: " + ErrTruncated.Error() + " in " + e.State }

// Unwrap gives ErrTruncated.
func (e *EOFError) Unwrap() error { return ErrTruncated }

// Facts is what was negotiated so far; it is final once EventHandshakeDone came.
func (c *Conn) Facts() *Facts { return &c.facts }

// State names the state, as RFC 8446 Appendix A does.
func (c *Conn) State() string { return c.state.String() }

// HandshakeDone says whether the first handshake is complete.
func (c *Conn) HandshakeDone() bool { return c.done }

// Established says whether Send works: the handshake is complete, or false start allows it.
func (c *Conn) Established() bool { return c.established && c.err == nil }

// AwaitingServerHello is true on a client until a ServerHello was accepted.
func (c *Conn) AwaitingServerHello() bool {
	return c.isClient && c.facts.Version == 0
}

// ClientHello is what the client sent, while the handshake lasts; nil before and after it.
func (c *Conn) ClientHello() *hello.ClientHello {
	if c.hs == nil {
		return nil
	}
	return c.hs.hello
}

// Err is the failure that ended the connection, nil while it lives.
func (c *Conn) Err() error { return c.err }

// Park drops everything that an idle established connection can rebuild from its keys: expanded cipher
// objects, event and output storage. The next Receive or Send brings it back. It does nothing while
// output or events wait.
func (c *Conn) Park() {
	if !c.done || c.hs != nil || len(c.out) > 0 || c.work != nil && c.head < len(c.events) {
		return
	}
	c.out = nil
	if c.work != nil && len(c.in) == 0 && len(c.msgs) == 0 {
		c.work = nil
	}
	if c.read != nil {
		c.read.Park()
	}
	if c.write != nil {
		c.write.Park()
	}
}

// Rebase puts cfg in the place of the client's own configuration, so that many established connections
// can share one and theirs can go. It does nothing before the handshake is done. Only Rand, KeyLog,
// Split, Renegotiate and MaxFragment count from then on.
func (c *Conn) Rebase(cfg *ClientConfig) {
	if !c.isClient || !c.done || c.hs != nil {
		return
	}
	c.client = cfg
	if h, ok := c.write.(*record.Half12); ok {
		h.SetRand(cfg.Rand)
	}
}

// rand is the configuration's random source.
func (c *Conn) rand() io.Reader {
	if c.isClient {
		return c.client.Rand
	}
	return c.server.Rand
}

func (c *Conn) logKey(label string, secret []byte) {
	log := c.keyLog()
	if log != nil {
		log(label, c.hs.clientRandom[:], secret)
	}
}

func (c *Conn) keyLog() func(string, []byte, []byte) {
	if c.isClient {
		return c.client.KeyLog
	}
	return c.server.KeyLog
}

// finishHandshake makes the facts final and frees what only the handshake needed.
func (c *Conn) finishHandshake() state {
	first := !c.done
	c.done, c.established = true, true
	c.keepExporter()
	c.hs = nil
	c.msgs = nil
	if first {
		c.emit(Event{Kind: EventHandshakeDone})
	}
	return stateConnected
}

// release frees what a dead connection does not need.
func (c *Conn) release() {
	c.state = stateFailed
	c.hs = nil
	if c.work != nil {
		c.in, c.msgs, c.msg = nil, nil, nil
	}
}

// fail ends the connection: the alert that alertFor names goes out, and the error sticks.
func (c *Conn) fail(err error) error {
	if c.err != nil {
		return c.err
	}
	var peer *PeerAlert
	if errors.As(err, &peer) {
		c.err = peer
		c.dropSession()
		c.release()
		return c.err
	}
	la := &LocalAlert{Description: c.mapAlert(c.alertFor(err)), State: c.state.String(), Cause: err}
	var quiet *silent
	if errors.As(err, &quiet) {
		la.Silent = true
	} else {
		c.writeAlert(wire.LevelFatal, la.Description)
	}
	c.err = la
	c.dropSession()
	c.release()
	return c.err
}

// alertFor is the RFC's alert, or the personality's own.
func (c *Conn) alertFor(err error) wire.AlertDescription {
	if !c.isClient {
		for _, a := range c.server.Rules.Alerts {
			if errors.Is(err, a.Cause) {
				return a.Alert
			}
		}
	}
	return alertFor(err)
}

// silent marks a refusal that sends no alert: the connection is closed without a word.
type silent struct{ cause error }

func (e *silent) Error() string { return e.cause.Error() }
func (e *silent) Unwrap() error { return e.cause }

// dropSession forgets the session that is in use.
//
//	"[a fatal alert:] other connections corresponding to the session may continue, but the session
//	identifier MUST be invalidated" (RFC 5246 §7.2, Alert Protocol)
func (c *Conn) dropSession() {
	if !c.isClient && c.storedID != nil && c.server.Sessions != nil {
		c.server.Sessions.Delete(c.storedID)
	}
	c.storedID = nil
}

// mapAlert replaces descriptions that SSL 3.0 does not have (RFC 6101 §5.4, Alert Protocol).
func (c *Conn) mapAlert(d wire.AlertDescription) wire.AlertDescription {
	if c.outVersion != wire.SSL30 {
		return d
	}
	switch d {
	case wire.AlertDecryptionFailed, wire.AlertRecordOverflow:
		return wire.AlertBadRecordMAC
	case wire.AlertUnknownCA:
		return wire.AlertBadCertificate
	case wire.AlertAccessDenied, wire.AlertDecodeError, wire.AlertDecryptError, wire.AlertExportRestriction,
		wire.AlertProtocolVersion, wire.AlertInsufficientSecurity, wire.AlertInternalError,
		wire.AlertUserCanceled, wire.AlertNoRenegotiation, wire.AlertUnsupportedExtension,
		wire.AlertUnrecognizedName, wire.AlertNoApplicationProtocol:
		return wire.AlertHandshakeFailure
	}
	return d
}
