package results_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

func goodAttempt(browser uint32) *results.Attempt {
	return &results.Attempt{Key: faults.Key{Phase: "p", Browser: browser, Attempt: 1}, Profile: "firefox-35-osx", Edge: "edge-1", Kind: "first",
		Class: results.ClassOK, Alert: -1, Stage: "response", HandshakeNs: 1, Version: "TLS 1.2", Suite: "S", Group: "x25519"}
}

// TestAGoodAttemptDoesNotAllocate: tens of thousands of connections per loop leave no room for it.
func TestAGoodAttemptDoesNotAllocate(t *testing.T) {
	r := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "p", Agent: "a", SampleEvery: 1 << 62})
	a := goodAttempt(1)
	life := func() {
		r.Start(time.Millisecond)
		r.Eligible("rule")
		r.Latency(results.TCPConnect, time.Millisecond, time.Millisecond)
		r.Latency(results.Handshake, 9*time.Millisecond, 8*time.Millisecond)
		r.Established(a)
		r.Request(results.RequestSent)
		r.Latency(results.Response, 3*time.Millisecond, 2*time.Millisecond)
		r.Request(results.RequestOK)
		r.PageLoad(a.Profile, results.Fine)
		r.Closed(results.ByClient)
		r.Attempt(a)
	}
	if n := testing.AllocsPerRun(200, life); n != 0 {
		t.Errorf("%g allocations per attempt", n)
	}
	if got := r.Totals(); got.Started != 201 || got.Completed != 201 || got.Opened != 201 || got.Established != 0 || got.PeakEstablished != 1 {
		t.Errorf("totals %+v", got)
	}
}

func TestEvidence(t *testing.T) {
	for _, row := range []struct {
		why  string
		with func(*results.Attempt)
		kept bool
	}{
		{"an ordinary good attempt outside the sample is only counted", func(*results.Attempt) {}, false},
		{"a failed attempt is evidence", func(a *results.Attempt) { a.Class = results.ClassReset }, true},
		{"a good attempt that continues a chain is evidence", func(a *results.Attempt) { a.HasOrigin = true }, true},
		{"a good attempt that a fault hit is evidence", func(a *results.Attempt) { a.Fault = "delay" }, true},
		{"a good attempt is evidence if its caller says so", func(a *results.Attempt) { a.Keep = true }, true},
		{"a good attempt with retransmissions is evidence", func(a *results.Attempt) { a.Retransmits = 1 }, true},
	} {
		r := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "p", SampleEvery: 1 << 62})
		a := goodAttempt(7)
		row.with(a)
		r.Start(0)
		r.Attempt(a)
		if e, ok := r.TakeEvidence(); ok != row.kept || ok && (e.Seq != 1 || len(e.Attempts) != 1) {
			t.Errorf("%s: kept %v, %+v", row.why, ok, e)
		}
		if _, again := r.TakeEvidence(); again {
			t.Errorf("%s: handed out twice", row.why)
		}
	}
}

// TestTheSampleIsAFunctionOfSeedAndKey: not of the order in which attempts end.
func TestTheSampleIsAFunctionOfSeedAndKey(t *testing.T) {
	const n, every = 20_000, 50
	sample := func(seed uint64, backwards bool) map[uint32]bool {
		r := results.NewRecorder(results.RecorderConfig{Seed: seed, Phase: "p", SampleEvery: every})
		for i := range uint32(n) {
			if backwards {
				i = n - 1 - i
			}
			r.Attempt(goodAttempt(i))
		}
		e, _ := r.TakeEvidence()
		kept := map[uint32]bool{}
		for _, a := range e.Attempts {
			kept[a.Browser] = true
		}
		return kept
	}
	forth, back, other := sample(1, false), sample(1, true), sample(2, false)
	if len(forth) < n/every*8/10 || len(forth) > n/every*12/10 {
		t.Errorf("%d of %d kept, want about %d", len(forth), n, n/every)
	}
	same := 0
	for b := range forth {
		if !back[b] {
			t.Errorf("browser %d is in the sample in one order only", b)
		}
		if other[b] {
			same++
		}
	}
	if same > len(forth)/5 {
		t.Errorf("another seed keeps %d of the same %d", same, len(forth))
	}
}

func TestSnapshotIsCumulativeIndependentAndStable(t *testing.T) {
	r := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "p", Agent: "a", Loop: 2})
	r.Start(0)
	r.Established(goodAttempt(1))
	first := r.Snapshot()
	r.Start(0)
	r.PageLoad("b", results.SawError)
	r.PageLoad("a", results.Fine)
	r.Attempt(goodAttempt(2))
	r.Attempt(goodAttempt(3))
	second := r.Snapshot()
	if first.Seq != 1 || second.Seq != 2 || first.Totals.Started != 1 || second.Totals.Started != 2 || len(first.Outcomes) != 0 {
		t.Errorf("snapshots %+v, %+v", first.Totals, second.Totals)
	}
	if second.Pages[0].Profile != "a" || second.Outcomes[0].Count != 2 {
		t.Errorf("pages %v, outcomes %v", second.Pages, second.Outcomes)
	}
	p, err := json.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	var back results.Snapshot
	if err := json.Unmarshal(p, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&back)
	if err != nil || !bytes.Equal(p, again) {
		t.Errorf("a snapshot changes on its way: %v\n%s\n%s", err, p, again)
	}
}

func TestOpenAtTheEndIsNeitherCompletedNorFailed(t *testing.T) {
	r := results.NewRecorder(results.RecorderConfig{Phase: "p"})
	established, inHandshake := goodAttempt(1), goodAttempt(2)
	inHandshake.HandshakeNs = -1
	for _, a := range []*results.Attempt{established, inHandshake} {
		r.Start(0)
		r.StillOpen(a)
	}
	s := r.Snapshot()
	if tot := s.Totals; tot.Started != 2 || tot.OpenAtEnd != 2 || tot.Completed+tot.Failed != 0 {
		t.Errorf("totals %+v", tot)
	}
	if len(s.Outcomes) != 1 || s.Outcomes[0].Count != 1 {
		t.Errorf("only the established one has an outcome: %v", s.Outcomes)
	}
}

func BenchmarkAttempt(b *testing.B) {
	r := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "p"})
	a := goodAttempt(1)
	b.ReportAllocs()
	for i := range b.N {
		a.Browser = uint32(i)
		r.Start(0)
		r.Latency(results.Handshake, 9*time.Millisecond, 8*time.Millisecond)
		r.Established(a)
		r.Closed(results.ByClient)
		r.Attempt(a)
		if i%10_000 == 0 {
			r.TakeEvidence()
		}
	}
}
