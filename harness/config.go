package harness

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"tlsurge/faults"
	"tlsurge/harness/fleet"
	"tlsurge/harness/scenario"
)

// ConfigError is something that the user wrote and that only the start of a run could find wrong: a
// directory in use, a port that is taken. Nothing runs when it is returned.
type ConfigError struct {
	Text string
	Err  error
}

func (e *ConfigError) Error() string { return e.Text }
func (e *ConfigError) Unwrap() error { return e.Err }

// IsConfig says whether an error of Run is about what the user wrote.
func IsConfig(err error) bool {
	var ce *ConfigError
	var se *fleet.StartError
	return errors.As(err, &ce) || errors.As(err, &se) && (se.Config() || errors.Is(err, syscall.EADDRINUSE))
}

// plain says what a child said of a wrong configuration in one line: its last one. Warnings before it are
// about other things.
func plain(err error) error {
	var se *fleet.StartError
	if !errors.As(err, &se) || !IsConfig(err) || se.Tail == "" {
		return err
	}
	lines := strings.Split(strings.TrimSpace(se.Tail), "\n")
	return &ConfigError{Text: se.Name + ": " + lines[len(lines)-1], Err: err}
}

// shape is the run as the limits of this machine see it.
func shape(sc *scenario.Scenario) fleet.Shape {
	most := sc.MostConnections()
	s := fleet.Shape{Connections: most, Agents: sc.Run.Agents}
	if sc.Target == nil {
		s.Edges = sc.Fleet.Edges
	}
	// A relay holds two more files for a connection that is hit: no more are at once than it can hit.
	for _, f := range sc.Faults {
		if f.Rule.Engine == faults.EngineRelay {
			s.Relayed += int(f.Rule.Probability * float64(most))
		}
	}
	s.Relayed = min(s.Relayed, most)
	return s
}

func agentIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("agent-%d", i+1))
	}
	return ids
}
