// Package sockfilter drops real packets without root: classic BPF programs on TCP sockets, run by the
// kernel on every arriving segment before TCP sees it. The sender's kernel retransmits as it would after
// any loss, with its own timers and counters.
//
// It owns the programs and their life on a socket. Whom to hit is decided above (faults.Plan).
package sockfilter

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"tlsurge/faults"
)

// Attach puts the program on a socket, in place of any before it. Sockets accepted from a listener
// inherit its program. It fails with a faults.UnsupportedError where the kernel does not let us.
func Attach(fd int, p Program) error {
	raw, err := bpf.Assemble(p.code)
	if err != nil {
		return fmt.Errorf("program that drops %s: %w", p.Doc, err)
	}
	if len(raw) > bpfMaxInstructions {
		return fmt.Errorf("program that drops %s has %d instructions; the kernel takes %d", p.Doc, len(raw), bpfMaxInstructions)
	}
	ins := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		ins[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(ins)), Filter: &ins[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return attachError(err)
	}
	return nil
}

// bpfMaxInstructions is BPF_MAXINSNS of linux/bpf_common.h.
const bpfMaxInstructions = 4096

// attachError gives the kernel's refusals their reasons.
func attachError(err error) error {
	e := &faults.UnsupportedError{Engine: faults.EngineSockfilter, What: "attach a filter to a TCP socket", Reason: err.Error()}
	switch {
	case errors.Is(err, unix.EPERM):
		e.Reason += " (needs " + string(faults.NetAdmin) + ")"
		e.Instead = `a user and network namespace of our own ([run] netns = "own"), or engine = "relay"`
	case errors.Is(err, unix.EOPNOTSUPP):
		e.Reason += " (a listener made for MPTCP takes no filter)"
		e.Instead = "net.ListenConfig.SetMultipathTCP(false)"
	case errors.Is(err, unix.ENOMEM):
		e.Reason += " (net.core.optmem_max is too small for this program)"
	default:
		return fmt.Errorf("sockfilter: attach: %w", err)
	}
	return e
}

// Detach takes the socket's program away; a socket without one is no error.
func Detach(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("sockfilter: detach: %w", err)
	}
	return nil
}

// memInfoDrops is SK_MEMINFO_DROPS of linux/sock_diag.h, the ninth word of SO_MEMINFO.
const memInfoDrops = 8

// Drops is how many segments the kernel has dropped on this socket since it was made: by a filter or, rarer,
// for want of buffer. An accepted socket starts at 0.
func Drops(fd int) (int, error) {
	var info [memInfoDrops + 1]uint32
	if err := getsockopt(fd, unix.SOL_SOCKET, unix.SO_MEMINFO, info[:]); err != nil {
		return 0, fmt.Errorf("sockfilter: SO_MEMINFO: %w", err)
	}
	return int(info[memInfoDrops]), nil
}

// SynsSent is how often a connecting socket has sent its SYN: 1 and what was sent again. While it has not
// connected, all of them were lost.
func SynsSent(fd int) (int, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, fmt.Errorf("sockfilter: TCP_INFO: %w", err)
	}
	return 1 + int(info.Total_retrans), nil
}

// Probe says whether filters can be attached to TCP sockets here: nil, or an UnsupportedError.
func Probe() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("sockfilter: socket: %w", err)
	}
	defer unix.Close(fd)
	return Attach(fd, keepEverything())
}
