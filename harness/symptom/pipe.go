package symptom

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// pipe reads what may never begin and never end: a FIFO, a process's output, the standard input. It stops when ctx
// does, and when patience ends, of which a note tells; what came until then counts.
func (r *reader) pipe(ctx context.Context, name string, open func() (io.ReadCloser, error)) error {
	p := &pipeReader{name: name, ctx: ctx, pieces: make(chan piece), over: make(chan struct{})}
	if r.Patience > 0 {
		timer := time.NewTimer(r.Patience)
		defer timer.Stop()
		p.patience = timer.C
	}
	go p.pump(open)
	defer p.stop()
	err := r.file(ctx, name, p, time.Now())
	switch {
	case p.late && p.begun:
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("%s had not ended after %v: what had come until then was read", name, r.Patience))
	case p.late:
		return fmt.Errorf("%s: nothing came for %v: who writes to it?", name, r.Patience)
	}
	return err
}

type piece struct {
	data []byte
	err  error
}

// pipeReader hands on what a goroutine reads that may be stuck in a system call.
type pipeReader struct {
	name        string
	ctx         context.Context
	pieces      chan piece
	over        chan struct{} // closed when nobody wants more
	file        atomic.Pointer[os.File]
	patience    <-chan time.Time
	rest        []byte
	err         error
	begun, late bool
}

func (p *pipeReader) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		select {
		case got := <-p.pieces:
			p.rest, p.err = got.data, got.err
			p.begun = p.begun || len(got.data) > 0
		case <-p.ctx.Done():
			p.err = p.ctx.Err()
		case <-p.patience:
			p.late, p.err = true, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// pump opens and reads until the end or until nobody wants more.
func (p *pipeReader) pump(open func() (io.ReadCloser, error)) {
	f, err := open()
	if err != nil {
		p.send(piece{err: err})
		return
	}
	defer f.Close()
	if file, ok := f.(*os.File); ok {
		p.file.Store(file)
	}
	for !p.closed() {
		b := make([]byte, 64<<10)
		n, err := f.Read(b)
		if !p.send(piece{b[:n], err}) || err != nil {
			return
		}
	}
}

func (p *pipeReader) closed() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

func (p *pipeReader) send(got piece) bool {
	select {
	case p.pieces <- got:
		return true
	case <-p.over:
		return false
	}
}

// stop lets the goroutine go: one that waits for a FIFO's writer is given one, one that waits for bytes is told the
// time. One that reads the standard input stays until the next byte, or the process's end.
func (p *pipeReader) stop() {
	close(p.over)
	if f := p.file.Load(); f != nil {
		_ = f.SetReadDeadline(time.Now()) // a terminal has none, and is read line by line anyway
		return
	}
	if info, err := os.Stat(p.name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		if w, err := os.OpenFile(p.name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			_ = w.Close()
		}
	}
}
