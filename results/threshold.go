package results

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Threshold is one line of a scenario's [thresholds]: a path into run.json and a condition on what
// stands there. docs/THRESHOLDS.md is the language.
type Threshold struct {
	Path      string
	Condition string // as written: "< 0.1%"

	path  path
	op    string
	limit float64
	unit  string
}

func (t Threshold) String() string { return t.Path + " " + t.Condition }

// ThresholdError says which part of a threshold is wrong and what is allowed there.
type ThresholdError struct {
	Path, Condition string
	Seen, Allowed   string
}

func (e *ThresholdError) Error() string {
	return fmt.Sprintf("threshold %q = %q: %s; allowed: %s", e.Path, e.Condition, e.Seen, e.Allowed)
}

var condition = regexp.MustCompile(`^\s*(<=|>=|==|!=|<|>)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*(%|[A-Za-zµ]+(?:/s)?|/s)?\s*$`)

// units of a condition, by what they measure. A share is written with %, a plain number fits all.
var units = map[string]struct {
	kind  string
	scale float64
}{
	"%":  {"share", 0.01},
	"ns": {"ns", 1}, "us": {"ns", 1e3}, "µs": {"ns", 1e3}, "ms": {"ns", 1e6}, "s": {"ns", 1e9}, "m": {"ns", 60e9},
	"B": {"bytes", 1}, "kB": {"bytes", 1e3}, "MB": {"bytes", 1e6}, "GB": {"bytes", 1e9},
	"KiB": {"bytes", 1 << 10}, "MiB": {"bytes", 1 << 20}, "GiB": {"bytes", 1 << 30},
	"/s": {"per_s", 1},
}

const unitWords = `% for shares; ns us ms s m for times; B kB MB GB KiB MiB GiB for sizes; /s for rates; nothing for counts`

// ParseThreshold reads a threshold as the scenario writes it: "users.saw_error.rate" = "< 0.1%".
func ParseThreshold(pathText, conditionText string) (Threshold, error) {
	bad := func(seen, allowed string) (Threshold, error) {
		return Threshold{}, &ThresholdError{pathText, conditionText, seen, allowed}
	}
	m := condition.FindStringSubmatch(conditionText)
	if m == nil {
		return bad("the condition is not a comparison", "one of < <= > >= == != and a decimal number with its unit, as in \"< 250ms\"")
	}
	limit, err := strconv.ParseFloat(m[2], 64)
	if err != nil || math.IsInf(limit, 0) {
		return bad(fmt.Sprintf("%q is no number", m[2]), "a decimal number")
	}
	t := Threshold{Path: pathText, Condition: strings.TrimSpace(conditionText), op: m[1], limit: limit}
	if t.path, err = parsePath(pathText); err != nil {
		return bad(err.Error(), pathWords)
	}
	t.unit = t.path.unit()
	if limit < 0 {
		return bad(fmt.Sprintf("nothing in run.json is below zero, and the limit is %s", m[2]), "a number of zero or more")
	}
	if t.unit == "count" && limit != math.Trunc(limit) {
		return bad(fmt.Sprintf("%q is a count, and %s is no whole number", pathText, m[2]), "a whole number; with .rate behind the path, a share")
	}
	if share := limit > 1 && m[3] == "" || limit > 100; t.unit == "share" && share {
		return bad(fmt.Sprintf("%q is a share, and no share is above 100%%", pathText), "0% to 100%, or a number of 0 to 1")
	}
	if m[3] == "" {
		if t.unit == "ns" && limit != 0 {
			return bad("a time needs a unit", unitWords)
		}
		return t, nil
	}
	u, ok := units[m[3]]
	if !ok {
		return bad(fmt.Sprintf("unit %q", m[3]), unitWords)
	}
	if u.kind != t.unit {
		return bad(fmt.Sprintf("%s measures %s, and %q is %s", m[3], unitNames[u.kind], pathText, unitNames[t.unit]), unitWords)
	}
	t.limit *= u.scale
	return t, nil
}

var unitNames = map[string]string{"share": "a share", "ns": "time", "bytes": "size", "per_s": "a rate", "count": "a count"}

// Evaluate judges a run. A threshold on something that the run did not measure does not pass.
func (t Threshold) Evaluate(run *Run) ThresholdResult {
	r := ThresholdResult{Expression: t.String(), Limit: t.limit, Unit: t.unit}
	v, missing := t.path.value(run)
	if missing != "" {
		r.Missing = missing
		return r
	}
	r.Observed = v
	r.Pass = holds(v, t.op, t.limit)
	r.Margin = margin(v, t.op, t.limit)
	return r
}

func holds(v float64, op string, limit float64) bool {
	switch op {
	case "<":
		return v < limit
	case "<=":
		return v <= limit
	case ">":
		return v > limit
	case ">=":
		return v >= limit
	case "==":
		return v == limit
	case "!=":
		return v != limit
	}
	panic("results: operator " + op) // ParseThreshold lets no other through
}

// margin is how far inside the limit v is, as a share of the limit; negative outside.
func margin(v float64, op string, limit float64) float64 {
	d := limit - v
	switch op {
	case ">", ">=":
		d = v - limit
	case "==":
		d = -math.Abs(v - limit)
	case "!=":
		d = math.Abs(v - limit)
	}
	if limit != 0 {
		d /= math.Abs(limit)
	}
	return d
}

// Hopeless reports that no continuation of the run can make the threshold pass any more: a count that
// only grows is already beyond its upper limit. The drive may then abort early.
func (t Threshold) Hopeless(run *Run) bool {
	if !t.path.grows() || t.op != "<" && t.op != "<=" && t.op != "==" {
		return false
	}
	v, missing := t.path.value(run)
	return missing == "" && v > t.limit || missing == "" && t.op == "<" && v >= t.limit
}

// FormatValue words a value in a threshold's unit, for people.
func FormatValue(v float64, unit string) string {
	switch unit {
	case "ns":
		return short(time.Duration(v))
	case "share":
		return strconv.FormatFloat(100*v, 'g', 4, 64) + "%"
	case "bytes":
		return FormatBytes(int64(v))
	case "per_s":
		return strconv.FormatFloat(v, 'f', 1, 64) + "/s"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// FormatBytes words a size with at most four digits: 812 B, 38.2 KiB, 1.93 GiB.
func FormatBytes(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if math.Abs(v) < 1024 || unit == "GiB" {
			if unit == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return strconv.FormatFloat(v, 'g', max(3, len(strconv.Itoa(int(v)))), 64) + " " + unit
		}
		v /= 1024
	}
	return ""
}
