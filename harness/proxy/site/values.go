package site

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// OnOff reads a flag.
func OnOff(text string) (bool, error) {
	switch text {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("%q: allowed are on and off", text)
}

// Duration reads nginx's times: "65", "5m", "1h30m", "250ms"; a number alone is seconds.
func Duration(text string) (time.Duration, error) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, nil
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
		"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "M": 30 * 24 * time.Hour, "y": 365 * 24 * time.Hour}
	bad := fmt.Errorf("%q is not a time: a number of seconds, or numbers with units ms, s, m, h, d, w, M, y", text)
	var total time.Duration
	rest := strings.ReplaceAll(text, " ", "")
	for rest != "" {
		i := 0
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		n, err := strconv.ParseInt(rest[:i], 10, 32)
		j := i
		for j < len(rest) && (rest[j] < '0' || rest[j] > '9') {
			j++
		}
		unit, ok := units[rest[i:j]]
		if err != nil || !ok || n > int64((1<<62)/unit) {
			return 0, bad
		}
		total += time.Duration(n) * unit
		rest = rest[j:]
	}
	if text == "" || total < 0 {
		return 0, bad
	}
	return total, nil
}

// Size reads nginx's sizes: "8192", "16k", "400M", "1g".
func Size(text string) (int64, error) {
	unit := int64(1)
	digits := text
	if n := len(text); n > 0 {
		switch text[n-1] {
		case 'k', 'K':
			unit, digits = 1<<10, text[:n-1]
		case 'm', 'M':
			unit, digits = 1<<20, text[:n-1]
		case 'g', 'G':
			unit, digits = 1<<30, text[:n-1]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 63)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a size: a number of bytes, or with k, m or g", text)
	}
	return n * unit, nil
}

// builtinTime stands for the time of the built-in files: the day of the thread's first log line.
var builtinTime = time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)

// defaultTypes are the types of file endings where the configuration has no types block.
var defaultTypes = map[string]string{"html": "text/html", "gif": "image/gif", "jpg": "image/jpeg"}
