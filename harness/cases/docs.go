package cases

import (
	"bytes"
	"fmt"
	"strings"
)

// Markdown is docs/CASES.md: the library in words.
func Markdown() []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, `# The library of cases

Reports of users and operators that can be played again: `+"`tlsurge run case:NAME`"+` plays one on the bundled fleet and says which
of its signatures appeared. Each is a file in harness/cases/data; a test plays all of them, broken and with the fix
applied. This page is written by `+"`make golden`"+` from those files.

| case | what it is | also on |
|---|---|---|
`)
	for _, c := range all() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.Name, c.Name, cell(c.Title), strings.Join(c.Real.Edges(), ", "))
	}
	for _, c := range all() {
		c.markdown(&b)
	}
	return b.Bytes()
}

func (c *Case) markdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n**Symptom.** %s\n\n**Mechanism.** %s\n\n**Expected**\n\n", c.Name, c.Title, c.Symptom, c.Mechanism)
	list(b, c.Expect)
	fmt.Fprintf(b, "\n**Fix.** %s\n\n", c.Fix.About)
	for _, s := range c.Set(Way{Fixed: true}) {
		fmt.Fprintf(b, "    --set '%s'\n", s)
	}
	switch {
	case c.Real.Edge == "":
		fmt.Fprintf(b, "\nNo installed server plays it: %s.\n", strings.TrimSuffix(c.Real.None, "."))
	case len(c.Real.Expect) > 0:
		fmt.Fprintf(b, "\nOn Debian's %s:\n\n", strings.Join(c.Real.Edges(), " and "))
		list(b, c.Real.Expect)
	default:
		fmt.Fprintf(b, "\nOn Debian's %s it is the same.\n", strings.Join(c.Real.Edges(), " and "))
	}
	if c.Real.Unfixed != "" {
		fmt.Fprintf(b, "\nThe fix cannot be shown there: %s.\n", c.Real.Unfixed)
	}
	fmt.Fprint(b, "\nSources:\n\n")
	for _, s := range c.Sources {
		fmt.Fprintf(b, "- %s\n", s)
	}
}

func list(b *bytes.Buffer, expect []Expect) {
	for _, e := range expect {
		fmt.Fprintf(b, "- %s\n", e)
	}
}

// cell keeps a text inside a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
