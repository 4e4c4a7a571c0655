package wire

import "fmt"

// Extension is one extension as it stands in a message: its type, then the body without its length.
type Extension struct {
	Type ExtensionType
	Data []byte
}

// HelloRetryRandom is the random that marks a ServerHello as HelloRetryRequest (RFC 8446 §4.1.3,
// Server Hello): SHA-256 of "HelloRetryRequest".
var HelloRetryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// ServerHello is a ServerHello of any version, or a HelloRetryRequest.
//
//	server_version 2 | random 32 | session_id 1+n | cipher_suite 2 | compression_method 1 | [extensions 2+n]
type ServerHello struct {
	Version       Version // server_version; legacy_version in TLS 1.3
	Random        [32]byte
	SessionID     []byte
	Suite         CipherSuite
	Compression   uint8
	HasExtensions bool // false: the extensions block itself is missing
	Extensions    []Extension
}

// IsHelloRetryRequest says whether the random is the one reserved for that.
func (m *ServerHello) IsHelloRetryRequest() bool { return m.Random == HelloRetryRandom }

// Extension gives the body of the first extension of type t.
func (m *ServerHello) Extension(t ExtensionType) (data []byte, ok bool) {
	for i := range m.Extensions {
		if m.Extensions[i].Type == t {
			return m.Extensions[i].Data, true
		}
	}
	return nil, false
}

// ParseServerHello reads the body of a ServerHello (without the four bytes of header). The slices of
// the result alias body. Extensions stand in their order; their bodies are not judged here.
func ParseServerHello(body []byte) (*ServerHello, error) {
	r := NewReader(body)
	m := &ServerHello{Version: Version(r.U16())}
	copy(m.Random[:], r.Bytes(32))
	m.SessionID = r.Vec8()
	m.Suite = CipherSuite(r.U16())
	m.Compression = r.U8()
	if !r.OK() {
		return nil, &DecodeError{"ServerHello", fmt.Sprintf("%d bytes end before compression_method", len(body))}
	}
	if len(m.SessionID) > 32 {
		return nil, &DecodeError{"ServerHello", fmt.Sprintf("session_id of %d bytes, at most 32 allowed", len(m.SessionID))}
	}
	if r.Len() == 0 {
		return m, nil
	}
	m.HasExtensions = true
	var err error
	m.Extensions, err = ParseExtensions(r.Vec16(), "ServerHello")
	if err == nil && !r.Done() {
		err = &DecodeError{"ServerHello", "extensions block does not end with the message"}
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// AppendMessage appends the message with its header: the bytes that are hashed.
func (m *ServerHello) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeServerHello)
	dst = AppendU16(dst, uint16(m.Version))
	dst = append(dst, m.Random[:]...)
	dst = AppendVec8(dst, m.SessionID)
	dst = AppendU16(dst, uint16(m.Suite))
	dst = append(dst, m.Compression)
	if m.HasExtensions {
		dst = AppendExtensions(dst, m.Extensions)
	}
	return EndMessage(dst, mark)
}

// ParseExtensions splits an extensions block (without its own length) into its members; what names
// the message in the error.
func ParseExtensions(block []byte, what string) ([]Extension, error) {
	n := 0
	for r := NewReader(block); r.Len() > 0; n++ {
		r.U16()
		if r.Vec16(); !r.OK() {
			return nil, &DecodeError{what, fmt.Sprintf("extension %d runs past the end of the block", n+1)}
		}
	}
	exts := make([]Extension, n)
	r := NewReader(block)
	for i := range exts {
		exts[i] = Extension{ExtensionType(r.U16()), r.Vec16()}
	}
	return exts, nil
}

// AppendExtensions appends the block with its two-byte length.
func AppendExtensions(dst []byte, exts []Extension) []byte {
	mark := len(dst)
	dst = append(dst, 0, 0)
	for i := range exts {
		dst = AppendU16(dst, uint16(exts[i].Type))
		dst = AppendVec16(dst, exts[i].Data)
	}
	n := len(dst) - mark - 2
	dst[mark], dst[mark+1] = byte(n>>8), byte(n)
	return dst
}
