package limit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)

// ask lets requests of one key come at the given milliseconds and says what became of each.
func ask(limits []RequestLimit, at ...int) (out []string) {
	keys := make([]string, len(limits))
	for i := range keys {
		keys[i] = "k"
	}
	for _, ms := range at {
		v, _ := Take(start.Add(time.Duration(ms)*time.Millisecond), limits, keys)
		switch {
		case v.Busy:
			out = append(out, fmt.Sprintf("busy %d %s", v.Excess, v.Zone))
		default:
			out = append(out, v.Wait.String())
		}
	}
	return out
}

func TestTake(t *testing.T) {
	const never = 1 << 40
	ten := func() *Requests { return NewRequests("ten", 1<<20, 10*Thousand) }
	slow := func() *Requests { return NewRequests("slow", 1<<20, 2*Thousand) }
	for _, tc := range []struct {
		why    string
		limits []RequestLimit
		at     []int
		want   string
	}{
		{"no burst: one in 100 ms", []RequestLimit{{ten(), 0, 0}}, []int{0, 50, 99, 100, 100, 250}, "[0s busy 500 ten busy 10 ten 0s busy 1000 ten 0s]"},
		{"a burst waits its turn", []RequestLimit{{ten(), 2 * Thousand, 0}}, []int{0, 0, 0, 0, 100, 150}, "[0s 100ms 200ms busy 3000 ten 200ms busy 2500 ten]"},
		{"nodelay", []RequestLimit{{ten(), 2 * Thousand, never}}, []int{0, 0, 0, 0, 100, 150}, "[0s 0s 0s busy 3000 ten 0s busy 2500 ten]"},
		{"delay=1", []RequestLimit{{ten(), 2 * Thousand, Thousand}}, []int{0, 0, 0, 0}, "[0s 0s 100ms busy 3000 ten]"},
		{"two zones: the longer wait, the stricter no", []RequestLimit{{slow(), Thousand, 0}, {ten(), 5 * Thousand, 0}}, []int{0, 0, 0}, "[0s 500ms busy 2000 slow]"},
		{"the other way about", []RequestLimit{{ten(), 5 * Thousand, 0}, {slow(), Thousand, 0}}, []int{0, 0, 0, 500}, "[0s 500ms busy 2000 slow 500ms]"},
		{"a clock set back stands", []RequestLimit{{ten(), 0, never}}, []int{1000, 900, 1100}, "[0s busy 1000 ten 0s]"},
	} {
		if got := fmt.Sprint(ask(tc.limits, tc.at...)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.why, got, tc.want)
		}
	}
}

// What a refusal by one zone must not do is count in another.
func TestARefusedRequestCountsNowhere(t *testing.T) {
	a, b := NewRequests("a", 1<<20, 1*Thousand), NewRequests("b", 1<<20, 1*Thousand)
	both := []RequestLimit{{a, 5 * Thousand, 1 << 40}, {b, 0, 1 << 40}}
	Take(start, both, []string{"k", "k"})
	for range 9 {
		if v, _ := Take(start, both, []string{"k", "k"}); !v.Busy || v.Zone != "b" {
			t.Fatalf("%+v, want busy by b", v)
		}
	}
	if v, _ := Take(start, both[:1], []string{"k"}); v.Busy {
		t.Errorf("%+v: the nine that b refused have counted in a", v)
	}
	if _, applied := Take(start, both, []string{"", ""}); applied {
		t.Error("a request without keys is nobody's")
	}
}

// Whatever comes when, in any second and a burst no more get through than rate and burst allow.
func TestNeverMoreThanRateAndBurst(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		rate, burst := int64(1+r.IntN(50)), int64(r.IntN(20))
		l := []RequestLimit{{NewRequests("z", 1<<20, rate*Thousand), burst * Thousand, 1 << 40}}
		var passed []int
		for at, n := 0, 0; n < 400; n++ {
			at += r.IntN(60)
			if ask(l, at)[0] == "0s" {
				passed = append(passed, at)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				// a millisecond's fraction is rounded for each that passes
				if most := float64(rate)*float64(passed[j]-passed[i])/1000 + float64(burst) + 1 + float64(j-i)/1000; float64(j-i+1) > most+0.01 {
					t.Fatalf("rate %d burst %d: %d between %d and %d ms, at most %.2f", rate, burst, j-i+1, passed[i], passed[j], most)
				}
			}
		}
	}
}

func TestZonesForgetWhenFull(t *testing.T) {
	z := NewRequests("small", 128*10, Thousand)
	for i := range 100 {
		if v, _ := Take(start.Add(time.Duration(i)), []RequestLimit{{z, 0, 0}}, []string{fmt.Sprint(i)}); v.Busy {
			t.Fatalf("key %d: %+v", i, v)
		}
	}
	if z.Len() != 10 {
		t.Errorf("%d keys in a zone for 10", z.Len())
	}
	next := NewRequests("small", 128*10, Thousand)
	next.Resume(z)
	if v, _ := Take(start, []RequestLimit{{next, 0, 0}}, []string{"99"}); !v.Busy {
		t.Error("a reload forgot the states")
	}
	Take(start.Add(time.Hour), []RequestLimit{{next, 0, 0}}, []string{"new"})
	if next.Len() != 9 {
		t.Errorf("%d keys an hour later, want 9: two that ran empty go for one that comes", next.Len())
	}
}

func TestConnections(t *testing.T) {
	z := NewConnections("c", 64*2)
	if !z.Take("a", 2) || !z.Take("a", 2) || z.Take("a", 2) || !z.Take("b", 1) || z.Take("c", 1) {
		t.Error("two of a, one of b, and no memory for c")
	}
	z.Give("b")
	if !z.Take("c", 1) {
		t.Error("what b gave back is c's")
	}
}
