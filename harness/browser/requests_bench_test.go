package browser

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/pace"
	"tlsurge/results"
	"tlsurge/results/hist"
)

// The peers that can be installed here: wrk, which asks again when it was answered, and h2load, with a rate for each
// connection or none. wrk2, k6, vegeta, fortio and bombardier are no packages of Debian.

// peerRun is what a peer says of itself.
type peerRun struct {
	requests int64
	cpu      time.Duration
	p50, p99 time.Duration
	max      time.Duration
}

// peer is one of them: 50 connections from one thread; rate is of all requests, where it can keep one.
type peer struct {
	name string
	run  func(tb testing.TB, addr netip.AddrPort, d time.Duration, rate int) (peerRun, bool)
}

var peers = []peer{{"wrk", runWrk}, {"h2load", runH2load}}

func runWrk(tb testing.TB, addr netip.AddrPort, d time.Duration, _ int) (r peerRun, there bool) {
	out, cmd, there := runPeer(tb, "wrk", "-t", "1", "-c", "50", "-d", d.String(), "--latency", fmt.Sprintf("https://%s/", addr))
	if !there {
		return r, false
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "50%":
			r.p50, _ = time.ParseDuration(f[1])
		case len(f) == 2 && f[0] == "99%":
			r.p99, _ = time.ParseDuration(f[1])
		case len(f) == 5 && f[0] == "Latency": // average, deviation, maximum, share within the deviation
			r.max, _ = time.ParseDuration(f[3])
		case strings.Contains(line, "requests in"):
			fmt.Sscan(f[0], &r.requests)
		}
	}
	if r.requests == 0 {
		tb.Fatalf("wrk said %q", out)
	}
	return r, true
}

func runH2load(tb testing.TB, addr netip.AddrPort, d time.Duration, rate int) (r peerRun, there bool) {
	log := filepath.Join(tb.TempDir(), "h2load.tsv")
	args := []string{"--h1", "-t", "1", "-c", "50", "-D", fmt.Sprint(d.Seconds())}
	if rate > 0 {
		args = append(args, "--rps", fmt.Sprint(rate/50), "--log-file", log)
	}
	out, cmd, there := runPeer(tb, "h2load", append(args, fmt.Sprintf("https://%s/", addr))...)
	if !there {
		return r, false
	}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	for line := range strings.Lines(out) {
		if i := strings.Index(line, " done, "); strings.HasPrefix(line, "requests:") && i > 0 {
			fields := strings.Fields(line[:i])
			fmt.Sscan(fields[len(fields)-1], &r.requests)
		}
	}
	if r.requests == 0 {
		tb.Fatalf("h2load said %q", out)
	}
	if rate > 0 {
		r.p50, r.p99, r.max = quantilesOf(tb, log)
	}
	return r, true
}

// quantilesOf reads h2load's log: start, status, microseconds to the end of the answer.
func quantilesOf(tb testing.TB, log string) (p50, p99, most time.Duration) {
	f, err := os.Open(log)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var all []int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var start, status, us int64
		if _, err := fmt.Sscan(lines.Text(), &start, &status, &us); err == nil {
			all = append(all, us)
		}
	}
	if len(all) == 0 {
		tb.Fatal("h2load logged nothing")
	}
	slices.Sort(all)
	at := func(q float64) time.Duration {
		return time.Duration(all[int(q*float64(len(all)-1))]) * time.Microsecond
	}
	return at(0.5), at(0.99), at(1)
}

func runPeer(tb testing.TB, name string, args ...string) (out string, cmd *exec.Cmd, there bool) {
	bin, err := exec.LookPath(name)
	if err != nil {
		return "", nil, false
	}
	cmd = exec.Command(bin, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	text, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return string(text), cmd, true
}

// playBench is one run of an agent, with the CPU time that its load took.
func playBench(b *testing.B, cfg *Config, during func()) (*results.Recorder, time.Duration) {
	rec := results.NewRecorder(results.RecorderConfig{Seed: 1, Phase: "test"})
	a, err := NewAgent(cfg, rec, func(faults.Firing) {})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Warm(context.Background()); err != nil {
		b.Fatal(err)
	}
	start := cpu()
	if during != nil {
		during()
	}
	if err := a.Run(context.Background(), time.Now()); err != nil {
		b.Fatal(err)
	}
	return rec, cpu() - start
}

// BenchmarkKeepaliveRequests drives 50 keepalive connections as fast as nginx answers, with an agent and with
// each peer in turn, and reports the median over the rounds of the client's CPU time per request of each, and of the
// ratios within a round.
func BenchmarkKeepaliveRequests(b *testing.B) {
	const each = 3 * time.Second
	s := nginx(b, 1, "")
	cfg := config(s, Visitor{Profile: profile(b, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Closed, Connections: 50, PerBrowser: [2]int{1, 1}, Duration: each}
	per := func(r peerRun) float64 { return float64(r.cpu.Nanoseconds()) / 1000 / float64(r.requests) }
	var ours, rate []float64
	theirs, ratios := make([][]float64, len(peers)), make([][]float64, len(peers))
	for range b.N {
		rec, spent := playBench(b, cfg, nil)
		t := rec.Totals()
		if t.Failed != 0 || t.RequestsFailed != 0 {
			b.Fatalf("%+v", t)
		}
		mine := per(peerRun{requests: t.RequestsOK, cpu: spent})
		ours, rate = append(ours, mine), append(rate, float64(t.RequestsOK)/each.Seconds())
		for i, p := range peers {
			if r, there := p.run(b, s.edges[0].Addr, each, 0); there {
				theirs[i], ratios[i] = append(theirs[i], per(r)), append(ratios[i], mine/per(r))
			}
		}
	}
	b.ReportMetric(middle(ours), "cpu-us/request")
	b.ReportMetric(middle(rate), "requests/s")
	for i, p := range peers {
		if len(ratios[i]) > 0 {
			b.ReportMetric(middle(theirs[i]), p.name+"-cpu-us/request")
			b.ReportMetric(middle(ratios[i]), "ratio-to-"+p.name)
			b.ReportMetric(slices.Max(ratios[i]), "worst-ratio-to-"+p.name)
		}
	}
}

// middle is the median.
func middle(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// stall stops a process for a time, half-way through a run, and says how long it really was.
func stall(pid int, after, length time.Duration) <-chan time.Duration {
	measured := make(chan time.Duration, 1)
	time.AfterFunc(after, func() {
		start := time.Now()
		syscall.Kill(pid, syscall.SIGSTOP)
		time.Sleep(length)
		syscall.Kill(pid, syscall.SIGCONT)
		measured <- time.Since(start)
	})
	return measured
}

// BenchmarkStall stops nginx for a second under open load and holds the percentiles that fall into the
// stall against the truth, which the schedule alone gives: a request that was due when t of the stall was
// left takes t. A generator that waits for answers before it asks again does not see the stall at all: what the peers
// say of the same stall stands beside.
func BenchmarkStall(b *testing.B) {
	const rate, length, pause = 1000, 10 * time.Second, time.Second
	s := nginx(b, 1, "")
	cfg := config(s, Visitor{Profile: profile(b, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 50, PerBrowser: [2]int{1, 1}, Duration: length, Requests: pace.Constant(rate)}
	// Of n requests, took·rate met the stall, evenly spread over its length.
	truth := func(q, n float64, took time.Duration) float64 { return float64(took) - (1-q)*n/rate*1e9 }
	response := func(during func()) *hist.Histogram {
		rec, _ := playBench(b, cfg, during)
		return rec.Snapshot().Latency["response.response_time"]
	}
	for range b.N {
		calm := response(nil)
		var measured <-chan time.Duration
		h := response(func() { measured = stall(s.pid, length/2, pause) })
		took := <-measured
		for _, q := range []float64{0.95, 0.99, 0.999} {
			b.ReportMetric(100*(float64(h.Quantile(q))/truth(q, float64(h.Count()), took)-1), fmt.Sprintf("p%g-error-%%", 100*q))
		}
		b.ReportMetric(100*(float64(h.Max())/float64(took)-1), "max-error-%")
		b.ReportMetric(100*(float64(h.Quantile(0.5))/float64(calm.Quantile(0.5))-1), "p50-change-%")
		b.ReportMetric(float64(h.Quantile(0.99))/1e6, "p99-ms")
		b.ReportMetric(truth(0.99, float64(h.Count()), took)/1e6, "truth-p99-ms")
		for _, p := range peers {
			measured := stall(s.pid, length/2, pause)
			if r, there := p.run(b, s.edges[0].Addr, length, rate); there {
				b.ReportMetric(float64(r.p99)/1e6, p.name+"-p99-ms")
				b.ReportMetric(float64(r.max)/1e6, p.name+"-max-ms")
			}
			<-measured
		}
	}
}
