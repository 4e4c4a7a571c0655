package wire

import "fmt"

// NewSessionTicket13 is the NewSessionTicket of TLS 1.3 (RFC 8446 §4.6.1).
//
//	ticket_lifetime 4 | ticket_age_add 4 | ticket_nonce 1+n | ticket 2+n | extensions 2+n
type NewSessionTicket13 struct {
	Lifetime   uint32 // seconds, at most seven days
	AgeAdd     uint32
	Nonce      []byte
	Ticket     []byte
	Extensions []Extension
}

// MaxTicketLifetime is seven days in seconds (RFC 8446 §4.6.1: "Servers MUST NOT use any value greater
// than 604800 seconds").
const MaxTicketLifetime = 604800

// ParseNewSessionTicket13 reads the body of the message; slices alias body.
func ParseNewSessionTicket13(body []byte) (*NewSessionTicket13, error) {
	const what = "NewSessionTicket"
	r := NewReader(body)
	m := &NewSessionTicket13{Lifetime: r.U32(), AgeAdd: r.U32(), Nonce: r.Vec8(), Ticket: r.Vec16()}
	if !r.OK() || len(m.Ticket) == 0 {
		return nil, &DecodeError{what, fmt.Sprintf("%d bytes do not hold a ticket", len(body))}
	}
	var err error
	m.Extensions, err = wholeExtensions(r.Rest(), what)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// AppendMessage appends the message with its header.
func (m *NewSessionTicket13) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeNewSessionTicket)
	dst = AppendU32(dst, m.Lifetime)
	dst = AppendU32(dst, m.AgeAdd)
	dst = AppendVec8(dst, m.Nonce)
	dst = AppendVec16(dst, m.Ticket)
	dst = AppendExtensions(dst, m.Extensions)
	return EndMessage(dst, mark)
}

// MaxEarlyData is max_early_data_size of the ticket's early_data extension; 0 where 0-RTT is not
// allowed, ok false where the extension is malformed.
func (m *NewSessionTicket13) MaxEarlyData() (size uint32, ok bool) {
	for _, e := range m.Extensions {
		if e.Type == ExtEarlyData {
			r := NewReader(e.Data)
			size = r.U32()
			return size, r.Done()
		}
	}
	return 0, true
}

// KeyUpdateRequest is the body of a KeyUpdate (RFC 8446 §4.6.3).
type KeyUpdateRequest uint8

const (
	UpdateNotRequested KeyUpdateRequest = 0
	UpdateRequested    KeyUpdateRequest = 1
)

// KeyUpdate is the message that announces new sending keys.
type KeyUpdate struct{ Request KeyUpdateRequest }

// ParseKeyUpdate reads the body of the message. A value that is neither 0 nor 1 is left to the
// receiver, who owes it illegal_parameter and not decode_error.
func ParseKeyUpdate(body []byte) (*KeyUpdate, error) {
	if len(body) != 1 {
		return nil, &DecodeError{"KeyUpdate", fmt.Sprintf("%d bytes, not 1", len(body))}
	}
	return &KeyUpdate{KeyUpdateRequest(body[0])}, nil
}

// AppendMessage appends the message with its header.
func (m *KeyUpdate) AppendMessage(dst []byte) []byte {
	return append(dst, byte(TypeKeyUpdate), 0, 0, 1, byte(m.Request))
}

// EndOfEarlyData is the message after the last byte of 0-RTT data (RFC 8446 §4.5); it is empty.
type EndOfEarlyData struct{}

// ParseEndOfEarlyData reads the body of the message.
func ParseEndOfEarlyData(body []byte) (*EndOfEarlyData, error) {
	if len(body) != 0 {
		return nil, &DecodeError{"EndOfEarlyData", fmt.Sprintf("%d bytes, not 0", len(body))}
	}
	return &EndOfEarlyData{}, nil
}

// AppendMessage appends the message with its header.
func (m *EndOfEarlyData) AppendMessage(dst []byte) []byte {
	return append(dst, byte(TypeEndOfEarlyData), 0, 0, 0)
}

// Finished13 is the Finished of TLS 1.3, as long as the suite's hash (RFC 8446 §4.4.4).
type Finished13 struct{ VerifyData []byte }

// ParseFinished13 reads the body of the message; the receiver knows how long it must be.
func ParseFinished13(body []byte) (Finished13, error) { return Finished13{body}, nil }

// AppendMessage appends the message with its header.
func (m Finished13) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeFinished)
	dst = append(dst, m.VerifyData...)
	return EndMessage(dst, mark)
}

// ServerKeyShare reads key_share of a ServerHello: one group and its key_exchange (RFC 8446 §4.2.8).
func ServerKeyShare(data []byte) (g Group, public []byte, ok bool) {
	r := NewReader(data)
	g, public = Group(r.U16()), r.Vec16()
	return g, public, r.Done() && len(public) > 0
}

// RetryKeyShare reads key_share of a HelloRetryRequest: the group alone.
func RetryKeyShare(data []byte) (g Group, ok bool) {
	r := NewReader(data)
	g = Group(r.U16())
	return g, r.Done()
}

// DuplicateExtension gives the first type that stands twice in exts (RFC 8446 §4.2, Extensions: "There
// MUST NOT be more than one extension of the same type in a given extension block").
func DuplicateExtension(exts []Extension) (t ExtensionType, found bool) {
	for i := range exts {
		for j := range i {
			if exts[i].Type == exts[j].Type {
				return exts[i].Type, true
			}
		}
	}
	return 0, false
}
