package hello

import (
	"errors"
	"fmt"

	"tlsurge/profiles/wire"
)

// ErrNotClientHello says that the bytes are something else than a ClientHello; the wrapping error says what.
var ErrNotClientHello = errors.New("not a ClientHello")

// Parse reads a ClientHello as it stands on the wire: one or more TLS records, or an SSLv2-format
// CLIENT-HELLO. rest is what follows it in p. It fails with wire.ErrShort if the hello is cut off, with
// ErrNotClientHello if p is something else and with *wire.DecodeError if its fields do not add up.
//
// The slices of the result alias p, or a copy where the message spans records.
func Parse(p []byte) (ch *ClientHello, rest []byte, err error) {
	if len(p) < 1 {
		return nil, p, wire.ErrShort
	}
	if p[0]&0x80 != 0 {
		return parseSSLv2(p)
	}
	if wire.RecordType(p[0]) != wire.RecordHandshake {
		return nil, p, notHello(p)
	}
	var (
		msg       []byte
		fragments []int
		version   wire.Version
	)
	for rest = p; ; {
		h, err := wire.ParseRecordHeader(rest)
		if err != nil {
			return nil, p, err
		}
		if h.Type != wire.RecordHandshake {
			return nil, p, &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("a record of type %v in the middle of the message", h.Type)}
		}
		if h.Version>>8 != 3 {
			return nil, p, fmt.Errorf("%w: record version %v, expected 0x03xx", ErrNotClientHello, h.Version)
		}
		if h.Length == 0 || h.Length > wire.MaxPlaintext {
			return nil, p, &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("a record of %d bytes, 1 to %d allowed", h.Length, wire.MaxPlaintext)}
		}
		if len(fragments) == 0 {
			version = h.Version
		} else if h.Version != version {
			return nil, p, &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("records of version %v and %v", version, h.Version)}
		}
		body := rest[wire.RecordHeaderLen:]
		n := min(h.Length, len(body))
		if len(fragments) == 0 {
			if n > 0 && wire.HandshakeType(body[0]) != wire.TypeClientHello {
				return nil, p, fmt.Errorf("%w: a %v message", ErrNotClientHello, wire.HandshakeType(body[0]))
			}
			msg = body[:n:n]
		} else {
			msg = append(msg[:len(msg):len(msg)], body[:n]...)
		}
		if n < h.Length {
			return nil, p, wire.ErrShort
		}
		fragments = append(fragments, h.Length)
		rest = body[n:]
		mh, err := wire.ParseMessageHeader(msg)
		if err == nil {
			switch want := wire.MessageHeaderLen + mh.Length; {
			case len(msg) > want:
				return nil, p, &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf("%d bytes after the message in its record", len(msg)-want)}
			case len(msg) == want:
				if ch, err = ParseMessage(msg); err != nil {
					return nil, p, err
				}
				ch.RecordVersion = version
				if len(fragments) > 1 {
					ch.Fragments = fragments
				}
				return ch, rest, nil
			}
		}
	}
}

// notHello names what a first byte that is neither a handshake record nor an SSLv2 header looks like.
func notHello(p []byte) error {
	switch t := wire.RecordType(p[0]); {
	case t >= wire.RecordChangeCipherSpec && t <= wire.RecordHeartbeat:
		return fmt.Errorf("%w: a TLS record of type %v", ErrNotClientHello, t)
	case p[0] >= 'A' && p[0] <= 'Z':
		return fmt.Errorf("%w: it looks like plain text (%q)", ErrNotClientHello, p[:min(len(p), 12)])
	}
	return fmt.Errorf("%w: first byte 0x%02x, expected 0x16 (handshake record) or 0x80 (SSLv2 header)", ErrNotClientHello, p[0])
}

// ParseMessage reads a ClientHello message, its four bytes of header included. RecordVersion is left 0.
func ParseMessage(msg []byte) (*ClientHello, error) {
	h, err := wire.ParseMessageHeader(msg)
	if err != nil {
		return nil, err
	}
	if h.Type != wire.TypeClientHello {
		return nil, fmt.Errorf("%w: a %v message", ErrNotClientHello, h.Type)
	}
	body := msg[wire.MessageHeaderLen:]
	if len(body) != h.Length {
		return nil, wire.ErrShort
	}
	r := wire.NewReader(body)
	ch := &ClientHello{Version: wire.Version(r.U16())}
	copy(ch.Random[:], r.Bytes(32))
	ch.SessionID = r.Vec8()
	suites := r.Vec16()
	ch.Compression = r.Vec8()
	if !r.OK() {
		return nil, decodeErr("%d bytes end before compression_methods", len(body))
	}
	if len(suites)%2 != 0 {
		return nil, decodeErr("cipher_suites of %d bytes, an even number expected", len(suites))
	}
	ch.Suites = make([]wire.CipherSuite, len(suites)/2)
	for i := range ch.Suites {
		ch.Suites[i] = wire.CipherSuite(uint16(suites[2*i])<<8 | uint16(suites[2*i+1]))
	}
	if r.Len() == 0 {
		return ch, nil
	}
	ch.HasExtensions = true
	block := r.Vec16()
	if !r.Done() {
		return nil, decodeErr("the extensions block does not end with the message")
	}
	ch.Extensions, err = wire.ParseExtensions(block, "ClientHello")
	return ch, err
}

func decodeErr(format string, args ...any) error {
	return &wire.DecodeError{What: "ClientHello", Reason: fmt.Sprintf(format, args...)}
}
