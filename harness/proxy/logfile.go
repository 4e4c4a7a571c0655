package proxy

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// logLevels are nginx's, mildest first.
var logLevels = []string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"}

func levelIndex(level string) int {
	for i, l := range logLevels {
		if l == level {
			return i
		}
	}
	return -1
}

// logFile is one open log, shared by all that name its path; a line is one write, so lines of several
// processes do not mix.
type logFile struct {
	mu   sync.Mutex
	path string
	w    io.Writer
	f    *os.File
	fail error // first write that failed
}

func openLog(path string) (*logFile, error) {
	if path == "stderr" {
		return &logFile{path: path, w: os.Stderr}, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &logFile{path: path, w: f, f: f}, nil
}

func (l *logFile) write(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return
	}
	if _, err := l.w.Write(line); err != nil && l.fail == nil {
		l.fail = err
	}
}

// reopen follows a rotated file: the path is opened anew.
func (l *logFile) reopen() error {
	if l.f == nil {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.f
	l.f, l.w = f, f
	l.mu.Unlock()
	return old.Close()
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	err := l.f.Close()
	l.f, l.w = nil, nil
	if l.fail != nil {
		return l.fail
	}
	return err
}

// logs holds the open files by path.
type logs struct {
	mu    sync.Mutex
	files map[string]*logFile
}

func (l *logs) open(path string) (*logFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.files[path]; f != nil {
		return f, nil
	}
	f, err := openLog(path)
	if err != nil {
		return nil, err
	}
	if l.files == nil {
		l.files = map[string]*logFile{}
	}
	l.files[path] = f
	return f, nil
}

func (l *logs) each(do func(*logFile) error) (first error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if err := do(f); err != nil && first == nil {
			first = err
		}
	}
	return first
}

var processID = strconv.Itoa(os.Getpid())

// errorLine writes one line as nginx does: time, level, pid#tid, the connection's number, the text and what
// was being done. conn 0 leaves the number out.
func (s *Server) errorLine(targets []LogTarget, level string, conn uint64, text string) {
	rank := levelIndex(level)
	var line []byte
	for _, t := range targets {
		if t.Path == "" || rank < levelIndex(t.Level) {
			continue
		}
		if line == nil {
			line = time.Now().AppendFormat(nil, "2006/01/02 15:04:05")
			line = fmt.Appendf(line, " [%s] %s#0: ", level, processID)
			if conn != 0 {
				line = fmt.Appendf(line, "*%d ", conn)
			}
			line = append(append(line, text...), '\n')
		}
		if f, err := s.logs.open(t.Path); err == nil {
			f.write(line)
		}
	}
}
