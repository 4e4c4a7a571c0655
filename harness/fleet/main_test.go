package fleet

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary plays the children too, as the real one does.
func TestMain(m *testing.M) {
	if verb, ok := ChildVerb(os.Args); ok {
		os.Exit(ChildMain(verb, os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}
