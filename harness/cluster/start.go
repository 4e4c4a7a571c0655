package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Together calls verb of all ids at once and waits for all. each (nil: none) gets every answer, in no
// order, one at a time; errors are joined.
func (h *Hub) Together(ctx context.Context, ids []string, verb string, in any, each func(id string, out json.RawMessage)) error {
	var mu sync.Mutex
	var failed []error
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			var out json.RawMessage
			err := h.Call(ctx, id, verb, in, &out)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err)
			} else if each != nil {
				each(id, out)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// StartAt is the input of a barrier's verb: the instant, by the coordinator's clock. A member turns it
// into its own time with Clock.Local.
type StartAt struct {
	At time.Time `json:"at"`
}

// Late is a member that answered a barrier after the start, and may have started late itself.
type Late struct {
	ID string
	By time.Duration
}

func (l Late) String() string {
	return fmt.Sprintf("%s answered %s after the start, and may have begun late", l.ID, l.By.Round(time.Millisecond))
}

// Patience of a barrier: a start lies so many exchanges with the slowest member ahead, within longestLead.
const (
	leadTrips   = 4
	longestLead = 15 * time.Second
)

// Barrier makes all ids start at one instant: verb is called with a StartAt that lies lead in the
// future, and answers at once, before it waits for the instant. Where members are slow to answer (a machine with too
// much to do) the instant moves away. Who answers after it all the same is late, which is no error: the
// schedule lag says what came of it.
func (h *Hub) Barrier(ctx context.Context, ids []string, verb string, lead time.Duration) (at time.Time, late []Late, err error) {
	asked := time.Now()
	_ = h.Together(ctx, ids, verbPing, struct{}{}, nil) // who does not answer now does not do so below
	at = time.Now()
	if lead > 0 {
		lead = max(lead, min(leadTrips*at.Sub(asked), longestLead))
	}
	at = at.Add(lead)
	err = h.Together(ctx, ids, verb, StartAt{At: at}, func(id string, _ json.RawMessage) {
		if behind := time.Since(at); behind > 0 {
			late = append(late, Late{id, behind})
		}
	})
	return at, late, err
}

// WaitRole waits until at least n members of a role are there, and returns them.
func (h *Hub) WaitRole(ctx context.Context, role string, n int) ([]Info, error) {
	for {
		_, changed := h.members.absent(nil)
		var found []Info
		for _, in := range h.Members() {
			if in.Role == role {
				found = append(found, in)
			}
		}
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d %ss are there: %w", len(found), n, role, context.Cause(ctx))
		}
	}
}
