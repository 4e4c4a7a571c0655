package symptom

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// lineKeys hold the line itself in what containers, journals and shippers of logs write, in the order they count.
var lineKeys = []string{"log", "MESSAGE", "message", "msg", "textPayload", "line", "original", "body", "raw", "_raw", "text", "data", "event", "jsonPayload", "_source", "fields"}

// timeKeys hold the time of the line.
var timeKeys = []string{"time", "timestamp", "@timestamp", "ts", "__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP", "date", "t"}

// deepest bounds how many objects stand around a line.
const deepest = 3

// inner takes the line out of a container's or the journal's JSON, whatever stands in front of it. The line's own
// time counts; where it has none, the envelope's is put before it.
func inner(record, out []byte) []byte {
	i := bytes.IndexByte(record, '{')
	if i < 0 {
		return out
	}
	text, at := unwrap(record[i:], deepest)
	if text == "" {
		return out
	}
	out = append(out, strings.TrimRight(text, "\r\n ")...)
	if at != "" && stamp(out).IsZero() {
		out = append(append([]byte(at), ' '), out...)
	}
	return out
}

// unwrap finds the line, and the time, in an object.
func unwrap(object []byte, depth int) (line, at string) {
	var fields map[string]json.RawMessage
	if depth == 0 || json.Unmarshal(object, &fields) != nil {
		return "", ""
	}
	for _, k := range timeKeys {
		if at = timeOf(fields[k]); at != "" {
			break
		}
	}
	for _, k := range lineKeys {
		raw, ok := fields[k]
		if !ok || len(raw) == 0 {
			continue
		}
		if raw[0] == '{' {
			var within string
			if line, within = unwrap(raw, depth-1); line != "" {
				if within != "" {
					at = within
				}
				return line, at
			}
			continue
		}
		if json.Unmarshal(raw, &line) == nil && line != "" {
			return line, at
		}
	}
	return "", at
}

// timeOf is a time as text: as it stands, or made of the seconds, milliseconds or microseconds since 1970.
func timeOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || n < 1e8:
		if stamp([]byte(text)).IsZero() {
			return ""
		}
		return text
	case n > 1e17: // nanoseconds
		n /= 1e9
	case n > 1e14:
		n /= 1e6
	case n > 1e11:
		n /= 1e3
	}
	return time.Unix(int64(n), 0).UTC().Format(time.RFC3339)
}
