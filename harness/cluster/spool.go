package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxItem bounds one piece of evidence, so that any item fits a message.
	maxItem = 4 << 20
	// batchBytes is how much evidence goes into one message, unless a single item is larger.
	batchBytes = 512 << 10
	// spoolMemory is how much unacknowledged evidence stays in memory; the rest waits in a file.
	spoolMemory = 8 << 20
	// spoolDisk bounds that file: about as much as an hour of a thousand failures per second.
	spoolDisk = 4 << 30
)

// spool holds evidence from the moment it is added until the coordinator acknowledges it, in order:
// first the items in memory, then those in the file.
//
// The file has no name (O_TMPFILE), so nothing is left behind however the process ends.
type spool struct {
	dir    string // where the file lies
	memory int    // bytes that may stay in memory

	mu     sync.Mutex // guards the rest
	added  sync.Cond  // broadcast at every change
	seq    uint64     // of the last item added
	ready  []Item     // oldest first; what can be sent
	bytes  int        // of ready
	file   *os.File   // nil until needed
	read   int64      // offsets into file: the items between them are younger than ready's
	write  int64
	closed bool
}

func newSpool(dir string, memory int) *spool {
	s := &spool{dir: dir, memory: memory}
	s.added.L = &s.mu
	return s
}

// add takes an item. It fails only where neither memory nor disk has room; the item is then not taken
// and its number not used.
func (s *spool) add(kind string, data []byte) error {
	if err := checkItem(kind, data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("evidence %q: the member is closed", kind)
	}
	it := Item{Seq: s.seq + 1, Kind: kind, Data: data}
	if s.write == s.read && s.bytes+it.size() <= s.memory {
		s.ready = append(s.ready, it)
		s.bytes += it.size()
	} else if err := s.spill(it); err != nil {
		return fmt.Errorf("evidence %q: %w", kind, err)
	}
	s.seq = it.Seq
	s.added.Broadcast()
	return nil
}

// spill appends an item to the file.
func (s *spool) spill(it Item) error {
	if s.file == nil {
		fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return fmt.Errorf("spool in %s: %w", s.dir, err)
		}
		s.file = os.NewFile(uintptr(fd), "spool")
	}
	if s.write-s.read+int64(it.size()) > spoolDisk {
		return fmt.Errorf("spool holds %d bytes, its limit", s.write-s.read)
	}
	if _, err := s.file.WriteAt(appendItem(nil, it), s.write); err != nil {
		return fmt.Errorf("spool in %s: %w", s.dir, err)
	}
	s.write += int64(it.size())
	return nil
}

// next waits for evidence and encodes the oldest of it as one batch, at most batchBytes unless one item
// is larger. It returns nil once the spool is closed. The items stay until acked. An error is the file's.
func (s *spool) next() (batch []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ready) == 0 && s.read == s.write && !s.closed {
		s.added.Wait()
	}
	if s.closed {
		return nil, nil
	}
	if len(s.ready) == 0 {
		// A single item may be larger than all memory is meant to be.
		if err := s.refill(); err != nil {
			return nil, err
		}
	}
	for _, it := range s.ready {
		if len(batch) > 0 && len(batch)+it.size() > batchBytes {
			break
		}
		batch = appendItem(batch, it)
	}
	return batch, nil
}

// ack drops the items up to seq and refills memory from the file.
func (s *spool) ack(seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.ready) && s.ready[n].Seq <= seq {
		s.bytes -= s.ready[n].size()
		n++
	}
	s.ready = append(s.ready[:0:0], s.ready[n:]...)
	err := s.refill()
	s.added.Broadcast()
	return err
}

func (s *spool) refill() error {
	if s.write == s.read {
		return nil
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, s.read, s.write-s.read), 64<<10)
	for s.read < s.write && (len(s.ready) == 0 || s.bytes < s.memory/2) {
		it, err := readItem(r)
		if err != nil {
			return fmt.Errorf("spool in %s: %w", s.dir, err)
		}
		s.ready = append(s.ready, it)
		s.bytes += it.size()
		s.read += int64(it.size())
	}
	if s.read == s.write {
		s.read, s.write = 0, 0
		return s.file.Truncate(0)
	}
	return nil
}

func readItem(r io.Reader) (it Item, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return it, err
	}
	it.Seq = binary.BigEndian.Uint64(head[:])
	tail := make([]byte, int(head[8])+4)
	if _, err := io.ReadFull(r, tail); err != nil {
		return it, err
	}
	it.Kind = string(tail[:head[8]])
	it.Data = make([]byte, binary.BigEndian.Uint32(tail[head[8]:]))
	_, err = io.ReadFull(r, it.Data)
	return it, err
}

// drained says that everything is acknowledged.
func (s *spool) drained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isDrained()
}

func (s *spool) isDrained() bool { return len(s.ready) == 0 && s.read == s.write }

// flush waits until everything is acknowledged, the spool is closed, or ctx ends.
func (s *spool) flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.added.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.isDrained() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.closed {
			return errors.New("the member is closed")
		}
		s.added.Wait()
	}
	return nil
}

func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.added.Broadcast()
}
