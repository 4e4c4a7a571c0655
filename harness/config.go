package harness

import (
	"errors"
	"fmt"
	"os"
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
	s := fleet.Shape{Connections: sc.Load.Connections, Agents: sc.Run.Agents}
	if sc.Target == nil {
		s.Edges = sc.Fleet.Edges
	}
	// A relay holds two more files for a connection that is hit: no more are at once than it can hit.
	for _, f := range sc.Faults {
		if f.Rule.Engine == faults.EngineRelay {
			s.Relayed += int(f.Rule.Probability * float64(sc.Load.Connections))
		}
	}
	s.Relayed = min(s.Relayed, sc.Load.Connections)
	return s
}

func agentIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("agent-%d", i+1))
	}
	return ids
}

// setKernel turns the scenario's network settings, which needs a network namespace of the run's own:
// the caller's settings are never touched.
func setKernel(settings map[string]string) error {
	for _, name := range sortedKeys(settings) {
		if !strings.HasPrefix(name, "net.") || strings.ContainsAny(name, "/") {
			return &ConfigError{Text: fmt.Sprintf("kernel: %q is not a network setting; want a name as net.ipv4.tcp_fin_timeout", name)}
		}
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if _, err := os.Stat(path); err != nil {
			return &ConfigError{Text: fmt.Sprintf("kernel: this kernel has no %s in a network namespace of its own", name)}
		}
		if err := os.WriteFile(path, []byte(settings[name]), 0o644); err != nil {
			if errors.Is(err, os.ErrPermission) {
				return &faults.UnsupportedError{Engine: "kernel", What: name, Reason: err.Error(), Instead: "leave it out"}
			}
			return &ConfigError{Text: fmt.Sprintf("kernel: %s = %q is refused: %v", name, settings[name], err)}
		}
	}
	return nil
}
