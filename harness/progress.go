package harness

import (
	"time"

	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// Progress is told how a run goes on. Its methods are called by one goroutine at a time.
type Progress interface {
	Step(what string) // one line about what begins now
	Tick(Status)      // each second of an act
	Done()
}

// Status is an act at one instant.
type Status struct {
	Phase             string
	Now               time.Time
	Elapsed, Duration time.Duration

	Established, Handshakes, Requests, Failed, SawError int64
}

func (d *drive) begin(p *scenario.Phase, at time.Time) {
	d.mu.Lock()
	d.phase = &playing{p, at}
	d.mu.Unlock()
}

func (d *drive) end() {
	d.mu.Lock()
	d.phase = nil
	d.mu.Unlock()
}

func (d *drive) show(now time.Time) {
	d.mu.Lock()
	playing := d.phase
	d.mu.Unlock()
	live, ok := d.collector.Live()
	if playing == nil || !ok || live.Phase != playing.p.Name {
		return
	}
	t := &live.Totals
	d.progress.Tick(Status{
		Phase: live.Phase, Now: now, Elapsed: max(0, now.Sub(playing.at)), Duration: time.Duration(playing.p.Duration),
		Established: t.Established, Handshakes: t.Opened, Requests: t.RequestsOK, Failed: t.Failed,
		SawError: live.Pages[results.SawError],
	})
}
