// Package proxyproto reads and writes the PROXY protocol, versions 1 and 2: the header by which a proxy says
// whose connection it passes on (HAProxy's document "The PROXY protocol", sections 2.1 and 2.2).
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Header is whose connection it is. Unknown: the proxy does not say (UNKNOWN, or LOCAL in version 2).
type Header struct {
	Source, Destination netip.AddrPort
	Unknown             bool
}

// MaxLen is the longest header that Parse accepts: version 2 with its extensions.
const MaxLen = 16 + 512

// ErrMore: the bytes are the beginning of a header, and more must come.
var ErrMore = errors.New("proxyproto: incomplete header")

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// Parse reads the header at the start of p and says how long it is.
func Parse(p []byte) (h Header, n int, err error) {
	switch {
	case bytes.HasPrefix(p, signature):
		return parse2(p)
	case len(p) < len(signature) && bytes.HasPrefix(signature, p):
		return h, 0, ErrMore
	case bytes.HasPrefix(p, []byte("PROXY ")):
		return parse1(p)
	case len(p) < 6 && bytes.HasPrefix([]byte("PROXY "), p):
		return h, 0, ErrMore
	}
	return h, 0, fmt.Errorf("proxyproto: %q is not the beginning of a PROXY header", p[:min(len(p), 16)])
}

// maxV1 is the longest line of version 1, CRLF included.
const maxV1 = 107

func parse1(p []byte) (h Header, n int, err error) {
	end := bytes.Index(p[:min(len(p), maxV1)], []byte("\r\n"))
	if end < 0 {
		if len(p) >= maxV1 {
			return h, 0, fmt.Errorf("proxyproto: no end of line within %d bytes", maxV1)
		}
		return h, 0, ErrMore
	}
	n = end + 2
	words := strings.Split(string(p[:end]), " ")
	if words[1] == "UNKNOWN" {
		return Header{Unknown: true}, n, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return h, 0, fmt.Errorf("proxyproto: %q is not \"PROXY TCP4|TCP6 source destination port port\"", p[:end])
	}
	if h.Source, err = address(words[2], words[4], words[1] == "TCP6"); err != nil {
		return h, 0, err
	}
	h.Destination, err = address(words[3], words[5], words[1] == "TCP6")
	return h, n, err
}

func address(host, port string, six bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Is6() != six || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("proxyproto: %q is not an address of the family named", host)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port[0] == '+' || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("proxyproto: %q is not a port", port)
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

func parse2(p []byte) (h Header, n int, err error) {
	if len(p) < 16 {
		return h, 0, ErrMore
	}
	if p[12]>>4 != 2 || p[12]&15 > 1 {
		return h, 0, fmt.Errorf("proxyproto: version and command 0x%02x; allowed are 0x20 and 0x21", p[12])
	}
	length := int(binary.BigEndian.Uint16(p[14:]))
	if n = 16 + length; n > MaxLen {
		return h, 0, fmt.Errorf("proxyproto: header of %d bytes; at most %d are read", n, MaxLen)
	}
	if len(p) < n {
		return h, 0, ErrMore
	}
	if p[12]&15 == 0 {
		return Header{Unknown: true}, n, nil
	}
	size := 0
	switch p[13] {
	case 0x11:
		size = 4
	case 0x21:
		size = 16
	default:
		return Header{Unknown: true}, n, nil
	}
	if length < 2*size+4 {
		return h, 0, fmt.Errorf("proxyproto: %d bytes of addresses, %d needed", length, 2*size+4)
	}
	b := p[16:]
	src, _ := netip.AddrFromSlice(b[:size])
	dst, _ := netip.AddrFromSlice(b[size : 2*size])
	h.Source = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b[2*size:]))
	h.Destination = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2*size+2:]))
	return h, n, nil
}

// AppendV1 appends the version 1 line.
func AppendV1(dst []byte, h Header) []byte {
	if h.Unknown {
		return append(dst, "PROXY UNKNOWN\r\n"...)
	}
	family := "TCP4"
	if h.Source.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Appendf(dst, "PROXY %s %s %s %d %d\r\n", family, h.Source.Addr(), h.Destination.Addr(), h.Source.Port(), h.Destination.Port())
}

// AppendV2 appends the version 2 header.
func AppendV2(dst []byte, h Header) []byte {
	dst = append(dst, signature...)
	if h.Unknown {
		return append(dst, 0x20, 0, 0, 0)
	}
	family, src, dest := byte(0x11), h.Source.Addr().AsSlice(), h.Destination.Addr().AsSlice()
	if h.Source.Addr().Is6() {
		family = 0x21
	}
	dst = append(dst, 0x21, family)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(src)+len(dest)+4))
	dst = append(append(dst, src...), dest...)
	dst = binary.BigEndian.AppendUint16(dst, h.Source.Port())
	return binary.BigEndian.AppendUint16(dst, h.Destination.Port())
}
