package fleet

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"tlsurge/results"
)

// processMeter says what this process uses.
type processMeter struct {
	base    int64 // RSS with no connection open
	perIdle int64
	// pauses of the collector count from gcFrom on, until they are settled.
	gcFrom          time.Time
	gcMax, gcPaused time.Duration
	settled         bool
}

// enoughToDivide is how many connections must be held for bytes per connection to mean something: below,
// the runtime's own arenas drown it.
const enoughToDivide = 1000

// baseline notes the memory before the first connection.
func (m *processMeter) baseline() {
	debug.FreeOSMemory()
	m.base, _ = memory()
	m.gcFrom = time.Now()
}

// held measures bytes per connection with n of them open and the load at its end.
func (m *processMeter) held(n int64) {
	if m.base == 0 || n < enoughToDivide {
		return
	}
	m.settle() // what is collected from here on is the measurement's
	debug.FreeOSMemory()
	now, _ := memory()
	m.perIdle = max(0, now-m.base) / n
}

// plateau measures a server's bytes per connection once their number has stopped growing.
type plateau struct {
	meter   processMeter
	highest int64
	steady  int // seconds
}

// steadySeconds is how long the number of connections must have stood still: buffers of their handshakes
// are given back by then.
const steadySeconds = 5

func newPlateau() *plateau {
	p := &plateau{}
	p.meter.baseline()
	return p
}

// see is told the number of connections each second and answers with the last measurement; 0: none yet.
func (p *plateau) see(established int64) int64 {
	if established > p.highest+p.highest/50 {
		p.highest, p.steady = established, 0
		return p.meter.perIdle
	}
	if p.steady++; p.steady == steadySeconds && established >= p.highest-p.highest/50 {
		p.meter.held(established)
	}
	return p.meter.perIdle
}

func (m *processMeter) stats() results.ProcessStats {
	p := results.ProcessStats{PID: os.Getpid(), RSSPerIdleConnectionBytes: m.perIdle}
	p.Host, _ = os.Hostname()
	p.RSSBytes, p.RSSPeakBytes = memory()
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		p.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	if !m.settled && !m.gcFrom.IsZero() {
		m.countPauses()
	}
	p.GCPauseMax, p.GCPaused = m.gcMax, m.gcPaused
	return p
}

// countPauses adds the pauses since it was last called. The runtime remembers 256: those of minutes.
func (m *processMeter) countPauses() {
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	from := m.gcFrom
	for i, pause := range gc.Pause {
		if i < len(gc.PauseEnd) && gc.PauseEnd[i].After(from) {
			m.gcMax, m.gcPaused = max(m.gcMax, pause), m.gcPaused+pause
			if gc.PauseEnd[i].After(m.gcFrom) {
				m.gcFrom = gc.PauseEnd[i]
			}
		}
	}
}

// settle counts the pauses so far and no others.
func (m *processMeter) settle() {
	if !m.settled {
		m.countPauses()
		m.settled = true
	}
}

// memory is this process's resident memory, now and at its highest.
func memory() (now, peak int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	return parseMemory(text)
}

// parseMemory reads VmRSS and VmHWM of /proc/PID/status, in bytes; 0 where a line is missing or makes no
// sense.
func parseMemory(status []byte) (now, peak int64) {
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		kib, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 43)
		if err != nil {
			continue
		}
		switch string(name) {
		case "VmRSS":
			now = int64(kib) << 10
		case "VmHWM":
			peak = int64(kib) << 10
		}
	}
	return now, peak
}
