package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"tlsurge/harness"
)

// plainEvery is the pace of progress lines where there is no terminal.
const plainEvery = 5 * time.Second

// newProgress chooses bars on a terminal, a plain line now and then otherwise, and nothing on --quiet.
func newProgress(w io.Writer, quiet bool) harness.Progress {
	switch {
	case quiet:
		return silent{}
	case movesCursor(w):
		return &bars{out: mpb.New(mpb.WithOutput(w), mpb.WithWidth(30), mpb.WithRefreshRate(200*time.Millisecond))}
	}
	return &lines{w: w}
}

type silent struct{}

func (silent) Step(string)           {}
func (silent) Tick(_ harness.Status) {}
func (silent) Done()                 {}

// lines prints one plain line every few seconds.
type lines struct {
	w    io.Writer
	last time.Time
}

func (l *lines) Step(what string) { fmt.Fprintln(l.w, what) }
func (l *lines) Done()            {}

func (l *lines) Tick(s harness.Status) {
	if s.Now.Sub(l.last) < plainEvery && s.Elapsed < s.Duration {
		return
	}
	l.last = s.Now
	fmt.Fprintf(l.w, "  %s  %3.0fs of %.0fs  %s\n", s.Phase, s.Elapsed.Seconds(), s.Duration.Seconds(), counts(s))
}

// counts is the moving part of a progress display.
func counts(s harness.Status) string {
	return fmt.Sprintf("%d connections, %d handshakes, %d requests, %d failed attempts, %d users saw an error",
		s.Established, s.Handshakes, s.Requests, s.Failed, s.SawError)
}

// bars is one mpb bar for each act.
type bars struct {
	out  *mpb.Progress
	name string
	bar  *mpb.Bar
	text *atomic.Value // string behind the bar
}

func (b *bars) Step(what string) { fmt.Fprintln(b.out, what) }

func (b *bars) Tick(s harness.Status) {
	if s.Phase != b.name {
		b.finish()
		b.name = s.Phase
		b.text = &atomic.Value{}
		text := b.text // mpb draws on a goroutine of its own
		text.Store("")
		b.bar = b.out.AddBar(s.Duration.Milliseconds(),
			mpb.PrependDecorators(decor.Name(s.Phase, decor.WC{W: 20, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return text.Load().(string) })))
	}
	b.text.Store(fmt.Sprintf(" %d conns  %d hs  %d req  %d failed", s.Established, s.Handshakes, s.Requests, s.Failed))
	b.bar.SetCurrent(min(s.Elapsed.Milliseconds(), s.Duration.Milliseconds()))
}

// finish ends the bar of an act, full or not: mpb waits for every bar that is neither complete nor
// aborted, for ever.
func (b *bars) finish() {
	if b.bar != nil {
		b.bar.Abort(false)
	}
}

func (b *bars) Done() {
	b.finish()
	b.out.Wait()
}
