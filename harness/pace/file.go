package pace

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxArrivals bounds a file of timestamps: 100 million are 800 MB of offsets.
const maxArrivals = 100_000_000

// ReadTimes reads one arrival per line: a number of seconds ("12.25") or a time as RFC 3339 writes it
// ("2015-01-13T12:22:59Z"). The first arrival becomes offset 0. Empty lines and lines that begin with #
// are skipped. It refuses a mixture of both forms, a step back in time and anything else by its line.
func ReadTimes(r io.Reader) ([]time.Duration, error) {
	var out []time.Duration
	var first time.Duration
	var day time.Time
	var form string
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		s := strings.TrimSpace(lines.Text())
		if s == "" || s[0] == '#' {
			continue
		}
		at, f, err := readTime(s, &day)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case form == "":
			form, first = f, at
		case form != f:
			return nil, fmt.Errorf("line %d: %q is %s, the lines before are %s", n, s, f, form)
		}
		at -= first
		if len(out) > 0 && at < out[len(out)-1] || at < 0 {
			return nil, fmt.Errorf("line %d: %q is earlier than the line before", n, s)
		}
		if len(out) == maxArrivals {
			return nil, fmt.Errorf("line %d: more than %d arrivals", n, maxArrivals)
		}
		out = append(out, at)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading arrivals: %w", err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no arrivals: want one number of seconds or RFC 3339 time per line")
	}
	return out, nil
}

// readTime reads one line; day is the origin of times of day, set by the first.
func readTime(s string, day *time.Time) (time.Duration, string, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if day.IsZero() {
			*day = t
		}
		return t.Sub(*day), "a time", nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0) || x > 1e9 {
		return 0, "", fmt.Errorf("%q is neither seconds (0 to 1e9) nor an RFC 3339 time", s)
	}
	return seconds(x), "seconds", nil
}
