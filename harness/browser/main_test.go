package browser

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines and file descriptors that the tests left behind. Started by BenchmarkPeers,
// this program is one of its clients instead.
func TestMain(m *testing.M) {
	if spec := os.Getenv(clientEnv); spec != "" {
		os.Exit(runClient(spec))
	}
	before := descriptors()
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		println(err.Error())
		code = 1
	}
	// A server's sockets close a moment after the tests that used them.
	for deadline := time.Now().Add(5 * time.Second); code == 0 && descriptors() > before+2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) { // two descriptors are the runtime's own
			println("file descriptors:", before, "before the tests,", descriptors(), "after")
			code = 1
		}
	}
	os.Exit(code)
}

func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
