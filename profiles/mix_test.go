package profiles

import (
	"strings"
	"testing"
)

func TestMixes(t *testing.T) {
	for _, n := range []string{"january-2015", "mobile-2015", "2018", "today"} {
		m, err := LookupMix(n)
		if err != nil {
			t.Error(err)
			continue
		}
		if m.Title == "" || !strings.Contains(m.Source, "StatCounter") || len(m.Entries) < 5 {
			t.Errorf("%s: %d entries, source %q", n, len(m.Entries), m.Source)
		}
		seen := make(map[string]bool)
		sum := 0.0
		for _, e := range m.Entries {
			if seen[e.Profile] {
				t.Errorf("%s: %s twice", n, e.Profile)
			}
			seen[e.Profile] = true
			sum += e.Share
		}
		// Shares are per cent of the population, less what no profile stands for.
		if sum < 60 || sum > 110 {
			t.Errorf("%s: the shares add up to %v", n, sum)
		}
	}
	if len(MixNames()) != 4 {
		t.Errorf("mixes %v", MixNames())
	}
	if _, err := LookupMix("january-2105"); err == nil || !strings.Contains(err.Error(), `did you mean "january-2015"`) {
		t.Errorf("a wrong name gets %v", err)
	}
	if _, err := Lookup("firefox-35-ox"); err == nil || !strings.Contains(err.Error(), `did you mean "firefox-35-osx"`) {
		t.Errorf("a wrong profile gets %v", err)
	}
}
