package fleet

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
)

// adaptNginx makes a configuration that the bundled edge runs one that a real nginx runs in our sandbox:
// nothing outside dir is written, nobody changes user, and Debian's OpenSSL is allowed what the site's
// browsers need.
func adaptNginx(tree []*nginxconf.Directive, dir string, root bool, files int64) []byte {
	var main []*nginxconf.Directive
	for _, d := range tree {
		switch d.Name {
		case "user", "pid", "worker_processes", "worker_rlimit_nofile", "daemon", "master_process":
		default:
			main = append(main, d)
		}
	}
	head := []*nginxconf.Directive{
		directive("worker_processes", "1"), // the table's size is worker_connections × worker_processes
		directive("worker_rlimit_nofile", fmt.Sprint(files)),
		directive("pid", filepath.Join(dir, "nginx.pid")),
	}
	if root {
		head = append(head, directive("user", "root", "root")) // logs and pages lie in a directory of ours
	}
	for _, d := range main {
		if d.Name == "http" {
			d.Block = append(temporary(filepath.Join(dir, "tmp")), d.Block...)
		}
	}
	eachDirective(main, func(d *nginxconf.Directive) {
		switch d.Name {
		case "ssl_ciphers":
			d.Args = []string{lowestSecurity(strings.Join(d.Args, ":"))}
		case "worker_connections":
			// A table larger than what the process may open: accept would fail before the table is full.
			if n, err := strconv.ParseInt(strings.Join(d.Args, ""), 10, 64); err == nil && n > files {
				d.Args = []string{strconv.FormatInt(files, 10)}
			}
		}
	})
	return nginxconf.Format(append(head, main...))
}

// lowestSecurity adds OpenSSL's @SECLEVEL=0, without which TLS 1.0 and 1.1 are refused by Debian's
// OpenSSL 3 (SHA-1 in their signatures).
func lowestSecurity(ciphers string) string {
	if strings.Contains(ciphers, "@SECLEVEL") {
		return ciphers
	}
	return ciphers + ":@SECLEVEL=0"
}

// temporary keeps nginx's temporary files in our directory.
func temporary(dir string) []*nginxconf.Directive {
	var out []*nginxconf.Directive
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		out = append(out, directive(what+"_temp_path", filepath.Join(dir, what)))
	}
	return out
}

func directive(name string, args ...string) *nginxconf.Directive {
	return &nginxconf.Directive{Name: name, Args: args}
}

func eachDirective(block []*nginxconf.Directive, f func(*nginxconf.Directive)) {
	for _, d := range slices.Clone(block) {
		f(d)
		eachDirective(d.Block, f)
	}
}
