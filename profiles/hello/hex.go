package hello

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tlsurge/profiles/wire"
)

// fromHex reads hex: plain digits on one or many lines (one hello a line, or one over all), with spaces,
// colons, commas, 0x or \x between; or a dump with offsets as xxd, hexdump -C, tcpdump -x and Wireshark write it.
func fromHex(text string) ([]Captured, error) {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("the input is empty: a pcap, pcapng, hex dump or raw ClientHello is expected")
	}
	if data, ok := offsetDump(lines); ok {
		return fromBytes(data)
	}
	if len(lines) > 1 {
		var all []Captured
		for _, l := range lines {
			data, err := plainHex(l)
			if err != nil {
				return nil, err
			}
			c, err := fromBytes(data)
			if err != nil {
				all = nil
				break
			}
			all = append(all, c...)
		}
		if all != nil {
			return all, nil
		}
	}
	data, err := plainHex(strings.Join(lines, ""))
	if err != nil {
		return nil, err
	}
	return fromBytes(data)
}

var hexNoise = strings.NewReplacer("0x", "", "\\x", "", " ", "", "\t", "", ":", "", ",", "", ";", "", "-", "", "{", "", "}", "", "\"", "")

// plainHex decodes digits with separators; it names the first character that is none.
func plainHex(s string) ([]byte, error) {
	digits := hexNoise.Replace(strings.TrimSpace(s))
	data, err := hex.DecodeString(digits)
	var bad hex.InvalidByteError
	switch {
	case errors.As(err, &bad):
		return nil, fmt.Errorf("%w: neither a capture nor hex: %q is no hex digit in %q", ErrNotClientHello, rune(bad), shorten(s))
	case errors.Is(err, hex.ErrLength):
		return nil, fmt.Errorf("%w: an odd number of hex digits (%d): the dump is cut off", wire.ErrShort, len(digits))
	}
	return data, err
}

func shorten(s string) string {
	if len(s) > 24 {
		return s[:24] + "…"
	}
	return s
}

var dumpLine = regexp.MustCompile(`^(?:0x)?([0-9a-fA-F]{4,8}):?\s+(\S.*)$`)

// offsetDump reads a dump whose lines begin with the offset of their first byte. It is one only if each
// offset is the number of bytes before it.
func offsetDump(lines []string) ([]byte, bool) {
	offsets := make([]int, len(lines))
	for i, l := range lines {
		m := dumpLine.FindStringSubmatch(l)
		if m == nil {
			// hexdump -C ends with the total alone.
			if n, err := strconv.ParseUint(l, 16, 32); err == nil && i == len(lines)-1 && i > 0 {
				offsets, lines = offsets[:i], lines[:i]
				_ = n
				break
			}
			return nil, false
		}
		n, err := strconv.ParseUint(m[1], 16, 32)
		if err != nil {
			return nil, false
		}
		offsets[i] = int(n)
	}
	var data []byte
	for i, l := range lines {
		if offsets[i] != len(data) {
			return nil, false
		}
		want := 16
		if i+1 < len(lines) {
			want = offsets[i+1] - offsets[i]
		}
		data = append(data, dumpBytes(dumpLine.FindStringSubmatch(l)[2], want)...)
	}
	return data, len(data) > 0
}

// dumpBytes reads at most want bytes of one dump line: groups of hex digits, ended by the text column.
func dumpBytes(s string, want int) []byte {
	var out []byte
	for len(out) < want && s != "" {
		i := strings.IndexAny(s, " \t")
		group := s
		if i >= 0 {
			group = s[:i]
		}
		b, err := hex.DecodeString(group)
		if err != nil || len(b) == 0 || len(out)+len(b) > want {
			break
		}
		out = append(out, b...)
		if i < 0 {
			break
		}
		gap := len(s[i:]) - len(strings.TrimLeft(s[i:], " \t"))
		s = strings.TrimLeft(s[i:], " \t")
		// Two blanks end the bytes, but for the gap that hexdump -C leaves after the eighth.
		if gap > 1 && len(out) != 8 {
			break
		}
	}
	return out
}
