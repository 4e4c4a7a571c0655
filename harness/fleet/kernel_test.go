package fleet

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestParseCounters(t *testing.T) {
	for _, tc := range []struct {
		why, text string
		want      map[string]int64 // nil: refused
	}{
		{"TCP's names stand alone, others carry their section",
			"Tcp: MaxConn RetransSegs\nTcp: -1 7\nUdp: InErrors\nUdp: 3\n",
			map[string]int64{"MaxConn": -1, "RetransSegs": 7, "Udp.InErrors": 3}},
		{"a counter beyond 63 bits wraps", "TcpExt: X\nTcpExt: 18446744073709551615\n", map[string]int64{"X": -1}},
		{"more names than values", "TcpExt: A B\nTcpExt: 1\n", nil},
		{"sections that differ", "TcpExt: A\nIpExt: 1\n", nil},
		{"a line without its partner", "TcpExt: A\n", nil},
		{"not a number", "TcpExt: A\nTcpExt: x\n", nil},
	} {
		got, err := parseCounters(tc.text)
		if (err != nil) != (tc.want == nil) || err == nil && !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v (%v), want %v", tc.why, got, err, tc.want)
		}
	}
}

func TestParseSockstat(t *testing.T) {
	got, err := parseSockstat("sockets: used 9\nTCP: inuse 4 orphan 0 tw 2\n")
	want := map[string]int64{"sockstat.sockets.used": 9, "sockstat.TCP.inuse": 4, "sockstat.TCP.orphan": 0, "sockstat.TCP.tw": 2}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
	for _, bad := range []string{"TCP inuse 4\n", "TCP: inuse\n", "TCP: inuse x\n"} {
		if got, err := parseSockstat(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func TestKernelCountsAConnection(t *testing.T) {
	before, err := ReadKernel()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	after, err := ReadKernel()
	if err != nil {
		t.Fatal(err)
	}
	grown := after.Since(before)
	if grown["ActiveOpens"] < 1 || after.Established() < 2 {
		t.Errorf("a connection was opened and is counted nowhere: ActiveOpens grew by %d, %d established", grown["ActiveOpens"], after.Established())
	}
	for _, name := range []string{"ListenOverflows", "ListenDrops", "TCPSynRetrans", "RetransSegs", "TCPTimeouts", "sockstat.TCP.tw"} {
		if _, ok := after[name]; !ok {
			t.Errorf("this kernel has no %s", name)
		}
	}
}

// FuzzParseCounters: what is read can be written again and read to the same values.
func FuzzParseCounters(f *testing.F) {
	f.Add("Tcp: MaxConn RetransSegs\nTcp: -1 7\n")
	f.Add("TcpExt: A\nTcpExt: 18446744073709551615\nIpExt: B\nIpExt: 2")
	f.Add("Tcp:\nTcp:\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseCounters(text)
		if err != nil {
			return
		}
		var names, values []string
		for _, name := range slices.Sorted(maps.Keys(got)) {
			names, values = append(names, name), append(values, fmt.Sprint(got[name]))
		}
		again, err := parseCounters("Tcp: " + strings.Join(names, " ") + "\nTcp: " + strings.Join(values, " ") + "\n")
		if err != nil || !maps.Equal(got, again) {
			t.Errorf("%v became %v (%v)", got, again, err)
		}
	})
}

// FuzzParseSockstat: the same law.
func FuzzParseSockstat(f *testing.F) {
	f.Add("sockets: used 9\nTCP: inuse 4 orphan 0 tw 2\n")
	f.Add("FRAG: inuse 0 memory 0")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseSockstat(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for name, v := range got {
			section, key, ok := cutLast(strings.TrimPrefix(name, gaugePrefix+"."))
			if !ok {
				return // a key with a dot in it cannot be taken apart again
			}
			fmt.Fprintf(&b, "%s: %s %d\n", section, key, v)
		}
		again, err := parseSockstat(b.String())
		if err != nil || !maps.Equal(got, again) {
			t.Errorf("%q: %v became %v (%v)", text, got, again, err)
		}
	})
}

// cutLast splits at the only dot.
func cutLast(s string) (before, after string, ok bool) {
	before, after, ok = strings.Cut(s, ".")
	return before, after, ok && !strings.Contains(after, ".") && !strings.Contains(before, "\n")
}
