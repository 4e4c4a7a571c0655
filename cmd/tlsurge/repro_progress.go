package main

import (
	"fmt"
	"io"
	"time"

	"tlsurge/harness/repro"
)

func newReproProgress(w io.Writer, quiet bool) repro.Progress {
	if quiet {
		return reproSilent{}
	}
	return &reproLines{w: w}
}

type reproSilent struct{}

func (reproSilent) Step(string)               {}
func (reproSilent) Tick(int, string, float64) {}

// reproLines prints the steps, and now and then how far the search is.
type reproLines struct {
	w    io.Writer
	last time.Time
}

func (l *reproLines) Step(text string) { fmt.Fprintln(l.w, text); l.last = time.Now() }

func (l *reproLines) Tick(tried int, what string, used float64) {
	if time.Since(l.last) < plainEvery {
		return
	}
	l.last = time.Now()
	fmt.Fprintf(l.w, "  %d candidates, %.0f %% of the budget: %s\n", tried, 100*used, what)
}
