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
		if pid, ppid, err := parseStat(string(text)); err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parseStat reads the process and its parent from /proc/PID/stat: "pid (name) state ppid …", where the
// name may hold spaces and parentheses (proc_pid_stat(5)).
func parseStat(text string) (pid, ppid int, err error) {
	open, shut := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || shut < open {
		return 0, 0, fmt.Errorf("stat line %.40q: no name in parentheses", text)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(text[:open]))
	if err != nil {
		return 0, 0, fmt.Errorf("stat line %.40q: process number: %w", text, err)
	}
	rest := strings.Fields(text[shut+1:])
	if len(rest) < 2 {
		return 0, 0, fmt.Errorf("stat line %.40q: ends before the parent's number", text)
	}
	ppid, err = strconv.Atoi(rest[1])
	if err != nil {
		return 0, 0, fmt.Errorf("stat line %.40q: parent's number: %w", text, err)
	}
	return pid, ppid, nil
}
