package profiles

import (
	"fmt"
	"path"
)

// Mix is a named population: which browsers, in which shares.
type Mix struct {
	Name    string
	Title   string     `toml:"title"`
	Source  string     `toml:"source"` // where the shares come from
	Entries []MixEntry `toml:"browser"`
}

// MixEntry is one browser of a mix.
type MixEntry struct {
	Profile   string  `toml:"profile"`
	Share     float64 `toml:"share"`     // weight among the entries
	Returning float64 `toml:"returning"` // share of its browsers that hold a session from an earlier visit, 0..1
}

// MixNames lists the built-in mixes.
func MixNames() []string { return names("data/mix") }

// LookupMix gives a built-in mix. Its error names the nearest one.
func LookupMix(name string) (*Mix, error) {
	raw, err := data.ReadFile(path.Join("data/mix", name+".toml"))
	if err != nil {
		return nil, fmt.Errorf("no mix %q%s", name, Suggest(name, MixNames()))
	}
	m := &Mix{Name: name}
	if err := decode(raw, m); err != nil {
		return nil, fmt.Errorf("mix %s: %w", name, err)
	}
	for _, e := range m.Entries {
		if _, err := Lookup(e.Profile); err != nil {
			return nil, fmt.Errorf("mix %s: %w", name, err)
		}
		if e.Share <= 0 || e.Returning < 0 || e.Returning > 1 {
			return nil, fmt.Errorf("mix %s: %s has share %v and returning %v; a share is above 0, returning from 0 to 1", name, e.Profile, e.Share, e.Returning)
		}
	}
	return m, nil
}
