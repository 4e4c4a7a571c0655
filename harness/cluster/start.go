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

// Barrier makes all ids start at one instant: verb is called with a StartAt that lies lead in the
// future, and answers at once, before it waits for the instant. A member whose answer came after the
// instant may have started late; the error names it.
func (h *Hub) Barrier(ctx context.Context, ids []string, verb string, lead time.Duration) (at time.Time, err error) {
	at = time.Now().Add(lead)
	var late []error
	err = h.Together(ctx, ids, verb, StartAt{At: at}, func(id string, _ json.RawMessage) {
		if behind := time.Since(at); behind > 0 {
			late = append(late, fmt.Errorf("%s: %s: answered %s after the start", id, verb, behind.Round(time.Millisecond)))
		}
	})
	return at, errors.Join(append(late, err)...)
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
