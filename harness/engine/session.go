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

// appendSession serialises what a server needs to resume, for the inside of a ticket:
//
//	version 2 | suite 2 | flags 1 | created 8 (ns) | lifetime 4 (s) | age_add 4 | max_early 4 | secret 1+n | alpn 1+n | id 1+n
func appendSession(dst []byte, s *Session) []byte {
	dst = wire.AppendU16(dst, uint16(s.Version))
	dst = wire.AppendU16(dst, uint16(s.Suite))
	var flags byte
	if s.EMS {
		flags = 1
	}
	dst = append(dst, flags)
	ns := uint64(s.Created.UnixNano())
	dst = wire.AppendU32(dst, uint32(ns>>32))
	dst = wire.AppendU32(dst, uint32(ns))
	dst = wire.AppendU32(dst, uint32(s.Lifetime/time.Second))
	dst = wire.AppendU32(dst, s.AgeAdd)
	dst = wire.AppendU32(dst, s.MaxEarly)
	dst = wire.AppendVec8(dst, s.Secret)
	dst = wire.AppendVec8(dst, []byte(s.ALPN))
	return wire.AppendVec8(dst, s.ID)
}

// parseSession is the reverse of appendSession.
func parseSession(p []byte) (*Session, error) {
	r := wire.NewReader(p)
	s := &Session{Version: wire.Version(r.U16()), Suite: wire.CipherSuite(r.U16())}
	s.EMS = r.U8() == 1
	ns := uint64(r.U32())<<32 | uint64(r.U32())
	s.Created = time.Unix(0, int64(ns))
	s.Lifetime = time.Duration(r.U32()) * time.Second
	s.AgeAdd, s.MaxEarly = r.U32(), r.U32()
	s.Secret = r.Vec8()
	s.ALPN = string(r.Vec8())
	s.ID = r.Vec8()
	if !r.Done() {
		return nil, &wire.DecodeError{What: "session", Reason: "it does not end where its fields do"}
	}
	return s, nil
}
