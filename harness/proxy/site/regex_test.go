package site

import (
	"strings"
	"testing"
	"time"
)

func TestCompileRegex(t *testing.T) {
	for _, tc := range []struct {
		text, subject string
		fold          bool
		want          string // groups, then the named ones; "-": no match
	}{
		{`^/a/(\d+)$`, "/a/12", false, "/a/12 12"},
		{`^/A/(?<id>\d+)$`, "/a/12", true, "/a/12 12 id"},
		{`(?P<a>x)(?'b'y)`, "xy", false, "xy x y a b"},
		{`^(?!/no)/(\w+)`, "/yes", false, "/yes yes"},
		{`^(?!/no)/(\w+)`, "/no", false, "-"},
		{`(?<=/)(?<w>\w+)$`, "/word", false, "word word w"},
		{`(?<!x)(\w)\1`, "aa", false, "aa a"},
		{`^(?=/)/(?<a>\w)(\w)(?<b>\w)`, "/xyz", false, "/xyz x y z a b"},
		{`^(?=a)(?<q>['"\]a])([)(\]]+)\k<q>(?P=q)$`, "a)(aa", false, "a)(aa a )( q"},
		{`^(?!b)[]a](?'x'[^]b]+)$`, "]xy", false, "]xy xy x"},
		{`^(?>a+)(?<t>b)`, "aab", false, "aab b t"},
		{`(?i)ABC`, "abc", false, "abc"},
	} {
		r, err := CompileRegex(tc.text, tc.fold)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		got := "-"
		if c := r.Capture(tc.subject); c != nil {
			got = strings.Join(append(c.groups, r.Names()...), " ")
		}
		if got != tc.want || r.Match(tc.subject) != (tc.want != "-") {
			t.Errorf("%s of %s: %q, want %q", tc.text, tc.subject, got, tc.want)
		}
	}
	if _, err := CompileRegex("(", false); err == nil {
		t.Error("an open group is accepted")
	}
}

// An expression that would try more ways than there are seconds gives up after one.
func TestBacktrackingIsBounded(t *testing.T) {
	r, err := CompileRegex(`^(?=a)(a+)+$`, false)
	if err != nil {
		t.Fatal(err)
	}
	r.slow.MatchTimeout = 20 * time.Millisecond
	if r.Match(strings.Repeat("a", 40) + "b") {
		t.Error("matched")
	}
	if c := r.Capture(strings.Repeat("a", 40) + "b"); c != nil {
		t.Errorf("%+v", c)
	}
	fresh, err := CompileRegex(`^(?=a)(a+)+$`, false)
	if err != nil || fresh.slow.MatchTimeout != backtracking {
		t.Errorf("%v, a bound of %v, want %v", err, fresh.slow.MatchTimeout, backtracking)
	}
}
