package explain_test

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/explain"
	"tlsurge/faults/stage"
	"tlsurge/profiles/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestGolden: a rule of each engine, explained.
func TestGolden(t *testing.T) {
	rules := []faults.Rule{
		{Name: "cut-first-handshakes", Action: faults.Drop, At: stage.ClientHello, Probability: 0.02, Times: 3, Limit: 500,
			From: 20 * time.Second, Until: 40 * time.Second, Who: faults.Selector{Profile: "firefox-*", Edge: "edge-2", Attempt: 1}},
		{Name: "lost-hellos", Index: 1, Engine: faults.EngineAuto, Action: faults.Drop, At: stage.ServerHello, Probability: 1},
		{Name: "resets", Index: 2, Action: faults.Reset, At: stage.ServerHello, Probability: 0.07},
		{Name: "slow-answers", Index: 3, Action: faults.Delay, At: stage.Response, Probability: 0.5, Duration: 300 * time.Millisecond, Jitter: 50 * time.Millisecond},
		{Name: "loss", Index: 4, Engine: faults.EngineLink, Action: faults.Drop, PerPacket: true, Probability: 0.01, Burst: 4},
		{Name: "in-the-train", Index: 5, Action: faults.Shape, Model: "train", Probability: 1, Ramp: 5 * time.Second, Until: time.Minute},
		{Name: "too-many", Index: 6, Action: faults.TableFull, Max: 512, Probability: 1},
		{Name: "middlebox", Index: 8, Action: faults.Reset, At: stage.ClientHello, Probability: 1, Hello: faults.HelloMatch{Offers: wire.TLS13, MinBytes: 512}},
		{Name: "second-request", Index: 9, Action: faults.Reset, At: stage.Request, Request: 2, Probability: 1},
		{Name: "deadline", Index: 7, Action: faults.HandshakeDeadline, Duration: 5 * time.Second, Probability: 0.1},
	}
	var b strings.Builder
	for _, r := range rules {
		text, err := explain.Rule(r)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(text + "\n")
	}
	golden(t, "testdata/rules.txt", b.String())
	golden(t, "testdata/list.txt", explain.Text(explain.List()))
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is said now (-rewrite writes it anew):\n%s", file, got)
	}
}

// TestRefusals: what Resolve refuses is refused in its words, and what the machine lacks too.
func TestRefusals(t *testing.T) {
	if _, err := explain.Rule(faults.Rule{Name: "x", Action: faults.Shape, Model: "5g"}); err == nil || !strings.Contains(err.Error(), "there are edge-2015") {
		t.Errorf("%v", err)
	}
	if _, err := explain.Rule(faults.Rule{Name: "x", Action: faults.Drop, At: stage.ServerHello}, faults.NetAdmin); !errors.Is(err, faults.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// TestNothingLeftOpen: every cell can be explained, with no parameter's name left in the text.
func TestNothingLeftOpen(t *testing.T) {
	for _, c := range faults.Cells() {
		stages := c.Stages
		if c.NoStage || c.PerPacket {
			stages = append(stages[:len(stages):len(stages)], stage.None)
		}
		for _, s := range stages {
			r := faults.Rule{Name: "r", Engine: c.Engine, Action: c.Action, At: s, PerPacket: s == stage.None && c.PerPacket, Probability: 1,
				Duration: time.Second, Bytes: 1, Rate: 1, Max: 1, Model: "3g"}
			if c.Action == faults.Alert {
				r.Alert = 70
			}
			text, err := explain.Rule(r)
			if err != nil {
				t.Error(err)
			}
			if strings.Contains(text, "`") || strings.Contains(text, "armed \n") || strings.Contains(text, "does       \n") {
				t.Errorf("left open:\n%s", text)
			}
		}
	}
}
