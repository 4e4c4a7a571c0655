package proxy

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tlsurge/harness/proxy/nginxconf"
)

// blocks are the places where a directive may be tried.
var blocks = map[string]string{"main": "%s\nevents {}", "events": "events { %s }", "http": "events {} http { %s }", "server": "events {} http { server { %s } }",
	"if in server": "events {} http { server { if ($host) { %s } } }", "location": "events {} http { server { location / { %s } } }",
	"if in location": "events {} http { server { location / { if ($host) { %s } } } }", "limit_except": "events {} http { server { location / { limit_except GET { %s } } } }",
	"upstream": "events {} http { upstream u { %s server 127.0.0.1; } }"}

// TestDirectivesAsNginx tries directives in blocks and with numbers of arguments: where nginx -t says that one may not
// stand there, or has the wrong number of arguments, so does the table, and the other way round.
func TestDirectivesAsNginx(t *testing.T) {
	nginx := need(t, "nginx")
	dir := t.TempDir()
	names := nginxconf.All()
	places := []string{"main", "events", "http", "server", "if in server", "location", "if in location", "limit_except", "upstream"}
	r := rand.New(rand.NewPCG(uint64(*diffFrom), 3))
	for range 40 * *diffSeeds {
		name, place := names[r.IntN(len(names))], places[r.IntN(len(places))]
		line := name + strings.Repeat(" a", r.IntN(5))
		ours := verdictOf(func() string {
			tree, err := nginxconf.Parse("t", fmt.Appendf(nil, blocks[place], block(name, line)))
			if err == nil {
				_, err = nginxconf.Check(tree)
			}
			return fmt.Sprint(err)
		}())
		path := filepath.Join(dir, "t.conf")
		writeFile(t, path, fmt.Appendf(nil, blocks[place], block(name, line)))
		out, _ := exec.Command(nginx, "-t", "-q", "-p", dir, "-c", path, "-e", "stderr").CombinedOutput()
		if theirs := verdictOf(string(out)); theirs != "unknown" && theirs != ours {
			t.Errorf("%s in %s: nginx %s, ours %s\n%s", line, place, theirs, ours, out)
		}
	}
}

// block closes a directive as the table has it.
func block(name, line string) string {
	if nginxconf.OpensBlock(name) {
		return line + " {}"
	}
	return line + ";"
}

// verdictOf sorts what is said of a directive.
func verdictOf(text string) string {
	for words, verdict := range map[string]string{"unknown directive": "unknown", "is not allowed here": "wrong place", "invalid number of arguments": "wrong number"} {
		if strings.Contains(text, words) {
			return verdict
		}
	}
	return "fits"
}
