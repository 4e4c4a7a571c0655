package proxy

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tlsurge/results"
)

// counters is what the edge counts; all but lines are touched without a lock.
type counters struct {
	accepted, handled   atomic.Int64
	established, peak   atomic.Int64
	handshakes, resumed atomic.Int64
	requests            atomic.Int64
	reading, writing    atomic.Int64
	byStatus            [6]atomic.Int64
	seq                 atomic.Uint64

	mu       sync.Mutex
	lines    map[results.LogLine]int64
	eligible map[string]int64
	before   phaseBase
}

// phaseBase is where the counters stood when the phase began.
type phaseBase struct {
	accepted, handshakes int64
	cpu, waited          time.Duration
	at                   time.Time
}

// newPhase begins the counts of a phase.
func (c *counters) newPhase() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines, c.eligible = nil, nil
	c.before = phaseBase{c.accepted.Load(), c.handshakes.Load(), cpuTime(), waitedTime(), time.Now()}
	c.peak.Store(c.established.Load())
	c.seq.Store(0)
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// waitedTime is how long threads of this process were ready and had no processor: the second number of each schedstat,
// in nanoseconds. 0 where the kernel does not count it.
func waitedTime() (sum time.Duration) {
	const tasks = "/proc/self/task/"
	threads, _ := os.ReadDir(tasks)
	for _, t := range threads {
		text, err := os.ReadFile(tasks + t.Name() + "/schedstat")
		if words := strings.Fields(string(text)); err == nil && len(words) > 1 {
			ns, _ := strconv.ParseInt(words[1], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

func (c *counters) line(level, code, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines == nil {
		c.lines = map[results.LogLine]int64{}
	}
	c.lines[results.LogLine{Level: level, Code: code, Reason: reason}]++
}

func (c *counters) couldHit(rule string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.eligible == nil {
		c.eligible = map[string]int64{}
	}
	c.eligible[rule]++
}

// opened counts a connection in and keeps the peak.
func (c *counters) opened() {
	n := c.established.Add(1)
	for {
		p := c.peak.Load()
		if n <= p || c.peak.CompareAndSwap(p, n) {
			return
		}
	}
}

// Stats is what the edge has counted since its phase began, and what it uses now.
func (s *Server) Stats() results.EdgeStats {
	c := &s.count
	out := results.EdgeStats{
		Phase: s.cfg.Load().Phase, Name: s.name, Address: s.firstAddr(), Stack: s.stack.Name, Seq: c.seq.Add(1),
		Established: c.established.Load(), PeakEstablished: c.peak.Load(),
		Accepted: c.accepted.Load(), Handshakes: c.handshakes.Load(),
	}
	c.mu.Lock()
	out.Accepted -= c.before.accepted
	out.Handshakes -= c.before.handshakes
	out.CPU, out.Waited = cpuTime()-c.before.cpu, max(0, waitedTime()-c.before.waited)
	if c.before.at.IsZero() {
		c.before.at = time.Now() // of a first phase that nobody announced
	}
	out.Elapsed = time.Since(c.before.at)
	for l, n := range c.lines {
		l.Count = n
		out.LogLines = append(out.LogLines, l)
	}
	if len(c.eligible) > 0 {
		out.Eligible = map[string]int64{}
		for k, v := range c.eligible {
			out.Eligible[k] = v
		}
	}
	c.mu.Unlock()
	slices.SortFunc(out.LogLines, func(a, b results.LogLine) int {
		return strings.Compare(a.Level+a.Code+a.Reason, b.Level+b.Code+b.Reason)
	})
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		out.RSSPeakBytes = ru.Maxrss * 1024
	}
	out.RSSBytes = residentBytes()
	return out
}

// status counts an answer by the first digit of its status.
func (c *counters) status(code int) {
	if class := code / 100; class > 0 && class < len(c.byStatus) {
		c.byStatus[class].Add(1)
	}
}

// residentBytes reads the resident set from /proc/self/statm: its second number, in pages.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	words := strings.Fields(string(text))
	if len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
