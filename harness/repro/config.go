package repro

import (
	"fmt"
	"os"
	"slices"

	"tlsurge/harness/proxy/nginxconf"
)

// wholeConfig gives a configuration that a server can be started with. What operators have at hand is often one site's
// file, which nginx includes inside http: around such a part the rest is written, in a file of its own.
func wholeConfig(file, whole string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return file, nil // a built-in one, or one that the edge will complain of
	}
	tree, err := nginxconf.Parse(file, text)
	if err != nil || !isSite(tree) {
		return file, nil
	}
	return whole, writeFile(whole, fmt.Sprintf("# around %s, which is a part of a configuration\nevents {\n}\nhttp {\n    include %q;\n}\n", file, file))
}

// isSite says whether a file is meant to stand inside http.
func isSite(tree []*nginxconf.Directive) bool {
	named := func(names ...string) bool {
		return slices.ContainsFunc(tree, func(d *nginxconf.Directive) bool { return slices.Contains(names, d.Name) })
	}
	return named("server") && !named("http", "events")
}
