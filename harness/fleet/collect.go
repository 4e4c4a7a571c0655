package fleet

import (
	"encoding/json"
	"fmt"
	"os"

	"tlsurge/results"
)

// Collect feeds a collector from the hub: its two results are HubConfig's Stats and Evidence. Statistics
// that cannot be read are dropped, for later ones follow. Evidence that cannot be written (a full disk)
// stays with its sender; evidence that makes no sense (of a phase that never began) would never make any,
// and is dropped with a word on standard error.
func Collect(c *results.Collector) (stats func(id string, data []byte), evidence func(id, kind string, seq uint64, data []byte) error) {
	take := func(kind string, data []byte) error {
		switch kind {
		case kindSnapshot:
			var s results.Snapshot
			if err := json.Unmarshal(data, &s); err != nil {
				return err
			}
			return c.Snapshot(&s)
		case kindEdge:
			var e results.EdgeStats
			if err := json.Unmarshal(data, &e); err != nil {
				return err
			}
			return c.Edge(e)
		case kindEvidence:
			var e results.Evidence
			if err := json.Unmarshal(data, &e); err != nil {
				return err
			}
			_, err := c.Evidence(e)
			return err
		}
		return fmt.Errorf("evidence of kind %q: want %s, %s or %s", kind, kindSnapshot, kindEdge, kindEvidence)
	}
	stats = func(_ string, data []byte) {
		// Edges and agents send different things; only an agent's has the key "agent".
		var which struct{ Agent *string }
		if json.Unmarshal(data, &which) != nil {
			return
		}
		if which.Agent != nil {
			take(kindSnapshot, data)
		} else {
			take(kindEdge, data)
		}
	}
	evidence = func(id, kind string, seq uint64, data []byte) error {
		err := take(kind, data)
		if err != nil && c.Err() == nil {
			fmt.Fprintf(os.Stderr, "tlsurge: %s: evidence %d (%s) is dropped: %v\n", id, seq, kind, err)
			return nil
		}
		return err
	}
	return stats, evidence
}
