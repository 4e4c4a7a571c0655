package fleet

import (
	"os"
	"path/filepath"
	"strings"

	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
)

// runNginx is the body of an edge that is a real nginx.
func runNginx(c *child) error {
	return runRealEdge(c, func(e *realEdge) error {
		o := &e.order.Options
		conf, err := nginxConfig(e.order)
		if err != nil {
			return &configError{err}
		}
		e.log.read = nginxLine
		return e.run(e.order.Binary, "-p", o.Dir, "-c", conf, "-g", "daemon off;", "-e", o.ErrorLog)
	})
}

// nginxConfig writes the configuration for a real nginx and returns its path.
func nginxConfig(order realOrder) (path string, err error) {
	dir := order.Options.Dir
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return "", err
	}
	o := order.Options
	o.Root = filepath.Join(dir, "html")
	if err := site.WriteBuiltin(o.Root); err != nil {
		return "", err
	}
	tree, err := proxy.Effective(o)
	if err != nil {
		return "", err
	}
	if err := placeBuiltins(tree, dir); err != nil {
		return "", err
	}
	text := adaptNginx(tree, dir, os.Geteuid() == 0, ReadLimits().Files)
	path = filepath.Join(dir, "nginx.conf")
	return path, os.WriteFile(path, text, 0o600)
}

// placeBuiltins writes the files that are built into the bundled edge, and that the configuration names, where a
// real nginx finds them.
func placeBuiltins(tree []*nginxconf.Directive, dir string) (err error) {
	eachDirective(tree, func(d *nginxconf.Directive) {
		if d.Name != "ssl_dhparam" || err != nil || !strings.HasPrefix(d.Args[0], proxy.BuiltinPrefix) {
			return
		}
		var text []byte
		if text, err = proxy.BuiltinFile(d.Args[0]); err == nil {
			d.Args[0] = filepath.Join(dir, strings.TrimPrefix(d.Args[0], proxy.BuiltinPrefix))
			err = os.WriteFile(d.Args[0], text, 0o600)
		}
	})
	return err
}
