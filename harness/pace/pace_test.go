package pace

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func take(s Schedule, n int) []time.Duration {
	var out []time.Duration
	for range n {
		at, ok := s.Next()
		if !ok {
			break
		}
		out = append(out, at)
	}
	return out
}

const second = time.Second

func TestEvenly(t *testing.T) {
	for _, c := range []struct {
		why   string
		curve Curve
		until time.Duration
		want  []time.Duration // the first few
		n     int             // arrivals in all
	}{
		{"a constant rate spaces evenly from the very start", Constant(4), second,
			[]time.Duration{0, second / 4, second / 2, 3 * second / 4}, 4},
		{"a rate of nothing has no arrivals", Constant(0), time.Hour, nil, 0},
		{"a ramp from 0 has its n-th arrival at sqrt(2n/slope)", Ramp(0, 2, second), second,
			[]time.Duration{0}, 1},
		{"a ramp goes on at its final rate", Ramp(0, 2, second), 3 * second,
			[]time.Duration{0, second, 3 * second / 2, 2 * second, 5 * second / 2}, 5},
		{"a ramp down runs dry and stays so", Ramp(4, 0, second), time.Hour,
			[]time.Duration{0}, 2},
		{"steps follow one another", Steps(second, 1, 2), 2 * second,
			[]time.Duration{0, second, 3 * second / 2}, 3},
		{"a spike is a spike", Spike(1, 4, second, second), 3 * second,
			[]time.Duration{0, second, 5 * second / 4, 3 * second / 2, 7 * second / 4, 2 * second}, 6},
	} {
		got := take(Evenly(c.curve, c.until), 1000)
		if len(got) != c.n {
			t.Errorf("%s: %d arrivals, want %d (%v)", c.why, len(got), c.n, got)
			continue
		}
		for i, w := range c.want {
			if d := got[i] - w; d < -1 || d > 1 {
				t.Errorf("%s: arrival %d at %v, want %v", c.why, i, got[i], w)
			}
		}
	}
}

func TestSineSwingsAroundItsMean(t *testing.T) {
	s := Sine{Mean: 100, Swing: 60, Period: 4 * second}
	var quarter [4]int
	for _, at := range take(Evenly(s, 4*second), 1000) {
		quarter[at/second]++
	}
	// The integral over a quarter period is mean ± swing·2/π: 138.2 and 61.8.
	for i, want := range []int{138, 138, 62, 62} {
		if d := quarter[i] - want; d < -1 || d > 1 {
			t.Errorf("quarter %d: %d arrivals, want %d", i, quarter[i], want)
		}
	}
}

// The law of every curve: When is the inverse of Arrivals, and neither goes back.
func TestCurvesInvert(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 5000)
		var c Curve
		switch rapid.IntRange(0, 4).Draw(t, "curve") {
		case 0:
			c = Constant(rate.Draw(t, "rate"))
		case 1:
			c = Ramp(rate.Draw(t, "from"), rate.Draw(t, "to"), time.Duration(rapid.Int64Range(1e6, 1e11).Draw(t, "over")))
		case 2:
			c = Steps(second, rate.Draw(t, "a"), rate.Draw(t, "b"), rate.Draw(t, "c"))
		case 3:
			c = Spike(rate.Draw(t, "base"), rate.Draw(t, "peak"), second, second)
		case 4:
			mean := rate.Draw(t, "mean")
			c = Sine{mean, mean * rapid.Float64Range(0, 1).Draw(t, "swing"), 10 * second}
		}
		n := rapid.Float64Range(0, 20_000).Draw(t, "n")
		at := c.When(n)
		if at == never {
			t.Fatalf("a curve that goes on for ever never reaches %v", n)
		}
		// A nanosecond at the highest rate is 1e-5 arrivals.
		if got := c.Arrivals(at); math.Abs(got-n) > 1e-4+n*1e-9 {
			t.Fatalf("Arrivals(When(%v)) = %v", n, got)
		}
		if later := c.When(n + 1); later < at {
			t.Fatalf("arrival %v at %v, the next at %v", n, at, later)
		}
	})
}

func TestPoisson(t *testing.T) {
	a := take(Poisson(Constant(1000), 7, 100*second), 200_000)
	b := take(Poisson(Constant(1000), 7, 100*second), 200_000)
	if len(a) != len(b) {
		t.Fatal("one seed, two schedules")
	}
	var sum, squares float64
	var last time.Duration
	for i, at := range a {
		if at != b[i] {
			t.Fatal("one seed, two schedules")
		}
		if at < last || at >= 100*second {
			t.Fatalf("arrival %d at %v after %v", i, at, last)
		}
		gap := (at - last).Seconds()
		sum, squares, last = sum+gap, squares+gap*gap, at
	}
	// 100,000 arrivals expected with a standard deviation of 316; gaps of an exponential distribution
	// have a standard deviation equal to their mean.
	n := float64(len(a))
	if math.Abs(n-100_000) > 5*316 {
		t.Errorf("%v arrivals, want about 100,000", n)
	}
	mean := sum / n
	if dev := math.Sqrt(squares/n - mean*mean); math.Abs(dev/mean-1) > 0.03 {
		t.Errorf("gaps have mean %v and deviation %v: not exponential", mean, dev)
	}
	if other := take(Poisson(Constant(1000), 8, 100*second), 1); other[0] == a[0] {
		t.Error("another seed, the same arrivals")
	}
}

// Together the shares are the schedule: nothing lost, nothing twice.
func TestShare(t *testing.T) {
	whole := take(Poisson(Constant(500), 3, 10*second), 10_000)
	const agents = 3
	var parts [agents][]time.Duration
	for i := range agents {
		parts[i] = take(Share(Poisson(Constant(500), 3, 10*second), i, agents), 10_000)
	}
	for i, at := range whole {
		if got := parts[i%agents][i/agents]; got != at {
			t.Fatalf("arrival %d at %v, its agent has %v", i, at, got)
		}
	}
	if n := len(parts[0]) + len(parts[1]) + len(parts[2]); n != len(whole) {
		t.Fatalf("%d arrivals over all agents, want %d", n, len(whole))
	}
}

func TestReadTimes(t *testing.T) {
	for _, c := range []struct {
		why, in string
		want    []time.Duration
		err     string
	}{
		{"seconds count from the first", "10\n10.5\n\n# a comment\n12\n", []time.Duration{0, second / 2, 2 * second}, ""},
		{"so do dates", "2015-01-13T12:22:59Z\n2015-01-13T12:23:09.25Z\n", []time.Duration{0, 10250 * time.Millisecond}, ""},
		{"equal times are a burst", "1\n1\n", []time.Duration{0, 0}, ""},
		{"time does not go back", "1\n0.5\n", nil, "line 2: \"0.5\" is earlier"},
		{"one form per file", "1\n2015-01-13T12:22:59Z\n", nil, "line 2: \"2015-01-13T12:22:59Z\" is a time, the lines before are seconds"},
		{"nothing else is a time", "soon\n", nil, "line 1: \"soon\" is neither"},
		{"NaN is not a time", "NaN\n", nil, "line 1"},
		{"an empty file is a mistake", "\n", nil, "no arrivals"},
	} {
		got, err := ReadTimes(strings.NewReader(c.in))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.why, err, c.err)
			}
			continue
		}
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %v, %v", c.why, got, err)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: arrival %d at %v, want %v", c.why, i, got[i], c.want[i])
			}
		}
	}
}

// The law: what is accepted starts at 0, never goes back, and replays as it was read.
func FuzzReadTimes(f *testing.F) {
	f.Add("10\n10.5\n")
	f.Add("2015-01-13T12:22:59Z\n2015-01-13T12:23:09.25+01:00\n")
	f.Add("1e9\n1e309\n-1\n")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := ReadTimes(strings.NewReader(in))
		if err != nil {
			return
		}
		var last time.Duration
		if got[0] != 0 {
			t.Fatalf("the first arrival is at %v", got[0])
		}
		for i, at := range take(Times(got), len(got)+1) {
			if at < last || at != got[i] {
				t.Fatalf("arrival %d at %v after %v", i, at, last)
			}
			last = at
		}
	})
}
