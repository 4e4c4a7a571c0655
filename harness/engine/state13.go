package engine

import (
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// handshake13 is what a handshake of TLS 1.3 needs until it is complete. A client has one as soon as
// its hello offers 0x0304; it comes to nothing if the server chooses less.
type handshake13 struct {
	suite    *keys.Suite13
	schedule keys.Schedule13

	clientHS, serverHS   keys.Secret // handshake traffic secrets
	clientApp, serverApp keys.Secret // application traffic secrets, generation 0
	halves               [2]record.Half13
	halvesUsed           int

	retrySuite wire.CipherSuite   // the HelloRetryRequest's, 0 without one
	retryGroup wire.Group         // what it asked for, 0 if nothing
	retryShare *keys.Share        // client: our answer to it
	retryHello *hello.ClientHello // server: the first hello

	retryPSK bool   // server: the first hello had a PSK that we would take
	prefix   []byte // server: message_hash and HelloRetryRequest, for the binder

	psk      *Session // client: offered; server: the session of the identity that it selected
	resuming bool     // the PSK was selected
	identity uint16   // server: its place among the identities
	age      uint32   // server: obfuscated_ticket_age
	early    earlyState
	skip     int // server: bytes of 0-RTT that may still come, accepted or skipped

	sentCCS bool
	gotCCS  uint8

	// Client: what CertificateRequest asked for; server: whether it asked.
	certRequested  bool
	requestSchemes []wire.SignatureScheme
}

// earlyState is what becomes of 0-RTT data.
type earlyState uint8

const (
	earlyNone earlyState = iota
	earlyOffered
	earlyAccepted
	earlyRejected
)

// post13 is what an established connection of TLS 1.3 keeps beside its two record halves.
type post13 struct {
	suite      *keys.Suite13
	resumption keys.Secret // client: turns tickets into PSKs; none if the hello could not resume anything
	exporter   keys.Secret
	answered   bool  // we sent a KeyUpdate because the peer asked for it
	updates    uint8 // KeyUpdates since the last data, a bound on busy work
}

// limits on what costs the peer nothing and us something.
const (
	maxCCS13        = 32
	maxKeyUpdates   = 32
	minSkippedEarly = 1 << 14 // 0-RTT bytes that a server skips even if it never allowed any
)

// deriveHandshake fixes the handshake secrets: the transcript ends with the ServerHello. shared is nil
// under psk_ke.
func (c *Conn) deriveHandshake(shared []byte) {
	h := c.hs.h13
	if shared == nil {
		shared = make([]byte, h.suite.Hash.Size())
	}
	h.schedule.Handshake(shared)
	th := c.hs.transcript.sum(c.hs.digest[:0])
	h.clientHS = h.schedule.Derive(keys.LabelClientHandshake, th)
	h.serverHS = h.schedule.Derive(keys.LabelServerHandshake, th)
	c.logKey("CLIENT_HANDSHAKE_TRAFFIC_SECRET", h.clientHS.Bytes())
	c.logKey("SERVER_HANDSHAKE_TRAFFIC_SECRET", h.serverHS.Bytes())
}

// deriveTraffic fixes the application secrets: the transcript ends with the server's Finished.
func (c *Conn) deriveTraffic() {
	h := c.hs.h13
	h.schedule.Master()
	th := c.hs.transcript.sum(c.hs.digest[:0])
	h.clientApp = h.schedule.Derive(keys.LabelClientTraffic, th)
	h.serverApp = h.schedule.Derive(keys.LabelServerTraffic, th)
	c.k13 = &post13{suite: h.suite, exporter: h.schedule.Derive(keys.LabelExporter, th)}
	c.logKey("CLIENT_TRAFFIC_SECRET_0", h.clientApp.Bytes())
	c.logKey("SERVER_TRAFFIC_SECRET_0", h.serverApp.Bytes())
	c.logKey("EXPORTER_SECRET", c.k13.exporter.Bytes())
}

// half makes one direction's protection under an early or handshake traffic secret: it lives in h, and
// keeps h alive, until the application keys take its place.
func (h *handshake13) half(s keys.Secret) *record.Half13 {
	if h.halvesUsed == len(h.halves) {
		return record.NewHalf13(h.suite, s)
	}
	half := &h.halves[h.halvesUsed]
	h.halvesUsed++
	half.Start(h.suite, s)
	return half
}

// lasting makes one direction's protection under an application traffic secret.
func (h *handshake13) lasting(s keys.Secret) *record.Half13 { return record.NewHalf13(h.suite, s) }

// sendCCSOnce is middlebox compatibility mode (RFC 8446 §D.4): one ChangeCipherSpec where the client
// gave a legacy_session_id, before the first protected record.
func (c *Conn) sendCCSOnce() {
	h := c.hs.h13
	if h.sentCCS || len(c.hs.hello.SessionID) == 0 {
		return
	}
	h.sentCCS = true
	c.sendCCS()
}

// checkFinished13 compares a Finished with what base, a handshake traffic secret, asks for over the
// transcript before it, and then hashes it.
func (c *Conn) checkFinished13(base *keys.Secret, m wire.Finished13) error {
	if want := c.hs.h13.suite.Hash.Size(); len(m.VerifyData) != want {
		return fmt.Errorf("%w: %d bytes, expected %d", ErrFinishedLength, len(m.VerifyData), want)
	}
	if !base.Verify(c.hs.transcript.sum(c.hs.digest[:0]), m.VerifyData) {
		return ErrBadFinished
	}
	c.hs.transcript.add(c.msg)
	return nil
}

func (c *Conn) sendFinished13(base *keys.Secret) {
	var room [64]byte
	vd := base.AppendVerifyData(room[:0], c.hs.transcript.sum(c.hs.digest[:0]))
	c.hs.scratch = wire.AppendOpaqueMessage(c.hs.scratch[:0], wire.TypeFinished, vd)
	c.sendMessage(c.hs.scratch)
}

// ignoresCCS13: "An implementation may receive an unencrypted record of type change_cipher_spec
// consisting of the single byte value 0x01 at any time after the first ClientHello message has been
// sent or received and before the peer's Finished message has been received and MUST simply drop it"
// (RFC 8446 §5, Record Protocol).
func (c *Conn) ignoresCCS13() bool {
	if c.done || c.hs == nil || c.hs.h13 == nil || c.family != family13 && !c.isClient {
		return false
	}
	if c.family == family12 {
		return false
	}
	c.hs.h13.gotCCS++
	return c.hs.h13.gotCCS <= maxCCS13
}

// clearRecord13 says whether a record that arrives while we have keys is not protected: a
// ChangeCipherSpec, or the alert of a client that could not accept our ServerHello and has no keys.
func (c *Conn) clearRecord13(typ wire.RecordType, plain []byte) bool {
	if c.family != family13 || c.done {
		return false
	}
	switch typ {
	case wire.RecordChangeCipherSpec:
		return len(plain) == 1 && plain[0] == 1
	case wire.RecordAlert:
		half, ok := c.read.(*record.Half13)
		return !c.isClient && len(plain) == 2 && ok && half.Used() == 0
	}
	return false
}

// skipEarlyData13: a server that rejected 0-RTT data skips the records that do not open under the
// handshake keys, until one opens or too many came (RFC 8446 §4.2.10, Early Data Indication).
func (c *Conn) skipEarlyData13(n int) bool {
	if c.isClient || c.done || c.hs == nil || c.hs.h13 == nil || c.hs.h13.early != earlyRejected {
		return false
	}
	if half, ok := c.read.(*record.Half13); !ok || half.Used() > 0 {
		return false
	}
	return c.spendSkip(n)
}

// skipClearEarlyData13 is the same after a HelloRetryRequest, when there are no keys at all yet.
func (c *Conn) skipClearEarlyData13(typ wire.RecordType, n int) bool {
	return !c.isClient && c.state == stateWaitCH2 && typ == wire.RecordApplicationData &&
		c.hs.h13.early == earlyRejected && c.spendSkip(n)
}

// spendSkip counts the ciphertext of one record of n bytes.
func (c *Conn) spendSkip(n int) bool {
	c.hs.h13.skip -= n - wire.RecordHeaderLen
	return c.hs.h13.skip >= 0
}

// acceptsEarlyData13: 0-RTT data flows to a server that accepted it, until EndOfEarlyData.
func (c *Conn) acceptsEarlyData13() bool { return !c.isClient && c.state == stateWaitEOED }

// countData13 holds accepted 0-RTT data to max_early_data_size: "the server SHOULD terminate the
// connection with an 'unexpected_message' alert" (RFC 8446 §4.6.1).
func (c *Conn) countData13(n int) error {
	if !c.acceptsEarlyData13() {
		return nil
	}
	if c.hs.h13.skip -= n; c.hs.h13.skip < 0 {
		return fmt.Errorf("%w: max_early_data_size is %d", ErrTooMuchEarlyData, c.hs.h13.psk.MaxEarly)
	}
	return nil
}

// findExt gives the body of the first extension of type t.
func findExt(exts []wire.Extension, t wire.ExtensionType) ([]byte, bool) {
	for i := range exts {
		if exts[i].Type == t {
			return exts[i].Data, true
		}
	}
	return nil, false
}
