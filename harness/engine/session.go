package engine

import (
	"time"

	"tlsurge/profiles/wire"
)

// Session is what a client keeps to resume: an ID or ticket with its master secret (TLS 1.2 and
// below), or a PSK (TLS 1.3).
type Session struct {
	Version  wire.Version
	Suite    wire.CipherSuite
	ID       []byte // session ID; with a ticket, empty
	Ticket   []byte
	Secret   []byte // master secret, or the PSK
	EMS      bool
	ALPN     string
	Created  time.Time
	Lifetime time.Duration // the server's hint; 0 is none
	AgeAdd   uint32        // TLS 1.3
	MaxEarly uint32        // TLS 1.3: max_early_data_size
}
