package fleet

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

// Limits are what this machine allows, as `tlsurge doctor` shows them and as agents are planned by.
type Limits struct {
	Files       int64 // RLIMIT_NOFILE, hard: what one process may open
	FilesSystem int64 // fs.file-max
	Cores       int   // usable by this process
	MemoryBytes int64 // MemAvailable, or what is left of the control group's limit
	PortLow     int   // net.ipv4.ip_local_port_range
	PortHigh    int
	Somaxconn   int64 // net.core.somaxconn
}

// ReadLimits reads them now.
func ReadLimits() Limits {
	l := Limits{Cores: runtime.GOMAXPROCS(0), FilesSystem: readNumber("/proc/sys/fs/file-max"),
		Somaxconn: readNumber("/proc/sys/net/core/somaxconn"), MemoryBytes: min(memAvailable(), groupMemory("/sys/fs/cgroup"))}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil {
		l.Files = int64(lim.Max)
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(b), &l.PortLow, &l.PortHigh)
	}
	return l
}

func readNumber(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return int64(min(n, 1<<62))
}

func memAvailable() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// groupMemory is what this process's control group leaves it, as a container sees its own at the root: of version 2, then
// of version 1. Without a limit it is more than any machine has.
func groupMemory(root string) int64 {
	for _, v := range []struct{ most, used string }{
		{"memory.max", "memory.current"},
		{"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"},
	} {
		if most := readNumber(filepath.Join(root, v.most)); most > 0 { // "max" is no number
			return max(0, most-readNumber(filepath.Join(root, v.used)))
		}
	}
	return math.MaxInt64
}

const (
	// ConnectionsPerAgent keeps an agent's event loop within one core's work and its files within 20,000.
	ConnectionsPerAgent = 18_000
	// spareFiles is what a process opens beside connections: logs, epoll, the cluster, the runtime.
	spareFiles = 300
	// smallLoad is below what a second agent is worth its memory.
	smallLoad = 500
	// PerSource is how many connections share a source and a destination address: beyond it the kernel's
	// search for a free port becomes slow.
	PerSource = 8_000
)

// Shape is a run as the limits see it.
type Shape struct {
	Connections int // held at once, over all edges
	Edges       int // ours; 0: the target is not
	Agents      int // 0: as many as needed
	// Relayed is how many connections at once pass through a relay, which opens two more files for each.
	Relayed int
}

// PlanAgents is how many agents a run needs here, or an UnsupportedError with the number of files that
// the machine would have to allow.
//
//	files of an agent = connections/agents + 2 × relayed/agents + 300
//	files of an edge  = 1.25 × connections/edges + 300   (a request in progress has an upstream connection)
func PlanAgents(s Shape, l Limits) (agents int, err error) {
	if s.Edges > 0 {
		// Requests in progress are far fewer than connections: a quarter is more than the application can
		// answer at once.
		need := int64(ceilDiv(s.Connections, s.Edges))*5/4 + spareFiles
		if need > l.Files {
			return 0, &faults.UnsupportedError{Engine: "fleet", What: fmt.Sprintf("%d connections on %d edges", s.Connections, s.Edges),
				Reason:  fmt.Sprintf("each edge needs %d open files, RLIMIT_NOFILE allows %d", need, l.Files),
				Instead: fmt.Sprintf("ulimit -n %d, or fleet.edges = %d or more", need, ceilDiv(s.Connections*5/4, int(max(l.Files-spareFiles, 1))))}
		}
	}
	files := s.Connections + 2*s.Relayed
	agents = s.Agents
	if agents == 0 {
		per := int(min(ConnectionsPerAgent, max(l.Files-spareFiles, 1)))
		agents = max(ceilDiv(files, per), 1)
		if files >= smallLoad {
			agents = max(agents, l.Cores)
		}
	}
	if need := int64(ceilDiv(files, agents)) + spareFiles; need > l.Files {
		return 0, &faults.UnsupportedError{Engine: "fleet", What: fmt.Sprintf("%d connections from %d agents", s.Connections, agents),
			Reason:  fmt.Sprintf("each agent needs %d open files, RLIMIT_NOFILE allows %d", need, l.Files),
			Instead: fmt.Sprintf("ulimit -n %d, or run.agents = %d or more", need, ceilDiv(files, int(max(l.Files-spareFiles, 1))))}
	}
	return agents, nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
