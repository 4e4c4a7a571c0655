package scenario

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// elementKeys names the key by which an element of a list of tables is addressed in a --set path.
var elementKeys = map[string]string{"faults": "name", "phases": "name", "browsers": "profile"}

// set applies one "key.path=value" to the tree and gives the path as messages write it. A path into a
// list of tables names the element: faults.NAME.key, browsers.PROFILE.share, phases.NAME.duration.
func set(tree map[string]any, s string) (string, error) {
	path, text, ok := assignment(s)
	if !ok || strings.TrimSpace(path) == "" {
		return "", &Error{File: "--set", Key: s, Msg: "want key.path=value, as load.connections=500"}
	}
	value := setValue(text)
	at, shown, rest := tree, "", strings.TrimSpace(path)
	for {
		key, more, deeper := strings.Cut(rest, ".")
		// thresholds and kernel have dotted keys of their own.
		if strings.HasPrefix(shown, "thresholds") || strings.HasPrefix(shown, "kernel") {
			key, more, deeper = unquoted(rest), "", false
		}
		if shown != "" {
			shown += "."
		}
		shown += key
		if !deeper {
			at[key] = value
			return shown, nil
		}
		switch next := at[key].(type) {
		case map[string]any:
			at = next
		case nil:
			if elementKeys[key] != "" {
				return "", &Error{File: "--set", Key: path, Msg: "the scenario has no " + key}
			}
			m := map[string]any{}
			at[key] = m
			at = m
		case []map[string]any:
			i, after, err := element(key, next, more)
			if err != nil {
				return "", err
			}
			at, shown, more = next[i], fmt.Sprintf("%s[%d]", shown, i), after
		default:
			return "", &Error{File: "--set", Key: path, Msg: key + " is a value, not a table"}
		}
		rest = more
	}
}

// assignment takes "key=value" apart at the first = that is not within brackets: the path of a threshold may have
// filters, users[profile=firefox-*].saw_error.
func assignment(s string) (path, text string, ok bool) {
	depth := 0
	for i, c := range s {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '=' && depth == 0:
			return s[:i], s[i+1:], true
		}
	}
	return strings.Cut(s, "=")
}

// unquoted is a key without the quotes that TOML wants around its dots.
func unquoted(key string) string {
	if n := len(key); n >= 2 && key[0] == key[n-1] && (key[0] == '"' || key[0] == '\'') {
		return key[1 : n-1]
	}
	return key
}

// element finds which element of the list the path goes on with. Names may hold dots
// ("safari-8-osx10.10"), so the longest name that fits wins.
func element(list string, items []map[string]any, path string) (i int, rest string, err error) {
	id := elementKeys[list]
	best := -1
	var names []string
	for i, item := range items {
		name, _ := item[id].(string)
		names = append(names, name)
		if strings.HasPrefix(path, name+".") && (best < 0 || len(name) > len(names[best])) {
			best = i
		}
	}
	if best < 0 {
		word, _, _ := strings.Cut(path, ".")
		return 0, "", &Error{File: "--set", Key: list + "." + path, Msg: fmt.Sprintf("no element with %s = %q%s", id, word, Suggest(word, names))}
	}
	return best, path[len(names[best])+1:], nil
}

// setValue reads the text as TOML does, and as a plain text where that fails: load.ramp=5s.
func setValue(text string) any {
	var m map[string]any
	if _, err := toml.Decode("v = "+text, &m); err == nil && len(m) == 1 {
		return m["v"]
	}
	return text
}
