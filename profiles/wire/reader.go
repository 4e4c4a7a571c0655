package wire

// Reader is a cursor over the body of a message: each call takes the next field. A read past the end
// makes it fail for good; callers check OK or Done once, at the end. Slices alias the input.
type Reader struct {
	b    []byte
	fail bool
}

// NewReader reads b from its start.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Bytes takes the next n bytes.
func (r *Reader) Bytes(n int) []byte {
	if r.fail || n < 0 || n > len(r.b) {
		r.fail, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

// U8 takes a uint8.
func (r *Reader) U8() uint8 {
	if p := r.Bytes(1); p != nil {
		return p[0]
	}
	return 0
}

// U16 takes a uint16.
func (r *Reader) U16() uint16 {
	if p := r.Bytes(2); p != nil {
		return uint16(p[0])<<8 | uint16(p[1])
	}
	return 0
}

// U24 takes a uint24.
func (r *Reader) U24() uint32 {
	if p := r.Bytes(3); p != nil {
		return uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
	}
	return 0
}

// U32 takes a uint32.
func (r *Reader) U32() uint32 {
	if p := r.Bytes(4); p != nil {
		return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
	}
	return 0
}

// Vec8, Vec16 and Vec24 take a vector with a length of that many bits in front (RFC 8446 §3.4, Vectors).
func (r *Reader) Vec8() []byte { return r.Bytes(int(r.U8())) }

// Vec16 is Vec8 with a two-byte length.
func (r *Reader) Vec16() []byte { return r.Bytes(int(r.U16())) }

// Vec24 is Vec8 with a three-byte length.
func (r *Reader) Vec24() []byte { return r.Bytes(int(r.U24())) }

// Rest takes what is left.
func (r *Reader) Rest() []byte { return r.Bytes(len(r.b)) }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// OK is true while no read went past the end.
func (r *Reader) OK() bool { return !r.fail }

// Done is true when every read succeeded and nothing is left.
func (r *Reader) Done() bool { return !r.fail && len(r.b) == 0 }

// AppendU16, AppendU24 and AppendU32 append in network order.
func AppendU16(dst []byte, v uint16) []byte { return append(dst, byte(v>>8), byte(v)) }

// AppendU24 appends the low 24 bits of v.
func AppendU24(dst []byte, v uint32) []byte { return append(dst, byte(v>>16), byte(v>>8), byte(v)) }

// AppendU32 appends v.
func AppendU32(dst []byte, v uint32) []byte {
	return append(dst, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// AppendVec8 appends p behind its one-byte length; p is at most 255 bytes.
func AppendVec8(dst, p []byte) []byte { return append(append(dst, byte(len(p))), p...) }

// AppendVec16 appends p behind its two-byte length; p is at most 65535 bytes.
func AppendVec16(dst, p []byte) []byte { return append(AppendU16(dst, uint16(len(p))), p...) }

// AppendVec24 appends p behind its three-byte length.
func AppendVec24(dst, p []byte) []byte { return append(AppendU24(dst, uint32(len(p))), p...) }
