// Package harness is the drive: it runs a scenario from its first process to its last line.
//
// It decides the order of things and nothing else: what a browser does, what a server answers, what a
// fault is and what a number means are other rooms' business.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"tlsurge/harness/fleet/sandbox"
	"tlsurge/harness/scenario"
	"tlsurge/results"
	"tlsurge/results/report"
)

// Options is what a run needs beside its scenario.
type Options struct {
	Dir         string // RUNDIR; made here, mode 0700
	Started     time.Time
	Place       sandbox.Place // where this process runs
	Progress    Progress
	ToolVersion string
	// Token admits agents from elsewhere; empty: one is made. ClusterCA is the PEM of the authority behind
	// run.nats, where the system's do not know it.
	Token, ClusterCA string
	// Metrics is where /metrics answers while the run lasts, and for Linger after it, or until somebody has
	// asked once; nil: nowhere. It is closed here.
	Metrics net.Listener
	Linger  time.Duration
	// KeepGoing plays a scenario to its end although a threshold can hold no more.
	KeepGoing bool
}

// Run plays the scenario: fleet and agents as child processes, one act after the other, and the result
// joined at the end. When ctx ends, the act under way is ended early and the result is still written; it
// is then INVALID, "cut short".
//
// A run that could not begin gives no result and an error, and leaves no directory behind.
func Run(ctx context.Context, sc *scenario.Scenario, o Options) (*results.Run, error) {
	d, err := start(ctx, sc, o)
	if err != nil {
		return nil, err
	}
	defer d.close()
	var failed error
	for i := range sc.Phases {
		if failed = d.act(ctx, &sc.Phases[i]); failed != nil || ctx.Err() != nil || d.hopeless() != "" {
			break
		}
	}
	if failed != nil && d.acts == 0 && ctx.Err() == nil {
		return nil, d.undo(failed)
	}
	run, err := d.finish(ctx, failed)
	d.metrics.linger(ctx, run, o.Linger, d.progress)
	return run, err
}

// act plays one phase.
func (d *drive) act(ctx context.Context, p *scenario.Phase) error {
	d.progress.Step(fmt.Sprintf("%s: starting", p.Name))
	if err := d.collector.BeginPhase(d.phaseInfo(p), time.Now()); err != nil {
		return err
	}
	if err := d.setRules(p); err != nil {
		return err
	}
	edges, err := d.edges(ctx, p)
	if err != nil {
		return err
	}
	orders, err := d.agentPhase(p, edges)
	if err != nil {
		return err
	}
	if err := d.crew.Prepare(ctx, orders); err != nil {
		return err
	}
	d.progress.Step(fmt.Sprintf("%s: warming up (reference visits, returning visitors)", p.Name))
	if err := d.crew.Warm(ctx); err != nil {
		return err
	}
	at, late, err := d.crew.Start(ctx)
	if err != nil {
		return err
	}
	for _, l := range late {
		d.collector.Note(fmt.Sprintf("%s: %v: this machine has more to do than it can", p.Name, l))
	}
	d.collector.PhaseStarted(at)
	d.begin(p, at)
	d.acts++
	undo := d.schedule(ctx, at, p)
	err = d.wait(ctx, p, at)
	undo()
	d.end()
	d.collector.EndPhase(time.Now())
	return errors.Join(err, d.settle(ctx, p))
}

// wait lets the act run to its end; ctx, a full disk or a hopeless threshold end it early.
func (d *drive) wait(ctx context.Context, p *scenario.Phase, at time.Time) error {
	// The agents keep their own time; the margin is for drains and the last reports.
	limit, cancel := context.WithDeadline(context.WithoutCancel(ctx), at.Add(time.Duration(p.Duration)+actMargin))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.crew.Wait(limit) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-d.broken:
		if why := d.hopeless(); why != "" {
			d.progress.Step(fmt.Sprintf("%s: ended early: %s can hold no more", p.Name, why))
		}
	}
	return errors.Join(d.crew.EndEarly(limit), <-done)
}

// settle ends the act's fleet unless the next act keeps it, so that its last reports are in.
func (d *drive) settle(ctx context.Context, p *scenario.Phase) error {
	if d.fleet == nil || d.nextKeepsFleet(p) {
		return nil
	}
	f := d.fleet
	d.fleet = nil
	calm, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return f.Stop(calm)
}

// finish stops what still runs, joins and judges.
func (d *drive) finish(ctx context.Context, failed error) (*results.Run, error) {
	calm, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	stopErr := d.crew.Stop(calm)
	if d.fleet != nil {
		stopErr = errors.Join(stopErr, d.fleet.Stop(calm))
		d.fleet = nil
	}
	d.stopTicker()
	d.endCapture()
	d.countKernel()
	d.closeLink() // its last firings go to the collector
	info := results.FinishInfo{At: time.Now(), Hopeless: d.hopeless()}
	switch {
	case d.collector.Err() != nil:
		info.CutShort = d.collector.Err().Error()
	case failed != nil:
		info.CutShort = failed.Error()
	case ctx.Err() != nil:
		info.CutShort = "interrupted"
	case stopErr != nil:
		info.CutShort = stopErr.Error()
	}
	run, err := d.collector.Finish(info)
	if err != nil || run == nil {
		return run, err
	}
	return run, errors.Join(d.writeEvidence(), report.WriteHTML(d.o.Dir))
}
