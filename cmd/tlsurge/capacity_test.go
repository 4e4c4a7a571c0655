package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/capacity"
)

// TestCapacityFindsAPlantedLimit: an edge whose connection table holds 240 is found to hold about that,
// and the table is named.
func TestCapacityFindsAPlantedLimit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a search takes a minute; the whole suite runs it")
	}
	const table = 240
	dir := t.TempDir()
	file := filepath.Join(dir, "planted.toml")
	if err := os.WriteFile(file, []byte(`
name = "planted"
[fleet]
edges = 1
set = { worker_connections = "240", worker_processes = "1" }
[load]
connections = 80
per_browser = 1
request_rate = 20
[[browsers]]
profile = "firefox-35-osx"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd := exec.Command(path, "capacity", file, "--start", "80", "--max", "640", "--ramp", "1s", "--hold", "3s", "--steps", "7", "--p99", "60s", "--json", "--out", filepath.Join(dir, "search"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if code := waitFor(t, cmd, 4*time.Minute); code != exitGood {
		t.Fatalf("exit %d\n%s", code, &said)
	}
	var r capacity.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	// Idle upstream connections and the listening socket take places too: a table is never full of clients.
	if r.Capacity > table || r.Capacity < 0.85*table || !r.Confirmed {
		t.Errorf("capacity %.0f, confirmed %t: want about %d\n%s", r.Capacity, r.Confirmed, table, &said)
	}
	if len(r.Culprits) == 0 || !strings.Contains(r.Culprits[0].What, "connection table") {
		t.Errorf("what gave out: %+v, want the connection table\n%s", r.Culprits, &said)
	}
	if r.Recovery == nil || !r.Recovery.Recovered {
		t.Errorf("recovery %+v: want the edge good again at half its capacity", r.Recovery)
	}
}

func TestCapacityRefusals(t *testing.T) {
	for _, tc := range []struct {
		why  string
		args []string
		want string
	}{
		{"nothing to search", nil, "one scenario"},
		{"a scenario that there is not", []string{"no-such"}, "no-such"},
		{"a dimension that nobody turns", []string{"peak-39k", "--of", "users"}, "connections, handshakes or requests"},
		{"a preset that nobody wrote", []string{"peak-39k", "--preset", "rfc1"}, "want rfc9411"},
		{"an empty range", []string{"peak-39k", "--start", "10", "--max", "5"}, "start <= max"},
		{"a precision that no search reaches", []string{"peak-39k", "--precision", "0"}, "0.01 to 0.5"},
		{"a step too short to see a second of it", []string{"peak-39k", "--hold", "1s"}, "at least 2s"},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"capacity"}, tc.args...), nil, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), tc.want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", tc.why, code, errs.String(), tc.want)
		}
	}
}
