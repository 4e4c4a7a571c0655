package fleet

import (
	"runtime"
	"testing"
)

func TestParseMemory(t *testing.T) {
	now, peak := parseMemory([]byte("Name:\tx\nVmHWM:\t   300 kB\nVmRSS:\t   200 kB\nThreads:\t7\n"))
	if now != 200<<10 || peak != 300<<10 {
		t.Errorf("%d now, %d at most; want 200 KiB and 300 KiB", now, peak)
	}
	if now, peak := parseMemory([]byte("VmRSS:\tx kB\n")); now != 0 || peak != 0 {
		t.Errorf("a line without a number gave %d and %d", now, peak)
	}
}

// FuzzParseMemory: any text gives numbers that are not negative.
func FuzzParseMemory(f *testing.F) {
	f.Add([]byte("VmHWM:\t300 kB\nVmRSS:\t200 kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if now, peak := parseMemory(text); now < 0 || peak < 0 {
			t.Error(now, peak)
		}
	})
}

// TestPlateauMeasuresWhatIsHeld: four KiB per connection are seen as about that, once the number stands.
func TestPlateauMeasuresWhatIsHeld(t *testing.T) {
	if testing.Short() {
		t.Skip("short is how the race detector runs, and its shadow memory would be measured")
	}
	const each, n = 4 << 10, 20_000
	p := newPlateau()
	var held [][]byte
	for range n {
		b := make([]byte, each)
		for i := 0; i < each; i += 512 {
			b[i] = 1 // touched, or it would not be resident
		}
		held = append(held, b)
	}
	for i := range steadySeconds {
		if got := p.see(n); got != 0 {
			t.Fatalf("measured %d after %d s, before the number had stood for %d", got, i, steadySeconds)
		}
	}
	got := p.see(n)
	if got < each*9/10 || got > each*13/10 {
		t.Errorf("%d bytes each, want about %d", got, each)
	}
	if again := p.see(n / 2); again != got {
		t.Errorf("with fewer connections it says %d, want the measurement to stay", again)
	}
	runtime.KeepAlive(held)
	if few := newPlateau(); few.see(10)+few.see(10)+few.see(10)+few.see(10)+few.see(10)+few.see(10) != 0 {
		t.Error("ten connections were enough to divide by")
	}
}
