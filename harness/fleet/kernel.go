package fleet

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
)

// Kernel is what the kernel has counted in this network namespace: /proc/net/netstat, snmp, snmp6 by
// their own names ("TCPSynRetrans", "ListenOverflows", "RetransSegs"), and the gauges of sockstat and
// sockstat6 as "sockstat.TCP.inuse".
//
// In the caller's namespace strangers' traffic is in it too.
type Kernel map[string]int64

// gaugePrefix marks values that are not counted up: a difference says nothing of them.
const gaugePrefix = "sockstat"

// ReadKernel reads the counters of the calling thread's network namespace.
func ReadKernel() (Kernel, error) {
	k := Kernel{}
	for _, f := range []struct {
		name     string
		parse    func(string) (map[string]int64, error)
		optional bool // IPv6 may be off
	}{
		{"netstat", parseCounters, false},
		{"snmp", parseCounters, false},
		{"sockstat", parseSockstat, false},
		{"sockstat6", parseSockstat, true},
	} {
		text, err := os.ReadFile("/proc/thread-self/net/" + f.name)
		if err != nil && f.optional {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("kernel counters: %w", err)
		}
		values, err := f.parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("kernel counters: /proc/net/%s: %w", f.name, err)
		}
		maps.Copy(k, values)
	}
	return k, nil
}

// Since is the growth of the counters since before; gauges are as they are now, and nothing that is zero
// is in it.
func (k Kernel) Since(before Kernel) map[string]int64 {
	grown := map[string]int64{}
	for name, v := range k {
		if !strings.HasPrefix(name, gaugePrefix) {
			v -= before[name]
		}
		if v != 0 {
			grown[name] = v
		}
	}
	return grown
}

// Established and TimeWait are the namespace's TCP sockets, IPv4 and IPv6. A connection inside the
// namespace counts at both its ends. CurrEstab counts CLOSE-WAIT too (RFC 4022, tcpCurrEstab).
func (k Kernel) Established() int64 { return k["CurrEstab"] }
func (k Kernel) TimeWait() int64    { return k["sockstat.TCP.tw"] }

// Peaks are the most sockets that the kernel had at any of the moments at which it was asked: a gauge read at
// the end of a run says nothing of its middle.
type Peaks struct{ established, timeWait int64 }

// See takes the gauges of one moment into account.
func (p *Peaks) See(k Kernel) {
	p.established, p.timeWait = max(p.established, k.Established()), max(p.timeWait, k.TimeWait())
}

// AddTo puts the peaks beside the counters, by names of their own.
func (p *Peaks) AddTo(counters map[string]int64) map[string]int64 {
	counters["peak.CurrEstab"], counters["peak.TimeWait"] = p.established, p.timeWait
	return counters
}

// parseCounters reads pairs of lines "TcpExt: Name Name …" and "TcpExt: 1 2 …". TcpExt, Tcp and Ip names
// do not collide, except for those of other protocols ("Udp: InErrors"), which get their section in
// front: "Udp.InErrors".
func parseCounters(text string) (map[string]int64, error) {
	values := map[string]int64{}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines)%2 != 0 {
		return nil, fmt.Errorf("%d lines, want pairs of names and values", len(lines))
	}
	for i := 0; i < len(lines); i += 2 {
		section, names, ok1 := strings.Cut(lines[i], ":")
		section2, numbers, ok2 := strings.Cut(lines[i+1], ":")
		if !ok1 || !ok2 || section != section2 {
			return nil, fmt.Errorf("lines %d and %d: %.20q and %.20q are not of one section", i+1, i+2, lines[i], lines[i+1])
		}
		keys, fields := strings.Fields(names), strings.Fields(numbers)
		if len(keys) != len(fields) {
			return nil, fmt.Errorf("section %q: %d names, %d values", section, len(keys), len(fields))
		}
		for j, key := range keys {
			// MaxConn is -1 for "dynamic" (RFC 4022), the rest is unsigned 64 bit.
			v, err := strconv.ParseInt(fields[j], 10, 64)
			if u, err2 := strconv.ParseUint(fields[j], 10, 64); err != nil && err2 == nil {
				v, err = int64(u), nil // wrapped around: differences are still right
			}
			if err != nil {
				return nil, fmt.Errorf("%s %s: %q is not a number", section, key, fields[j])
			}
			values[counterName(section, key)] = v
		}
	}
	return values, nil
}

func counterName(section, key string) string {
	switch section {
	case "Tcp", "TcpExt":
		return key
	}
	return section + "." + key
}

// parseSockstat reads lines "TCP: inuse 4 orphan 0 tw 0 alloc 5 mem 1".
func parseSockstat(text string) (map[string]int64, error) {
	values := map[string]int64{}
	for line := range strings.Lines(text) {
		section, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || len(fields)%2 != 0 {
			return nil, fmt.Errorf("line %.40q: want \"NAME: key value …\"", line)
		}
		for i := 0; i < len(fields); i += 2 {
			v, err := strconv.ParseInt(fields[i+1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %q is not a number", section, fields[i], fields[i+1])
			}
			values[gaugePrefix+"."+section+"."+fields[i]] = v
		}
	}
	return values, nil
}
