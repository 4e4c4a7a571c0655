package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"tlsurge/harness/repro"
)

// reproProgress is a display that has to be ended.
type reproProgress interface {
	repro.Progress
	// Read says how much of the report has been read.
	Read(read, total int64)
	Done()
}

// newReproProgress chooses a bar on a terminal, plain lines otherwise, and nothing on --quiet.
func newReproProgress(w io.Writer, quiet bool) reproProgress {
	switch {
	case quiet:
		return reproSilent{}
	case movesCursor(w):
		b := &reproBar{out: mpb.New(mpb.WithOutput(w), mpb.WithWidth(30), mpb.WithRefreshRate(200*time.Millisecond))}
		b.text.Store("")
		return b
	}
	return &reproLines{w: w, last: time.Now()}
}

type reproSilent struct{}

func (reproSilent) Step(string)               {}
func (reproSilent) Tick(int, string, float64) {}
func (reproSilent) Read(int64, int64)         {}
func (reproSilent) Done()                     {}

// reproLines prints the steps, and now and then how far the work is.
type reproLines struct {
	w    io.Writer
	last time.Time
}

func (l *reproLines) Done() {}

func (l *reproLines) Step(text string) {
	fmt.Fprintln(l.w, text)
	l.last = time.Now()
}

func (l *reproLines) due() bool {
	if time.Since(l.last) < plainEvery {
		return false
	}
	l.last = time.Now()
	return true
}

func (l *reproLines) Tick(tried int, what string, used float64) {
	if l.due() {
		fmt.Fprintf(l.w, "  %d candidates, %.0f %% of the budget: %s\n", tried, 100*used, what)
	}
}

func (l *reproLines) Read(read, total int64) {
	if l.due() {
		fmt.Fprintf(l.w, "  read %d of %d MiB\n", read>>20, total>>20)
	}
}

// reproBar is one bar: of the bytes of the report, then of the budget.
type reproBar struct {
	out  *mpb.Progress
	bar  *mpb.Bar
	what string
	text atomic.Value // string behind the bar: mpb draws on a goroutine of its own
}

func (b *reproBar) Step(text string) { fmt.Fprintln(b.out, text) }

func (b *reproBar) Tick(tried int, what string, used float64) {
	if len(what) > 50 {
		what = what[:50]
	}
	b.text.Store(fmt.Sprintf(" %d candidates  %s", tried, what))
	b.set("search", int64(1000*used), 1000)
}

func (b *reproBar) Read(read, total int64) {
	b.text.Store(fmt.Sprintf(" %d of %d MiB", read>>20, total>>20))
	b.set("read", read, max(total, read))
}

func (b *reproBar) set(what string, n, of int64) {
	if b.what != what {
		b.finish()
		b.what = what
		b.bar = b.out.AddBar(of, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(what, decor.WC{W: 8, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.text.Load().(string) })))
	}
	b.bar.SetCurrent(min(n, of-1)) // finish ends it
}

// finish ends the bar: mpb waits for every bar that is neither complete nor aborted, for ever.
func (b *reproBar) finish() {
	if b.bar != nil {
		b.bar.Abort(true)
	}
}

func (b *reproBar) Done() {
	b.finish()
	b.out.Wait()
}
