package scenario

import (
	"fmt"
	"strconv"
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
		return fmt.Errorf("want a duration with its unit, as \"5s\" or \"250ms\", not negative and at most \"2562047h\"")
	}
	*d = Duration(t)
	return nil
}

// MarshalText writes the offset as Go does ("-26280h0m0s").
func (o Offset) MarshalText() ([]byte, error) { return []byte(time.Duration(o).String()), nil }

// UnmarshalText reads what MarshalText writes.
func (o *Offset) UnmarshalText(b []byte) error { return o.parse(string(b)) }

func (o *Offset) parse(v any) error {
	s, _ := v.(string)
	t, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("want how far it is off, as \"-26280h\" or \"90m\"")
	}
	*o = Offset(t)
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

// MarshalText writes "256..511", "512.." or "..255".
func (r IntRange) MarshalText() ([]byte, error) {
	lo, hi := "", ""
	if r.Min > 0 {
		lo = strconv.Itoa(r.Min)
	}
	if r.Max > 0 {
		hi = strconv.Itoa(r.Max)
	}
	return []byte(lo + ".." + hi), nil
}

// UnmarshalText reads what MarshalText writes.
func (r *IntRange) UnmarshalText(b []byte) error { return r.parse(string(b)) }

func (r *IntRange) parse(v any) error {
	s, _ := v.(string)
	lo, hi, ranged := strings.Cut(s, "..")
	number := func(text string) (int, bool) {
		n, err := strconv.ParseUint(text, 10, 31)
		return int(n), text == "" || err == nil
	}
	a, ok1 := number(lo)
	b, ok2 := number(hi)
	if !ranged || !ok1 || !ok2 || a == 0 && b == 0 || b > 0 && b < a {
		return fmt.Errorf("want a range of numbers, as \"256..511\", \"512..\" or \"..255\"")
	}
	*r = IntRange{a, b}
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
