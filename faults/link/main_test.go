package link_test

import (
	"testing"

	"tlsurge/faults/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }
