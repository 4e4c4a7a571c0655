package symptom

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// golden calls f with each line of a file and what it is to be read as, which stands indented below it. Lines with a
// # are comments; ␤ is an end of line, ␛ an escape.
func golden(t *testing.T, path string, f func(text string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, n := "", 0
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] != '\t':
			text = strings.NewReplacer("␤", "\n", "␛", "\x1b").Replace(line)
		default:
			n++
			if got := f(text); got != strings.TrimSpace(line) {
				t.Errorf("%s:%d: %s\n got %s\nwant %s", path, i+1, text, got, strings.TrimSpace(line))
			}
		}
	}
	if n < 100 {
		t.Errorf("%s: %d lines", path, n)
	}
}

// TestGoldenWords: what browsers and programs say, in the forms that they document.
func TestGoldenWords(t *testing.T) {
	golden(t, "testdata/words.txt", saidIn)
}

// saidIn is what a text is read as: "firefox ssl_error_no_cypher_overlap", or the first note.
func saidIn(text string) string {
	found, _, notes := Words(text)
	var got []string
	for _, s := range found {
		got = append(got, strings.Join(strings.Fields(fmt.Sprintln(s.Software, s.String())), " "))
	}
	if len(got) == 0 && len(notes) > 0 {
		return "note: " + notes[0]
	}
	if len(got) == 0 {
		return "nothing"
	}
	return strings.Join(got, " + ")
}

// TestGoldenLines: lines of logs, each a file of its own, with the number of clients and the time.
func TestGoldenLines(t *testing.T) {
	golden(t, "testdata/lines.txt", func(text string) string {
		r := readText(t, text+"\n")
		if len(r.Signatures) == 0 {
			return "nothing"
		}
		s := r.Signatures[0]
		client, at := "no client", "no time"
		if s.Clients > 0 {
			client = fmt.Sprint(s.Clients, " client")
		}
		if !s.First.IsZero() {
			at = s.First.Format("15:04:05")
		}
		return fmt.Sprintf("%s | %s | %s", strings.Join(lines(r), " + "), client, at)
	})
}
