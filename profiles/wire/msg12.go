package wire

import "fmt"

// The bodies of the handshake messages of SSL 3.0 to TLS 1.2. Parse functions take a body without its
// four bytes of header and alias it; AppendMessage gives the message with its header, the bytes that
// are hashed.

// Empty is a message without a body: HelloRequest, ServerHelloDone.
type Empty struct{}

// ParseEmpty accepts only nothing.
func ParseEmpty(body []byte) (Empty, error) {
	if len(body) != 0 {
		return Empty{}, &DecodeError{"empty message", fmt.Sprintf("%d bytes, none allowed", len(body))}
	}
	return Empty{}, nil
}

// AppendEmptyMessage appends a message without a body.
func AppendEmptyMessage(dst []byte, t HandshakeType) []byte { return BeginMessage(dst, t) }

// Certificate12 is the Certificate of TLS 1.2 and below (RFC 5246 §7.4.2), leaf first.
//
//	certificate_list 3+n of { certificate 3+n }
type Certificate12 struct{ Chain [][]byte }

// ParseCertificate12 reads a chain, which may be empty.
func ParseCertificate12(body []byte) (*Certificate12, error) {
	r := NewReader(body)
	list := NewReader(r.Vec24())
	if !r.Done() {
		return nil, &DecodeError{"Certificate", "certificate_list does not fill the message"}
	}
	m := &Certificate12{}
	for list.Len() > 0 {
		der := list.Vec24()
		if !list.OK() || len(der) == 0 {
			return nil, &DecodeError{"Certificate", fmt.Sprintf("certificate %d is empty or runs past the list", len(m.Chain)+1)}
		}
		m.Chain = append(m.Chain, der)
	}
	return m, nil
}

// AppendMessage appends the message.
func (m *Certificate12) AppendMessage(dst []byte) []byte {
	mark, n := len(dst), 0
	for _, c := range m.Chain {
		n += 3 + len(c)
	}
	dst = AppendU24(BeginMessage(dst, TypeCertificate), uint32(n))
	for _, c := range m.Chain {
		dst = AppendVec24(dst, c)
	}
	return EndMessage(dst, mark)
}

// CertificateStatus carries an OCSP response (RFC 6066 §8, Certificate Status Request).
//
//	status_type 1 (= ocsp) | response 3+n
type CertificateStatus struct{ Response []byte }

// StatusOCSP is the one status_type in use.
const StatusOCSP = 1

// ParseCertificateStatus reads an ocsp status with a response of at least one byte.
func ParseCertificateStatus(body []byte) (CertificateStatus, error) {
	r := NewReader(body)
	t := r.U8()
	m := CertificateStatus{r.Vec24()}
	if !r.Done() || t != StatusOCSP || len(m.Response) == 0 {
		return m, &DecodeError{"CertificateStatus", fmt.Sprintf("%d bytes with status_type %d, expected an ocsp response", len(body), t)}
	}
	return m, nil
}

// AppendMessage appends the message.
func (m CertificateStatus) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = append(BeginMessage(dst, TypeCertificateStatus), StatusOCSP)
	return EndMessage(AppendVec24(dst, m.Response), mark)
}

// CertificateRequest12 asks for a client certificate (RFC 5246 §7.4.4). Schemes is there only in TLS
// 1.2: which of the two layouts a body has depends on the version, so the caller says.
//
//	certificate_types 1+n | [supported_signature_algorithms 2+2n] | certificate_authorities 2+n of { name 2+n }
type CertificateRequest12 struct {
	Types       []uint8
	Schemes     []byte // pairs, as on the wire
	HasSchemes  bool
	Authorities [][]byte
}

// Client certificate types (RFC 5246 §7.4.4, RFC 8422 §5.5).
const (
	CertTypeRSASign   = 1
	CertTypeDSSSign   = 2
	CertTypeECDSASign = 64
)

// ParseCertificateRequest12 reads the layout of TLS 1.2, or with tls12 false the one before it.
func ParseCertificateRequest12(body []byte, tls12 bool) (*CertificateRequest12, error) {
	r := NewReader(body)
	m := &CertificateRequest12{Types: r.Vec8(), HasSchemes: tls12}
	if tls12 {
		m.Schemes = r.Vec16()
	}
	list := NewReader(r.Vec16())
	if !r.Done() || len(m.Types) == 0 || len(m.Schemes)%2 != 0 || tls12 && len(m.Schemes) == 0 {
		return nil, &DecodeError{"CertificateRequest", fmt.Sprintf("%d bytes do not hold types, algorithms and names", len(body))}
	}
	for list.Len() > 0 {
		name := list.Vec16()
		if !list.OK() || len(name) == 0 {
			return nil, &DecodeError{"CertificateRequest", "a distinguished name is empty or runs past the list"}
		}
		m.Authorities = append(m.Authorities, name)
	}
	return m, nil
}

// AppendMessage appends the message.
func (m *CertificateRequest12) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = AppendVec8(BeginMessage(dst, TypeCertificateRequest), m.Types)
	if m.HasSchemes {
		dst = AppendVec16(dst, m.Schemes)
	}
	n := 0
	for _, a := range m.Authorities {
		n += 2 + len(a)
	}
	dst = AppendU16(dst, uint16(n))
	for _, a := range m.Authorities {
		dst = AppendVec16(dst, a)
	}
	return EndMessage(dst, mark)
}

// NewSessionTicket12 is RFC 5077's ticket (§3.3, NewSessionTicket Handshake Message); an empty ticket is legal
// and means "none after all".
//
//	ticket_lifetime_hint 4 | ticket 2+n
type NewSessionTicket12 struct {
	LifetimeHint uint32 // seconds
	Ticket       []byte
}

// ParseNewSessionTicket12 reads the message.
func ParseNewSessionTicket12(body []byte) (NewSessionTicket12, error) {
	r := NewReader(body)
	m := NewSessionTicket12{r.U32(), r.Vec16()}
	if !r.Done() {
		return m, &DecodeError{"NewSessionTicket", fmt.Sprintf("%d bytes do not hold hint and ticket", len(body))}
	}
	return m, nil
}

// AppendMessage appends the message.
func (m NewSessionTicket12) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = AppendU32(BeginMessage(dst, TypeNewSessionTicket), m.LifetimeHint)
	return EndMessage(AppendVec16(dst, m.Ticket), mark)
}

// Opaque is a body that only the state can read: Finished, CertificateVerify, ClientKeyExchange.
type Opaque []byte

// ParseOpaque takes any body.
func ParseOpaque(body []byte) (Opaque, error) { return body, nil }

// AppendOpaqueMessage appends body as a message of type t.
func AppendOpaqueMessage(dst []byte, t HandshakeType, body []byte) []byte {
	mark := len(dst)
	return EndMessage(append(BeginMessage(dst, t), body...), mark)
}

// NextProtocol is the client's answer to next_protocol_negotiation (draft-agl-tls-nextprotoneg-04 §3).
//
//	selected_protocol 1+n | padding 1+n, so that the message is a multiple of 32 bytes long
type NextProtocol struct{ Protocol []byte }

// ParseNextProtocol reads the message; the padding's content does not matter.
func ParseNextProtocol(body []byte) (NextProtocol, error) {
	r := NewReader(body)
	m := NextProtocol{r.Vec8()}
	r.Vec8()
	if !r.Done() {
		return m, &DecodeError{"NextProtocol", fmt.Sprintf("%d bytes do not hold protocol and padding", len(body))}
	}
	return m, nil
}

// AppendMessage appends the message with its padding of zeros.
func (m NextProtocol) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = AppendVec8(BeginMessage(dst, TypeNextProtocol), m.Protocol)
	pad := 32 - (len(m.Protocol)+2)%32
	dst = append(dst, byte(pad))
	return EndMessage(append(dst, make([]byte, pad)...), mark)
}
