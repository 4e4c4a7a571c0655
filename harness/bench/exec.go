package bench

import (
	"context"
	"embed"
	"os"
	"path/filepath"

	"tlsurge/harness/child"
	"tlsurge/harness/proxy"
	"tlsurge/results"
)

//go:embed full.toml resumed.toml requests.toml
var scenarios embed.FS

// Parts writes the scenarios of the built-in parts into dir and names them.
func Parts(dir string) ([]Part, error) {
	var list []Part
	for _, name := range []string{PartFull, PartResumed, PartRequests} {
		p, err := scenarios.ReadFile(name + ".toml")
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(path, p, 0o600); err != nil {
			return nil, err
		}
		list = append(list, Part{name, path})
	}
	return list, nil
}

// Exec gives a Runner that starts `tlsurge run` in a process of its own, with its files under dir. A
// side without a binary is this very program, even if its file was replaced meanwhile.
func Exec(dir string) Runner {
	return func(ctx context.Context, s Side, p Part, seed uint64, label string) (*results.Run, error) {
		return child.Do(ctx, child.Run{Name: s.Name + ", " + p.Name, Binary: s.Binary, Scenario: p.Scenario,
			Out: filepath.Join(dir, filepath.FromSlash(label)), Seed: seed, Set: s.Set, Env: []string{proxy.PlantVariable + "=" + s.Plant}})
	}
}
