package sockfilter

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// getsockopt reads an option of 32-bit words; x/sys/unix has no typed form for SO_MEMINFO.
func getsockopt(fd, level, option int, words []uint32) error {
	size := uint32(len(words) * 4)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&words[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
