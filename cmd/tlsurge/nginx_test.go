package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tlsurge/results"
)

// actTwoAlone is january-2015's second act for any edge: rules that are per attempt only, and without
// ie-8-xp, whose best suite Debian's OpenSSL does not have.
const actTwoAlone = `
name = "act-two"
seed = 42
[run]
sample = 1
[fleet]
edges = 3
config = "builtin:fl-ssl.conf"
stack = "openssl-1.0.1j"
[load]
model = "open"
connections = 440
per_browser = 2
ramp = "3s"
request_rate = 40
duration = "7s"
[[browsers]]
profile = "firefox-35-osx"
share = 18
[[browsers]]
profile = "firefox-34-osx"
share = 8
[[browsers]]
profile = "firefox-31esr-win7"
share = 6
[[browsers]]
profile = "chrome-39-win7"
share = 14
returning = 0.4
[[browsers]]
profile = "chrome-40-osx"
share = 14
returning = 0.4
[[browsers]]
profile = "safari-8-osx10.10"
share = 10
returning = 0.7
[[browsers]]
profile = "safari-8-ios8.4"
share = 10
returning = 0.7
[[browsers]]
profile = "android-4.2.2"
share = 5
[[browsers]]
profile = "android-4.4.2"
share = 6
[[browsers]]
profile = "ie-11-win7-unpatched"
share = 6
[[faults]]
name = "reset-first-handshake"
at = "client_hello"
action = "reset"
who = { attempt = 1, connection = 1 }
probability = 0.2
[[faults]]
name = "close-first-handshake"
at = "client_hello"
action = "fin"
who = { attempt = 1, connection = 1 }
probability = 0.2
`

// TestARealNginxGivesTheSameAlerts: the alerts of act two are no invention of the bundled edge. The same
// seed sends the same attempts to Debian's nginx, whose OpenSSL 3 knows TLS_FALLBACK_SCSV and the
// required-cipher rule, and each gets the same answer.
func TestARealNginxGivesTheSameAlerts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("two runs take half a minute; the whole suite runs them")
	}
	requirePeer(t, "nginx")
	file := filepath.Join(t.TempDir(), "act-two.toml")
	if err := os.WriteFile(file, []byte(actTwoAlone), 0o600); err != nil {
		t.Fatal(err)
	}
	bundled := play(t, file)
	nginx := play(t, file, "--set", "fleet.edge=nginx")
	if d := gocmp.Diff(firingSet(bundled.firings), firingSet(nginx.firings)); d != "" {
		t.Errorf("other attempts were hit:\n%s", d)
	}
	ours, theirs := firstConnections(bundled), firstConnections(nginx)
	if d := gocmp.Diff(ours, theirs); d != "" {
		t.Errorf("the bundled edge (-) and nginx (+) answer differently:\n%s", d)
	}
	fallbacks := 0
	for _, a := range theirs {
		if a.Alert == 86 {
			fallbacks++
		}
	}
	if fallbacks == 0 {
		t.Error("nginx refused no fallback with alert 86")
	}
	for _, a := range nginx.attempts {
		if a.Alert == 86 && a.ServerLogs != "0A000175" {
			t.Errorf("%s on %s got alert 86, and nginx's line about it is %q", a.Profile, a.Edge, a.ServerLogs)
		}
	}
	var logged int64
	for _, e := range nginx.run.Edges {
		if e.Stack != "nginx" {
			t.Errorf("edge %s ran on %q, want nginx", e.Name, e.Stack)
		}
		logged += e.LogSignatures["0A000175"]
	}
	if logged != int64(fallbacks) {
		t.Errorf("nginx logged inappropriate fallback %d times and sent %d such alerts", logged, fallbacks)
	}
}

// answered is what a server did to an attempt.
type answered struct {
	Profile, Edge, Kind, Offered string
	SCSV                         bool
	Class                        results.Class
	Alert                        int
	Sender, UserSees             string
}

// firstConnections is the answers to each browser's first connection, by attempt.
func firstConnections(p *played) map[string]answered {
	all := map[string]answered{}
	for _, a := range p.attempts {
		if a.Connection == 0 {
			all[fmt.Sprintf("%d/%d", a.Browser, a.Attempt)] = answered{a.Profile, a.Edge, a.Kind, a.OfferedVersion, a.SCSV, a.Class, a.Alert, a.Sender, a.UserSees}
		}
	}
	return all
}
