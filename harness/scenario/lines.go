package scenario

import (
	"fmt"
	"strings"
)

// lineIndex maps a key's path ("faults[1].engine") to the line that set it. It reads the source by
// headers and the left sides of assignments, which is enough for messages: a key written in a way that
// it does not see (an inline table) is found by its nearest parent.
type lineIndex map[string]int

func indexLines(src string) lineIndex {
	idx := lineIndex{}
	counts := map[string]int{}
	prefix := ""
	for i, raw := range strings.Split(src, "\n") {
		line := strings.TrimSpace(raw)
		switch {
		case strings.HasPrefix(line, "[["):
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "[["), "]]")
			name = strings.TrimSpace(name)
			prefix = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			idx.set(prefix, i+1)
		case strings.HasPrefix(line, "["):
			name, _, _ := strings.Cut(line[1:], "]")
			prefix = subTable(strings.TrimSpace(name), counts)
			idx.set(prefix, i+1)
		default:
			key, _, ok := strings.Cut(line, "=")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			key = strings.NewReplacer(`"`, "", "'", "").Replace(strings.TrimSpace(key))
			if prefix != "" {
				key = prefix + "." + key
			}
			idx.set(key, i+1)
		}
	}
	return idx
}

// subTable resolves [faults.who] to the last element of [[faults]], however deep that list lies.
func subTable(name string, counts map[string]int) string {
	for i, c := range name {
		if n := counts[name[:i]]; c == '.' && n > 0 {
			return fmt.Sprintf("%s[%d]%s", name[:i], n-1, name[i:])
		}
	}
	return name
}

func (x lineIndex) set(key string, line int) {
	if _, ok := x[key]; !ok {
		x[key] = line
	}
}

// find gives the line of the path or of its nearest parent; 0 when neither is known.
func (x lineIndex) find(path []string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := x[strings.Join(path[:n], ".")]; ok {
			return line
		}
	}
	return 0
}
