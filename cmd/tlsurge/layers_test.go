package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// rooms is their order: a package may import only packages of strictly lower lines, or of
// its own folder's line. Each line says why it stands where it does.
var rooms = []struct{ pkgs, why string }{
	{"profiles/wire", "the numbers: everybody speaks them, they know nobody"},
	{"profiles/hello", "ClientHellos are made of numbers"},
	{"profiles", "browsers are made of hellos"},
	{"faults/stage", "stages are read off the wire"},
	{"faults", "rules speak of stages"},
	{"faults/relay faults/sockfilter faults/link", "engines carry rules out; they do not know each other"},
	{"faults/explain", "tells what a rule will do, filter program included"},
	{"results/hist", "histograms know nothing of TLS"},
	{"results", "outcomes speak of faults and alerts"},
	{"results/compare results/report", "judging and telling are made from results"},
	{"harness/keys", "key schedules need numbers"},
	{"harness/record", "records need keys"},
	{"harness/engine", "the state machines need records and hellos"},
	{"harness/classify harness/pace", "an error of the engine becomes a class; schedules are arithmetic"},
	{"harness/loop", "sockets meet engines"},
	{"harness/browser/http1", "answers of a server, out of bytes"},
	{"harness/browser", "browsers drive loops"},
	{"harness/proxy/stack harness/proxy/nginxconf harness/proxy/proxyproto", "tables and syntax of the edge, without its sockets"},
	{"harness/proxy/upstream harness/proxy/limit", "connections to what stands behind the edge"},
	{"harness/proxy/site", "what a configuration says about a request"},
	{"harness/proxy", "the edge is the engine's other end"},
	{"harness/symptom", "reports in words, logs and captures become signatures in the program's own vocabulary"},
	{"harness/trial", "browsers and personalities joined in memory, without proxies and sockets"},
	{"harness/matrix", "tables are made of trials, and look like reports"},
	{"harness/evidence", "packets, firings and outcomes explained together; it starts nothing"},
	{"harness/cluster harness/scenario harness/fleet/sandbox", "messages, configuration and namespaces: no traffic of their own"},
	{"harness/fleet", "children run edges and agents"},
	{"harness", "the drive ties the rooms together"},
	{"harness/cases harness/interop harness/interop/bogoshim", "cases and peers use the whole drive"},
	{"harness/child", "a run as a process of its own"},
	{"harness/bench", "rounds of runs, each a process of its own"},
	{"harness/repro", "a search for a cause ends in runs, and knows the cases"},
	{"harness/capacity", "a search is made of such runs"},
	{"cmd/tlsurge", "the door"},
}

// pureRooms do no I/O, hold no lock, read no clock and draw no global randomness.
var pureRooms = strings.Fields("profiles/wire profiles/hello harness/keys harness/record harness/engine harness/pace faults/stage results/hist")

// impure is what a pure room must not import itself.
var impure = strings.Fields("net os syscall sync log log/slog math/rand")

type listed struct {
	ImportPath string
	Imports    []string
}

// goList reads the module's packages as the go command sees them; test files are not counted.
func goList(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "tlsurge/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func room(path string) string { return strings.TrimPrefix(path, "tlsurge/") }

func TestImportsGoDownOnly(t *testing.T) {
	height := map[string]int{}
	for i, l := range rooms {
		for _, p := range strings.Fields(l.pkgs) {
			height[p] = i + 1
		}
	}
	for _, p := range goList(t) {
		if strings.Contains(p.ImportPath, "/internal/") {
			continue // helpers of one room's tests: the compiler keeps others out
		}
		from, ok := height[room(p.ImportPath)]
		if !ok {
			t.Errorf("%s stands in no layer: give it a line in rooms, with its reason", room(p.ImportPath))
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, "tlsurge/") {
				continue
			}
			if to := height[room(imp)]; to >= from {
				t.Errorf("%s imports %s, which does not lie below it", room(p.ImportPath), room(imp))
			}
		}
	}
}

func TestPureRoomsStayPure(t *testing.T) {
	pure := map[string]bool{}
	for _, r := range pureRooms {
		pure[r] = true
	}
	for _, p := range goList(t) {
		if !pure[room(p.ImportPath)] {
			continue
		}
		for _, imp := range p.Imports {
			for _, bad := range impure {
				if imp == bad {
					t.Errorf("%s is a pure room and imports %s", room(p.ImportPath), imp)
				}
			}
		}
	}
}

func TestTopLevelStaysSmall(t *testing.T) {
	allowed := map[string]bool{}
	for _, n := range strings.Fields("cmd harness faults profiles results docs .ci go.mod go.sum Makefile README.md LICENSE CHANGELOG.md .gitignore .github") {
		allowed[n] = true
	}
	out, err := exec.Command("git", "-C", "../..", "ls-tree", "--name-only", "HEAD").Output()
	if err != nil {
		t.Skip("not a git checkout: the top level cannot be listed")
	}
	for _, name := range strings.Fields(string(out)) {
		if !allowed[name] {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
}
