package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/browser"
	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/results"
	"tlsurge/results/compare"
)

// client is who visits: the same browsers on both sides, each side under its own name and authority.
type client struct {
	mix       []browser.Visitor
	held      int
	names     map[string]string           // SNI, by side
	verifiers map[string]*engine.Verifier // nil: any certificate will do
}

// regulars are the browsers that hold connections and come again: the first two of the mix, so that one
// which can no longer connect does not hold up everything with its retries.
func (c *client) regulars() []browser.Visitor { return c.mix[:min(2, len(c.mix))] }

// work is one round under way.
type work struct {
	client *client
	seed   uint64
	first  int // the side that begins
	sides  [2]*visited
}

// slice is one short piece of load on one server.
type slice struct {
	*results.Snapshot
	cpu      time.Duration // of the server, in it
	requests int64         // that cpu covers
}

// inTurn makes n slices: base, new, new, base, and again, begun by the side whose turn it is. What is
// priced has one seed for all slices of a round, so that each is the same work.
func (w *work) inTurn(n int, f func(v *visited, k uint64) error) error {
	var made [2]uint64
	for k := range n {
		i := ([4]int{0, 1, 1, 0}[k%4] + w.first) % 2
		if err := f(w.sides[i], made[i]); err != nil {
			return fmt.Errorf("%s: %w", w.sides[i].side, err)
		}
		made[i]++
	}
	return nil
}

// play makes a slice. What comes before the load (first visits, from which sessions are held) is not
// counted.
func (w *work) play(ctx context.Context, v *visited, seed uint64, mix []browser.Visitor, load browser.Load) (*slice, error) {
	a, rec, err := w.agent(v, seed, mix, load)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if load.Model != browser.HandshakeOnly {
		if err := a.Warm(ctx); err != nil {
			return nil, err
		}
	}
	s := &slice{}
	before, err := v.spent()
	if err != nil {
		return nil, err
	}
	if load.Model == browser.Closed {
		// Connections come first: what they cost is measured elsewhere.
		began := false
		a.Each(time.Millisecond, func() {
			if t := rec.Totals(); !began && t.RequestsOK >= int64(load.Connections) {
				began = true
				before, _ = v.spent() // if it is gone, the end of the slice says so
				s.requests = -t.RequestsOK
			}
		})
	}
	if err := a.Run(ctx, time.Now()); err != nil {
		return nil, err
	}
	after, err := v.spent()
	if err != nil {
		return nil, err
	}
	s.cpu = after - before
	s.requests += rec.Totals().RequestsOK
	s.Snapshot = rec.Snapshot()
	return s, v.dead()
}

// agent is who makes a slice, and where it counts.
func (w *work) agent(v *visited, seed uint64, mix []browser.Visitor, load browser.Load) (*browser.Agent, *results.Recorder, error) {
	cfg := &browser.Config{Seed: w.seed + seed, Phase: string(load.Model), Agents: 1, Mix: mix, Edges: []browser.Edge{{Name: "edge", Addr: v.addr}},
		ServerName: w.client.names[v.side], Load: load, Verifier: w.client.verifiers[v.side]}
	rec := results.NewRecorder(results.RecorderConfig{Seed: cfg.Seed, Phase: cfg.Phase})
	a, err := browser.NewAgent(cfg, rec, func(faults.Firing) {})
	return a, rec, err
}

// handshakes is a load of n connections that are closed once their handshake is over.
func handshakes(n, atOnce int) browser.Load {
	return browser.Load{Model: browser.HandshakeOnly, Connections: atOnce, PerBrowser: [2]int{1, 1}, Count: n, Duration: sliceLimit}
}

// warm has fresh processes touch what they need, and keeps nothing.
func (w *work) warm(ctx context.Context) error {
	return w.inTurn(2, func(v *visited, k uint64) error {
		_, err := w.play(ctx, v, 900+k, w.client.mix, handshakes(warmHandshakes, fullAtOnce))
		if err == nil && v.pid != 0 {
			v.alone, err = v.resident()
		}
		return err
	})
}

// hold measures what the server weighs with keepalive connections that have each carried a request: as soon
// as the last has, however long that takes on a machine that has other work.
func (w *work) hold(ctx context.Context) error {
	return w.inTurn(2, func(v *visited, k uint64) error {
		load := browser.Load{Model: browser.Open, Connections: w.client.held, Ramp: heldRamp, Duration: heldLimit}
		a, rec, err := w.agent(v, 800+k, w.client.regulars(), load)
		if err != nil {
			return err
		}
		defer a.Close()
		all, enough := context.WithCancel(ctx)
		defer enough()
		weigh := func(t results.Totals) {
			if v.held = t.Established; v.pid != 0 {
				v.memory, err = v.resident()
			}
		}
		a.Each(5*time.Millisecond, func() {
			if t := rec.Totals(); all.Err() == nil && min(t.Established, t.RequestsOK) >= int64(load.Connections) {
				weigh(t)
				enough()
			}
		})
		if ran := a.Run(all, time.Now()); ran == nil { // the limit was reached: whoever is held by now
			weigh(rec.Totals())
		} else if all.Err() == nil || ctx.Err() != nil {
			return ran
		}
		return errors.Join(err, v.dead())
	})
}

// full measures full handshakes, and who is shown an error.
func (w *work) full(ctx context.Context) error {
	return w.inTurn(fullSlices, func(v *visited, k uint64) error {
		s, err := w.play(ctx, v, 0, w.client.mix, handshakes(fullEach, fullAtOnce))
		if err != nil {
			return err
		}
		v.full.add(s.cpu, s.Totals.Opened)
		v.handshake.Merge(s.Latency["handshake.service_time"])
		count(v.pages, s.Snapshot)
		return nil
	})
}

// resumed measures visits by browsers that hold a session.
func (w *work) resumed(ctx context.Context) error {
	return w.inTurn(resumedSlices, func(v *visited, k uint64) error {
		s, err := w.play(ctx, v, 100, w.client.regulars(), browser.Load{Model: browser.ResumeOnly, Connections: resumedAtOnce, PerBrowser: [2]int{1, 1},
			Count: resumedEach, Duration: sliceLimit})
		if err != nil {
			return err
		}
		v.resumed.add(s.cpu, s.Totals.Opened)
		v.visits += s.Totals.Opened
		for _, h := range s.Handshakes {
			if h.Resumed != "" {
				v.got += h.Count
			}
		}
		return nil
	})
}

// requests measures pages over connections that stay.
func (w *work) requests(ctx context.Context) error {
	return w.inTurn(requestSlices, func(v *visited, k uint64) error {
		s, err := w.play(ctx, v, 200, w.client.mix[:1], browser.Load{Model: browser.Closed, Connections: requestBrowser, PerBrowser: [2]int{1, 1},
			Page: browser.Page{Resources: 20}, Duration: requestsFor})
		if err != nil {
			return err
		}
		v.req.add(s.cpu, s.requests)
		v.response.Merge(s.Latency["response.service_time"])
		return nil
	})
}

// compatible sends every browser that is known, once.
func (w *work) compatible(ctx context.Context, all []*profiles.Profile) error {
	return w.inTurn(2, func(v *visited, k uint64) error {
		for i, p := range all {
			s, err := w.play(ctx, v, 300+uint64(i), []browser.Visitor{{Profile: p, Weight: 1}}, handshakes(1, 1))
			if err != nil {
				return err
			}
			count(v.once, s.Snapshot)
		}
		return nil
	})
}

// spent is cpu, or nothing where it is out of reach.
func (v *server) spent() (time.Duration, error) {
	if v.pid == 0 {
		return 0, nil
	}
	return v.cpu()
}

// resumedShare is how many visits of browsers that came before were resumed: a server that issues no sessions
// has none.
func resumedShare(got, visits int64) ShareValue {
	return ShareValue{Name: "handshakes.resumed", Higher: true, MinEffect: errorEffect, Count: compare.Count{Events: got, Trials: visits}}
}

// cannotConnect is how often a browser that came once was shown an error.
func cannotConnect(profile string, seen [2]int64) ShareValue {
	return ShareValue{Name: "cannot_connect[" + profile + "]", MinEffect: connectEffect, Count: compare.Count{Events: seen[0], Trials: seen[1]}}
}

func sortedProfiles(m map[string][2]int64) []string { return slices.Sorted(maps.Keys(m)) }
