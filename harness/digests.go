package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"

	"tlsurge/harness/scenario"
)

// digests identify what a run is made of, for comparisons: the scenario as resolved, without what does not
// change what it does (seed, tags, thresholds), and the configuration of the edges, which only its name stands for.
func digests(sc *scenario.Scenario) (map[string]string, error) {
	same := *sc
	same.Seed, same.Tags, same.Thresholds = 0, nil, nil
	text, err := same.TOML()
	if err != nil {
		return nil, err
	}
	list := map[string]string{"scenario": digest(text)}
	if file := sc.Fleet.Config; sc.Target == nil && file != "" && !strings.HasPrefix(file, "builtin:") {
		if text, err = os.ReadFile(file); err != nil {
			return nil, err
		}
		list["fleet.config"] = digest(text)
	}
	return list, nil
}

func digest(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}
