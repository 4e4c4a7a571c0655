package symptom

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSearcher: what the searcher finds is what a plain search for each needle does, in texts made of parts of
// needles.
func TestSearcher(t *testing.T) {
	s := needleSearch()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b strings.Builder
		for range rnd.IntN(6) {
			n := needles[rnd.IntN(len(needles))].text
			from := 0
			if rnd.IntN(2) == 0 {
				from = rnd.IntN(len(n))
			}
			part := n[from : from+rnd.IntN(len(n)-from+1)]
			if rnd.IntN(2) == 0 {
				part = n
			}
			if rnd.IntN(3) == 0 {
				part = strings.ToUpper(part)
			}
			b.WriteString(part)
			if rnd.IntN(2) == 0 {
				b.WriteByte(byte(rnd.IntN(256)))
			}
		}
		text := b.String()
		var want forms
		for _, n := range needles {
			if strings.Contains(strings.Map(lower, text), n.text) {
				want |= n.form
			}
		}
		if got := s.find([]byte(text)); got != want {
			t.Fatalf("%q: %b, want %b", text, got, want)
		}
	}
}

func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
