package wire

import "fmt"

// EncryptedExtensions is the server's first protected message (RFC 8446 §4.3.1).
//
//	extensions 2+n
type EncryptedExtensions struct {
	Extensions []Extension
}

// ParseEncryptedExtensions reads the body of the message; slices alias body.
func ParseEncryptedExtensions(body []byte) (EncryptedExtensions, error) {
	exts, err := wholeExtensions(body, "EncryptedExtensions")
	return EncryptedExtensions{Extensions: exts}, err
}

// AppendMessage appends the message with its header.
func (m EncryptedExtensions) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeEncryptedExtensions)
	dst = AppendExtensions(dst, m.Extensions)
	return EndMessage(dst, mark)
}

// CertificateEntry is one certificate of a TLS 1.3 chain with what is said about it.
type CertificateEntry struct {
	Data       []byte // DER
	Extensions []Extension
}

// Certificate13 is the Certificate of TLS 1.3 (RFC 8446 §4.4.2).
//
//	certificate_request_context 1+n | certificate_list 3+n of (cert_data 3+n | extensions 2+n)
type Certificate13 struct {
	Context []byte
	Entries []CertificateEntry
}

// ParseCertificate13 reads the body of the message; slices alias body.
func ParseCertificate13(body []byte) (*Certificate13, error) {
	const what = "Certificate"
	r := NewReader(body)
	m := &Certificate13{Context: r.Vec8()}
	list := r.Vec24()
	if !r.Done() {
		return nil, &DecodeError{what, fmt.Sprintf("certificate_list does not end with the message of %d bytes", len(body))}
	}
	for l := NewReader(list); l.Len() > 0; {
		data, block := l.Vec24(), l.Vec16()
		if !l.OK() || len(data) == 0 {
			return nil, &DecodeError{what, fmt.Sprintf("entry %d is empty or runs past the end of the list", len(m.Entries)+1)}
		}
		exts, err := ParseExtensions(block, what)
		if err != nil {
			return nil, err
		}
		m.Entries = append(m.Entries, CertificateEntry{data, exts})
	}
	return m, nil
}

// AppendMessage appends the message with its header.
func (m *Certificate13) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeCertificate)
	dst = AppendVec8(dst, m.Context)
	list := len(dst)
	dst = append(dst, 0, 0, 0)
	for _, e := range m.Entries {
		dst = AppendVec24(dst, e.Data)
		dst = AppendExtensions(dst, e.Extensions)
	}
	n := len(dst) - list - 3
	dst[list], dst[list+1], dst[list+2] = byte(n>>16), byte(n>>8), byte(n)
	return EndMessage(dst, mark)
}

// CompressedCertificate is a Certificate under compression (RFC 8879 §4, Compressed Certificate Message).
//
//	algorithm 2 | uncompressed_length 3 | compressed_certificate_message 3+n
type CompressedCertificate struct {
	Algorithm  CertCompression
	Length     int // of the Certificate message's body once decompressed
	Compressed []byte
}

// ParseCompressedCertificate reads the body of the message; slices alias body.
func ParseCompressedCertificate(body []byte) (*CompressedCertificate, error) {
	r := NewReader(body)
	m := &CompressedCertificate{CertCompression(r.U16()), int(r.U24()), r.Vec24()}
	if !r.Done() || len(m.Compressed) == 0 {
		return nil, &DecodeError{"CompressedCertificate", fmt.Sprintf("%d bytes do not hold a compressed message", len(body))}
	}
	return m, nil
}

// AppendMessage appends the message with its header.
func (m *CompressedCertificate) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeCompressedCertificate)
	dst = AppendU16(dst, uint16(m.Algorithm))
	dst = AppendU24(dst, uint32(m.Length))
	dst = AppendVec24(dst, m.Compressed)
	return EndMessage(dst, mark)
}

// CertificateRequest13 is the CertificateRequest of TLS 1.3 (RFC 8446 §4.3.2).
//
//	certificate_request_context 1+n | extensions 2+n
type CertificateRequest13 struct {
	Context    []byte
	Extensions []Extension
}

// ParseCertificateRequest13 reads the body of the message; slices alias body.
func ParseCertificateRequest13(body []byte) (*CertificateRequest13, error) {
	const what = "CertificateRequest"
	r := NewReader(body)
	m := &CertificateRequest13{Context: r.Vec8()}
	if !r.OK() {
		return nil, &DecodeError{what, "certificate_request_context runs past the end"}
	}
	var err error
	m.Extensions, err = wholeExtensions(r.Rest(), what)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// AppendMessage appends the message with its header.
func (m *CertificateRequest13) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeCertificateRequest)
	dst = AppendVec8(dst, m.Context)
	dst = AppendExtensions(dst, m.Extensions)
	return EndMessage(dst, mark)
}

// Schemes gives the signature_algorithms of the request; nil where absent or malformed.
func (m *CertificateRequest13) Schemes() []SignatureScheme {
	for _, e := range m.Extensions {
		if e.Type != ExtSignatureAlgorithms {
			continue
		}
		r := NewReader(e.Data)
		v := r.Vec16()
		if !r.Done() || len(v)%2 != 0 {
			return nil
		}
		out := make([]SignatureScheme, len(v)/2)
		for i := range out {
			out[i] = SignatureScheme(uint16(v[2*i])<<8 | uint16(v[2*i+1]))
		}
		return out
	}
	return nil
}

// CertificateVerify13 is the CertificateVerify of TLS 1.3 (RFC 8446 §4.4.3).
//
//	algorithm 2 | signature 2+n
type CertificateVerify13 struct {
	Scheme    SignatureScheme
	Signature []byte
}

// ParseCertificateVerify13 reads the body of the message; slices alias body.
func ParseCertificateVerify13(body []byte) (CertificateVerify13, error) {
	r := NewReader(body)
	m := CertificateVerify13{SignatureScheme(r.U16()), r.Vec16()}
	if !r.Done() {
		return m, &DecodeError{"CertificateVerify", fmt.Sprintf("signature does not end with the message of %d bytes", len(body))}
	}
	return m, nil
}

// AppendMessage appends the message with its header.
func (m CertificateVerify13) AppendMessage(dst []byte) []byte {
	mark := len(dst)
	dst = BeginMessage(dst, TypeCertificateVerify)
	dst = AppendU16(dst, uint16(m.Scheme))
	dst = AppendVec16(dst, m.Signature)
	return EndMessage(dst, mark)
}

// wholeExtensions reads an extensions block, its length included, that fills body.
func wholeExtensions(body []byte, what string) ([]Extension, error) {
	r := NewReader(body)
	block := r.Vec16()
	if !r.Done() {
		return nil, &DecodeError{what, fmt.Sprintf("extensions block does not fill its %d bytes", len(body))}
	}
	return ParseExtensions(block, what)
}
