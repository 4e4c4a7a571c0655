package bench

import (
	"context"
	"path/filepath"

	"tlsurge/harness/child"
	"tlsurge/harness/proxy"
	"tlsurge/results"
)

// Exec gives a Runner that starts `tlsurge run` in a process of its own, with its files under dir. A
// side without a binary is this very program, even if its file was replaced meanwhile.
func Exec(dir string) Runner {
	return func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
		return child.Do(ctx, child.Run{Name: s.Name + ", " + p.Name, Binary: s.Binary, Scenario: p.Scenario,
			Out: filepath.Join(dir, filepath.FromSlash(label)), Seed: seed, Set: s.Set, Env: []string{proxy.PlantVariable + "=" + s.Plant}})
	}
}
