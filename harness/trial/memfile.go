package trial

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MemoryFile is a file that has a path and lies on no disk (memfd_create(2)): a configuration that is read for a
// trial may name it, and nothing of it is left behind, however the process ends.
type MemoryFile struct{ f *os.File }

// NewMemoryFile makes one with that content; name is for /proc's readers.
func NewMemoryFile(name string, content []byte) (*MemoryFile, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	m := &MemoryFile{os.NewFile(uintptr(fd), name)}
	if _, err := m.f.Write(content); err != nil {
		m.f.Close()
		return nil, err
	}
	return m, nil
}

// Path opens the file from its start, in this process, until Close.
func (m *MemoryFile) Path() string { return fmt.Sprintf("/proc/self/fd/%d", m.f.Fd()) }

// Close gives the file up.
func (m *MemoryFile) Close() error { return m.f.Close() }
