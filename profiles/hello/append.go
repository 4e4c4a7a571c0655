package hello

import "tlsurge/profiles/wire"

// AppendRecords appends the hello as it goes onto the wire: whole records with headers, or the
// SSLv2-format message. Where Fragments is nil, or no longer fits the message's length, it is one
// record (or as few as wire.MaxPlaintext allows).
func (ch *ClientHello) AppendRecords(dst []byte) []byte {
	if ch.Format == FormatSSLv2 {
		return ch.appendSSLv2(dst)
	}
	mark := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	dst = ch.AppendMessage(dst)
	n := len(dst) - mark - wire.RecordHeaderLen
	if !fragmentsFit(ch.Fragments, n) {
		if n > wire.MaxPlaintext {
			msg := append([]byte(nil), dst[mark+wire.RecordHeaderLen:]...)
			return wire.AppendRecord(dst[:mark], wire.RecordHandshake, ch.RecordVersion, msg)
		}
		wire.AppendRecordHeader(dst[mark:mark], wire.RecordHeader{Type: wire.RecordHandshake, Version: ch.RecordVersion, Length: n})
		return dst
	}
	msg := append([]byte(nil), dst[mark+wire.RecordHeaderLen:]...)
	dst = dst[:mark]
	for _, f := range ch.Fragments {
		dst = wire.AppendRecord(dst, wire.RecordHandshake, ch.RecordVersion, msg[:f])
		msg = msg[f:]
	}
	return dst
}

func fragmentsFit(fragments []int, n int) bool {
	sum := 0
	for _, f := range fragments {
		if f <= 0 || f > wire.MaxPlaintext {
			return false
		}
		sum += f
	}
	return len(fragments) > 0 && sum == n
}

// AppendMessage appends the handshake message with its header: the bytes that the transcript hashes.
// For the SSLv2 format these are the message without its two-byte record header (RFC 5246 Appendix E.2).
func (ch *ClientHello) AppendMessage(dst []byte) []byte {
	if ch.Format == FormatSSLv2 {
		mark := len(dst)
		dst = ch.appendSSLv2(dst)
		return append(dst[:mark], dst[mark+2:]...)
	}
	mark := len(dst)
	dst = wire.BeginMessage(dst, wire.TypeClientHello)
	dst = wire.AppendU16(dst, uint16(ch.Version))
	dst = append(dst, ch.Random[:]...)
	dst = wire.AppendVec8(dst, ch.SessionID)
	dst = wire.AppendU16(dst, uint16(2*len(ch.Suites)))
	for _, s := range ch.Suites {
		dst = wire.AppendU16(dst, uint16(s))
	}
	dst = wire.AppendVec8(dst, ch.Compression)
	if ch.HasExtensions {
		dst = wire.AppendExtensions(dst, ch.Extensions)
	}
	return wire.EndMessage(dst, mark)
}

// MessageLen is the length of the message with its header, without building it.
func (ch *ClientHello) MessageLen() int {
	n := wire.MessageHeaderLen + 2 + 32 + 1 + len(ch.SessionID) + 2 + 2*len(ch.Suites) + 1 + len(ch.Compression)
	if ch.HasExtensions {
		n += 2
		for i := range ch.Extensions {
			n += 4 + len(ch.Extensions[i].Data)
		}
	}
	return n
}

// Clone gives a deep copy.
func (ch *ClientHello) Clone() *ClientHello {
	c := *ch
	c.Room = Room{}
	c.Fragments = append([]int(nil), ch.Fragments...)
	c.SessionID = append([]byte(nil), ch.SessionID...)
	c.Suites = append([]wire.CipherSuite(nil), ch.Suites...)
	c.SSLv2Suites = append([]uint32(nil), ch.SSLv2Suites...)
	c.Compression = append([]uint8(nil), ch.Compression...)
	c.Extensions = make([]Extension, len(ch.Extensions))
	for i, e := range ch.Extensions {
		c.Extensions[i] = Extension{Type: e.Type, Data: append([]byte(nil), e.Data...)}
	}
	return &c
}
