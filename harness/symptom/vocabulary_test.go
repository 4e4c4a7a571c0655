package symptom

import (
	"testing"
)

// TestEveryWordMeansSomething: a wording that nobody can look for, and that says not why, is a mistake in the data.
func TestEveryWordMeansSomething(t *testing.T) {
	spared := map[string]bool{"ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION": true} // what Chrome 45 finds after a handshake that went well
	seen := map[*entry]bool{}
	words().root.each(func(e *entry) {
		if seen[e] {
			return
		}
		seen[e] = true
		if len(e.means) == 0 && e.beyond == "" && e.line == "" && !spared[e.says[0]] {
			t.Errorf("%q means nothing", e.says)
		}
		if e.beyond != "" && len(e.means) > 0 {
			t.Errorf("%q is beyond reach (%s), and means %v", e.says, e.beyond, e.means)
		}
	})
	if len(seen) < 800 {
		t.Errorf("%d wordings", len(seen))
	}
}
