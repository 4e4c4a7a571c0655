package hello

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"tlsurge/profiles/wire"
)

// Captured is one ClientHello found in a capture, a dump or a file.
type Captured struct {
	Hello *ClientHello
	Raw   []byte // as on the wire, records with headers
	// Second: it answered a HelloRetryRequest on the same connection.
	Second bool
	// Time is when its first segment was captured; zero where the source has no clock.
	Time           time.Time
	Client, Server netip.AddrPort // invalid where the source has no addresses
	// BareMessage: the source held the handshake message without a record; a header was assumed.
	BareMessage bool
}

// Import finds the ClientHellos in data, whatever it is: a pcap or pcapng capture, raw records, a bare
// handshake message, or hex in the usual dumps. It fails, saying what it saw, if there is none.
func Import(data []byte) ([]Captured, error) {
	if len(data) == 0 {
		return nil, errors.New("the input is empty: a pcap, pcapng, hex dump or raw ClientHello is expected")
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		var err error
		if data, err = gunzip(data); err != nil {
			return nil, err
		}
	}
	if IsCapture(data) {
		return fromCapture(data)
	}
	if isText(data) {
		return fromHex(string(data))
	}
	return fromBytes(data)
}

// maxUnpacked bounds what a compressed capture may grow to.
const maxUnpacked = 1 << 29

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("compressed input: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("compressed input: %w", err)
	case len(out) > maxUnpacked:
		return nil, fmt.Errorf("compressed input of more than %d MiB", maxUnpacked>>20)
	case len(out) == 0:
		return nil, errors.New("compressed input of nothing")
	}
	return out, nil
}

// IsCapture recognises pcap in both byte orders and resolutions, and pcapng.
func IsCapture(data []byte) bool {
	if len(data) < 4 {
		return false
	}
	switch binary.BigEndian.Uint32(data) {
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1, 0x0a0d0d0a:
		return true
	}
	return false
}

// isText says whether data could be a hex dump rather than bytes of a protocol.
func isText(data []byte) bool {
	for _, c := range data[:min(len(data), 4096)] {
		if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return data[0] < 0x80
}

// fromBytes reads raw records, or a bare message.
func fromBytes(data []byte) ([]Captured, error) {
	if h, err := wire.ParseMessageHeader(data); err == nil && h.Type == wire.TypeClientHello && h.Length == len(data)-wire.MessageHeaderLen {
		ch, err := ParseMessage(data)
		if err != nil {
			return nil, err
		}
		ch.RecordVersion = min(ch.Version, wire.TLS10)
		return []Captured{{Hello: ch, Raw: ch.AppendRecords(nil), BareMessage: true}}, nil
	}
	found, err := fromStream(data)
	if errors.Is(err, ErrNotClientHello) {
		// A dump of a whole packet has the headers of the link, IP and TCP in front.
		for i := range min(len(data)-wire.RecordHeaderLen, 200) {
			if i > 0 && data[i] == byte(wire.RecordHandshake) && data[i+1] == 3 && data[i+5] == byte(wire.TypeClientHello) {
				if inner, err2 := fromStream(data[i:]); err2 == nil {
					return inner, nil
				}
			}
		}
	}
	if err != nil {
		return nil, cutOff(err, data)
	}
	return found, nil
}

// cutOff says how much is missing where that is known.
func cutOff(err error, data []byte) error {
	if !errors.Is(err, wire.ErrShort) {
		return err
	}
	want := ""
	switch {
	case len(data) >= 2 && data[0]&0x80 != 0:
		want = fmt.Sprintf(" of %d", 2+int(data[0]&0x7f)<<8+int(data[1]))
	case len(data) >= 9 && data[0] == byte(wire.RecordHandshake) && data[5] == byte(wire.TypeClientHello):
		want = fmt.Sprintf(" of at least %d", wire.RecordHeaderLen+wire.MessageHeaderLen+int(data[6])<<16+int(data[7])<<8+int(data[8]))
	}
	return fmt.Errorf("the ClientHello is cut off: %d bytes%s are there", len(data), want)
}

// fromStream reads the hello at the start of a client's bytes, and the one after a HelloRetryRequest. A
// proxy's CONNECT in front is passed over.
func fromStream(p []byte) ([]Captured, error) {
	if bytes.HasPrefix(p, []byte("CONNECT ")) {
		if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
			p = p[i+4:]
		}
	}
	ch, rest, err := Parse(p)
	if err != nil {
		return nil, err
	}
	found := []Captured{{Hello: ch, Raw: p[:len(p)-len(rest)]}}
	// RFC 8446 §D.4, Middlebox Compatibility Mode: a dummy change_cipher_spec before the second hello.
	if h, err := wire.ParseRecordHeader(rest); err == nil && h.Type == wire.RecordChangeCipherSpec && h.Length == 1 && len(rest) > 6 {
		rest = rest[6:]
	}
	if ch.Format == FormatTLS && ch.Has(wire.ExtKeyShare) {
		if second, tail, err := Parse(rest); err == nil && second.Random == ch.Random {
			found = append(found, Captured{Hello: second, Raw: rest[:len(rest)-len(tail)], Second: true})
		}
	}
	return found, nil
}
