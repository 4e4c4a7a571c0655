package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tlsurge/harness/symptom"
)

const recordedCaptures = "../../harness/symptom/testdata/captures"

// TestReproOfACapture: a capture of the failing connection goes in, and out comes what made it fail; what the
// confirming run recorded shows the same.
func TestReproOfACapture(t *testing.T) {
	if testing.Short() {
		t.Skip("a fleet")
	}
	dir := filepath.Join(t.TempDir(), "repro")
	capture, err := filepath.Abs(filepath.Join(recordedCaptures, "fallback-refused.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	cmd, stderr := start(t, "repro", capture, "--budget", "20s", "--quiet", "--out", dir)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "repro.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Reproduced bool
		Cause      string
		Recipe     struct{ Faults []struct{ Action, At string } }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if !r.Reproduced || r.Cause != "first handshake cut, fallback refused" || len(r.Recipe.Faults) != 1 {
		t.Errorf("%s", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "scenario.toml")); err != nil {
		t.Error(err)
	}
	packets := filepath.Join(dir, "evidence", "client.pcapng")
	if _, err := os.Stat(packets); err != nil {
		t.Logf("this machine records no packets: %v", err)
		return
	}
	again, err := symptom.Read(context.Background(), []string{packets}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(again.Signatures, func(s symptom.Signature) bool { return s.Alert == 86 && s.Sender == "server" }) {
		t.Errorf("the evidence shows no alert 86: %v", again.Signatures)
	}
}

// TestReproOfPlainHTTP: a capture without TLS is no report of a failure of TLS.
func TestReproOfPlainHTTP(t *testing.T) {
	for _, name := range []string{"plain-http", "http-to-https", "fine"} {
		var out, errs bytes.Buffer
		code := run([]string{"repro", filepath.Join(recordedCaptures, name+".pcap"), "--out", t.TempDir()}, strings.NewReader(""), &out, &errs)
		if said := strings.Contains(errs.String(), "plain HTTP, no TLS"); code != 1 || said == (name == "fine") || !strings.Contains(errs.String(), "nothing to reproduce") {
			t.Errorf("%s: exit code %d: %s", name, code, errs.String())
		}
	}
}
