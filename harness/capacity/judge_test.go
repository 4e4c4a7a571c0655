package capacity

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/bench"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// second is one second of a made-up run.
func second(at int64, established, requests, failed, p99ms int64) results.Sample {
	return results.Sample{AtNs: at * 1e9, LengthNs: 1e9, Phase: "step", Established: established, Requests: requests, Answered: requests - failed,
		RequestsFailed: failed, Handshakes: requests, ResponseP99Ns: p99ms * 1e6, HandshakeP99Ns: p99ms * 1e6}
}

// calm is a run of two seconds' ramp and four seconds' hold in which nothing is wrong at 100.
func calm() *results.Run {
	r := &results.Run{DurationNs: 6e9, Verdict: results.Verdict{State: results.Valid}, Machine: results.Machine{CPUs: 2},
		Phases:   []results.Phase{{Name: "step", DurationNs: 6e9}},
		Requests: results.Requests{Sent: 500, OK: 500},
		Users:    []results.UserRow{{PageLoads: 100, Fine: 100}}}
	r.Timeline = []results.Sample{second(1, 10, 10, 0, 900), second(2, 60, 60, 0, 900)}
	for at := int64(3); at <= 6; at++ {
		r.Timeline = append(r.Timeline, second(at, 100, 100, 0, 5))
	}
	return r
}

func TestJudge(t *testing.T) {
	lim := Limits{P99: 20 * time.Millisecond, ErrorShare: 0.001, MetShare: 0.98}
	for _, tc := range []struct {
		why    string
		of     Dimension
		change func(*results.Run)
		want   []Knee
	}{
		{"a calm run; its ramp counts for nothing", Connections, func(*results.Run) {}, nil},
		{"the same by handshakes and requests", Requests, func(*results.Run) {}, nil},
		{"one slow second is noise", Connections, func(r *results.Run) { r.Timeline[4].ResponseP99Ns = 1e9 }, nil},
		{"most seconds are slow", Connections, func(r *results.Run) {
			for i := 3; i < 6; i++ {
				r.Timeline[i].ResponseP99Ns = 30e6
			}
		}, []Knee{Latency}},
		{"a user sees an error", Connections, func(r *results.Run) { r.Users[0].SawError = 1 }, []Knee{Errors}},
		{"a request fails", Requests, func(r *results.Run) { r.Requests.Failed = 1 }, []Knee{Errors}},
		{"a fallback without a cause", Connections, func(r *results.Run) {
			r.Outcomes = []results.OutcomeRow{{Kind: results.KindFallback, Count: 2}}
		}, []Knee{Fallback}},
		{"a fallback that pressure on the edge began", Connections, func(r *results.Run) {
			r.Faults = []results.FaultRow{{Name: "pressure", Engine: "edge"}}
			r.Outcomes = []results.OutcomeRow{{Kind: results.KindFallback, Fault: "pressure", Count: 2}}
		}, []Knee{Fallback}},
		{"a fallback that was injected", Connections, func(r *results.Run) {
			r.Faults = []results.FaultRow{{Name: "cut", Engine: "relay"}}
			r.Outcomes = []results.OutcomeRow{{Kind: results.KindFallback, Fault: "cut", Count: 2}}
		}, nil},
		{"fewer are held than asked for", Connections, func(r *results.Run) {
			for i := range r.Timeline {
				r.Timeline[i].Established = 97
			}
		}, []Knee{Unmet}},
		{"requests that fail are not answered", Requests, func(r *results.Run) {
			for i := range r.Timeline {
				r.Timeline[i].RequestsFailed, r.Timeline[i].Answered = 3, 97
			}
		}, []Knee{Unmet}},
		{"the generator lagged", Connections, func(r *results.Run) {
			r.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"schedule lag p99 300 ms"}}
		}, []Knee{Generator}},
	} {
		run := calm()
		tc.change(run)
		got := judge(run, tc.of, 100, 2*time.Second, 0, lim)
		if len(got.Bad) != len(tc.want) || len(got.Words) != len(tc.want) {
			t.Errorf("%s: %q, want %v", tc.why, got.Words, tc.want)
		}
		for _, k := range tc.want {
			if !got.Bad[k] {
				t.Errorf("%s: %q, want %v", tc.why, got.Words, tc.want)
			}
		}
	}
}

func TestCulprits(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(*results.Run)
		want   string // beginning of the first; "": none
	}{
		{"nothing to blame", func(*results.Run) {}, ""},
		{"the log says that the table is full", func(r *results.Run) {
			r.Edges = []results.EdgeRow{{LogLines: []results.LogLine{{Level: "alert", Reason: "1024 worker_connections are not enough", Count: 3}}}}
		}, "the edge's connection table"},
		{"the table is full and says nothing, as nginx 1.6.2 while it finds idle connections to close", func(r *results.Run) {
			r.Edges = []results.EdgeRow{{PeakEstablished: 198}}
		}, "the edge's connection table"},
		{"the accept queue, in a namespace of our own", func(r *results.Run) {
			r.Kernel, r.KernelNamespace = map[string]int64{"ListenOverflows": 9}, "own"
		}, "the accept queue"},
		{"no ports", func(r *results.Run) {
			r.Outcomes = []results.OutcomeRow{{Class: results.ClassNoResource, Count: 4}}
		}, "ports or files of the generator"},
		{"a slow application beside an idle processor", func(r *results.Run) {
			r.Latency = map[string]map[string]results.Percentiles{"first_byte": {"service_time": {P99Ns: 400e6}}, "handshake": {"service_time": {P99Ns: 6e6}}}
		}, "the application behind the edge"},
		{"a busy machine, the edges most of all", func(r *results.Run) {
			r.Edges, r.Agents = []results.EdgeRow{{CPUNs: 8e9}}, []results.AgentRow{{CPUNs: 3e9}}
		}, "the edges' processor time"},
		{"a busy machine, the agents most of all", func(r *results.Run) {
			r.Edges, r.Agents = []results.EdgeRow{{CPUNs: 3e9}}, []results.AgentRow{{CPUNs: 8e9}}
		}, "the generator's processor time"},
		{"what cannot be otherwise comes before what may be", func(r *results.Run) {
			r.Agents = []results.AgentRow{{CPUNs: 12e9}}
			r.Edges = []results.EdgeRow{{LogLines: []results.LogLine{{Reason: "worker_connections are not enough", Count: 1}}}}
		}, "the edge's connection table"},
	} {
		run := calm()
		tc.change(run)
		list := culprits(run, bounds{table: 200}, 0, 0)
		if tc.want == "" && len(list) > 0 || tc.want != "" && (len(list) == 0 || !strings.HasPrefix(list[0].What, tc.want)) {
			t.Errorf("%s: %+v, want %q first", tc.why, list, tc.want)
		}
	}
}

// What an edge on one processor shows when it has too much to do: its processor is used up, its accept queue runs
// over because of that, and its application seems slow. The processor is named, at the first step that shows it.
func TestTheCauseComesBeforeWhatFollows(t *testing.T) {
	overloaded := func(cpu int64) Seen {
		run := calm()
		run.Edges = []results.EdgeRow{{CPUNs: cpu, LogLines: []results.LogLine{{Reason: "upstream timed out", Count: 2}}}}
		run.Kernel, run.KernelNamespace = map[string]int64{"ListenOverflows": 90}, "own"
		return Seen{Run: run}
	}
	s := &search{Config: Config{Scenario: &scenario.Scenario{}, Ramp: 2 * time.Second}}
	s.Scenario.Fleet.CPUs = 1
	for _, tc := range []struct {
		why  string
		bad  []Seen
		want string
	}{
		{"one processor, used up", []Seen{overloaded(54e8)}, "the edges' processor time"},
		{"used up while the load stood, half used in the ramp", []Seen{overloaded(44e8)}, "the edges' processor time"},
		{"just beyond the knee only the queue speaks, and the next step says why", []Seen{overloaded(3e9), overloaded(48e8)}, "the edges' processor time"},
		{"a processor that has time left", []Seen{overloaded(2e9), overloaded(21e8)}, "the application behind the edge"},
	} {
		list := s.blame(tc.bad)
		if len(list) == 0 || list[0].What != tc.want {
			t.Errorf("%s: %+v, want %q first", tc.why, list, tc.want)
		}
	}
}

// TestASearchThatDoesNotHoldIsLowered: a capacity whose testing stage fails is no capacity.
func TestASearchThatDoesNotHoldIsLowered(t *testing.T) {
	tests := 0
	runner := func(_ context.Context, _ bench.Side, p bench.Part, _ uint64, label string) (*results.Run, error) {
		sc, err := scenario.Load(p.Scenario, scenario.Overrides{})
		if err != nil {
			return nil, err
		}
		run := calm()
		held := int64(sc.Phases[0].Connections)
		if strings.Contains(label, "confirm") {
			tests++
			if tests == 1 {
				held /= 2
			}
		}
		for i := range run.Timeline {
			run.Timeline[i].Established = min(held, 500)
		}
		return run, nil
	}
	sc, err := scenario.Load("peak-39k", scenario.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Search(t.Context(), Config{Scenario: sc, Dimension: Connections, Plan: Plan{Start: 100, Max: 1000, Precision: 0.1, Steps: 12},
		Limits: DefaultLimits(), Ramp: 2 * time.Second, Hold: 4 * time.Second, Dir: t.TempDir()}, runner)
	if err != nil {
		t.Fatal(err)
	}
	if tests != 2 || !r.Confirmed || r.Capacity >= 500 || r.Capacity < 300 {
		t.Errorf("capacity %.0f, confirmed %t after %d tests: want a lower load that held at the second test", r.Capacity, r.Confirmed, tests)
	}
}

// A rate that sags by a tenth for half a minute is not constant; seconds that differ because a report came late are.
func TestDeviation(t *testing.T) {
	minute := func(rate func(second int) int64) (held []results.Sample) {
		for i := range 90 {
			held = append(held, results.Sample{LengthNs: int64(time.Second), Requests: rate(i), Answered: rate(i)})
		}
		return held
	}
	late := minute(func(i int) int64 { return 100 + int64(i%2)*200 - 100 })
	if d := deviation(late, Requests); d > 0.01 {
		t.Errorf("reports that come late: %.3f", d)
	}
	sags := minute(func(i int) int64 { return 100 - int64(i/60)*10 })
	if d := deviation(sags, Requests); d < 0.05 {
		t.Errorf("a sag of 10 %%: %.3f", d)
	}
	if d := deviation(sags[:40], Requests); d != 0 {
		t.Errorf("too short to tell: %.3f", d)
	}
}

// The document names suites, and the key that each goes with: another is no error, and said.
func TestPresetNotesOtherSuitesAndKeys(t *testing.T) {
	for _, tc := range []struct{ key, suite, departure string }{
		{"rsa-2048", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ""},
		{"rsa-2048", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "over a key of rsa-2048, where the document has rsa-4096"},
		{"ecdsa-p256", "TLS_AES_256_GCM_SHA384", ""},
		{"rsa-2048", "TLS_RSA_WITH_AES_128_CBC_SHA", "does not name"},
	} {
		p, err := RFC9411(Handshakes, 0)
		if err != nil {
			t.Fatal(err)
		}
		sc := &scenario.Scenario{}
		sc.Fleet.Key = tc.key
		p.Traffic(sc, Handshakes)
		p.see(&results.Run{Handshakes: results.Handshakes{BySuite: map[string]int64{tc.suite: 3}}})
		if got := strings.Join(p.Departures, "; "); !strings.Contains(got, tc.departure) || tc.departure == "" && got != "" {
			t.Errorf("%s over %s: departures %q, want %q", tc.suite, tc.key, got, tc.departure)
		}
	}
}

// What edges use of their processors is read from the seconds in which the load stood, by the edges' own clocks, and is
// never more than there is.
func TestEdgeShare(t *testing.T) {
	second := func(cpu, waited, measured time.Duration) results.Sample {
		return results.Sample{LengthNs: 1e9, EdgeCPUNs: int64(cpu), EdgeWaitedNs: int64(waited), EdgeMeasuredNs: int64(measured)}
	}
	const ms = time.Millisecond
	for _, tc := range []struct {
		why          string
		held         []results.Sample
		cpus         int
		used, wanted float64
	}{
		{"a run that does not say", []results.Sample{{LengthNs: 1e9}}, 1, 0, 0},
		{"a scenario without a limit", []results.Sample{second(900*ms, 0, 1000*ms)}, 0, 0, 0},
		{"half of two processors", []results.Sample{second(900*ms, 0, 1000*ms), second(1100*ms, 0, 1000*ms)}, 2, 0.5, 0.5},
		{"a report that comes late covers more", []results.Sample{second(0, 0, 0), second(1800*ms, 0, 2000*ms)}, 1, 0.9, 0.9},
		{"a processor that others have", []results.Sample{second(300*ms, 650*ms, 1000*ms)}, 1, 0.3, 0.95},
		{"several threads wait for one processor", []results.Sample{second(600*ms, 1900*ms, 1000*ms)}, 1, 0.6, 1},
		{"clocks that differ", []results.Sample{second(1010*ms, 0, 1000*ms)}, 1, 1, 1},
	} {
		if used, wanted := edgeShare(tc.held, tc.cpus); math.Abs(used-tc.used) > 1e-9 || math.Abs(wanted-tc.wanted) > 1e-9 {
			t.Errorf("%s: used %.3f, wanted %.3f; want %.3f and %.3f", tc.why, used, wanted, tc.used, tc.wanted)
		}
	}
}
