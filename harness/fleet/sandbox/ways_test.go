package sandbox

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tlsurge/faults"
)

func TestWaysFor(t *testing.T) {
	root, admin, user := rights{netAdmin: true, sysAdmin: true}, rights{netAdmin: true}, rights{}
	for _, tc := range []struct {
		why  string
		need Need
		have rights
		want []way // nil: unsupported
	}{
		{"root keeps the caller's network", Need{Filters: true}, root, []way{inPlace, withoutSpace}},
		{"root makes a network where one is asked for", Need{OwnNet: true}, root, []way{ownNet, userOwnNet}},
		{"CAP_NET_ADMIN alone: a user namespace is cleaner, without one the filters still work", Need{Filters: true}, admin,
			[]way{userOwnNet, withoutSpace}},
		{"CAP_NET_ADMIN alone and a target outside: a user namespace would lose the right over the caller's network",
			Need{Filters: true, Outside: true}, admin, []way{withoutSpace}},
		{"a user's filters need a network of its own", Need{Filters: true}, user, []way{userOwnNet}},
		{"a user without filters takes what the kernel gives", Need{}, user, []way{userOwnNet, userInPlace, withoutSpace}},
		{"a user's relay reaches a target outside", Need{Outside: true}, user, []way{userInPlace, withoutSpace}},
		{"a user's filters cannot reach outside", Need{Filters: true, Outside: true}, user, nil},
		{"nobody reaches outside from a network of its own", Need{OwnNet: true, Outside: true}, root, nil},
	} {
		got, err := waysFor(tc.need, tc.have)
		if tc.want == nil {
			var ue *faults.UnsupportedError
			if !errors.As(err, &ue) || ue.Instead == "" {
				t.Errorf("%s: %v, want an UnsupportedError that says what could do it", tc.why, err)
			}
			continue
		}
		var names, want []string
		for _, w := range got {
			names = append(names, w.name)
		}
		for _, w := range tc.want {
			want = append(want, w.name)
		}
		if err != nil || strings.Join(names, "; ") != strings.Join(want, "; ") {
			t.Errorf("%s: %q (%v), want %q", tc.why, names, err, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const rest = " 41 41 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1"
	for _, tc := range []struct {
		why, text string
		want      Stat // zero: refused
	}{
		{"an ordinary line", "41 (sleep) S 7" + rest, Stat{41, 7, 42}},
		{"a name with spaces and parentheses", "41 (a) R 1 (b)) T 9" + rest, Stat{41, 9, 42}},
		{"no name", "41 S 7" + rest, Stat{}},
		{"a line that ends early", "41 (x) S 7", Stat{}},
		{"no number", "x (x) S 1" + rest, Stat{}},
	} {
		got, err := ParseStat(tc.text)
		if got != tc.want || (err == nil) != (tc.want != Stat{}) {
			t.Errorf("%s: %+v (%v), want %+v", tc.why, got, err, tc.want)
		}
	}
}

// FuzzParseStat: a line built from the fuzzer's name gives back its numbers, whatever the name holds.
func FuzzParseStat(f *testing.F) {
	f.Add("sleep")
	f.Add("a) R 1 (b")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		ParseStat(text) // arbitrary text: no panic
		got, err := ParseStat("12 (" + text + ") S 34 5 6 7 8 9 10 11 12 13 14 15 16 17\n")
		if want := (Stat{12, 34, 14 + 15}); err != nil || got != want {
			t.Errorf("name %q: %+v, %v", text, got, err)
		}
	})
}

func TestChildrenSeesThisProcess(t *testing.T) {
	found := false
	for _, pid := range children(os.Getppid()) {
		found = found || pid == os.Getpid()
	}
	if !found {
		t.Errorf("children(%d) misses process %d", os.Getppid(), os.Getpid())
	}
}
