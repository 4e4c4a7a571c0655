package stack

import (
	"slices"
	"strings"
	"testing"
)

// FuzzExpand: whatever a cipher string says, its list holds each suite once, what the handshake may use is a part of it in the same
// order, and the names of the list, written as a cipher string, are that list again.
func FuzzExpand(f *testing.F) {
	f.Add(threadCiphers+":@SECLEVEL=0", uint8(2))
	f.Add("EECDH+AESGCM:!aNULL:-RC4:+HIGH:@STRENGTH", uint8(5))
	f.Add("DEFAULT:kEDH+AES:!EXPORT", uint8(0))
	f.Add("SUITEB128,ALL ;COMPLEMENTOFALL@", uint8(3))
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		if len(text) > 2000 {
			return
		}
		s := stacks[int(which)%len(stacks)]
		list, err := s.Expand(text)
		if err != nil {
			return
		}
		var names []string
		rest := list.Listed
		for _, id := range list.Suites {
			i := slices.Index(rest, id)
			if i < 0 {
				t.Fatalf("%q: %v is not listed, or out of order", text, id)
			}
			rest = rest[i+1:]
		}
		for i, id := range list.Listed {
			if slices.Contains(list.Listed[:i], id) {
				t.Fatalf("%q: %s twice", text, Name(id))
			}
			names = append(names, Name(id))
		}
		again, err := s.Expand(strings.Join(names, ":"))
		if err != nil || !slices.Equal(again.Listed, list.Listed) {
			t.Fatalf("%q is %v, which is %v (%v)", text, names, again.Listed, err)
		}
	})
}
