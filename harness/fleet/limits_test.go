package fleet

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

// A container's limit is its control group's, of either version; without one the machine's memory counts.
func TestGroupMemory(t *testing.T) {
	for _, tc := range []struct {
		why   string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, math.MaxInt64},
		{"version 2 without a limit", map[string]string{"memory.max": "max\n", "memory.current": "5\n"}, math.MaxInt64},
		{"version 2", map[string]string{"memory.max": "1000\n", "memory.current": "300\n"}, 700},
		{"version 1", map[string]string{"memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "1200\n"}, 0},
	} {
		root := t.TempDir()
		for name, text := range tc.files {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := groupMemory(root); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.why, got, tc.want)
		}
	}
}
