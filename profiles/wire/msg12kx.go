package wire

import "fmt"

// ServerECDHE is a ServerKeyExchange with a named curve (RFC 8422 §5.4, Server Key Exchange).
//
//	curve_type 1 (= named_curve) | named_curve 2 | public 1+n | [algorithm 2] | signature 2+n
type ServerECDHE struct {
	Group  Group
	Public []byte
	Signed
}

// ServerDHE is a ServerKeyExchange with finite-field parameters (RFC 5246 §7.4.3).
//
//	dh_p 2+n | dh_g 2+n | dh_Ys 2+n | [algorithm 2] | signature 2+n
type ServerDHE struct {
	P, G, Y []byte
	Signed
}

// Signed is what both end with. Params are the bytes that the signature covers, after both randoms.
type Signed struct {
	Params    []byte
	Scheme    SignatureScheme // TLS 1.2 only
	Signature []byte
}

const namedCurve = 3

// ParseServerECDHE reads the message; tls12 says whether it names its signature scheme.
func ParseServerECDHE(body []byte, tls12 bool) (*ServerECDHE, error) {
	r := NewReader(body)
	t := r.U8()
	m := &ServerECDHE{Group: Group(r.U16()), Public: r.Vec8()}
	if r.OK() && t != namedCurve {
		return nil, &DecodeError{"ServerKeyExchange", fmt.Sprintf("curve_type %d, expected 3 (named_curve)", t)}
	}
	return m, m.parse(&r, body, tls12, len(m.Public) > 0)
}

// ParseServerDHE reads the message.
func ParseServerDHE(body []byte, tls12 bool) (*ServerDHE, error) {
	r := NewReader(body)
	m := &ServerDHE{P: r.Vec16(), G: r.Vec16(), Y: r.Vec16()}
	return m, m.parse(&r, body, tls12, len(m.P) > 0 && len(m.G) > 0 && len(m.Y) > 0)
}

func (s *Signed) parse(r *Reader, body []byte, tls12, full bool) error {
	s.Params = body[:len(body)-r.Len()]
	if tls12 {
		s.Scheme = SignatureScheme(r.U16())
	}
	s.Signature = r.Vec16()
	if !r.Done() || !full {
		return &DecodeError{"ServerKeyExchange", fmt.Sprintf("%d bytes do not hold parameters and signature", len(body))}
	}
	return nil
}

// AppendECDHEParams appends what is signed: curve and public key.
func AppendECDHEParams(dst []byte, g Group, public []byte) []byte {
	return AppendVec8(AppendU16(append(dst, namedCurve), uint16(g)), public)
}

// AppendDHEParams appends what is signed: group and public value.
func AppendDHEParams(dst, p, g, y []byte) []byte {
	return AppendVec16(AppendVec16(AppendVec16(dst, p), g), y)
}

// AppendMessage appends a ServerKeyExchange with these parameters.
func (s *Signed) AppendMessage(dst []byte, tls12 bool) []byte {
	mark := len(dst)
	dst = append(BeginMessage(dst, TypeServerKeyExchange), s.Params...)
	return EndMessage(s.appendSignature(dst, tls12), mark)
}

func (s *Signed) appendSignature(dst []byte, tls12 bool) []byte {
	if tls12 {
		dst = AppendU16(dst, uint16(s.Scheme))
	}
	return AppendVec16(dst, s.Signature)
}

// CertificateVerify12 proves the client's key (RFC 5246 §7.4.8); Scheme is there in TLS 1.2 only.
type CertificateVerify12 struct {
	Scheme    SignatureScheme
	Signature []byte
}

// ParseCertificateVerify12 reads the message.
func ParseCertificateVerify12(body []byte, tls12 bool) (CertificateVerify12, error) {
	r := NewReader(body)
	var m CertificateVerify12
	if tls12 {
		m.Scheme = SignatureScheme(r.U16())
	}
	m.Signature = r.Vec16()
	if !r.Done() {
		return m, &DecodeError{"CertificateVerify", fmt.Sprintf("%d bytes do not hold a signature", len(body))}
	}
	return m, nil
}

// AppendMessage appends the message.
func (m CertificateVerify12) AppendMessage(dst []byte, tls12 bool) []byte {
	mark := len(dst)
	s := Signed{Scheme: m.Scheme, Signature: m.Signature}
	return EndMessage(s.appendSignature(BeginMessage(dst, TypeCertificateVerify), tls12), mark)
}

// The three layouts of ClientKeyExchange, told apart by the suite (RFC 5246 §7.4.7, RFC 8422 §5.7).
// SSL 3.0 sends the RSA ciphertext without its length (RFC 6101 §5.6.7.1, as implemented by everyone).

// ParseClientKeyRSA gives the encrypted premaster secret.
func ParseClientKeyRSA(body []byte, ssl30 bool) ([]byte, error) {
	if ssl30 {
		return body, nil
	}
	return whole16(body, "an encrypted premaster secret")
}

// ParseClientKeyDH gives the client's public value.
func ParseClientKeyDH(body []byte) ([]byte, error) { return whole16(body, "a Diffie-Hellman value") }

// ParseClientKeyECDH gives the client's point.
func ParseClientKeyECDH(body []byte) ([]byte, error) {
	r := NewReader(body)
	p := r.Vec8()
	if !r.Done() || len(p) == 0 {
		return nil, &DecodeError{"ClientKeyExchange", fmt.Sprintf("%d bytes do not hold a point", len(body))}
	}
	return p, nil
}

func whole16(body []byte, what string) ([]byte, error) {
	r := NewReader(body)
	p := r.Vec16()
	if !r.Done() || len(p) == 0 {
		return nil, &DecodeError{"ClientKeyExchange", fmt.Sprintf("%d bytes do not hold %s", len(body), what)}
	}
	return p, nil
}
