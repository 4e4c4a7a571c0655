package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
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
		if text, err = withIncludes(file); err != nil {
			return nil, err
		}
		list["fleet.config"] = digest(text)
	}
	if sc.Target != nil && sc.Target.CA != "" {
		if text, err = os.ReadFile(sc.Target.CA); err != nil {
			return nil, err
		}
		list["target.ca"] = digest(text)
	}
	return list, nil
}

// withIncludes is the text of an edge's configuration with all that it includes, where it is written in nginx's
// language; a file of another language, or one with an error, which its edge will name, stands for itself.
func withIncludes(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	disk := nginxconf.Disk()
	var included []byte
	disk.Read = func(path string) ([]byte, error) {
		p, err := os.ReadFile(path)
		if err == nil && path != file {
			included = append(included, p...)
		}
		return p, err
	}
	// The tree is not what counts: an error in it is another's to tell.
	nginxconf.Load(disk, file, nil)
	return append(text, included...), nil
}

func digest(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}
