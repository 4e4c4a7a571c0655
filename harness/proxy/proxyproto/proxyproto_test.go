package proxyproto

import (
	"errors"
	"net/netip"
	"testing"
)

var (
	v4 = Header{Source: netip.MustParseAddrPort("192.0.2.1:1234"), Destination: netip.MustParseAddrPort("198.51.100.2:443")}
	v6 = Header{Source: netip.MustParseAddrPort("[2001:db8::1]:1234"), Destination: netip.MustParseAddrPort("[2001:db8::2]:443")}
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		why, text string
		want      Header
		n         int
		bad       bool
	}{
		{why: "version 1, IPv4 (the document's own form)", text: "PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\nGET", want: v4, n: 44},
		{why: "version 1, IPv6", text: "PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n", want: v6, n: 45},
		{why: "version 1, not said", text: "PROXY UNKNOWN whatever\r\n", want: Header{Unknown: true}, n: 24},
		{why: "version 2, IPv4", text: "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\xd2\x01\xbbX", want: v4, n: 28},
		{why: "version 2, local", text: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", want: Header{Unknown: true}, n: 16},
		{why: "family and address disagree", text: "PROXY TCP4 ::1 ::1 1 2\r\n", bad: true},
		{why: "a port beyond 65535", text: "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", bad: true},
		{why: "no end of line in 107 bytes", text: "PROXY TCP4 " + string(make([]byte, 120)), bad: true},
		{why: "no header at all", text: "GET / HTTP/1.1\r\n", bad: true},
		{why: "version 3", text: "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", bad: true},
		{why: "addresses cut off", text: "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04\xc0\x00\x02\x01", bad: true},
	} {
		h, n, err := Parse([]byte(tc.text))
		if tc.bad {
			if err == nil || errors.Is(err, ErrMore) {
				t.Errorf("%s: %v, want a refusal", tc.why, err)
			}
			continue
		}
		if err != nil || h != tc.want || n != tc.n {
			t.Errorf("%s: %+v, %d, %v", tc.why, h, n, err)
		}
		for i := range tc.n {
			if _, _, err := Parse([]byte(tc.text[:i])); !errors.Is(err, ErrMore) {
				t.Errorf("%s: %d bytes of it: %v, want ErrMore", tc.why, i, err)
			}
		}
	}
}

// What is read and written again, in both versions, is read as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"))
	f.Add(AppendV2(nil, v6))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n, err := Parse(p)
		if err != nil {
			return
		}
		if n > len(p) || n > MaxLen {
			t.Fatalf("header of %d bytes in %d", n, len(p))
		}
		for _, again := range [][]byte{AppendV1(nil, h), AppendV2(nil, h)} {
			if g, m, err := Parse(again); err != nil || g != h || m != len(again) {
				t.Fatalf("%+v became %+v (%d of %d bytes, %v)", h, g, m, len(again), err)
			}
		}
	})
}
