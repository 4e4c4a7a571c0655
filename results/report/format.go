package report

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tlsurge/results"
)

// count writes a number with a comma between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return sign + strings.Join(append([]string{s}, parts...), ",")
}

// plural writes a count with its noun.
func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// ms writes nanoseconds as a duration with three digits: 412µs, 3.81ms, 250ms, 2.31s.
func ms(ns int64) string {
	d := time.Duration(ns)
	switch {
	case ns == 0:
		return "0"
	case d < 10*time.Microsecond:
		return strconv.FormatFloat(float64(ns)/1e3, 'f', 1, 64) + "µs"
	case d < time.Millisecond:
		return strconv.FormatInt(ns/1e3, 10) + "µs"
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(ns)/1e6, 'f', 2, 64) + "ms"
	case d < 100*time.Millisecond:
		return strconv.FormatFloat(float64(ns)/1e6, 'f', 1, 64) + "ms"
	case d < time.Second:
		return strconv.FormatInt(ns/1e6, 10) + "ms"
	case d < 100*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + "s"
	}
	return d.Round(time.Second).String()
}

// seconds writes the length of a run or a phase.
func seconds(ns int64) string {
	d := time.Duration(ns)
	if d < time.Minute {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return d.Round(time.Second).String()
}

// share writes a part of a whole in percent.
func share(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case part == 0:
		return "0%"
	case p < 0.01:
		return "<0.01%"
	case part < whole && p >= 99.5: // not all of it
		return strconv.FormatFloat(math.Min(p, 99.99), 'f', 2, 64) + "%"
	case p < 1:
		return strconv.FormatFloat(p, 'f', 2, 64) + "%"
	case p < 10:
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + "%"
}

func bytesOf(n int64) string { return results.FormatBytes(n) }

// width is how many columns a text takes; an ANSI attribute takes none.
func width(s string) int {
	n := utf8.RuneCountInString(s)
	for i := strings.Index(s, "\x1b["); i >= 0; i = strings.Index(s, "\x1b[") {
		end := strings.IndexByte(s[i:], 'm')
		if end < 0 {
			break
		}
		n -= end + 1
		s = s[i+end+1:]
	}
	return n
}

func padRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }
func padLeft(s string, n int) string  { return strings.Repeat(" ", max(0, n-width(s))) + s }

// cut shortens a text to n columns.
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}
	return string([]rune(s)[:max(0, n-1)]) + "…"
}

// wrap breaks a text at spaces into lines of at most n columns; a word longer than that is broken.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for width(word) > n {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:n])), string(r[n:])
		}
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// listed names each word with its count.
func listed(items []words, between string) string {
	var parts []string
	for _, w := range items {
		parts = append(parts, w.text+between+count(w.count))
	}
	return strings.Join(parts, ", ")
}
