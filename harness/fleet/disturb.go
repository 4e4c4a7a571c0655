package fleet

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/cluster"
)

// Kill ends an edge at once, as a crash does: its connections get RST, its evidence since the last second
// is gone.
func (f *Fleet) Kill(name string) error {
	return f.disturb(name, func(e *edgeSlot) error { e.process.kill(); return nil })
}

// Pause stops an edge for a time (SIGSTOP): the kernel still accepts connections for it, and nobody
// answers. It returns when the edge goes on.
func (f *Fleet) Pause(ctx context.Context, name string, d time.Duration) error {
	if err := f.disturb(name, func(e *edgeSlot) error { return e.process.signal(syscall.SIGSTOP) }); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return f.disturb(name, func(e *edgeSlot) error { return e.process.signal(syscall.SIGCONT) })
}

// Restart kills an edge and starts it anew: its session cache and ticket keys are gone.
func (f *Fleet) Restart(ctx context.Context, name string) error {
	return f.disturb(name, func(e *edgeSlot) error {
		e.process.kill()
		p, err := f.startEdge(e)
		if err != nil {
			return err
		}
		e.process = p
		_, err = p.ready(ctx)
		return err
	})
}

// disturb does something to one edge while nobody else does.
func (f *Fleet) disturb(name string, do func(*edgeSlot) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.edges {
		if e.Name == name {
			return do(e)
		}
	}
	return fmt.Errorf("no edge %q in the fleet", name)
}

// Schedule tells the edges when the phase begins, and carries out its rules of action kill, pause and
// restart. It returns when the last of them is done or ctx ends.
func (f *Fleet) Schedule(ctx context.Context, start time.Time) error {
	var ids []string
	for _, e := range f.Edges() {
		ids = append(ids, e.Name)
	}
	first := f.cfg.Hub.Together(ctx, ids, "begin", cluster.StartAt{At: start}, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, r := range f.cfg.Rules {
		if r.Action != faults.Kill && r.Action != faults.Pause && r.Action != faults.Restart {
			continue
		}
		for _, e := range f.Edges() {
			if !faults.MatchName(r.Who.Edge, e.Name) {
				continue
			}
			wg.Go(func() {
				if err := f.carryOut(ctx, r, e, start); err != nil {
					mu.Lock()
					defer mu.Unlock()
					if first == nil {
						first = fmt.Errorf("rule %s on %s: %w", r.Name, e.Name, err)
					}
				}
			})
		}
	}
	wg.Wait()
	return first
}

func (f *Fleet) carryOut(ctx context.Context, r faults.Rule, e Edge, start time.Time) error {
	timer := time.NewTimer(time.Until(start.Add(r.From)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil
	}
	if f.cfg.Ledger != nil {
		f.cfg.Ledger(faults.Firing{Rule: r.Name, Engine: string(faults.EngineEdge), Action: string(r.Action),
			Tuple: faults.Tuple{Server: e.Addr}, Time: time.Now(), Offset: -1})
	}
	switch r.Action {
	case faults.Kill:
		return f.Kill(e.Name)
	case faults.Restart:
		return f.Restart(ctx, e.Name)
	default:
		d := r.Duration
		if d == 0 {
			d = time.Duration(1<<63 - 1) // until ctx ends
		}
		return f.Pause(ctx, e.Name, d)
	}
}
