package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const capSysAdmin = unix.CAP_SYS_ADMIN

// hasCapability says whether the process has a capability in its own user namespace.
func hasCapability(c int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[c/32].Effective&(1<<(c%32)) != 0
}

// children lists the direct children of a process.
func children(parent int) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended meanwhile
		}
		if st, err := ParseStat(string(text)); err == nil && st.Parent == parent {
			pids = append(pids, st.PID)
		}
	}
	return pids
}

// Stat is what is needed of /proc/PID/stat.
type Stat struct {
	PID, Parent int
	Ticks       int64 // processor time, user and system, in clock ticks
}

// ParseStat reads a line of /proc/PID/stat: fields 1, 4, 14 and 15. Field 2, the name, may hold spaces and
// parentheses (proc_pid_stat(5)).
func ParseStat(text string) (Stat, error) {
	open, shut := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || shut < open {
		return Stat{}, fmt.Errorf("stat line %.40q: no name in parentheses", text)
	}
	fields := append([]string{strings.TrimSpace(text[:open]), "name"}, strings.Fields(text[shut+1:])...)
	if len(fields) < 15 {
		return Stat{}, fmt.Errorf("stat line %.40q: %d fields, want at least 15", text, len(fields))
	}
	var numbers [4]int64
	for i, at := range []int{1, 4, 14, 15} {
		var err error
		if numbers[i], err = strconv.ParseInt(fields[at-1], 10, 64); err != nil {
			return Stat{}, fmt.Errorf("stat line %.40q: field %d: %w", text, at, err)
		}
	}
	return Stat{PID: int(numbers[0]), Parent: int(numbers[1]), Ticks: numbers[2] + numbers[3]}, nil
}
