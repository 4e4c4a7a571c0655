package evidence

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KeyPrefix is where agents and edges write their key logs while the run lasts: prefix + name.
func KeyPrefix(runDir string) string { return filepath.Join(runDir, Dir, "keys-") }

// mergeKeys makes one key log of all, each line once, and removes the parts. Both ends of a connection write
// the same lines (SSLKEYLOGFILE: label, client random, secret).
func mergeKeys(dir string) (secrets []byte, err error) {
	parts, err := filepath.Glob(filepath.Join(dir, "keys-*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(parts)
	var out bytes.Buffer
	seen := map[string]bool{}
	for _, part := range parts {
		f, err := os.Open(part)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// A process that was killed may leave half a line.
			if line := lines.Text(); len(strings.Fields(line)) == 3 && !seen[line] {
				seen[line] = true
				out.WriteString(line + "\n")
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, KeysFile), out.Bytes(), 0o600); err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := os.Remove(part); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
