package fleet

import (
	"os"
	"path/filepath"
	"time"

	"tlsurge/harness/fleet/sandbox"
)

// clockTick is USER_HZ, in which /proc counts time: 100 on every Linux architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// usage is the memory and processor time of a process and its direct children (a server's workers).
func usage(pid int) (rss, peak int64, cpu time.Duration) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, 0, 0
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		st, err := sandbox.ParseStat(string(text))
		if err != nil || st.PID != pid && st.Parent != pid {
			continue
		}
		cpu += time.Duration(st.Ticks) * clockTick
		if status, err := os.ReadFile(filepath.Join(filepath.Dir(name), "status")); err == nil {
			now, high := parseMemory(status)
			rss, peak = rss+now, peak+high
		}
	}
	return rss, peak, cpu
}
