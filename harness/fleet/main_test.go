package fleet

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary plays the children too, as the real one does.
func TestMain(m *testing.M) {
	if verb, ok := ChildVerb(os.Args); ok {
		os.Exit(ChildMain(verb, os.Args[2:]))
	}
	if dir := os.Getenv(envRun); dir != "" {
		if err := smallRun(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
