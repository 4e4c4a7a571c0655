package main

import (
	"os"
	"path/filepath"
	"testing"
)

// overIPv6 has a rule for each engine that works there.
const overIPv6 = `
name = "six"
seed = 3
[run]
sample = 1
[fleet]
edges = 2
family = "ipv6"
set = { client_header_timeout = "1s" }
[load]
connections = 60
per_browser = 2
ramp = "500ms"
request_rate = 40
duration = "3s"
[[browsers]]
profile = "firefox-35-osx"
share = 1
[[faults]]
name = "reset"
at = "client_hello"
action = "reset"
who = { attempt = 1, connection = 1 }
probability = 0.2
[[faults]]
name = "lost"
at = "client_hello"
action = "drop"
who = { attempt = 1, connection = 1 }
probability = 0.2
[[faults]]
name = "lost-answer"
at = "server_hello"
action = "drop"
times = 1
who = { attempt = 1, connection = 1 }
probability = 0.2
[[faults]]
name = "error"
engine = "edge"
action = "error"
probability = 0.2
`

// TestAFleetOverIPv6: edges, agents, relays, filters on listeners and on clients' sockets, and the joins, with no IPv4
// between browser and edge.
func TestAFleetOverIPv6(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "six.toml")
	if err := os.WriteFile(file, []byte(overIPv6), 0o600); err != nil {
		t.Fatal(err)
	}
	p := play(t, file)
	if n := p.run.Attempts.Unexplained; n != 0 {
		t.Errorf("%d failed attempts without a cause", n)
	}
	for _, f := range p.run.Faults {
		if f.Fired == 0 {
			t.Errorf("rule %s of engine %s never fired: %+v", f.Name, f.Engine, f)
		}
	}
	relayed := map[string]bool{"reset": true}
	for _, a := range p.attempts {
		if a.Tuple.Server.Addr().Is4() && !relayed[a.Fault] {
			t.Errorf("attempt %+v went over IPv4", a.Key)
		}
		if a.Alert == 86 && a.ServerLogs != "140A1175" {
			t.Errorf("%v got alert 86, and the edge's line about it is %q", a.Tuple.Client, a.ServerLogs)
		}
	}
}
