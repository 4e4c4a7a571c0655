package scenario

import (
	"fmt"
	"strings"
	"time"
)

// MarshalText writes the duration as Go does ("1m30s").
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(b []byte) error { return d.parse(string(b)) }

func (d *Duration) parse(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("want a duration with its unit, as \"5s\" or \"250ms\"")
	}
	t, err := time.ParseDuration(s)
	if err != nil || t < 0 {
		return fmt.Errorf("want a duration with its unit, as \"5s\" or \"250ms\", not negative")
	}
	*d = Duration(t)
	return nil
}

// MarshalText writes "15s..65s", or one duration where both ends agree.
func (r DurationRange) MarshalText() ([]byte, error) {
	if r.Min == r.Max {
		return []byte(r.Min.String()), nil
	}
	return []byte(r.Min.String() + ".." + r.Max.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (r *DurationRange) UnmarshalText(b []byte) error { return r.parse(string(b)) }

func (r *DurationRange) parse(v any) error {
	s, _ := v.(string)
	lo, hi, ranged := strings.Cut(s, "..")
	if !ranged {
		hi = lo
	}
	a, err1 := time.ParseDuration(lo)
	b, err2 := time.ParseDuration(hi)
	if err1 != nil || err2 != nil || a < 0 || b < a {
		return fmt.Errorf("want a duration or a range of them, as \"65s\" or \"15s..65s\"")
	}
	*r = DurationRange{a, b}
	return nil
}

// Error is a refusal of what the user wrote.
type Error struct {
	File string // the file, or "--set"
	Line int    // 0 where there is none
	Key  string
	Msg  string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	return b.String() + ": " + e.Msg
}
