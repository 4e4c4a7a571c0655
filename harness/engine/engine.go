// Package engine is TLS as a pure state machine, client and server, SSL 3.0 to TLS 1.3: bytes from the
// peer go in, bytes for the peer and events come out. It never blocks, starts no goroutine, reads no
// clock and draws no randomness of its own.
//
// It is a test instrument. It speaks broken versions and broken ciphers on purpose, takes shortcuts that
// are named in its configuration, and must not be used to protect secrets.
package engine

import (
	"fmt"

	"tlsurge/profiles/wire"
)

// EventKind says what happened.
type EventKind uint8

const (
	EventNone          EventKind = iota // drained
	EventServerHello                    // client: a ServerHello was accepted (not a HelloRetryRequest)
	EventHandshakeDone                  // Facts are final; application data may flow
	EventData                           // Data: application bytes
	EventSession                        // client: Session can be offered later (ID, ticket or PSK)
	EventWarning                        // Alert: a warning alert was received and the connection goes on
	EventCloseNotify                    // the peer said close_notify
	EventEarlyRejected                  // client: 0-RTT data was not accepted and must be sent again
	EventFalseStart                     // client: Send works, the server has not finished yet
)

// Event is one thing that happened; a value, drained with Conn.Next.
type Event struct {
	Kind    EventKind
	Data    []byte                // EventData: valid until the next Receive
	Session *Session              // EventSession: the caller's to keep
	Alert   wire.AlertDescription // EventWarning
}

// Resumption says how a handshake resumed, or that it did not.
type Resumption uint8

const (
	NotResumed Resumption = iota
	ByID
	ByTicket
	ByPSK
)

// String gives run.json's word: "", "session_id", "ticket" or "psk".
func (r Resumption) String() string { return [...]string{"", "session_id", "ticket", "psk"}[r] }

// Facts is what was negotiated; it changes until EventHandshakeDone.
type Facts struct {
	Version wire.Version
	Suite   wire.CipherSuite
	Group   wire.Group           // 0 for RSA key exchange and session resumption
	Scheme  wire.SignatureScheme // of the server's handshake signature

	ClientScheme wire.SignatureScheme // of the client's, where it showed a certificate
	// PassedOver is the first suite that both sides have and that this engine cannot speak (Camellia,
	// DSS, …): a real server might have taken it. 0 if there was none.
	PassedOver      wire.CipherSuite
	KeyUpdates      uint16               // TLS 1.3: how many of the peer's came
	CertCompression wire.CertCompression // TLS 1.3: how the chain was compressed, 0 if it was not

	Resumed           Resumption
	EMS               bool // extended_master_secret in force
	EtM               bool // encrypt_then_mac in force
	RenegotiationInfo bool // the peer knows RFC 5746
	Heartbeat         bool // both said heartbeat
	ClientCert        bool // a client certificate was presented
	FalseStart        bool // data could be sent before the server's Finished
	EarlyOK           bool // 0-RTT accepted
	cbc               bool // the suite is CBC
	// EarlySent is how much of ClientConfig.EarlyData went out as 0-RTT: what the ticket allows. The rest,
	// and all of it where EarlyOK is false, is the caller's to send.
	EarlySent int

	ALPN       string
	NPN        string
	ServerName string // server: what the client asked for
	Stapled    []byte // client: the OCSP response
}

// LocalAlert is an error of our own finding: we refused the peer's bytes and sent Description.
type LocalAlert struct {
	Description wire.AlertDescription
	State       string // the state that refused, as RFC 8446 Appendix A names it
	Silent      bool   // closed without sending the alert, as some servers do
	Cause       error  // a sentinel of errors.go, wrapped with what was seen and what was allowed
}

func (e *LocalAlert) Error() string {
	return fmt.Sprintf("tls: %v (sent %v in %s)", e.Cause, e.Description, e.State)
}

func (e *LocalAlert) Unwrap() error { return e.Cause }

// PeerAlert is a fatal alert that the peer sent.
type PeerAlert struct {
	Description wire.AlertDescription
	State       string
	RecordVer   wire.Version // version of the record that carried it
}

func (e *PeerAlert) Error() string {
	return fmt.Sprintf("tls: peer sent %v in %s", e.Description, e.State)
}
