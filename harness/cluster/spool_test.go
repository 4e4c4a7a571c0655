package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestSpoolKeepsOrder: whatever is added, sent and acknowledged, and however little memory there is, the
// items come out in order, each until it is acknowledged.
func TestSpoolKeepsOrder(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s := newSpool(dir, rapid.SampledFrom([]int{0, 40, 200, 10_000}).Draw(t, "memory"))
		defer s.close()
		added, acked := uint64(0), uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") || added == acked {
				added++
				if err := s.add("k", fmt.Append(nil, added)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			batch, err := s.next()
			if err != nil {
				t.Fatal(err)
			}
			var last uint64
			for want := acked + 1; len(batch) > 0; want++ {
				it, rest, err := parseItem(batch)
				if err != nil || it.Seq != want || string(it.Data) != fmt.Sprint(want) {
					t.Fatalf("item %+v (%v), want number %d", it, err, want)
				}
				batch, last = rest, it.Seq
			}
			if last == 0 {
				t.Fatal("an empty batch")
			}
			acked = rapid.Uint64Range(acked, last).Draw(t, "ack")
			if err := s.ack(acked); err != nil {
				t.Fatal(err)
			}
		}
		if s.drained() != (added == acked) {
			t.Fatalf("drained is %t with %d added and %d acknowledged", s.drained(), added, acked)
		}
	})
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files left behind: %v", left)
	}
}

func TestSpoolRefuses(t *testing.T) {
	s := newSpool("/nonexistent", 20)
	defer s.close()
	for _, tc := range []struct {
		why, kind string
		data      []byte
		want      string
	}{
		{"no kind", "", nil, "kind of 0 bytes"},
		{"a kind too long for its length byte", strings.Repeat("k", 256), nil, "kind of 256 bytes"},
		{"more than a message holds", "k", make([]byte, maxItem+1), "at most 4194304"},
		{"neither memory nor disk has room", "k", make([]byte, 100), "/nonexistent"},
	} {
		if err := s.add(tc.kind, tc.data); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error that says %q", tc.why, err, tc.want)
		}
	}
	if err := s.add("k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	batch, err := s.next()
	if err != nil {
		t.Fatal(err)
	}
	if it, _, err := parseItem(batch); err != nil || it.Seq != 1 {
		t.Errorf("after refusals the first item is %d (%v), want 1: no gap", it.Seq, err)
	}
}

// FuzzParseItem: what parses serialises to the same bytes, and the rest is untouched.
func FuzzParseItem(f *testing.F) {
	f.Add(appendItem(nil, Item{Seq: 1, Kind: "evidence", Data: []byte("{}")}))
	f.Add(appendItem(appendItem(nil, Item{Seq: 7, Kind: "k"}), Item{Seq: 8, Kind: "k", Data: []byte{0}}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 255})
	f.Fuzz(func(t *testing.T, p []byte) {
		it, rest, err := parseItem(p)
		if err != nil {
			return
		}
		if again := append(appendItem(nil, it), rest...); !bytes.Equal(again, p) {
			t.Errorf("%x became %x", p, again)
		}
		if it.size()+len(rest) != len(p) {
			t.Errorf("an item of %d bytes and a rest of %d in %d", it.size(), len(rest), len(p))
		}
	})
}
