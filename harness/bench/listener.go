package bench

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// listener finds the process that listens on an address of this machine, so that a server that somebody
// else has started can be measured like one of ours: the eldest that holds the socket, as a master that
// has handed it to its workers. 0: there is none, or it is not ours to look into.
func listener(addr netip.AddrPort) int {
	inode := listeningInode(addr)
	if inode == "" {
		return 0
	}
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == "socket:["+inode+"]" {
			if pid, err := strconv.Atoi(strings.Split(l, "/")[2]); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) == 0 {
		return 0
	}
	return slices.Min(pids)
}

// listeningInode reads /proc/net/tcp: the second field is the local address (in memory order, hex), the
// fourth the state (0A listens), the tenth the inode.
func listeningInode(addr netip.AddrPort) string {
	if !addr.Addr().Is4() {
		return ""
	}
	a := addr.Addr().As4()
	want := []string{fmt.Sprintf("%02X%02X%02X%02X:%04X", a[3], a[2], a[1], a[0], addr.Port()), fmt.Sprintf("00000000:%04X", addr.Port())}
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == "0A" && slices.Contains(want, f[1]) {
			return f[9]
		}
	}
	return ""
}
