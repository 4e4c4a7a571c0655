package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// atHome is a small run that agents from elsewhere can join.
var atHome = []string{"run", "january-2015", "--no-faults", "--quiet", "--set", "run.listen=127.0.0.1:0", "--set", "run.remote_agents=1",
	"--set", "load.connections=60", "--set", "load.ramp=1s", "--set", "phases.before-the-upgrade.duration=3s",
	"--set", "phases.after-the-upgrade.duration=2s", "--set", "phases.trigger-gone.duration=2s"}

func TestAnAgentFromElsewhereTakesPart(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("an ordinary user's run takes filters, which the caller's network does not give it")
	}
	dir := filepath.Join(t.TempDir(), "run")
	run, said := start(t, append(slices.Clone(atHome), "--out", dir)...)
	join := filepath.Join(dir, "join")
	url := waitForFile(t, filepath.Join(join, "url"), filepath.Join(join, "token"), filepath.Join(join, "ca.pem"))
	if !strings.HasPrefix(url, "tls://127.0.0.1:") {
		t.Fatalf("agents are sent to %q", url)
	}
	stranger, words := start(t, "agent", "--join", url, "--ca", filepath.Join(join, "ca.pem"), "--name", "stranger")
	if code := waitFor(t, stranger, 30*time.Second); code == exitGood || !strings.Contains(strings.ToLower(words.String()), "authorization") {
		t.Errorf("an agent without the token: exit %d, %s", code, words)
	}
	agent, words := start(t, "agent", "--join", url, "--ca", filepath.Join(join, "ca.pem"), "--token-file", filepath.Join(join, "token"), "--name", "laptop")
	if code := waitFor(t, run, time.Minute); code != exitGood {
		t.Fatalf("the run: exit %d\n%s", code, said)
	}
	if code := waitFor(t, agent, 20*time.Second); code != exitGood {
		t.Errorf("the agent: exit %d, want it to end with the run\n%s", code, words)
	}
	p := readRun(t, dir)
	found := false
	for _, a := range p.run.Agents {
		found = found || a.ID == "laptop" && a.Connections > 0 && !a.Lost
	}
	if !found || p.run.Attempts.Failed != 0 {
		t.Errorf("agents %+v, attempts %+v: want the laptop's connections among them, none failed", p.run.Agents, p.run.Attempts)
	}
}

// waitForFile waits until another process has written the files, and returns the first one's text.
func waitForFile(t *testing.T, paths ...string) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		missing := slices.ContainsFunc(paths, func(p string) bool { text, err := os.ReadFile(p); return err != nil || len(text) == 0 })
		if !missing {
			text, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v never came", paths)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAgentRefusals(t *testing.T) {
	t.Setenv(envToken, "")
	for _, tc := range []struct {
		why  string
		args []string
		want string
	}{
		{"no URL", nil, "--join is missing"},
		{"a scheme that is not NATS's", []string{"--join", "http://h:1"}, "not one of unix, nats, tls"},
		{"a token file that is not there", []string{"--join", "tls://h:1", "--token-file", "/nonexistent"}, "--token-file"},
		{"an authority for a connection without TLS", []string{"--join", "nats://h:1", "--ca", "agent_test.go"}, "needs tls://"},
		{"a group with a dot", []string{"--join", "tls://h:1", "--group", "a.b"}, "not allowed"},
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"agent"}, tc.args...), nil, &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), tc.want) {
			t.Errorf("%s: exit %d, %q; want exit 2 and %q", tc.why, code, errs.String(), tc.want)
		}
	}
}

func TestAgentManifest(t *testing.T) {
	t.Setenv(envToken, "open-sesame")
	var out, errs bytes.Buffer
	if code := run([]string{"agent", "--join", "tls://192.0.2.1:4222", "--manifest", "--replicas", "4", "--image", "registry.test/tlsurge:1"}, nil, &out, &errs); code != exitGood {
		t.Fatalf("exit %d, %s", code, &errs)
	}
	for _, want := range []string{"kind: Secret", `token: "open-sesame"`, "kind: Job", "parallelism: 4", `image: "registry.test/tlsurge:1"`,
		`"--join", "tls://192.0.2.1:4222"`, "restartPolicy: OnFailure"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the manifest has no %s:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "--ca") {
		t.Error("an authority is named that nobody gave")
	}
}
