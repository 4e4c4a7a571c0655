package fleet

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"tlsurge/results"
)

// processMeter says what this process uses.
type processMeter struct {
	base     int64 // RSS with no connection open
	perIdle  int64
	gcBefore time.Time
}

// enoughToDivide is how many connections must be held for bytes per connection to mean something: below,
// the runtime's own arenas drown it.
const enoughToDivide = 1000

// baseline notes the memory before the first connection.
func (m *processMeter) baseline() {
	debug.FreeOSMemory()
	m.base, _ = memory()
	m.gcBefore = time.Now()
}

// held measures bytes per connection with n of them open and the load at its end.
func (m *processMeter) held(n int64) {
	if m.base == 0 || n < enoughToDivide {
		return
	}
	debug.FreeOSMemory()
	now, _ := memory()
	m.perIdle = max(0, now-m.base) / n
}

func (m *processMeter) stats() results.ProcessStats {
	p := results.ProcessStats{PID: os.Getpid(), RSSPerIdleConnectionBytes: m.perIdle}
	p.Host, _ = os.Hostname()
	p.RSSBytes, p.RSSPeakBytes = memory()
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		p.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var gc debug.GCStats
	debug.ReadGCStats(&gc) // the last 256 pauses and when each ended
	for i, pause := range gc.Pause {
		if i < len(gc.PauseEnd) && gc.PauseEnd[i].After(m.gcBefore) {
			p.GCPauseMax = max(p.GCPauseMax, pause)
		}
	}
	return p
}

// memory is this process's resident memory, now and at its highest.
func memory() (now, peak int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	return parseMemory(text)
}

// parseMemory reads VmRSS and VmHWM of /proc/PID/status, in bytes; 0 where a line is missing.
func parseMemory(status []byte) (now, peak int64) {
	for line := range bytes.Lines(status) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %d kB", &kib); n == 1 {
			now = kib << 10
		} else if n, _ := fmt.Sscanf(string(line), "VmHWM: %d kB", &kib); n == 1 {
			peak = kib << 10
		}
	}
	return now, peak
}
