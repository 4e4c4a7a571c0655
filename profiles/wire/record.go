package wire

import (
	"errors"
	"fmt"
)

// Sizes of the record layer (RFC 5246 §6.2, RFC 8446 §5.1 and §5.2).
const (
	RecordHeaderLen    = 5
	MessageHeaderLen   = 4
	MaxPlaintext       = 1 << 14             // TLSPlaintext.fragment
	MaxCiphertext13    = MaxPlaintext + 256  // TLSCiphertext, TLS 1.3
	MaxCiphertext12    = MaxPlaintext + 2048 // TLSCiphertext, SSL 3.0 to TLS 1.2
	MaxHandshakeLength = 1<<24 - 1
)

// RecordHeader is the five bytes before every fragment.
//
//	type 1 | version 2 | length 2
type RecordHeader struct {
	Type    RecordType
	Version Version
	Length  int
}

// ErrShort says that more bytes are needed; it is not a fault of the peer.
var ErrShort = errors.New("more bytes needed")

// ParseRecordHeader reads the header at the start of p; ErrShort if p has fewer than five bytes. It
// judges nothing: unknown types, odd versions and lengths are the caller's to refuse.
func ParseRecordHeader(p []byte) (RecordHeader, error) {
	if len(p) < RecordHeaderLen {
		return RecordHeader{}, ErrShort
	}
	return RecordHeader{RecordType(p[0]), Version(uint16(p[1])<<8 | uint16(p[2])), int(p[3])<<8 | int(p[4])}, nil
}

// AppendRecordHeader appends the five bytes of h.
func AppendRecordHeader(dst []byte, h RecordHeader) []byte {
	return append(dst, byte(h.Type), byte(h.Version>>8), byte(h.Version), byte(h.Length>>8), byte(h.Length))
}

// AppendRecord appends fragment as plaintext records, split at MaxPlaintext; an empty fragment gives
// one empty record.
func AppendRecord(dst []byte, t RecordType, v Version, fragment []byte) []byte {
	for {
		n := min(len(fragment), MaxPlaintext)
		dst = AppendRecordHeader(dst, RecordHeader{t, v, n})
		dst = append(dst, fragment[:n]...)
		if fragment = fragment[n:]; len(fragment) == 0 {
			return dst
		}
	}
}

// AppendAlert appends an alert record in the clear.
func AppendAlert(dst []byte, v Version, level AlertLevel, d AlertDescription) []byte {
	return append(AppendRecordHeader(dst, RecordHeader{RecordAlert, v, 2}), byte(level), byte(d))
}

// MessageHeader is the four bytes before every handshake message.
//
//	msg_type 1 | length 3
type MessageHeader struct {
	Type   HandshakeType
	Length int
}

// ParseMessageHeader reads the header at the start of p; ErrShort if p has fewer than four bytes.
func ParseMessageHeader(p []byte) (MessageHeader, error) {
	if len(p) < MessageHeaderLen {
		return MessageHeader{}, ErrShort
	}
	return MessageHeader{HandshakeType(p[0]), int(p[1])<<16 | int(p[2])<<8 | int(p[3])}, nil
}

// AppendMessageHeader appends the four bytes of h.
func AppendMessageHeader(dst []byte, h MessageHeader) []byte {
	return append(dst, byte(h.Type), byte(h.Length>>16), byte(h.Length>>8), byte(h.Length))
}

// SplitMessage takes the first handshake message, header included, off p; ErrShort if it is not whole.
func SplitMessage(p []byte) (msg, rest []byte, err error) {
	h, err := ParseMessageHeader(p)
	if err != nil || len(p)-MessageHeaderLen < h.Length {
		return nil, p, ErrShort
	}
	n := MessageHeaderLen + h.Length
	return p[:n:n], p[n:], nil
}

// BeginMessage appends a message header with a length still to come; EndMessage(dst, mark) fills it in,
// mark being len(dst) before BeginMessage.
func BeginMessage(dst []byte, t HandshakeType) []byte { return append(dst, byte(t), 0, 0, 0) }

// EndMessage sets the length of the message that began at mark.
func EndMessage(dst []byte, mark int) []byte {
	n := len(dst) - mark - MessageHeaderLen
	dst[mark+1], dst[mark+2], dst[mark+3] = byte(n>>16), byte(n>>8), byte(n)
	return dst
}

// DecodeError is a message whose bytes do not follow its grammar: decode_error, if anyone asks.
type DecodeError struct {
	What   string // "ServerHello"
	Reason string // what was seen and what is allowed
}

func (e *DecodeError) Error() string { return fmt.Sprintf("malformed %s: %s", e.What, e.Reason) }
